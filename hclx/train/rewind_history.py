"""MODEL_DIR/lineage.json: the rewinds of a run, each with its step and the examples that are
skipped from there on.

A rewind takes a run past a loss spike (Chowdhery et al. 2022, PaLM, section 5.1, went back 100
steps and skipped 200 to 500 batches) or a bad recipe (Zhang et al. 2022, OPT, section 2.5, lowered
the learning rate). It decides the numbers of a run, so it is recorded, and every checkpoint holds
the rewinds that it was trained with.
"""

import dataclasses
import json
from pathlib import Path

from hclx.errors import CheckpointError, ConfigError
from hclx.field_checks import FLOAT32_MAX, FLOAT32_MIN
from hclx.train.jsonl import replace_text

FILE = "lineage.json"


@dataclasses.dataclass(frozen=True)
class Rewind:
    """A return to a step. A field that is out of range raises ConfigError, so that no history that
    holds it is written.

    Attributes:
      step: of the checkpoint that the run returned to; 0: its beginning.
      skip: [first, last) examples of the order that are skipped from there on.
      learning_rate_factor: multiplies the rate of every step from there on; positive, finite.
      time: when the rewind was made, as `hclx.train.checkpoint.timestamp` writes it.
    """

    step: int
    skip: tuple[tuple[int, int], ...] = ()
    learning_rate_factor: float = 1.0
    time: str = ""

    def __post_init__(self):
        factor, name = self.learning_rate_factor, "learning_rate_factor"
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            raise ConfigError(f"{name} must be a number, got {factor!r}")
        if factor <= 0:
            raise ConfigError(f"{name} must be positive, got {factor}; 0.5 halves the rate")
        if not FLOAT32_MIN <= factor <= FLOAT32_MAX:
            raise ConfigError(
                f"{name} must be positive and finite in float32, got {factor}; 0.5 halves the rate"
            )
        if type(self.step) is not int or self.step < 0:
            raise ConfigError(f"step must be a number from 0, got {self.step!r}")
        for first, last in self.skip:
            if not 0 <= first < last:
                raise ConfigError(f"skip must be ranges [first, last), got [{first}, {last}]")


@dataclasses.dataclass(frozen=True)
class Lineage:
    """All rewinds of a run, oldest first."""

    rewinds: tuple[Rewind, ...] = ()

    @property
    def skip(self) -> tuple[tuple[int, int], ...]:
        """All [first, last) examples that the rewinds skip, as disjoint ranges, ascending."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(pair for rewind in self.rewinds for pair in rewind.skip):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return tuple(merged)

    @property
    def rate_factors(self) -> tuple[tuple[int, float], ...]:
        """(step, factor) of each rewind whose factor is not 1: see `learning_rate_schedule`."""
        return tuple(
            (r.step, r.learning_rate_factor) for r in self.rewinds if r.learning_rate_factor != 1.0
        )

    @property
    def from_scratch(self) -> bool:
        """Returns whether the last rewind returned to the beginning."""
        return bool(self.rewinds) and self.rewinds[-1].step == 0

    def to_json(self) -> list[dict]:
        """The rewinds as plain values, the same after a round trip through JSON: for each a dict
        of `step`, `skip` (a list of [first, last] lists), `learning_rate_factor` and `time`.
        """
        return [json.loads(json.dumps(dataclasses.asdict(rewind))) for rewind in self.rewinds]

    def check_leads_from(self, saved: list[dict], step: int) -> None:
        """Checks that this history leads on from a checkpoint.

        Args:
          saved: the rewinds that the checkpoint was trained with, as `to_json` returned them.
          step: of the checkpoint.
        Raises:
          CheckpointError: the checkpoint's rewinds are not a prefix of this history, or a later
            rewind went back past it.
        """
        rewinds = self.to_json()
        if rewinds[: len(saved)] != saved or any(
            rewind["step"] < step for rewind in rewinds[len(saved) :]
        ):
            raise CheckpointError(
                f"checkpoint {step} was trained with {len(saved)} rewind(s), and {FILE} tells"
                f" another history; repeat a rewind that was interrupted, or put {FILE} back from a"
                " copy"
            )


def read_lineage(model_dir: str | Path) -> Lineage:
    """The history of a run; empty if it was never rewound.

    Raises:
      CheckpointError: the file is damaged, or holds a rewind that is out of range.
    """
    path = Path(model_dir) / FILE
    if not path.is_file():
        return Lineage()
    rewinds: list[Rewind] = []
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, list):
            raise ValueError("it holds no list of rewinds")
        for value in values:
            skip = tuple((int(first), int(last)) for first, last in value["skip"])
            rewinds.append(Rewind(**{**value, "skip": skip}))
    except ConfigError as error:
        raise CheckpointError(
            f"{path}, rewind {len(rewinds) + 1}: {error}. Correct it there, then rewind to a"
            " checkpoint from before that rewind"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); put it back from a copy") from error
    return Lineage(tuple(rewinds))


def write_lineage(model_dir: str | Path, lineage: Lineage) -> None:
    """Writes MODEL_DIR/lineage.json, or replaces it, atomically; the folder must exist."""
    replace_text(Path(model_dir) / FILE, json.dumps(lineage.to_json(), indent=2) + "\n")


def parse_skip(texts: list[str]) -> tuple[tuple[int, int], ...]:
    """Parses ranges FIRST:LAST of the command line, LAST not included, into (first, last) pairs in
    the given order; () if there is none.

    Raises:
      ConfigError: a text is not such a range.
    """
    ranges = []
    for text in texts:
        first, colon, last = text.partition(":")
        if not (colon and first.isdecimal() and last.isdecimal() and int(first) < int(last)):
            raise ConfigError(
                f"--skip_examples={text} is not FIRST:LAST, as in --skip_examples=51200:76800"
            )
        ranges.append((int(first), int(last)))
    return tuple(ranges)
