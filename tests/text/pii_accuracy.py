"""Precision, recall and F1 of finding personal data, on the labelled Korean texts of pii_cases.txt.

The first three sets were written by authors who had not seen the rules, which were improved after
each set. The author of the others had seen them, and what they missed. So a score on all of them
shows that the rules still find what they found; `hclx.text.pii.ACCURACY` holds the scores on text
that the rules had not been written for.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hclx.text.pii import KINDS, Span, find_pii

CASES = Path(__file__).with_name("pii_cases.txt")
NEXT_SET = ", by another hand"  # ends the comment before each set but the first
N_BLIND = 3  # sets whose authors had not seen the rules
_MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")  # [[phone|010-1234-5678]]

Case = tuple[str, tuple[Span, ...]]  # a text, and the items in it, in order


@dataclasses.dataclass(frozen=True)
class Score:
    """Counts of spans.

    items: labelled spans.
    predictions: spans that were predicted.
    correct: predicted spans that match a labelled one.
    recalled: labelled spans that a predicted one matches.
    """

    items: int
    predictions: int
    correct: int
    recalled: int

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are correct; None without predictions."""
        return self.correct / self.predictions if self.predictions else None

    @property
    def recall(self) -> float | None:
        """Share of the labelled items that were recalled; None without items."""
        return self.recalled / self.items if self.items else None

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if either is 0 or None."""
        if not (self.correct and self.recalled):
            return 0.0
        return 2 * self.precision * self.recall / (self.precision + self.recall)


@functools.cache
def sets() -> tuple[tuple[Case, ...], ...]:
    """The cases of each set."""
    result: list[list[Case]] = [[]]
    for line in CASES.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            result += [[]] if line.endswith(NEXT_SET) else []
        elif line:
            result[-1].append(_case(line))
    return tuple(map(tuple, result))


def labelled() -> tuple[Case, ...]:
    """The cases of all sets."""
    return sum(sets(), ())


def _case(line: str) -> Case:
    text, spans, position = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[position : mark.start()]
        spans.append(Span(mark[1], len(text), len(text) + len(mark[2])))
        text, position = text + mark[2], mark.end()
    return text + line[position:], tuple(spans)


def score(
    predictions: Iterable[Sequence[Span]],
    labels: Iterable[Sequence[Span]],
    kinds: Sequence[str] = KINDS,
    matches: Callable[[Span, Span], bool] = Span.__eq__,
) -> Score:
    """Compares the predicted spans of each text with the labelled ones.

    Args:
      kinds: the kinds of spans that count.
      matches: whether a predicted span (first) matches a labelled one; default: same kind and same
        characters.
    """
    total = [0, 0, 0, 0]
    for predicted, items in zip(predictions, labels, strict=True):
        predicted = [span for span in predicted if span.kind in kinds]
        items = [span for span in items if span.kind in kinds]
        correct = sum(any(matches(span, item) for item in items) for span in predicted)
        recalled = sum(any(matches(span, item) for span in predicted) for item in items)
        counts = (len(items), len(predicted), correct, recalled)
        total = [a + b for a, b in zip(total, counts)]
    return Score(*total)


def accuracy() -> dict[str, Score]:
    """Scores of `hclx.text.pii` on all labelled texts: for each kind, and for "all" of them."""
    labels = [spans for _, spans in labelled()]
    predictions = [find_pii(text) for text, _ in labelled()]
    by_kind = {kind: score(predictions, labels, (kind,)) for kind in KINDS}
    return by_kind | {"all": score(predictions, labels)}
