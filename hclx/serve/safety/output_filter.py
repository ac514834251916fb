"""The filter of a server: which categories a text is of, and how likely."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from hclx.serve.safety.categories import SAFE, Category
from hclx.serve.safety.label_model import LabelModel
from hclx.serve.safety.text_windows import windows_of


@dataclasses.dataclass(frozen=True)
class Finding:
    """The judgement of a text in a category.

    Attributes:
      category: the category.
      probability: that the text is of it, the greatest of its windows.
      level: 0 very likely, 1 possible, 2 unlikely.
    """

    category: Category
    probability: float
    level: int


class OutputFilter(Protocol):
    """Judges texts. It is called from threads, several at once."""

    name: str
    categories: Sequence[Category]

    def judge(self, text: str) -> list[Finding]:
        """Judges a short text: a finding for each category."""


@dataclasses.dataclass(frozen=True)
class TrainedFilter:
    """A filter that a user has trained.

    Attributes:
      name: by which answers name it.
      model: the classifier.
      categories: what it tells, with their thresholds.
    """

    name: str
    model: LabelModel
    categories: tuple[Category, ...]

    def judge(self, text: str) -> list[Finding]:
        """Judges a short text: a finding for each category. A blank one is safe."""
        if not text.strip():
            return [Finding(category, 0.0, SAFE) for category in self.categories]
        shares = self.model.probabilities(text)
        chances = [category.probability(shares) for category in self.categories]
        pairs = zip(self.categories, chances)
        return [Finding(category, chance, category.level(chance)) for category, chance in pairs]


def worst_of(judgements: Sequence[Sequence[Finding]]) -> list[Finding]:
    """Returns the likeliest finding of each category among those of several texts."""
    return [max(findings, key=lambda finding: finding.probability) for findings in zip(*judgements)]


def judge_text(judge: OutputFilter, text: str) -> list[Finding]:
    """Judges a text of any length: each of its windows alone, and behind the one before, so that no
    length hides a sentence, and no full stop divides what belongs together.
    """
    judgements, before = [judge.judge("")], ""
    for window in windows_of(text):
        judgements.append(judge_window(judge, before, window))
        before = window if window.strip() else before
    return worst_of(judgements)


def judge_window(judge: OutputFilter, before: str, window: str) -> list[Finding]:
    """Judges a window of a text.

    Args:
      judge: the filter.
      before: the last window before it that is not blank; "": there is none.
      window: the window.
    """
    texts = [window, before + window] if before and window.strip() else [window]
    return worst_of([judge.judge(text) for text in texts])
