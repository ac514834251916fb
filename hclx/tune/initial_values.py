"""Initial values of what tuning trains."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hclx.errors import ConfigError
from hclx.model import Params, ParamSpec
from hclx.tune.tune_config import TuneConfig

Tokens = Sequence[Sequence[int]]  # token ids of some texts


def uniform(key: jax.Array, shape: tuple[int, ...], inputs: int) -> jax.Array:
    """float32 between ±1/sqrt(inputs), as PyTorch begins its layers."""
    bound = 1 / math.sqrt(inputs)
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def draw(specs: Params, key: jax.Array, one_array) -> Params:
    """Draws a tree of arrays, each by a key of its own.

    Args:
      specs: tree of `ParamSpec`.
      key: of the whole tree.
      one_array: (path of the parameter, such as "head/0/weight", key, spec) -> array.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(specs)
    keys = jax.random.split(key, len(leaves))
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    arrays = [one_array(name(path), key, spec) for key, (path, spec) in zip(keys, leaves)]
    return jax.tree.unflatten(structure, arrays)


def linear_specs(inputs: int, outputs: int) -> dict[str, ParamSpec]:
    """The records of a linear layer; its input axis is sharded as d_model is."""
    return {
        "weight": ParamSpec((inputs, outputs), ("embed", None), True, True),
        "bias": ParamSpec((outputs,), (None,), False, False),
    }


def initial_tokens(
    config: TuneConfig, tokens: Tokens, vocab_size: int, key: jax.Array
) -> list[list[int]]:
    """The tokens from which soft slots or positions begin: one list for each, whose average counts.

    Args:
      config: `init` is not "random".
      tokens: of the labels, or of the one text; not looked at for "vocabulary".
      vocab_size: of the model.
      key: draws tokens, for "vocabulary", and for the slots that labels leave.
    Raises:
      ConfigError: there are no tokens or too many, or an id is not in the vocabulary.
    """
    slots: list[list[int]] = []
    if config.init in ("labels", "text"):
        slots = [list(map(int, ids)) for ids in tokens]
        if config.init == "text":
            slots = [[token] for ids in slots for token in ids]
        if not slots or not all(slots):
            raise ConfigError(f"TuneConfig.init={config.init!r} needs texts that have tokens")
        if len(slots) > config.length:
            raise ConfigError(
                f"TuneConfig.init={config.init!r} begins with {len(slots)} tokens or labels, and"
                f" TuneConfig.length={config.length}; give a greater length, or a shorter text"
            )
        if any(not 0 <= token < vocab_size for slot in slots for token in slot):
            raise ConfigError(
                f"TuneConfig.init={config.init!r}: a token id is outside of the vocabulary of"
                f" {vocab_size}"
            )
    if config.init == "text":  # repeated, as in PEFT
        return [slots[i % len(slots)] for i in range(config.length)]
    left, drawn_from = config.length - len(slots), min(config.init_vocabulary, vocab_size)
    drawn = jax.random.choice(key, drawn_from, (left,), replace=left > drawn_from)
    return slots + [[int(token)] for token in np.asarray(drawn)]
