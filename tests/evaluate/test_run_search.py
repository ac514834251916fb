"""The search for prompts on an engine: a model in closed form that answers well under one template,
with a certain last example, and after calibration; and the prompt that is written.
"""

import dataclasses
import json
import math

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.print_search import SearchTable, write_best
from hclx.evaluate.prompt_search import Candidate
from hclx.evaluate.run_search import (
    NONE,
    SearchSpace,
    best_prompt,
    divided,
    search,
    search_plan,
    shares_of_budget,
    with_examples,
)
from hclx.evaluate.samples import output_folder
from hclx.evaluate.suite import run_suite
from hclx.evaluate.tried_prompts import TriedPrompt, TriedPrompts
from hclx.infer import Score
from hclx.prompts import load_prompt, prompt_from_json
from tests.helpers.bigram_engine import BigramEngine
from tests.helpers.few_shot import GENERATION, PROMPT, byte_reader, spec

READER = byte_reader()
LINE = prompt_from_json(PROMPT)
REVIEW = prompt_from_json({**PROMPT, "name": "review", "input": "평: {document} ("})
KEY = "열쇠"
CONTENT_FREE = ("contextual", "contextual_identity", "domain_context")


def items(name, count):
    """Items whose texts tell their labels, which the model sees by the word 좋다."""
    words = ("나쁘다", "좋다")
    return tuple(
        Item(f"{name}{n}", {"document": f"{name} {n} {words[n % 2]}", "id": "x"}, "01"[n % 2])
        for n in range(count)
    )


POOL = (Item("key", {"document": KEY, "id": "x"}, "1"), *items("보기", 5))
VALIDATION, TEST = items("검증", 12)[:9], items("시험", 6)
SPACE = SearchSpace("reviews", {"line": LINE, "review": REVIEW}, POOL, VALIDATION, TEST)


class KnowingEngine(BigramEngine):
    """A model that prefers 부정 by far. It sees a little of the word 좋다 where the template says
    평 and there are examples: in one of the texts, and in all if the last example is KEY.
    """

    def score(self, requests):
        """See `hclx.infer.Engine`."""
        self.calls += requests
        return [Score(self._total(request), False, ()) for request in requests]

    def _total(self, request):
        decode = lambda ids: self._tokenizer.decode_bytes(ids).decode(errors="replace")
        *examples, text = decode(request.context).split("\n")
        is_positive = decode(request.continuation).startswith("긍정")
        knows = text.startswith("평: ") and bool(examples)
        knows = knows and (KEY in examples[-1] or "검증 1 " in text)
        knowledge = 2.0 * knows * ("좋다" in text) * is_positive
        is_empty = any(f"{word} (" in text for word in ("N/A", ": ", "[MASK]")) or text == " ("
        return (-9.0 if is_empty else -9.5) * is_positive + knowledge


def searched(space=SPACE, shots=(0, 2), budget=44, reader=READER, **settings):
    engine = KnowingEngine(READER.tokenizer)
    return engine, search(engine, reader, space, shots, budget, **settings)


def test_the_planted_template_shots_example_and_calibration_are_chosen():
    engine, tried = searched()
    assert len(tried) <= 44 and [each.shots for each in tried[:3]] == [0, 0, 2]
    best = best_prompt(SPACE, tried)
    assert best.template == "review" and best.shots == 2 and best.examples[-1] == 0
    # Without calibration all answers are 부정, which is right 5 times of 9.
    assert all(each.values[NONE] == 5 / 9 for each in tried)
    assert best.best == "contextual" and best.value == 1
    for each in tried:
        knows = each.template == "review" and each.shots > 0
        number = (9 if each.examples[-1:] == (0,) else 6) if knows else 5
        assert each.values["contextual"] == number / 9
        assert each.best == ("contextual" if knows else NONE)  # the first of equals


