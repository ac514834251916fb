"""BLEU and chrF against sacrebleu's own functions."""

import numpy as np
import pytest

from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from tests.evaluate.metrics.cases import assert_bootstraps

sacrebleu = pytest.importorskip("sacrebleu")

GOLD = [
    ("오늘은 날씨가 맑아서 산책을 나갔다.", "오늘 날씨가 맑아 산책하러 나갔다."),
    ("그는 새 책을 세 권 샀다.",),
    ("The shop opens at nine in the morning.",),
    ("우리는 내일 부산으로 떠난다.",),
]
WRITTEN = ["오늘은 날씨가 맑아서 나갔다.", "그는 책을 세 권 샀다.", "The shop opens at nine.", ""]
STREAMS = [[texts[0] for texts in GOLD], [GOLD[0][1], None, None, None]]
ITEMS = [Item(str(n), {}, texts[0], answers=texts) for n, texts in enumerate(GOLD)]
PREDICTIONS = [Prediction(text) for text in WRITTEN]
ORACLES = {
    "bleu_mecab": lambda *a: sacrebleu.corpus_bleu(*a, tokenize="ko-mecab").score,
    "bleu_13a": lambda *a: sacrebleu.corpus_bleu(*a, tokenize="13a").score,
    "chrf": lambda *a: sacrebleu.corpus_chrf(*a).score,
}


@pytest.mark.parametrize("name", ORACLES)
def test_corpora_are_scored_as_by_sacrebleu(name):
    metric = METRICS[name]
    assert metric.function(ITEMS, PREDICTIONS) == pytest.approx(ORACLES[name](WRITTEN, STREAMS))
    assert metric.function(ITEMS, PREDICTIONS) > 10
    assert_bootstraps(metric, ITEMS, PREDICTIONS)


@pytest.mark.parametrize("name", ORACLES)
def test_the_same_text_is_best_and_an_empty_one_worst(name):
    same = [Prediction(texts[0]) for texts in GOLD]
    assert METRICS[name].function(ITEMS, same) == pytest.approx(100)
    empty = [Prediction("")] * len(GOLD)
    assert METRICS[name].function(ITEMS, empty) == 0
    scores = METRICS[name].per_item(ITEMS, same)
    np.testing.assert_allclose(scores, 100)


def test_signatures_say_how_it_was_computed():
    assert "tok:ko-mecab" in METRICS["bleu_mecab"].signature()
    assert "tok:13a" in METRICS["bleu_13a"].signature()
    assert "version:" in METRICS["chrf"].signature()
    assert METRICS["accuracy"].signature() == ""
