"""Suites over a model in closed form: every number is computed again from its table."""

import dataclasses
import json
import math

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError
from hclx.evaluate.item_prompts import item_prompts, reader_of
from hclx.evaluate.items import Item
from hclx.evaluate.print_results import print_results
from hclx.evaluate.report.glance import cautions
from hclx.evaluate.report.results_file import read_results
from hclx.evaluate.run_spec import SCORES
from hclx.evaluate.samples import output_folder
from hclx.evaluate.suite import run_suite
from hclx.evaluate.trial import BATCH
from hclx.infer import GenerateRequest, SamplingConfig
from hclx.prompts import answer_texts, render
from tests.helpers.bigram_engine import BigramEngine
from tests.helpers.few_shot import GENERATION, PROMPT, byte_reader, reviews, spec

READER = byte_reader()
MODEL = {"name": "bigram", "step": 0}
BARE = {**PROMPT, "input": "{document}"}  # the model in closed form sees the last byte alone
COPA = {
    "schema": "hclx.prompt/1",
    "name": "cause/line",
    "input": "{premise} 왜냐하면",
    "answer": " {label}",
    "answer_field": "label",
    "separator": "\n",
    "choices": {"0": "{first}", "1": "{second}"},
}


@pytest.fixture
def engine():
    return BigramEngine(READER.tokenizer)


def samples_of(folder, run, trial=0):
    path = folder / "samples" / f"{run.name}.{trial}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def expected_scores(engine, text, answers, choices):
    """The scores of answers by their definitions; each byte is a token."""
    prompt = text.rstrip()
    scores = {}
    for key, answer in answers.items():
        head = (1, *prompt.encode())
        ids = (text[len(prompt) :] + answer).encode()
        total = engine.total(head, ids)
        characters, n_bytes = len(choices[key]), len(choices[key].encode())
        scores[key] = {
            "total": total,
            "per_token": total / len(ids),
            "per_character": total / characters,
            "per_byte": total / n_bytes,
            "pmi": total - engine.total((1,), ids),
        }
    return scores


@pytest.mark.parametrize("score", SCORES)
def test_samples_and_metrics_of_choices_follow_from_the_table(engine, tmp_path, score):
    run = spec(BARE, items=reviews(24), shots=2, trials=2, score=score, seed=3)
    results = run_suite(engine, [run], READER, MODEL, tmp_path)
    record = results["runs"][0]
    accuracies = []
    for trial in range(2):
        lines = samples_of(tmp_path, run, trial)
        assert [line["id"] for line in lines] == [item.id for item in run.items]
        for line, item in zip(lines, run.items, strict=True):
            answers = answer_texts(run.prompt, item.fields)
            choices = {"0": "부정", "1": "긍정"}
            expected = expected_scores(engine, line["prompt"], answers, choices)
            best = max(expected, key=lambda key: expected[key][score])
            assert line["prediction"] == best and line["correct"] == (best == item.answer)
            for key, by in expected.items():
                assert line["scores"][key]["total"] == pytest.approx(by["total"], abs=1e-9)
                assert line["scores"][key]["pmi"] == pytest.approx(by["pmi"], abs=1e-9)
            weights = np.exp([by[score] for by in expected.values()])
            assert list(line["probabilities"].values()) == pytest.approx(weights / weights.sum())
        accuracies.append(np.mean([line["correct"] for line in lines]))
    summary = record["metrics"]["accuracy"]
    assert summary["trials"] == pytest.approx(accuracies)
    assert summary["mean"] == pytest.approx(np.mean(accuracies))
    assert summary["std"] == pytest.approx(np.std(accuracies, ddof=1))
    low, high = summary["interval"]
    assert low <= summary["mean"] <= high
    assert record["scores"][score]["accuracy"] == summary
    assert sum(map(sum, record["confusion"])) == 48
    assert record["verbalisers"] == {"0": "부정", "1": "긍정"}
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_contextual_calibration_divides_by_the_mean_of_three_inputs(tmp_path):
    engine = BigramEngine(READER.tokenizer, seed=3)
    run = spec(BARE, items=reviews(16), shots=1)
    results = run_suite(engine, [run], READER, MODEL, tmp_path)
    prompts, _ = item_prompts(run, 0, READER)
    head = prompts[0].text[: -len(run.items[0].fields["document"])]
    totals = lambda document: np.exp(
        [
            engine.total((1, *f"{head}{document}".encode()), word.encode())
            for word in ("부정)", "긍정)")
        ]
    )
    prior = np.mean([totals(text) for text in ("N/A", "", "[MASK]")], axis=0)
    right = [
        int(np.argmax(totals(item.fields["document"]) / prior)) == int(item.answer)
        for item in run.items
    ]
    assert 0.5 < np.mean(right) < 1  # neither always the first choice nor always the last
    calibrated = results["runs"][0]["calibrated"]
    assert calibrated["contextual"]["accuracy"]["mean"] == pytest.approx(np.mean(right))
    assert set(calibrated) == {
        *("contextual", "contextual_identity", "domain_context", "batch", "median")
    }