@pytest.mark.parametrize("n_kept", [1, 7])
def test_a_search_that_was_killed_goes_on_to_the_same_result(tmp_path, n_kept):
    engine, whole = searched(budget=20)

    def end(tried):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    left, path = n_kept + 1, tmp_path / "tried.jsonl"
    with pytest.raises(KeyboardInterrupt):
        searched(budget=20, tell=end, kept=TriedPrompts(path))
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == n_kept + 1
    path.write_bytes(b"".join(lines)[:-5])  # half of the last line was written
    told = []
    again, tried = searched(budget=20, tell=told.append, kept=TriedPrompts(path))
    assert tried == whole == told
    reads = lambda engine: len(engine.calls)
    kept, _ = searched(budget=20, kept=TriedPrompts(path))
    assert 0 == reads(kept) < reads(again) < reads(engine)


def test_a_metric_that_is_no_number_is_kept(tmp_path):
    tried = TriedPrompt("line", 2, (3,), {NONE: math.nan, "median": 0.5}, "median")
    TriedPrompts(tmp_path / "tried.jsonl").add(Candidate("line", (3, 1)), tried)
    kept = TriedPrompts(tmp_path / "tried.jsonl")
    again = kept.get(Candidate("line", (3, 1)))
    assert again.value == 0.5 and math.isnan(again.values[NONE]) and again.examples == (3,)
    assert kept.get(Candidate("line", (3,))) is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"validation": VALIDATION[:5]}, r"validation: \[0\]: 9 -> 5"),
        ({"pool": (*POOL[1:], POOL[0])}, r"pool: \[1\]: "),
        ({"prompts": {"line": REVIEW, "review": REVIEW}}, "templates: line: "),
    ],
)
def test_another_search_is_refused_with_what_differs(tmp_path, change, message):
    plan = lambda space, budget=9: search_plan(space, READER, (2, 0), budget, False)
    with output_folder(tmp_path / "search", plan(SPACE)):
        pass
    for space, budget, expected in (
        (dataclasses.replace(SPACE, **change), 9, message),
        (SPACE, 10, "budget: 9 -> 10"),
    ):
        with pytest.raises(ConfigError, match=f"has results of another plan: {expected}"):
            with output_folder(tmp_path / "search", plan(space, budget)):
                pass


def test_no_test_item_is_read_and_validation_items_are_no_examples():
    engine, tried = searched()
    texts = [READER.tokenizer.decode_bytes(request.context).decode() for request in engine.calls]
    for text in texts:
        *examples, last = text.split("\n")
        assert "시험" not in text and not any("검증" in example for example in examples)
    with pytest.raises(ConfigError, match="items of validation are in test too"):
        searched(SearchSpace("a", SPACE.prompts, POOL, VALIDATION, VALIDATION[:1]))
    with pytest.raises(ConfigError, match="in the pool of examples too"):
        searched(SearchSpace("a", SPACE.prompts, (*POOL, VALIDATION[0]), VALIDATION, TEST))


def test_the_prompt_that_is_written_gives_the_same_figures(tmp_path, capsys):
    engine, tried = searched(budget=12)
    write_best(SPACE, tried, tmp_path / "best.json")
    best = best_prompt(SPACE, tried)
    prompt = load_prompt(tmp_path / "best.json")
    assert [example["document"] for example in prompt.examples] == [
        POOL[index].fields["document"] for index in best.examples
    ]
    assert set(prompt.examples[0]) == {"document", "label"}  # and not what no template names
    run = spec(
        PROMPT | {"input": prompt.input.source, "examples": list(prompt.examples)},
        items=VALIDATION,
        draw="fixed",
        shots=len(prompt.examples),
    )
    (record,) = run_suite(engine, [run], READER, {"name": "knowing"}, tmp_path / "run")["runs"]
    assert record["metrics"]["accuracy"]["mean"] == best.values[NONE]
    figures = {name: each["accuracy"]["mean"] for name, each in record["calibrated"].items()}
    assert figures == {name: value for name, value in best.values.items() if name != NONE}
    printed = capsys.readouterr().out
    assert f"best of {len(tried)} prompts: review, 2 shots, calibrated by contextual" in printed
    entry = {"task": "reviews", "prompt": "best.json", "draw": "fixed", "calibration": "contextual"}
    assert json.loads(printed.splitlines()[-1]) == [entry]


