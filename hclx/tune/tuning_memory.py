"""The memory that the state of a run of tuning takes on each device."""

from typing import NamedTuple

from hclx.train.state import TrainState, bytes_per_device


class StateMemory(NamedTuple):
    """Bytes that one device holds from the first step to the last, beside activations.

    Attributes:
      frozen: of the base, in the dtype in which it is held.
      trainable: of what is trained, float32.
      gradients: as many, within a step.
      moments: Adam's two, float32, and its count.
    """

    frozen: int
    trainable: int
    gradients: int
    moments: int

    @property
    def held(self) -> int:
        """The bytes between two steps, when there are no gradients."""
        return self.total - self.gradients

    @property
    def total(self) -> int:
        """The bytes within a step."""
        return sum(self)


def state_memory(state: TrainState) -> StateMemory:
    """Returns the memory of a state: planned, of an abstract one (`Program.abstract_state`), for
    which nothing is allocated; or of one that exists. Frozen parameters have neither gradients nor
    moments.
    """
    trainable = bytes_per_device(state.trainable)
    return StateMemory(
        frozen=bytes_per_device(state.frozen),
        trainable=trainable,
        gradients=trainable,
        moments=bytes_per_device(state.opt_state),
    )
