"""Folders of evaluations are read, and what is no such folder is refused by name."""

import json
import math

import pytest

from hclx.errors import DataError
from hclx.evaluate.report.results_file import read_results, read_samples
from tests.helpers.written_results import write, write_run


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, [write_run(tmp_path, "nsmc", trials=2, n=6)])


def change(folder, edit):
    path = folder / "results.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    edit(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def test_every_field_is_that_of_the_file(folder):
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results, (own,) = read_results(folder), record["runs"]
    (run,) = results.runs
    assert results.model.name == "한국어 58M" and results.model.parameters == 58_000_000
    assert (run.task, run.shots, run.trials, run.chance) == ("nsmc", 16, 2, 0.5)
    assert run.figure.mean == own["metrics"]["accuracy"]["mean"]
    assert list(run.figure.interval) == own["metrics"]["accuracy"]["interval"]
    lines = [
        json.loads(line)
        for name in own["samples"]
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    samples = list(read_samples(results, run))
    assert [(s.id, s.trial, s.correct, s.target) for s in samples] == [
        (line["id"], line["trial"], line["correct"], line["gold"]) for line in lines
    ]
    assert len(list(read_samples(results, run, draws=1))) == 6


def test_a_figure_that_is_undefined_is_read_as_no_number(folder):
    change(folder, lambda r: r["runs"][0]["metrics"]["accuracy"].update(mean=None, interval=None))
    figure = read_results(folder).runs[0].figure
    assert math.isnan(figure.mean) and figure.interval is None


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ({"model_dir": "runs/mine"}, "mine"),
        ({"model_dir": "runs/mine/"}, "mine"),
        ({"engine": "http://localhost:8000"}, "http://localhost:8000"),
        ({"name": "이름", "model_dir": "runs/mine"}, "이름"),
    ],
)
def test_a_model_without_a_name_has_that_of_its_folder(folder, model, label):
    change(folder, lambda r: r.update(model=model))
    assert read_results(folder).model.label == label


def test_unknown_fields_of_a_later_version_are_left_out(folder):
    change(folder, lambda r: r["runs"][0].update(later=1))
    assert read_results(folder).runs[0].task == "nsmc"


def drop(run, name):
    del run[name]


REFUSALS = {
    "another schema": (lambda r: r.update(schema="hclx.results/2"), "is no hclx.results/1"),
    "no schema": (lambda r: r.pop("schema"), "`schema` is None"),
    "no model": (lambda r: r.pop("model"), "model is missing"),
    "no metrics": (lambda r: drop(r["runs"][0], "metrics"), "runs[0].metrics is missing"),
    "no mean": (
        lambda r: r["runs"][0]["metrics"].update(accuracy={}),
        "runs[0].metrics.accuracy.mean is missing",
    ),
    "a text": (lambda r: r["runs"][0].update(items="6"), "runs[0].items must be"),
    "half an interval": (
        lambda r: r["runs"][0]["metrics"]["accuracy"].update(interval=[0.5]),
        "runs[0].metrics.accuracy.interval",
    ),
    "no main metric": (lambda r: r["runs"][0].update(main="f1"), "'f1', which is none of its"),
    "a confusion": (lambda r: r["runs"][0].update(confusion=[[1]]), "no table of its 2 labels"),
    "a path": (lambda r: r["runs"][0].update(samples=["../x"]), "'../x', which is not in the same"),
    "a root": (lambda r: r["runs"][0].update(samples=["/etc/x"]), "'/etc/x', which is not in the"),
}


@pytest.mark.parametrize(("edit", "message"), REFUSALS.values(), ids=REFUSALS)
def test_results_that_are_none_are_refused_with_their_field(folder, edit, message):
    change(folder, edit)
    with pytest.raises(DataError) as error:
        read_results(folder)
    assert "results.json" in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist: give a folder that `hclx evaluate"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("[1", encoding="utf-8")
    with pytest.raises(DataError, match="is no JSON"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(DataError, match="`schema` is None"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no JSON"),
        ('{"id": "1"}', "trial is missing"),
        ("[]", "the record"),
        ('{"id": 1, "trial": 0, "doc_hash": "", "prediction": "", "correct": true}', "id must be"),
        ('{"id": "", "trial": 0, "doc_hash": "", "prediction": "", "correct": "x"}', "correct"),
    ],
)
def test_a_line_that_is_no_sample_is_named(folder, line, message):
    results = read_results(folder)
    path = folder / results.runs[0].samples[1]
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = line
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        list(read_samples(results, results.runs[0]))
    assert f"{path}:3: " in str(error.value) and message in str(error.value)


def test_a_file_of_samples_that_is_missing_is_named(folder):
    results = read_results(folder)
    (folder / results.runs[0].samples[0]).unlink()
    with pytest.raises(DataError, match=r"0\.jsonl does not exist"):
        list(read_samples(results, results.runs[0]))


def test_half_a_surrogate_pair_is_no_character_of_a_page(folder):
    results = read_results(folder)
    path = folder / results.runs[0].samples[0]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines[0]["text"] = "글자 \ud83d 반쪽, \U0001f600 전부"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert next(read_samples(results, results.runs[0])).text == "글자 ? 반쪽, \U0001f600 전부"
