"""The metric of an objective on the held-out rows of a run of vectors or pairs."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from hclx.config import ComputeConfig, TrainConfig
from hclx.model_config import ModelConfig
from hclx.train.state import TrainState
from hclx.train.step import Program
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.text_vectors import make_text_outputs
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_data import TuningData
from hclx.tune.vector_metrics import cosines, pearson, retrieval, spearman


def text_metrics(
    data: TuningData,
    model: ModelConfig,
    compute: ComputeConfig,
    config: TuneConfig,
    train: TrainConfig,
) -> Callable[[Program, TrainState], dict[str, float]] | None:
    """Returns (program, state) -> name -> value, or None if nothing is held out. All processes call
    it.

    contrast         `validation_r1`, `validation_mrr`: the own positive among all held-out ones
    pair of labels   `validation_accuracy`
    scores           `validation_pearson`, `validation_spearman`

    Args:
      data: of the run.
      model: the base's shape.
      compute: how it is computed; `attention` is a backend and not "auto".
      config: the method and its settings.
      train: its batches; at most `eval_windows` rows are read.
    """
    rows, layout = data.held_out, data.layout
    if rows is None:
        return None
    outputs = make_text_outputs(model, compute, config, layout)
    n = min(train.eval_windows, len(rows.tokens_bt))

    def measure(program: Program, state: TrainState) -> dict[str, float]:
        everywhere = NamedSharding(program.mesh, PartitionSpec())
        run = jax.jit(lambda params, batch: outputs(params, batch), out_shardings=everywhere)
        options = {"global_batch_size": train.global_batch_size, "sharding": program.batch_sharding}
        answers, read = [], []
        with PackedLoader(rows, "held out", seed=0, **options) as loader:
            for index in range(0, n, train.global_batch_size):
                stop = min(n, index + train.global_batch_size)
                batch = loader.batch(index, stop=n)
                answers.append(jax.device_get(run(state.params, batch))[: stop - index])
                read.append(loader.locate(index, stop)[1])
        return _measured(np.concatenate(answers), np.concatenate(read), data, config)

    return measure


def _measured(answers_ng: np.ndarray, read_n: np.ndarray, data: TuningData, config: TuneConfig):
    """The metrics of outputs [n, groups, ...] of the rows that were read."""
    layout, rows = data.layout, data.held_out
    row, place = np.nonzero(rows.weights_bt[read_n])
    segments = rows.segments_bt[read_n][row, place]
    targets = rows.targets_bt[read_n][row, place]
    outputs_m = answers_ng[row, segments // layout.texts]
    if config.objective == "contrast":
        values = retrieval(outputs_m[:, 0], outputs_m[:, 1], np.arange(len(outputs_m)))
        return {f"validation_{name}": values[name] for name in ("r1", "mrr")}
    if config.objective == "pair" and config.label_names:
        return {"validation_accuracy": float((outputs_m.argmax(-1) == targets).mean())}
    is_pair = config.objective == "pair"
    scores = outputs_m[:, 0] if is_pair else cosines(outputs_m[:, 0], outputs_m[:, 1])
    expected = targets.view(np.float32)
    return {
        "validation_pearson": pearson(1 / (1 + np.exp(-scores)) if is_pair else scores, expected),
        "validation_spearman": spearman(scores, expected),
    }
