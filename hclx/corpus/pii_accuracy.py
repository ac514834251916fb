"""How well personal data is found: precision, recall and F1 of each kind on labelled Korean cases,
pii_cases.txt.

The cases were written in three sets without the rules in view, which were mended after each: the
figures say that the rules hold what they held; what they do on unseen text, the first run on the
last set says (`FIRST_RUNS`).
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import resources

from hclx.corpus.pii import KINDS, Span, find_pii

# F1 of all kinds on each of the file's three sets, of the rules as they were before they had met
# it.
FIRST_RUNS = (0.975, 0.947, 0.980)
_MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")  # [[phone|010-1234-5678]]


@dataclasses.dataclass(frozen=True)
class Score:
    """items: that are labelled; found: that were found; right: of what was found; met: of what is
    labelled.
    """

    items: int
    found: int
    right: int
    met: int

    @property
    def precision(self) -> float | None:
        """The share of what was found that is right; None where nothing was found."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """The share of what is labelled that was found; None where nothing is labelled."""
        return self.met / self.items if self.items else None

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 0 where one is 0 or not known."""
        return (
            2 * self.precision * self.recall / (self.precision + self.recall)
            if self.right and self.met
            else 0.0
        )


def exact(one: Span, other: Span) -> bool:
    """Whether two spans are the same kind at the same characters."""
    return one == other


@functools.cache
def labelled() -> tuple[tuple[str, tuple[Span, ...]], ...]:
    """Every case: its text, and the items that are in it, in order."""
    lines = (
        (resources.files("hclx.corpus") / "pii_cases.txt").read_text(encoding="utf-8").splitlines()
    )
    return tuple(_case(line) for line in lines if line and not line.startswith("# "))


def _case(line: str) -> tuple[str, tuple[Span, ...]]:
    text, spans, position = "", [], 0
    for mark in _MARK.finditer(line):
        text += line[position : mark.start()]
        spans.append(Span(mark[1], len(text), len(text) + len(mark[2])))
        text, position = text + mark[2], mark.end()
    return text + line[position:], tuple(spans)


def score(
    found: Iterable[Sequence[Span]],
    items: Iterable[Sequence[Span]],
    kinds: Sequence[str] = KINDS,
    same: Callable[[Span, Span], bool] = exact,
) -> Score:
    """Compares what was found in each text with what is labelled there.

    Args:
      kinds: that count.
      same: whether a found span (first) is a labelled one.
    """
    total = [0, 0, 0, 0]
    for guesses, there in zip(found, items, strict=True):
        guesses, there = (
            [one for one in guesses if one.kind in kinds],
            [one for one in there if one.kind in kinds],
        )
        right = sum(any(same(guess, item) for item in there) for guess in guesses)
        met = sum(any(same(guess, item) for guess in guesses) for item in there)
        total = [a + b for a, b in zip(total, (len(there), len(guesses), right, met))]
    return Score(*total)


def accuracy() -> dict:
    """What the rules of `hclx.corpus.pii` find of the labelled cases, kind and place exactly.

    Returns:
      texts, with_items: how many cases there are, and how many of them hold an item. first_runs_f1:
        `FIRST_RUNS`.
      kinds: kind, and "all" -> items, precision, recall, f1.
    """
    items = [spans for _, spans in labelled()]
    found = [find_pii(text) for text, _ in labelled()]
    scores = {kind: score(found, items, (kind,)) for kind in KINDS} | {"all": score(found, items)}
    kinds = {
        kind: {"items": one.items, "precision": one.precision, "recall": one.recall, "f1": one.f1}
        for kind, one in scores.items()
    }
    return {
        "texts": len(items),
        "with_items": sum(map(bool, items)),
        "first_runs_f1": FIRST_RUNS,
        "kinds": kinds,
    }
