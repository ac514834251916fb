"""BLEU and chrF by sacrebleu, on its scale of 0 to 100, each with its signature."""

import functools

import numpy as np

from hclx.errors import require
from hclx.evaluate.metrics.metric import Items, Metric, Predictions


@functools.cache
def _bleu(tokenize: str, is_sentence: bool = False):
    require("sacrebleu", *(["mecab_ko"] if tokenize == "ko-mecab" else []))
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenize, effective_order=is_sentence)


@functools.cache
def _chrf():
    require("sacrebleu")
    from sacrebleu.metrics import CHRF

    return CHRF()


def _references(items: Items) -> list[list[str | None]]:
    """Returns streams of references; None where an item has fewer than others."""
    texts = [item.answers or (item.answer,) for item in items]
    most = max(map(len, texts), default=1)
    return [[text[n] if n < len(text) else None for text in texts] for n in range(most)]


def _metric(name: str, make, make_sentence) -> Metric:
    """A metric of a corpus.

    Args:
      name: of the metric.
      make, make_sentence: return sacrebleu's metric, for a corpus and for a single sentence.
    """

    def rows(items: Items, predictions: Predictions) -> np.ndarray:
        # Statistics of each sentence, whose sums make the metric: sacrebleu's own bootstrap goes
        # through these two methods too.
        texts = [prediction.answer for prediction in predictions]
        return np.array(make()._extract_corpus_statistics(texts, _references(items)), float)

    def value(rows_nk: np.ndarray, counts_bn: np.ndarray) -> np.ndarray:
        sums = (counts_bn @ rows_nk).round().astype(int).tolist()
        return np.array([make()._compute_score_from_stats(row).score for row in sums])

    def scores(items: Items, predictions: Predictions) -> np.ndarray:
        pairs = zip(items, predictions, strict=True)
        texts = ((p.answer, list(item.answers or (item.answer,))) for item, p in pairs)
        return np.array([make_sentence().sentence_score(*text).score for text in texts], float)

    def signature() -> str:
        return str(make().get_signature())

    return Metric(name, rows, value, scores=scores, signature=signature)


# ko-mecab splits by morphemes, for translations into Korean; 13a is for Latin script.
BLEU_MECAB = _metric(
    "bleu_mecab", lambda: _bleu("ko-mecab"), lambda: _bleu("ko-mecab", is_sentence=True)
)
BLEU_13A = _metric("bleu_13a", lambda: _bleu("13a"), lambda: _bleu("13a", is_sentence=True))
CHRF = _metric("chrf", _chrf, _chrf)
