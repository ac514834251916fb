"""The report of biases of a run, over models in closed form of which it is known."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.measure_bias import INPUTS, measure_bias, measures_bias
from hclx.evaluate.print_results import print_results
from hclx.evaluate.report.html_page import write_report
from hclx.evaluate.suite import run_suite
from hclx.infer import Score
from tests.helpers.bigram_engine import BigramEngine
from tests.helpers.few_shot import GENERATION, PROMPT, byte_reader, reviews, spec

READER = byte_reader()
MODEL = {"name": "bigram", "step": 0}
WORDS = ("부정", "긍정")
ROUNDS = 6


class RecentEngine(BigramEngine):
    """A model that prefers the label of the last example."""

    bonus = 1.0

    def score(self, requests):
        """See `hclx.infer.Engine`."""
        scores = super().score(requests)
        return [self._preferred(*pair) for pair in zip(requests, scores, strict=True)]

    def _preferred(self, request, score):
        decode = lambda ids: self._tokenizer.decode_bytes(ids).decode()
        last = re.findall(r"\((부정|긍정)\)", decode(request.context))[-1:]
        is_last = [decode(request.continuation)[:2]] == last
        return Score(score.total + self.bonus * is_last, score.is_greedy, score.tokens)


def biased_spec(**settings):
    return spec(**{"items": reviews(12), "shots": 2, "bias_rounds": ROUNDS, **settings})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("score", ["total", "per_token", "per_character", "pmi"])
def test_effects_follow_from_the_table(score):
    engine = RecentEngine(READER.tokenizer)
    measured = measure_bias(engine, biased_spec(score=score), READER)
    assert measured["reason"] is None
    bias = measured["bias"]
    total = lambda word, head: engine.total(head, f"{word})".encode())
    odds = total("긍정", b"(") - total("부정", b"(")
    odds -= (total("긍정", (1,)) - total("부정", (1,))) if score == "pmi" else 0
    unit = {"per_token": 7, "per_character": 2}.get(score, 1)  # bytes with the bracket; syllables
    d, b = odds / unit, engine.bonus / unit
    before, after = bias["before"], bias["after"]
    assert before["recency"]["effect"] == pytest.approx(sigmoid(d + b) - sigmoid(d - b))
    assert before["recency"]["is_detected"] and bias["rounds"] == ROUNDS
    assert before["majority_label"]["effect"] == pytest.approx(0, abs=1e-12)
    assert bias["labels"] == ["0", "1"]
    assert bias["prior"] == pytest.approx([sigmoid(-d), sigmoid(d)])
    assert before["common_token"]["effect"] == pytest.approx(abs(sigmoid(d) - 0.5))
    # Inputs without content are answered as the others, so that calibration takes all out.
    assert [effect["effect"] for effect in after.values()] == pytest.approx([0] * 3, abs=1e-9)


def test_inputs_are_as_many_of_each_label_and_no_examples():
    items = reviews(40)[: INPUTS * 2 + 6 : 1]
    run = biased_spec(items=items, pool=(*items, *reviews(20, "p")), split="a", shots_split="a")
    engine = BigramEngine(READER.tokenizer)
    prompts = []
    measure_bias(engine, run, READER, lambda: prompts.append(None))
    texts = [READER.tokenizer.decode_bytes(request.context).decode() for request in engine.calls]
    without_examples = {text for text in texts if "\n" not in text}
    labels = {item.fields["document"]: item.answer for item in items}
    inputs = [text[:-2] for text in without_examples if text[:-2] in labels]
    assert sorted(labels[text] for text in inputs) == ["0"] * INPUTS + ["1"] * INPUTS
    examples = {line.rsplit(" (", 1)[0] for text in texts for line in text.split("\n")[:-1]}
    assert len(examples) > 4 and not examples & set(inputs)
    # 25 prompts before 16 inputs and 3 without content, of two choices.
    assert len(texts) == (4 * ROUNDS + 1) * (2 * INPUTS + 3) * 2
    assert len(prompts) == (4 * ROUNDS + 1) * 2


def test_a_report_is_in_the_results_and_on_the_page_and_is_not_computed_again(tmp_path, capsys):
    engine = RecentEngine(READER.tokenizer)
    run = biased_spec()
    results = run_suite(engine, [run], READER, MODEL, tmp_path)
    (record,) = results["runs"]
    kept = json.loads((tmp_path / "samples" / f"{run.name}.bias.json").read_text())
    assert kept["bias"] == record["bias"] and record["bias_missing"] is None
    print_results(results)
    recency = record["bias"]["before"]["recency"]["effect"]
    assert f"recency bias {recency:+.4f} (p 0.031 detected)" in capsys.readouterr().out
    write_report([tmp_path], tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert f"{recency:+.3f}" in page and "majority label" in page and "Without examples: 0:" in page
    engine.calls.clear()
    (tmp_path / "results.json").unlink()
    assert run_suite(engine, [run], READER, MODEL, tmp_path)["runs"][0]["bias"] == record["bias"]
    assert engine.calls == []
    with pytest.raises(ConfigError, match="bias_rounds: 6 -> 8"):
        run_suite(engine, [biased_spec(bias_rounds=8)], READER, MODEL, tmp_path)


def test_a_report_is_measured_once_for_all_numbers_of_shots(tmp_path):
    def run(name, runs):
        engine = RecentEngine(READER.tokenizer)
        results = run_suite(engine, runs, READER, MODEL, tmp_path / name)
        return len(engine.calls), [record["bias"] for record in results["runs"]]

    runs = [biased_spec(shots=shots) for shots in (0, 2, 4)]
    without, _ = run("without", [dataclasses.replace(each, bias_rounds=0) for each in runs])
    engine = RecentEngine(READER.tokenizer)
    expected = json.loads(json.dumps(measure_bias(engine, runs[2], READER)["bias"]))
    n_calls, biases = run("with", runs)
    assert n_calls == without + len(engine.calls) and biases == [None, expected, expected]
    # Other items, and so other inputs, have a report of their own.
    run("other", [runs[1], biased_spec(shots=4, items=reviews(4))])
    assert len(list((tmp_path / "other" / "samples").glob("*.bias.json"))) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"bias_rounds": 0},
        {"shots": 0},
        {"prompt": {**PROMPT, "choices": {"0": "{document}", "1": "x"}}},
        {"prompt": GENERATION},
        {"prompt": {**PROMPT, "examples": [{"document": "a", "label": "1"}] * 2}, "draw": "fixed"},
        {"draw": "own"},
    ],
)
def test_other_runs_have_no_report(settings):
    assert not measures_bias(biased_spec(**settings))
    assert measures_bias(biased_spec(draw="item"))


@pytest.mark.parametrize(
    "settings, max_length, reason",
    [
        ({"items": reviews(12)[::2]}, 4096, "the items lack a label"),
        (
            {"items": reviews(8), "pool": reviews(13, "p")},
            4096,
            "the label '0' has 2 examples, and 3 are needed",
        ),
        ({}, 120, "4 examples have no room in 120 tokens"),
    ],
)
def test_a_reason_stands_in_place_of_a_report(settings, max_length, reason, tmp_path, capsys):
    engine, reader = BigramEngine(READER.tokenizer), byte_reader(max_length)
    results = run_suite(engine, [biased_spec(**settings)], reader, MODEL, tmp_path)
    (record,) = results["runs"]
    assert record["bias"] is None and reason in record["bias_missing"]
    print_results(results)
    assert f"no report of biases: {record['bias_missing']}" in capsys.readouterr().out
    write_report([tmp_path], tmp_path)
    page = html.unescape((tmp_path / "report.html").read_text())
    assert f"No report of biases: {record['bias_missing']}." in page


@pytest.mark.parametrize("rounds", [-1, 1, 5])
def test_too_few_rounds_are_refused(rounds):
    with pytest.raises(ConfigError, match=f"bias_rounds={rounds} .* 0 for no report, or 6"):
        biased_spec(bias_rounds=rounds)
