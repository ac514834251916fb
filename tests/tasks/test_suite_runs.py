"""Suites and spaces of a search over a small set in the publisher's format."""

import json

import pytest

from hclx.errors import ConfigError, DataError
from hclx.tasks.search_space import search_space
from hclx.tasks.suite_runs import Selection, read_suite, suite_runs
from tests.helpers.few_shot import PROMPT

EXAMPLES = [{"document": "재미있다", "label": "1"}, {"document": "지루하다", "label": "0"}]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A folder with reviews, of which one is in both splits."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "tasks" / "nsmc").mkdir(parents=True)
    for split, count in (("train", 30), ("test", 8)):
        lines = [f"{n}\t{split} 영화 {n}\t{n % 2}" for n in range(count)]
        text = "\n".join(["id\tdocument\tlabel", "900\t둘 다에 있다\t1", *lines]) + "\n"
        (folder / "tasks" / "nsmc" / f"ratings_{split}.tsv").write_text(text)
    return str(folder)


def suite(folder, *entries):
    path = folder / "suite.json"
    path.write_text(json.dumps(entries))
    return read_suite(str(path))


def prompt_file(folder, name="mine.json", **fields):
    path = folder / name
    path.write_text(json.dumps({**PROMPT, **fields}))
    return path


def texts(items):
    return {item.fields["document"] for item in items}


def test_a_published_task_with_a_prompt_of_ones_own(data_dir, tmp_path):
    prompt_file(tmp_path, examples=EXAMPLES)
    entry = {"task": "nsmc", "prompt": "mine.json", "calibration": "median", "limit": 5}
    (run,), _ = suite_runs(suite(tmp_path, entry), data_dir, Selection())
    assert (run.template, run.draw, run.shots, run.trials) == ("mine", "fixed", 2, 1)
    assert run.prompt.examples == tuple(EXAMPLES) and run.calibration == "median"
    assert run.split == "dev" and len(run.items) == 5 and run.pool == ()
    # The suite's own draw, and numbers of the command line.
    (run,), _ = suite_runs(
        suite(tmp_path, {**entry, "draw": "trial", "shots": 30}), data_dir, Selection()
    )
    assert run.draw == "trial" and run.shots == 30 and len(run.pool) == 31
    selection = Selection(shots=(0, 1), bias_rounds=6)
    runs, _ = suite_runs(suite(tmp_path, entry), data_dir, selection)
    assert [(run.shots, run.bias_rounds) for run in runs] == [(0, 6), (1, 6)]
    with pytest.raises(ConfigError, match="shots=3 is out of range: give 0 to 2, which the prompt"):
        suite_runs(suite(tmp_path, entry), data_dir, Selection(shots=(3,)))


def test_a_prompt_without_examples_has_them_drawn_as_the_task_says(data_dir, tmp_path):
    prompt_file(tmp_path)
    entry = {"task": "nsmc", "template": "named", "prompt": "mine.json", "shots": 4}
    (run,), _ = suite_runs(suite(tmp_path, entry), data_dir, Selection())
    assert (run.template, run.draw, run.shots, run.trials) == ("named", "trial", 4, 12)
    entry = {"task": "nsmc", "prompt": "mine.json", "draw": "fixed"}
    (run,), _ = suite_runs(suite(tmp_path, entry), data_dir, Selection())
    assert (run.draw, run.shots, run.trials) == ("fixed", 0, 1)


def test_own_items_with_the_prompts_own_examples(tmp_path):
    prompt_file(tmp_path, examples=EXAMPLES)
    (tmp_path / "items.jsonl").write_text('{"document": "좋다", "answer": "1"}\n')
    entry = {"task": "mine", "prompt": "mine.json", "items": "items.jsonl"}
    (run,), _ = suite_runs(suite(tmp_path, entry), None, Selection())
    assert (run.draw, run.shots) == ("fixed", 2)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"shots": "4"}, r"suite.json: entry 0: shots='4': give a whole number"),
        ({"limit": True}, "limit=True: give a whole number"),
        ({"bias_rounds": 8.0}, "bias_rounds=8.0: give a whole number"),
        ({"calibration": 1}, "calibration=1: give a text"),
        ({"prompt": ["a"]}, r"prompt=\['a'\]: give a text"),
        ({"examples": "a.jsonl"}, "has no field 'examples'; known are task, template, prompt"),
    ],
)
def test_a_setting_of_another_type_is_refused_with_its_entry(settings, message, tmp_path):
    with pytest.raises(DataError, match=message):
        suite(tmp_path, {"task": "nsmc", **settings})


def test_a_space_has_the_templates_and_no_test_item(data_dir, tmp_path):
    path = prompt_file(tmp_path, "other.json")
    space = search_space("nsmc", ["hclx", str(path)], data_dir, 10, 12)
    assert list(space.prompts) == ["hclx", "other"] and space.main == "accuracy"
    assert len(space.validation) == 10 and len(space.pool) == 12 and len(space.test) == 9
    assert space.split == "train" and "둘 다에 있다" in texts(space.test)
    chosen = texts(space.validation) | texts(space.pool)
    assert len(chosen) == 22 and all(text.startswith("train") for text in chosen)
    assert list(search_space("nsmc", [], data_dir, 1, 1).prompts) == [
        *("hclx", "hyperclova", "polyglot")
    ]
    swapped = search_space("nsmc", [], data_dir, 9, 9, split="train", shots_split="dev", seed=1)
    assert len(swapped.test) == 31 and len(swapped.validation) == 4 == len(swapped.pool)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("korquad", {}, "korquad: each item has examples of its own"),
        ("klue_nli", {}, "name another --shots_split: train"),
        ("kobbq", {}, "name another --shots_split: the task has none"),
        ("nsmc", {"template_names": ["x"]}, "nsmc has no template 'x'"),
        ("nsmc", {"template_names": ["hclx", "hclx"]}, "names hclx twice"),
        ("nsmc", {"data_dir": None}, "give --data_dir"),
        ("no", {}, "no task 'no'"),
    ],
)
def test_a_search_that_cannot_be_is_refused(name, settings, message, data_dir):
    arguments = {"template_names": [], "data_dir": data_dir, "n_validation": 5, "n_pool": 5}
    with pytest.raises(ConfigError, match=message):
        search_space(name, **{**arguments, **settings})
