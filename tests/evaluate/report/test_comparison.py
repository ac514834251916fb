"""Differences of two evaluations: against plain counts, SciPy's binomial test and a brute-force
bootstrap.
"""

import json
import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest

from hclx.errors import DataError
from hclx.evaluate.report.comparison import compare, notes_of, to_table
from hclx.evaluate.report.html_page import write_comparison
from hclx.evaluate.report.significance import holm, mcnemar
from tests.helpers.written_results import write, write_run


@pytest.mark.parametrize("pair", [(0, 0), (0, 1), (3, 3), (2, 9), (40, 25), (0, 12), (300, 361)])
def test_mcnemar_is_the_binomial_test(pair):
    gained, lost = pair
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_of_many_changes_is_a_number():
    assert mcnemar(20_000, 20_500) == pytest.approx(binomtest(20_000, 40_500).pvalue, rel=1e-9)


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.02], [0.02]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3*.01, 2*.03 twice, 4*.005
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holm_by_hand(p_values, corrected):
    assert holm(p_values) == pytest.approx(corrected)


def evaluation(folder, task="nsmc", **settings):
    return write(folder, [write_run(folder, task, **settings)])


def scores(folder, field="correct"):
    """(trial, doc_hash) -> field of the only run, from the files themselves."""
    lines = [
        json.loads(line)
        for path in sorted((folder / "samples").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {(line["trial"], line["doc_hash"]): line[field] for line in lines}


def test_a_single_draw_is_tested_by_mcnemar(tmp_path):
    a = evaluation(tmp_path / "a", trials=1, n=200, skill=0.55)
    b = evaluation(tmp_path / "b", trials=1, n=200, skill=0.72, seed=1)
    (d,) = compare(a, b).differences
    right_a, right_b = scores(a), scores(b)
    changes = Counter((right_a[key], right_b[key]) for key in right_a)
    assert (d.gained, d.lost) == (changes[False, True], changes[True, False])
    assert d.gained and d.lost and d.test == "McNemar, exact"
    assert d.p == pytest.approx(binomtest(d.gained, d.gained + d.lost).pvalue)
    assert d.values == (np.mean(list(right_a.values())), np.mean(list(right_b.values())))
    assert d.p_holm == d.p


def test_several_draws_are_resampled_by_items(tmp_path):
    """The interval of the mean difference is that of the normal approximation over items, which is
    far from that over all answers: the draws of an item are no items of their own.
    """
    a = evaluation(tmp_path / "a", trials=6, n=300, skill=0.5)
    b = evaluation(tmp_path / "b", trials=6, n=300, skill=0.58, seed=1)
    (d,) = compare(a, b).differences
    right_a, right_b = scores(a), scores(b)
    items = sorted({item for _, item in right_a})
    by_item = [[right_b[t, i] - right_a[t, i] for t in range(6)] for i in items]
    means = np.mean(by_item, axis=1)
    error = 1.96 * means.std() / math.sqrt(300)
    assert d.test == "paired bootstrap" and (d.items, d.trials) == (300, 6)
    assert d.difference == pytest.approx(means.mean())
    assert d.interval == pytest.approx((means.mean() - error, means.mean() + error), abs=0.005)


def f1_macro(golds, predictions):
    values = []
    for label in {*golds, *predictions}:
        hits = sum(g == p == label for g, p in zip(golds, predictions))
        values.append(2 * hits / (golds.count(label) + predictions.count(label)))
    return sum(values) / len(values)


def test_macro_f1_itself_is_resampled(tmp_path):
    settings = {"trials": 1, "n": 120, "main": "f1_macro"}
    a = evaluation(tmp_path / "a", "klue_ynat", skill=0.5, **settings)
    b = evaluation(tmp_path / "b", "klue_ynat", skill=0.6, seed=1, **settings)
    (d,) = compare(a, b).differences
    golds, first, second = scores(a, "gold"), scores(a, "prediction"), scores(b, "prediction")
    rows = [(golds[key], first[key], second[key]) for key in golds]
    value = lambda rows: [f1_macro([r[0] for r in rows], [r[k] for r in rows]) for k in (1, 2)]
    assert d.metric == "f1_macro" and d.values == pytest.approx(value(rows))
    generator, differences = np.random.default_rng(3), []
    for _ in range(1500):
        drawn = value([rows[i] for i in generator.integers(0, len(rows), len(rows))])
        differences.append(drawn[1] - drawn[0])
    assert d.interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.02)


@pytest.mark.parametrize("main", ["pearson", "em_klue_mrc", "a metric of one's own"])
def test_a_metric_that_needs_more_than_samples_hold_is_replaced_by_the_items_scores(tmp_path, main):
    settings = {"trials": 1, "n": 50, "main": main}
    a = evaluation(tmp_path / "a", skill=0.5, **settings)
    b = evaluation(tmp_path / "b", skill=0.6, seed=1, **settings)
    (d,) = compare(a, b).differences
    assert d.metric == "score of an item" and d.test == "paired bootstrap"
    assert d.values[0] == pytest.approx(np.mean(list(scores(a).values())))


def test_what_a_metric_needs_beside_the_answer_is_in_the_samples(tmp_path):
    settings = {"trials": 1, "n": 50, "main": "pearson"}
    a = evaluation(tmp_path / "a", skill=0.5, **settings)
    b = evaluation(tmp_path / "b", skill=0.9, seed=1, **settings)
    pairs = {}
    for folder in (a, b):
        (path,) = (folder / "samples").iterdir()
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for number, line in enumerate(lines):
            line["facts"] = {"similarity": number % 7 + 3.0 * int(line["gold"])}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        pairs[folder] = [(s["facts"]["similarity"], s["probabilities"]["1"]) for s in lines]
    (d,) = compare(a, b).differences
    assert d.metric == "pearson" and d.test == "paired bootstrap"
    expected = [np.corrcoef(*zip(*pairs[folder]))[0, 1] for folder in (a, b)]
    assert d.values == pytest.approx(expected)


def test_an_evaluation_does_not_differ_from_itself(folders):
    comparison = compare(folders[0], folders[0])
    assert len(comparison.differences) == 11 and not notes_of(comparison)
    for d in comparison.differences:
        assert (d.difference, d.p, d.p_holm, d.changes) == (0, 1, 1, ())
        assert d.interval == (0, 0)


def test_items_that_one_folder_lacks_are_left_out_and_told(tmp_path):
    a = evaluation(tmp_path / "a", n=40)
    b = evaluation(tmp_path / "b", n=30)
    (d,) = compare(a, b).differences
    assert d.items == 30 and "30 of the 40 items of a are compared" in d.notes


def test_equal_items_are_joined_by_their_order(tmp_path):
    a, b = (evaluation(tmp_path / name, n=4, trials=1) for name in "ab")
    for folder, right in ((a, [True, False, True, True]), (b, [True, True, True, False])):
        (path,) = (folder / "samples").iterdir()
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line, is_right in zip(lines, right):
            prediction = line["gold"] if is_right else str(1 - int(line["gold"]))
            line |= {"doc_hash": "same", "correct": is_right, "prediction": prediction}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (d,) = compare(a, b).differences
    assert (d.items, d.gained, d.lost) == (4, 1, 1)


def test_what_differs_beside_the_model_is_told(tmp_path):
    a = evaluation(tmp_path / "a", shots=16)
    run = write_run(tmp_path / "b", "nsmc", shots=16, dropped=4, seed=1)
    b = write(tmp_path / "b", [run | {"prompt_hash": "other", "score": "pmi"}])
    notes = " ".join(compare(a, b).differences[0].notes)
    assert "the prompt documents differ" in notes and "a saw 16 shots, b 12" in notes
    assert "scored by per_token, b by pmi" in notes and "drawn differently" in notes


def test_without_examples_no_draw_of_them_differs(comparison):
    for d in comparison.differences:
        assert any("drawn differently" in note for note in d.notes) == (d.shots_asked > 0)


def test_what_cannot_be_joined_is_refused_with_the_reason(tmp_path):
    a = evaluation(tmp_path / "a", shots=16, n=8)
    b = evaluation(tmp_path / "b", shots=4, n=8)
    with pytest.raises(DataError, match=r"cannot be compared: nsmc \(hclx, 16 shots\): only .*/a"):
        compare(a, b)
    c = write(tmp_path / "c", [write_run(tmp_path / "c", "nsmc", n=8)] * 2)
    with pytest.raises(DataError, match="two runs of the same task"):
        compare(a, c)
    d = evaluation(tmp_path / "d", n=8)
    for path in (d / "samples").iterdir():
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"doc_hash": "', '"doc_hash": "x'), encoding="utf-8")
    with pytest.raises(DataError, match="no item of the two folders has the same doc_hash"):
        compare(a, d)


def test_runs_of_one_folder_alone_are_listed(tmp_path):
    a = evaluation(tmp_path / "a", n=8)
    runs = [write_run(tmp_path / "b", "nsmc", n=8), write_run(tmp_path / "b", "nsmc", shots=1, n=8)]
    comparison = compare(a, write(tmp_path / "b", runs))
    (reason,) = comparison.left_out
    assert reason == f"nsmc (hclx, 1 shots): only {tmp_path / 'b'} has it"
    assert f"not compared: {reason}" in to_table(comparison)


def test_the_changed_items_are_written(comparison, tmp_path):
    page, changed = write_comparison(comparison, tmp_path / "out")
    lines = [json.loads(line) for line in changed.read_text(encoding="utf-8").splitlines()]
    assert Counter((line["task"], line["template"], line["shots_asked"]) for line in lines) == {
        (d.task, d.template, d.shots_asked): d.gained + d.lost for d in comparison.differences
    }
    assert all(line["correct"][0] != line["correct"][1] for line in lines)
    table = to_table(comparison)
    for d in comparison.differences:
        assert f"{d.difference:+.3f}" in table
    assert "all runs with examples: the examples were drawn differently" in table
    assert page.name == "compare.html"
