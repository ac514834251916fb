"""Soft prompts: vectors that stand for tokens and are trained (Lester et al. 2021, "The power of
scale for parameter-efficient prompt tuning").

The token ids from `vocab_size` on are soft slots: id `vocab_size` + i stands for row i of a table
[p, d]. So a soft prompt stands anywhere in a template, more than once, and in any of the documents
of a packed row.
"""

import jax
import jax.numpy as jnp

from hclx.model import Params, ParamSpec, token_vectors
from hclx.model_config import ModelConfig
from hclx.tune.initial_values import Tokens, initial_tokens
from hclx.tune.tune_config import TuneConfig


def table_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The records of the parameters of a soft prompt."""
    shape = config.length, model.d_model
    return {"table": ParamSpec(shape, (None, "embed"), decays=False, in_matmul=False)}


def init_table(
    model: ModelConfig, config: TuneConfig, base: Params, key: jax.Array, tokens: Tokens
) -> Params:
    """The initial vectors: those of tokens (Lester et al. 2021, section 3.2), or random ones.

    Random vectors are normal, with the standard deviation of the token vectors of the base: what is
    far from all that the base has seen takes many steps to come back.

    Args:
      model: the base's shape.
      config: the settings.
      base: its parameters.
      key: of what is drawn.
      tokens: see `hclx.tune.initial_values.initial_tokens`.
    Returns:
      {"table": float32 [p, d]}.
    """
    if config.init == "random":
        tokens_vd = base["embedding"]["token"].astype(jnp.float32)
        std = model.embedding_multiplier * jnp.std(tokens_vd)
        shape = config.length, model.d_model
        return {"table": std * jax.random.normal(key, shape, jnp.float32)}
    slots = initial_tokens(config, tokens, model.vocab_size, key)
    vectors = lambda ids: token_vectors(base, jnp.array([ids]), model)[0].astype(jnp.float32)
    return {"table": jnp.stack([vectors(slot).mean(0) for slot in slots])}
