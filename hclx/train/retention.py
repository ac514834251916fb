"""Chooses the checkpoints of a run that are kept: the newest, multiples of a step, and those with
the lowest validation loss, or the best by another figure (see hclx/train/step_selection.py).

The validation loss of a checkpoint is a field of its item `meta`, whose checksum covers it. So a
run that resumes reads it back, an older run has none, and one that is damaged ranks nowhere. (Orbax
would keep metrics in a file without a checksum, and a manager that cannot decode one does not
open.)
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orbax.checkpoint import checkpoint_managers as managers

from hclx.errors import CheckpointError, HclxError
from hclx.train.checkpoint_format import read_json_items

_LOG = logging.getLogger(__name__)

LOSS = "validation_loss"  # the field of meta; None: the step was not evaluated
RANK = "rank"  # that of a run which compares steps by something else: numbers, the lowest are best

Rank = float | Sequence[float] | None


class LowestLoss:
    """A preservation policy of orbax that keeps the checkpoints with the lowest validation loss.

    Where checkpoints have ranks, these take the place of losses. A checkpoint without a finite
    loss never counts among them. One whose loss cannot be read now,
    which says nothing about it, is kept.
    """

    def __init__(self, n: int, directory: Path):
        """Takes how many are kept, and MODEL_DIR/checkpoints."""
        self._n, self._directory = n, directory
        self._losses: dict[int, Rank] = {}  # of all steps that were asked for

    def record(self, step: int, loss: Rank) -> None:
        """Takes the loss, or the rank, of a checkpoint that is about to be saved."""
        self._losses[step] = loss

    def should_preserve(
        self,
        checkpoints: Sequence[managers.PolicyCheckpointInfo],
        *,
        context: managers.PreservationContext,
    ) -> list[bool]:
        """Returns for each checkpoint whether it is kept."""
        steps = [info.step for info in checkpoints]
        if not self._n:
            return [False] * len(steps)
        self._losses |= ranks_of(self._directory, [s for s in steps if s not in self._losses])
        known = {step: self._losses[step] for step in steps if step in self._losses}
        best = ranked(known)[: self._n]
        return [step not in known or step in best for step in steps]


def preservation_policy(
    keep_last: int, keep_every: int, lowest_loss: LowestLoss
) -> managers.PreservationPolicy:
    """Returns the policy that keeps a checkpoint for any of the reasons of this module.

    Args:
      keep_last: how many of the newest are kept.
      keep_every: those whose step is a multiple of this are kept for good; 0: none.
      lowest_loss: keeps the best.
    """
    multiples = [managers.EveryNSteps(keep_every)] if keep_every else []
    return managers.AnyPreservationPolicy([managers.LatestN(keep_last), *multiples, lowest_loss])


def losses_of(directory: Path, steps: Iterable[int]) -> dict[int, float | None]:
    """Reads the validation losses, in nats a token, with which checkpoints were saved.

    Args:
      directory: MODEL_DIR/checkpoints.
      steps: of checkpoints in it.
    Returns:
      Step -> loss; None if the step was not evaluated, if its loss was not finite, or if the
      checkpoint is damaged. One that cannot be read now is left out with a warning.
    """
    return {step: meta.get(LOSS) for step, meta in _metas(directory, steps).items()}


def ranks_of(directory: Path, steps: Iterable[int]) -> dict[int, Rank]:
    """As `losses_of`, but step -> by what it is compared: see `rank_of`."""
    return {step: rank_of(meta) for step, meta in _metas(directory, steps).items()}


def rank_of(meta: Mapping[str, Any]) -> Rank:
    """By what a checkpoint is compared with others: its rank, or else its validation loss."""
    return meta.get(RANK, meta.get(LOSS))


def _metas(directory: Path, steps: Iterable[int]) -> dict[int, Mapping[str, Any]]:
    """Step -> the item `meta`, {} of a damaged checkpoint."""
    metas = {}
    for step in steps:
        try:
            metas[step] = read_json_items(directory / str(step))[0]
        except CheckpointError:
            metas[step] = {}
        except HclxError as error:
            _LOG.warning("the validation loss of a checkpoint is unknown: %s", error)
    return metas


def finite_or_none(loss: float | None) -> float | None:
    """A loss as a checkpoint records it: None if it is missing or not finite."""
    return loss if loss is not None and math.isfinite(loss) else None


def finite_rank(rank: Rank) -> tuple[float, ...] | None:
    """A loss or a rank as a tuple; None if a number is missing or not finite."""
    numbers = tuple(rank) if isinstance(rank, Sequence) else (rank,)
    return None if any(finite_or_none(number) is None for number in numbers) else numbers


def ranked(losses: Mapping[int, Rank]) -> list[int]:
    """Ranks steps by their loss, the lowest first, and the older one first if two are equal.

    Args:
      losses: step -> validation loss, or rank; a step of which a number is None or not finite is
        left out.
    """
    ranks = {step: finite_rank(loss) for step, loss in losses.items()}
    return sorted((step for step in ranks if ranks[step]), key=lambda step: (ranks[step], step))