def test_choices_of_the_items_own(engine, tmp_path):
    fields = {"premise": "비가 왔다.", "first": "구름이 끼었다.", "second": "눈이 녹았다."}
    items = (Item("a", fields, "0"), Item("b", {**fields, "premise": "길이 젖었다."}, "1"))
    run = spec(COPA, items=items, pool=(), score="pmi")
    (record,) = run_suite(engine, [run], READER, MODEL, tmp_path)["runs"]
    choices = {"0": fields["first"], "1": fields["second"]}
    for line, item in zip(samples_of(tmp_path, run), items, strict=True):
        text = render(run.prompt, item.fields).text
        expected = expected_scores(engine, text, answer_texts(run.prompt, item.fields), choices)
        assert line["prediction"] == max(expected, key=lambda key: expected[key]["pmi"])
    # Inputs without content would have the choices of none of the items.
    assert "contextual" not in record["calibrated"] and "batch" in record["calibrated"]
    # The prior of an answer costs as much as its score, and is computed where it is asked for.
    assert "pmi" in record["scores"]
    run = spec(COPA, items=items, pool=())
    (record,) = run_suite(engine, [run], READER, MODEL, tmp_path / "total")["runs"]
    assert "pmi" not in record["scores"]


def test_generated_answers_are_parsed_and_scored(engine, tmp_path):
    prompt = {**GENERATION, "parser": {"kind": "first_line"}}
    run = spec(prompt, shots=1, metrics=("exact_match",), main="exact_match")
    text = render(run.prompt, run.items[0].fields, ()).text
    greedy = SamplingConfig(max_tokens=8, temperature=0.0, stop=("\n",))
    (first,) = engine.generate([GenerateRequest((1, *text.encode()), greedy)])
    word = first[0].text.strip()
    items = (Item("a", run.items[0].fields, word, (word,)), *run.items[1:4])
    run = spec(prompt, items=items, metrics=("exact_match",), main="exact_match")
    (record,) = run_suite(engine, [run], READER, MODEL, tmp_path)["runs"]
    assert {request.sampling.temperature for request in engine.calls} == {0.0}
    assert len({request.sampling.seed for request in engine.calls[1:]}) == len(items)
    lines = samples_of(tmp_path, run)
    # The model looks at the last token alone, so that it says the same to every question.
    assert {line["prediction"] for line in lines} == {word}
    assert [line["correct"] for line in lines] == [1.0, 0.0, 0.0, 0.0]
    assert record["metrics"]["exact_match"]["mean"] == 0.25
    assert record["labels"] == [] and record["calibrated"] == {}


class Stops(Exception):
    """Ends a suite where a signal might."""


class StoppingEngine(BigramEngine):
    """Serves the first calls, and then ends."""

    left = 2

    def score(self, requests):
        if not self.left:
            raise Stops
        self.left -= 1
        return super().score(requests)


def test_what_is_done_is_not_done_again_and_the_result_is_the_same(tmp_path):
    runs = [spec(items=reviews(BATCH + 40), shots=2, trials=2)]
    whole = run_suite(BigramEngine(READER.tokenizer), runs, READER, MODEL, tmp_path / "whole")
    stopping = StoppingEngine(READER.tokenizer)
    with pytest.raises(Stops):
        run_suite(stopping, runs, READER, MODEL, tmp_path / "killed")
    path = tmp_path / "killed" / "samples" / f"{runs[0].name}.0.jsonl"
    assert len(path.read_text().splitlines()) == BATCH
    with open(path, "a") as file:  # half a line, as of a full disk
        file.write('{"id": "r256", "tri')
    engine = BigramEngine(READER.tokenizer)
    resumed = run_suite(engine, runs, READER, MODEL, tmp_path / "killed")
    asked = [request for request in engine.calls if len(request.context) > 1]
    content_free = 2 * (3 + 20) * 2
    assert len(asked) == 2 * (BATCH + 2 * 40) + content_free
    assert {**resumed, **_times(whole)} == whole
    for file in (tmp_path / "whole" / "samples").iterdir():
        assert file.read_bytes() == (tmp_path / "killed" / "samples" / file.name).read_bytes()
    engine.calls.clear()
    assert {**run_suite(engine, runs, READER, MODEL, tmp_path / "killed"), **_times(whole)} == whole
    assert engine.calls == []


