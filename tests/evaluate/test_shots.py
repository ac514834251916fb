"""Draws of shots: which items, in which order, and how many fit."""

import random

import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.shots import draw_shots, keep, most_that_fit
from tests.helpers.few_shot import GENERATION, PROMPT, reviews, spec


def documents(shots):
    return [[example["document"] for example in examples] for examples in shots]


def test_a_trial_draws_once_for_all_items_and_each_trial_anew():
    run = spec(shots=5, trials=2, seed=7)
    first, second = (draw_shots(run, trial) for trial in (0, 1))
    assert len(first) == len(run.items)
    assert all(examples == first[0] for examples in first) and first[0] != second[0]
    assert len({example["document"] for example in first[0]}) == 5
    assert first == draw_shots(run, 0)
    label_of = {item.fields["document"]: item.answer for item in run.pool}
    assert all(example["label"] == label_of[example["document"]] for example in first[0])


def test_shots_for_every_item_are_those_of_one_random_stream():
    # lm-evaluation-harness 0.4: one Random(seed) for a task, and a sample for each item in turn.
    run = spec(shots=3, draw="item", seed=1234)
    stream = random.Random(1234)
    expected = [
        [item.fields["document"] for item in stream.sample(list(run.pool), 3)] for _ in run.items
    ]
    assert documents(draw_shots(run, 0)) == expected


def test_an_item_is_never_its_own_example():
    pool = reviews(6)
    run = spec(items=pool, pool=pool, split="dev", shots_split="dev", shots=5, draw="item")
    for item, examples in zip(pool, draw_shots(run, 0), strict=True):
        assert len(examples) == 5
        assert item.fields["document"] not in [example["document"] for example in examples]
    run = spec(items=pool[:2], pool=pool, split="dev", shots_split="dev", shots=4)
    drawn = {example["document"] for example in draw_shots(run, 0)[0]}
    assert drawn == {item.fields["document"] for item in pool[2:]}
    with pytest.raises(ConfigError, match="has 4 items that are not answered, and 5 shots"):
        draw_shots(spec(items=pool[:2], pool=pool, split="dev", shots_split="dev", shots=5), 0)


def test_own_and_fixed_examples():
    shots = reviews(3, "s")
    items = (Item("a", {"document": "x"}, "1", shots=shots), Item("b", {"document": "y"}, "0"))
    run = spec(items=items, draw="own", shots=2)
    first, second = draw_shots(run, 0)
    assert [example["document"] for example in first] == [s.fields["document"] for s in shots[:2]]
    assert second == ()
    examples = [{"document": "하나", "label": "1"}, {"document": "둘", "label": "0"}]
    for shots in range(3):
        run = spec({**PROMPT, "examples": examples}, draw="fixed", shots=shots)
        assert draw_shots(run, 0) == [tuple(examples[:shots])] * len(run.items)


@pytest.mark.parametrize("drop, kept", [("first", "cd"), ("last", "ab")])
def test_examples_are_dropped_where_the_prompt_says(drop, kept):
    assert "".join(keep("abcd", 2, drop)) == kept
    assert keep("abcd", 9, drop) == "abcd" and len(keep("abcd", 0, drop)) == 0


@pytest.mark.parametrize("most", [0, 1, 2, 7, 70])
def test_the_greatest_number_that_fits(most):
    for limit in range(-1, most + 2):
        expected = max((n for n in range(most + 1) if n <= limit), default=0)
        assert most_that_fit(most, lambda count: count <= limit) == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"shots": 21}, "shots=21 is out of range: give 0 to 20, which train has"),
        ({"shots": 1, "draw": "fixed"}, "shots=1 is out of range: give 0 to 0, which the prompt"),
        ({"calibration": "mean"}, "calibration='mean' is out of range: give contextual or"),
        ({"calibration": "contextual", "draw": "item"}, "out of range: give batch or median"),
        ({"calibration": "batch", "prompt": GENERATION}, "give none, as the answers are no"),
        ({"trials": 0}, "trials=0"),
        ({"draw": "all"}, "draw='all' is out of range: give trial or item or own or fixed"),
        ({"score": "mean"}, "score='mean'"),
        ({"main": "bleu"}, "main='bleu' is out of range: give one of metrics: accuracy"),
        ({"items": ()}, "items=.* is out of range: give one or more"),
    ],
)
def test_a_run_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        spec(**settings)
