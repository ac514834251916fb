"""The gradient of the log-probability of a continuation by the input vectors of its context, on a
model that is loaded for inference (Kim et al. 2021, HyperCLOVA, section 5.1: the input gradient
API).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.infer import LoadedModel
from hclx.infer.calls import most_positions
from hclx.infer.followers import spans_processes
from hclx.infer.rows import bucket
from hclx.parallel import axis_size
from hclx.tune.input_gradient import check_request, make_input_gradient


class ContextGradient(NamedTuple):
    """The gradient of a context of n tokens.

    Attributes:
      logprob: of the continuation, the sum over its tokens, natural logarithm.
      vectors_nd: float32, the input vectors of the context: those of tokens before positions are
        added, and those of soft slots as they were given.
      gradient_nd: float32, the derivative of `logprob` by `vectors_nd`.
    """

    logprob: float
    vectors_nd: np.ndarray
    gradient_nd: np.ndarray


class ContinuationGradients:
    """Computes gradients on one model, from any thread. Lengths are rounded up, so that few
    programs are compiled.
    """

    def __init__(self, model: LoadedModel):
        """Takes a model.

        Args:
          model: as `hclx.infer.load_for_inference` returns it. Its matrices of eight bits are
            constants like all others.
        Raises:
          ConfigError: it lies on the devices of several processes, which would all have to run
            the program.
        """
        if spans_processes(model):
            raise ConfigError(
                "the model lies on the devices of several processes, where no gradients are"
                " computed; serve it by one process"
            )
        dtype = model.params["embedding"]["token"].dtype.name
        compute = ComputeConfig(dtype=dtype, attention="xla", remat="full")
        self._model, self._gradient = model, make_input_gradient(model.config, compute)

    def __call__(
        self, context: Sequence[int], continuation: Sequence[int], slots_pd: np.ndarray
    ) -> ContextGradient:
        """Computes the gradient of a context.

        Args:
          context: token ids; those from the size of the vocabulary on are soft slots.
          continuation: token ids, whose last one is not read.
          slots_pd: float32, the vectors of the soft slots; p may be 0.
        Raises:
          ConfigError: as `hclx.tune.input_gradient.check_request`.
        """
        config = self._model.config
        with self._model.placement():
            length = bucket(len(context) + len(continuation) - 1, most_positions(config))
            batch = _batch(context, continuation, length, axis_size("batch"))
            check_request(batch, slots_pd, config)
            table_pd = np.zeros((bucket(len(slots_pd)), config.d_model), np.float32)
            table_pd[: len(slots_pd)] = slots_pd
            answer = jax.device_get(self._gradient(self._model.params, batch, table_pd))
        n, weight = len(context), len(continuation)
        of_context = answer.vectors_btd[0, :n], -weight * answer.gradient_btd[0, :n]
        return ContextGradient(-weight * float(answer.loss), *of_context)


def _batch(context: Sequence[int], continuation: Sequence[int], length: int, n_rows: int) -> Batch:
    """A row of the text, padded at its end, and rows of padding beside it, so that the mesh divides
    them.
    """
    ids = [*context, *continuation]
    shape = n_rows, max(length, len(ids) - 1)
    tokens_bt, targets_bt, segments_bt = np.zeros((3, *shape), np.int32)
    weights_bt = np.zeros(shape, np.float32)
    tokens_bt[0, : len(ids) - 1], targets_bt[0, : len(ids) - 1] = ids[:-1], ids[1:]
    weights_bt[0, len(context) - 1 : len(ids) - 1] = 1
    segments_bt[0, len(ids) - 1 :] = 1
    positions_bt = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape)
    return Batch(tokens_bt, targets_bt, weights_bt, segments_bt, positions_bt)