def _times(results):
    return {name: results[name] for name in ("started", "seconds", "compile_seconds")}


def test_a_folder_of_other_results_is_refused_and_left_alone(engine, tmp_path):
    run_suite(engine, [spec(shots=1)], READER, MODEL, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other_prompt = {**PROMPT, "separator": "\n\n"}
    for runs, model, message in (
        ([spec(shots=2)], MODEL, "shots: 1 -> 2"),
        ([spec(other_prompt, shots=1)], MODEL, "prompt_hash"),
        ([spec(shots=1)], {**MODEL, "step": 7}, "another plan: model: step: 0 -> 7"),
        ([spec(items=reviews(3), shots=1)], MODEL, "items"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_suite(engine, runs, READER, model, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_two_evaluations_cannot_write_to_one_folder(engine, tmp_path):
    with output_folder(tmp_path, {}):
        with pytest.raises(ConfigError, match="another command is writing to"):
            run_suite(engine, [spec()], READER, MODEL, tmp_path)


def test_samples_of_other_items_are_refused(engine, tmp_path):
    run = spec(items=reviews(4))
    run_suite(engine, [run], READER, MODEL, tmp_path)
    path = tmp_path / "samples" / f"{run.name}.0.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:3]) + "\n")
    with pytest.raises(DataError, match="has samples of other items"):
        run_suite(engine, [run], READER, MODEL, tmp_path)
    path.write_text("{no JSON}\n")
    with pytest.raises(DataError, match="is damaged"):
        run_suite(engine, [run], READER, MODEL, tmp_path)


def test_dropped_shots_and_truncated_items_are_counted(engine, tmp_path, capsys):
    reader = byte_reader(max_length=400)
    long = Item("long", {"document": "길다 " * 100}, "1")
    run = spec(items=(*reviews(3), long), shots=10)
    results = run_suite(engine, [run], reader, MODEL, tmp_path)
    (record,) = results["runs"]
    assert record["shots_asked"] == 10 == record["shots"] + record["shots_dropped"]
    assert record["shots"] < 10 and record["truncated"] == 1
    print_results(results)
    assert f"{record['shots']} shots, {record['shots_dropped']} dropped" in capsys.readouterr().out


def test_items_with_fewer_examples_of_their_own_are_counted(engine, tmp_path, capsys):
    items = tuple(
        dataclasses.replace(item, shots=reviews(n, f"{item.id}-"))
        for item, n in zip(reviews(7), (4, 2, 4, 0, 9, 2, 4), strict=True)
    )
    results = run_suite(engine, [spec(items=items, shots=4, draw="own")], READER, MODEL, tmp_path)
    (record,) = results["runs"]
    assert (record["shots"], record["prompts_by_shots"]) == (4, {"4": 4, "2": 2, "0": 1})
    print_results(results)
    assert "4 shots (2 in 2 prompts, 0 in 1 prompt), 7 items" in capsys.readouterr().out
    (run,) = read_results(tmp_path).runs
    assert "some prompts have fewer than 4 examples: 2 in 2 prompts, 0 in 1 prompt" in cautions(run)


def test_a_server_says_not_how_its_model_reads(tmp_path):
    with pytest.raises(ConfigError, match="needs --tokenizer_dir and --max_length"):
        reader_of(None)


def test_probabilities_of_impossible_answers_are_no_number_that_json_lacks(tmp_path):
    engine = BigramEngine(READER.tokenizer)
    engine.log_p[:, 0xEA] = -math.inf  # the first byte of 긍정
    run = spec(items=reviews(4))
    run_suite(engine, [run], READER, MODEL, tmp_path)
    assert {line["prediction"] for line in samples_of(tmp_path, run)} == {"0"}
    text = (tmp_path / "results.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_only_a_calibration_that_was_chosen_beforehand_is_printed(engine, tmp_path, capsys):
    for name in ("", "domain_context"):
        results = run_suite(engine, [spec(calibration=name)], READER, MODEL, tmp_path / f"x{name}")
        (record,) = results["runs"]
        assert record["calibration"] == (name or None)
        print_results(results)
        printed = capsys.readouterr().out
        known = record["calibrated"]
        assert [method for method in known if method in printed] == ([name] if name else [])
    assert f"calibrated by {name} {known[name]['accuracy']['mean']:.4f} [" in printed
