"""Categories of what a filter looks for, and the levels that it gives a text in each."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from hclx.errors import ConfigError

# The scale of CLOVA Studio, on which 0 is the worst.
LIKELY, POSSIBLE, SAFE = 0, 1, 2
PRECISIONS = {LIKELY: 0.9, POSSIBLE: 0.7}
_FORM = re.compile(r"(?P<group>\w+)/(?P<name>\w+):(?P<column>\w+)=(?P<values>[^,=]+(?:,[^,=]+)*)")


@dataclasses.dataclass(frozen=True)
class Threshold:
    """From where on texts have a level.

    Attributes:
      level: `LIKELY` or `POSSIBLE`.
      least: the least probability; above 1: no text has the level.
      precision, recall: on the texts on which it was chosen, of all at this level or worse.
    """

    level: int
    least: float
    precision: float
    recall: float


@dataclasses.dataclass(frozen=True)
class Category:
    """A category.

    Attributes:
      group, name: as clients read them, such as "curse" and "insult".
      column: the question that tells it; see `hclx.serve.safety.label_model.Labels`.
      values: the classes whose texts are of this category.
      thresholds: of the levels, the worst first.
    """

    group: str
    name: str
    column: str
    values: tuple[str, ...]
    thresholds: tuple[Threshold, ...] = ()

    def probability(self, shares: dict[str, dict[str, float]]) -> float:
        """Returns the probability of the category.

        Args:
          shares: of the classes, as of `LabelModel.probabilities`.
        """
        return min(1.0, sum(shares[self.column][value] for value in self.values))

    def level(self, probability: float) -> int:
        """Returns the level of a text."""
        levels = (step.level for step in self.thresholds if probability >= step.least)
        return next(levels, SAFE)


def read_category(text: str) -> Category:
    """Reads a category as options name it: "GROUP/NAME:COLUMN=VALUE,VALUE".

    Raises:
      ConfigError: the text has another form.
    """
    match = _FORM.fullmatch(text)
    if not match:
        raise ConfigError(
            f"--category={text}: give GROUP/NAME:COLUMN=VALUE[,VALUE...], such as"
            " curse/insult:hate=hate,offensive"
        )
    fields = match.groupdict()
    return Category(**{**fields, "values": tuple(fields["values"].split(","))})


def choose_threshold(
    level: int, precision: float, probabilities: Sequence[float], is_member: Sequence[bool]
) -> Threshold:
    """Chooses the least probability from which on a share of the texts is of the category.

    Args:
      level: whose threshold it is.
      precision: the least share.
      probabilities: of texts that the model was not trained on, [t].
      is_member: whether each is of the category, [t].
    Returns:
      The threshold of most recall; one that no text reaches if there is none of this precision.
    """
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    sorted_p, hits = np.asarray(probabilities)[order], np.cumsum(np.asarray(is_member)[order])
    # Texts of one probability are on the same side of a threshold.
    ends = np.flatnonzero(np.append(sorted_p[:-1] > sorted_p[1:], True))
    shares = hits[ends] / (ends + 1)
    good = np.flatnonzero(shares >= precision)
    if not len(good) or not hits[-1]:
        return Threshold(level, 2.0, 0.0, 0.0)
    last = good[np.argmax(hits[ends[good]])]  # the first of equal recall, which is more precise
    recall = float(hits[ends[last]] / hits[-1])
    return Threshold(level, float(sorted_p[ends[last]]), float(shares[last]), recall)