def test_a_table_has_a_line_for_each_prompt(capsys):
    table = SearchTable(SPACE)
    table.add(TriedPrompt("review", 4, (1, 2, 3), {NONE: 0.25, "median": 0.75}, "median"))
    table.add(TriedPrompt("line", 0, (), {NONE: math.nan}, NONE))
    head, _, first, second = capsys.readouterr().out.splitlines()
    assert head == "accuracy on 9 items of train:"
    assert first.split() == "1 review 3 0.2500 median 0.7500, 1 of 4 dropped".split()
    assert second.split() == "2 line 0 nan none".split()


def test_examples_without_room_are_dropped_and_not_written():
    example = len("평: 보기 0 나쁘다 (부정)\n".encode())
    reader = byte_reader(max_length=3 * example)
    _, tried = searched(shots=(4,), budget=6, reader=reader)
    assert all(each.shots == 4 and 0 < len(each.examples) < 4 for each in tried)


def test_generated_answers_have_no_calibration():
    space = SearchSpace(
        "words",
        {"words": prompt_from_json(GENERATION)},
        POOL,
        VALIDATION,
        TEST,
        main="exact_match",
    )
    tried = search(BigramEngine(READER.tokenizer), READER, space, [0, 1], 4)
    assert all(set(each.values) == {NONE} for each in tried)


def test_similar_examples_are_tried_after_the_templates():
    vectors = np.eye(6), np.eye(6)[[4, 4, 5]]
    _, tried = searched(shots=(2,), budget=4, vectors=vectors)
    assert set(tried[2].examples) == {4, 5}


@pytest.mark.parametrize(
    "shots, budget, expected",
    [
        ((0,), 9, {0: 2}),
        ((4, 0, 1), 11, {0: 2, 1: 5, 4: 4}),
        ((1, 1, 4), 4, {1: 2, 4: 2}),
    ],
)
def test_numbers_of_shots_share_the_budget(shots, budget, expected):
    assert shares_of_budget(SPACE, shots, budget) == expected


@pytest.mark.parametrize(
    "shots, budget, message",
    [
        ((0, 4), 3, "budget=3: give 4 or more, for 2 templates with 2 numbers of shots"),
        ((7,), 9, "shots=7: the pool has 6 examples"),
    ],
)
def test_a_search_that_cannot_be_is_refused(shots, budget, message):
    with pytest.raises(ConfigError, match=message):
        shares_of_budget(SPACE, shots, budget)


def test_validation_items_and_examples_are_apart_from_each_other_and_from_the_test():
    text = lambda some: [item.fields["document"] for item in some]
    split = (*items("글", 40), *items("글", 30), *items("시험", 4))  # texts that occur twice
    validation, pool = divided(split, TEST, 10, 25, seed=3)
    assert len(validation) == 10 and len(pool) == 25
    assert not set(text(validation)) & set(text(pool))
    assert not {*text(validation), *text(pool)} & set(text(TEST))
    assert (validation, pool) == divided(split, TEST, 10, 25, seed=3)
    assert validation != divided(split, TEST, 10, 25, seed=4)[0]
    few, rest = divided(items("글", 6), TEST, 10, 10, seed=0)
    assert len(few) == 3 == len(rest)


def test_examples_need_the_fields_of_the_prompt():
    with pytest.raises(ConfigError, match="has no 'document'"):
        with_examples(LINE, [Item("a", {"text": "x"}, "1")])
    with pytest.raises(ConfigError, match="is no key of choices"):
        with_examples(LINE, [Item("a", {"document": "x"}, "2")])


def test_the_best_prompt_by_its_value():
    tried = [
        TriedPrompt(name, 0, (), {NONE: value}, NONE)
        for name, value in (("a", math.nan), ("b", 0.2), ("c", 0.4), ("d", 0.4))
    ]
    assert best_prompt(SPACE, tried).template == "c"
