"""Metrics of answers that are read from a text: KorQuAD 1.0 and KLUE-MRC, as their publishers
compute them.
"""

import difflib
import string
from collections import Counter
from collections.abc import Callable

import numpy as np

from hclx.evaluate.items import Item
from hclx.evaluate.metrics.metric import Items, Predictions, mean_of

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# The signs that evaluate-v1.0 of KorQuAD replaces by blanks before it removes punctuation.
_BLANKS = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))


def normalise_korquad(text: str) -> str:
    """Returns a text without case, quotes, brackets, ASCII punctuation and repeated blanks
    (evaluate-v1.0 of KorQuAD; Lim et al., 2019).
    """
    return _plain(text.translate(_BLANKS))


def _plain(text: str) -> str:
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def f1_characters(predicted: str, gold: str) -> float:
    """Returns the F1 of the characters of two normalised texts, blanks left out, without regard to
    their order; 0 if they share none.
    """
    predicted, gold = ("".join(text.split()) for text in (predicted, gold))
    shared = (Counter(predicted) & Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold)) if shared else 0.0


def f1_substring(predicted: str, gold: str) -> float:
    """Returns the F1 of the longest run of characters that two texts share, which KLUE's baseline
    calls ROUGE-W; for an empty gold text, whether the prediction is empty.
    """
    if not gold:
        return float(not predicted)
    matcher = difflib.SequenceMatcher(None, predicted, gold, autojunk=False)
    return 2 * matcher.find_longest_match().size / (len(predicted) + len(gold))


def _best(
    score: Callable[[str, str], float],
    normalise: Callable[[str], str],
    accepted: Callable[[Item], tuple[str, ...]],
) -> Callable[[Items, Predictions], np.ndarray]:
    """Returns a function that gives each item the best score over all accepted answers."""

    def scores(items: Items, predictions: Predictions) -> np.ndarray:
        best = []
        for item, prediction in zip(items, predictions, strict=True):
            answer = normalise(prediction.answer)
            best.append(max(score(answer, normalise(text)) for text in accepted(item)))
        return np.array(best, float)

    return scores


def _answers(item: Item) -> tuple[str, ...]:
    return item.answers or (item.answer,)


def _answers_or_none(item: Item) -> tuple[str, ...]:
    """Returns accepted answers; for a question without an answer also "", which says so."""
    return ("", *_answers(item)) if item.gold.get("is_impossible") else _answers(item)


def _exact(predicted: str, gold: str) -> float:
    return float(predicted == gold)


def _scores_rouge_w(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns shares of the longest common run; a question without an answer is right or wrong."""
    exact = _best(_exact, _plain, _answers_or_none)(items, predictions)
    shared = _best(f1_substring, _plain, _answers)(items, predictions)
    impossible = np.array([bool(item.gold.get("is_impossible")) for item in items], bool)
    return np.where(impossible, exact, shared)


EXACT_MATCH = mean_of("exact_match", _best(_exact, normalise_korquad, _answers))
F1_CHARACTER = mean_of("f1_character", _best(f1_characters, normalise_korquad, _answers))
# KLUE-MRC (Park et al., 2021, section 3.7), as the baseline of the publishers normalises: only
# ASCII punctuation goes, since its pattern of further signs never matches.
EM_KLUE_MRC = mean_of("em_klue_mrc", _best(_exact, _plain, _answers_or_none))
ROUGE_W = mean_of("rouge_w", _scores_rouge_w)
