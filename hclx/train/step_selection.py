"""By what the evaluations of a run are compared, and when it ends without a better one."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hclx.train.retention import finite_rank

BEST = "best"  # the field of a checkpoint's item `meta` that has the best step so far


@dataclasses.dataclass(frozen=True)
class Selection:
    """How the best step of a run is chosen among those that were evaluated.

    Attributes:
      name: of the figure that decides.
      rank: figures of an evaluation -> numbers, of which the lowest are the best; the later ones
        decide where the earlier ones are equal.
      patience: the run ends after so many evaluations at which the first of these numbers was not
        better; 0: never.
    """

    name: str
    rank: Callable[[Mapping[str, float]], tuple[float, ...]]
    patience: int = 0


class BestStep(NamedTuple):
    """The best evaluation so far. It is a part of a checkpoint's item `meta`, so that a run that
    resumes ends at the same step.

    Attributes:
      step: at which it was; 0: there is none.
      rank: see `Selection`.
      waited: evaluations since the first number of a rank became better.
    """

    step: int = 0
    rank: tuple[float, ...] = ()
    waited: int = 0

    def after(self, step: int, rank: tuple[float, ...]) -> "BestStep":
        """Returns the best evaluation after a further one. One that is equal to the best is not
        better, and one that is not finite never is.
        """
        later = self._replace(waited=self.waited + 1)
        if finite_rank(rank) is None or (self.rank and rank >= self.rank):
            return later
        is_waited_for = self.rank and rank[0] == self.rank[0]
        return BestStep(step, rank, later.waited if is_waited_for else 0)

    def to_json(self) -> dict[str, Any]:
        """Returns the fields by name, for `from_json`."""
        return {**self._asdict(), "rank": list(self.rank)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> "BestStep":
        """Returns what `to_json` was called on; None stands for no evaluation."""
        return cls(**{**value, "rank": tuple(value["rank"])}) if value else cls()
