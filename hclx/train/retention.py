"""Chooses the checkpoints of a run that are kept: the newest, multiples of a step, and those with
the lowest validation loss.

The validation loss of a checkpoint is a field of its item `meta`, whose checksum covers it. So a
run that resumes reads it back, an older run has none, and one that is damaged ranks nowhere. (Orbax
would keep metrics in a file without a checksum, and a manager that cannot decode one does not
open.)
"""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from orbax.checkpoint import checkpoint_managers as managers

from hclx.errors import CheckpointError, HclxError
from hclx.train.checkpoint_format import read_json_items

_LOG = logging.getLogger(__name__)

LOSS = "validation_loss"  # the field of meta; None: the step was not evaluated


class LowestLoss:
    """A preservation policy of orbax that keeps the checkpoints with the lowest validation loss.

    A checkpoint without a finite loss never counts among them. One whose loss cannot be read now,
    which says nothing about it, is kept.
    """

    def __init__(self, n: int, directory: Path):
        """Takes how many are kept, and MODEL_DIR/checkpoints."""
        self._n, self._directory = n, directory
        self._losses: dict[int, float | None] = {}  # of all steps that were asked for

    def record(self, step: int, loss: float | None) -> None:
        """Takes the loss of a checkpoint that is about to be saved."""
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
        self._losses |= losses_of(self._directory, [s for s in steps if s not in self._losses])
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
    losses = {}
    for step in steps:
        try:
            losses[step] = read_json_items(directory / str(step))[0].get(LOSS)
        except CheckpointError:
            losses[step] = None
        except HclxError as error:
            _LOG.warning("the validation loss of a checkpoint is unknown: %s", error)
    return losses


def finite_or_none(loss: float | None) -> float | None:
    """A loss as a checkpoint records it: None if it is missing or not finite."""
    return loss if loss is not None and math.isfinite(loss) else None


def ranked(losses: dict[int, float | None]) -> list[int]:
    """Ranks steps by their loss, the lowest first, and the older one first if two are equal.

    Args:
      losses: step -> validation loss; a step whose loss is None or not finite is left out.
    """
    known = {step: loss for step, loss in losses.items() if finite_or_none(loss) is not None}
    return sorted(known, key=lambda step: (known[step], step))
