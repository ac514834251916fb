"""Training: state, loss, optimizer, step, checkpoints, and `pretrain`, which runs them."""

from hclx.train.checkpoint import Checkpointer
from hclx.train.state import TrainState, abstract_state, init_state
from hclx.train.step import make_loss, train_step

__all__ = [
    "Checkpointer",
    "TrainState",
    "abstract_state",
    "init_state",
    "make_loss",
    "train_step",
]
