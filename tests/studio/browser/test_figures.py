"""The figures of the Studio's pages against scikit-learn, SciPy and NumPy, and their files against
Python's reader of CSV.
"""

import csv
import io
import random
from collections import Counter

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from hclx.studio.batches.batch_files import safe_cell

LABELS = ["긍정", "부정", "중립"]


def random_pairs(seed, n=60, n_labels=3):
    rng = random.Random(seed)
    return [(rng.choice(LABELS[:n_labels]), rng.choice(LABELS)) for _ in range(n)]


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_labels(scripts, seed):
    pairs = random_pairs(seed, n_labels=2 + seed % 2)
    golds, answers = zip(*pairs)
    body = "return [macroF1(values[0]), confusion(values[0], values[1]), labelScores(values[0])];"
    result = scripts.run("macroF1, confusion, labelScores", "evaluation.js", body, pairs, LABELS)
    f1, matrix, scores = result
    assert f1 == pytest.approx(
        sklearn.metrics.f1_score(golds, answers, average="macro", zero_division=0)
    )
    assert matrix["labels"] == LABELS
    expected = sklearn.metrics.confusion_matrix(golds, answers, labels=LABELS)
    np.testing.assert_array_equal(matrix["counts"], expected)
    labels = [score["label"] for score in scores]
    of_each = sklearn.metrics.precision_recall_fscore_support(
        golds, answers, labels=labels, zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "n"), of_each):
        np.testing.assert_allclose([score[name] for score in scores], values)


def test_rows_without_an_answer_are_wrong(scripts):
    pairs = [["긍정", None], ["긍정", "긍정"], ["", ""]]
    body = "return [accuracy(values[0]), confusion(values[0])];"
    right, matrix = scripts.run("accuracy, confusion", "evaluation.js", body, pairs)
    assert (right["n"], right["right"]) == (3, 2)
    assert matrix == {"labels": ["긍정", ""], "counts": [[1, 1], [0, 1]]}


@pytest.mark.parametrize("right, n", [(0, 5), (3, 5), (5, 5), (77, 100), (1, 1)])
def test_interval_of_a_share(scripts, right, n):
    result = scripts.run(
        "wilson", "evaluation.js", "return wilson(values[0], values[1]);", right, n
    )
    interval = scipy.stats.binomtest(right, n).proportion_ci(method="wilson")
    assert result["share"] == right / n
    assert (result["low"], result["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)


@pytest.mark.parametrize("first, second", [(0, 0), (5, 9), (9, 5), (1, 12), (40, 41), (900, 1100)])
def test_comparison_of_two_settings(scripts, first, second):
    rights = [(True, False)] * first + [(False, True)] * second + [(True, True)] * 3
    rights += [(False, False)] * 2
    result = scripts.run("compared", "evaluation.js", "return compared(values[0]);", rights)
    counts = tuple(result[name] for name in ("both", "onlyFirst", "onlySecond", "neither"))
    assert counts == (3, first, second, 2)
    n = first + second
    p = scipy.stats.binomtest(min(first, second), n).pvalue if n else 1
    assert result["p"] == pytest.approx(p, rel=1e-6)


def test_percentiles(scripts):
    values = [float(value) for value in np.random.default_rng(0).exponential(300, 37)]
    body = "return [0, 12.5, 50, 95, 100].map((share) => percentile(values[0], share));"
    result = scripts.run("percentile", "evaluation.js", body, values)
    np.testing.assert_allclose(result, np.percentile(values, [0, 12.5, 50, 95, 100]))
    assert scripts.run("percentile", "evaluation.js", "return percentile([], 50);") is None


def test_agreement_of_repeats(scripts):
    answers = ["가", "나", " 가 ", "다", "가"]
    result = scripts.run("agreement", "evaluation.js", "return agreement(values[0]);", answers)
    ((answer, n),) = Counter(map(str.strip, answers)).most_common(1)
    assert result == {"answer": answer, "share": n / len(answers)}


@pytest.mark.parametrize(
    "gold, answer, rule, is_right",
    [
        ("긍정", " 긍정\n", "equal", True),
        ("긍정", "긍정적", "equal", False),
        ("긍정", "답은 긍정입니다", "contains", True),
        ("가", "가", "equal", True),  # the same syllable in two normal forms
        ("긍정", None, "contains", False),
        ("두 말", "두  말", "equal", True),
    ],
)
def test_right_answers(scripts, gold, answer, rule, is_right):
    body = "return isRight(...values);"
    assert scripts.run("isRight", "evaluation.js", body, gold, answer, rule) is is_right


def test_files_for_spreadsheets(scripts):
    cells = ["=1+1", "+82", "-3", "@가", "＝1", '쉼표, 따옴표" 줄\n바꿈', "", "그냥", "\t탭"]
    body = "return csvOf(['이름', '=값'], values[0].map((cell) => [cell, null]));"
    text = scripts.run("csvOf", "csv.js", body, cells)
    assert text.startswith("\ufeff")
    head, *rows = csv.reader(io.StringIO(text[1:], newline=""))
    assert head == ["이름", "'=값"]
    assert rows == [[safe_cell(cell), ""] for cell in cells]
