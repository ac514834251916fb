"""The head of a judge of pairs: from the pooled state of a pair to its labels, or to a score."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from hclx.model import Params
from hclx.model_config import ModelConfig
from hclx.tune.initial_values import draw, linear_specs, uniform
from hclx.tune.tune_config import TuneConfig

HEAD = "pair_head"  # under "tune", beside the parameters of the method


class PairHead(NamedTuple):
    """A linear layer.

    Attributes:
      weight: float32 [d, c], for c labels, or 1 for a score.
      bias: float32 [c].
    """

    weight: jax.Array
    bias: jax.Array


def head_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of the head; {} if the objective has none."""
    if config.objective != "pair":
        return {}
    return {HEAD: linear_specs(model.d_model, len(config.label_names) or 1)}


def init_head(model: ModelConfig, config: TuneConfig, key: jax.Array) -> Params:
    """Returns initial values: uniform weights, as PyTorch begins its layers, and no bias."""

    def initial(path, key, spec):
        if path.endswith("bias"):
            return jnp.zeros(spec.shape, jnp.float32)
        return uniform(key, spec.shape, model.d_model)

    specs = head_specs(model, config)
    return draw(specs, jax.random.fold_in(key, 1), initial) if specs else {}
