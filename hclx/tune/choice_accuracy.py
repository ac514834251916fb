"""How well a tuned model chooses the right answers of held-out examples."""

import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from hclx.config import TrainConfig
from hclx.train.state import TrainState
from hclx.train.step import Program
from hclx.tune.examples import Example
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.packing import pack, size


def choice_accuracy(
    choices: Sequence[Mapping[str, Example]], labels: Sequence[str], train: TrainConfig
) -> Callable[[Program, TrainState], dict[str, float]] | None:
    """Returns (program, state) -> `validation_accuracy`, of the choices with the highest sum of
    log-probabilities, as `hclx evaluate` scores "total"; and `validation_choice_loss`, in nats, the
    mean cross-entropy of the softmax over these sums; or None if nothing can be measured. All
    processes call it.

    Args:
      choices: of each item, key -> the example of this choice; items of which a choice is longer
        than a sequence are left out.
      labels: the right keys.
      train: its batches; at most `eval_windows` items are answered.
    """
    fitting = [
        (options, label)
        for options, label in zip(choices, labels, strict=True)
        if max(map(size, options.values())) <= train.sequence_length
    ][: train.eval_windows]
    if not fitting:
        return None
    flat = [example for options, _ in fitting for example in options.values()]
    packed = pack(flat, train.sequence_length)

    def measure(program: Program, state: TrainState) -> dict[str, float]:
        nats_nt = _segment_nats(program, state, packed.rows, train)
        nats = iter(nats_nt[packed.row, packed.segment].tolist())
        right, losses = [], []
        for options, label in fitting:
            of_item = {key: next(nats) for key in options}
            right.append(min(of_item, key=of_item.get) == label)
            log_z = np.logaddexp.reduce([-value for value in of_item.values()])
            losses.append(float(log_z) + of_item[label])
        means = math.fsum(right) / len(right), math.fsum(losses) / len(losses)
        return dict(zip(("validation_accuracy", "validation_choice_loss"), means))

    return measure


def _segment_nats(program: Program, state: TrainState, rows, train: TrainConfig) -> np.ndarray:
    """float64 [n, t]: the weighted sum of the losses of each segment of each row."""
    n, length = rows.tokens_bt.shape
    nats_nt = np.zeros((n, length))
    options = {"global_batch_size": train.global_batch_size, "sharding": program.batch_sharding}
    with PackedLoader(rows, "choices", seed=0, **options) as loader:
        for index in range(0, n, train.global_batch_size):
            batch = loader.batch(index, stop=n)
            losses_bt = jax.device_get(program.token_losses(state.params, batch))
            stop = min(n, index + train.global_batch_size)
            for row, losses_t in zip(loader.locate(index, stop)[1], losses_bt):
                weighted = losses_t.astype(np.float64) * rows.weights_bt[row]
                np.add.at(nats_nt[row], rows.segments_bt[row], weighted)
    return nats_nt
