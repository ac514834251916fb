"""Batch and length as one axis of tokens, in an order that moves nothing between devices.

The rows of an array [b, t, ...] lie over `data` and `fsdp`, its positions over `seq`. Flattened as
they are, the pieces of a device would not be neighbours; so the pieces of the length go first:
[seq, b, t / seq, ...] -> [n, ...].
"""

import jax
import jax.numpy as jnp

from hclx.parallel.sharding import axis_size, constrain


def flatten_tokens(x_bt: jax.Array) -> jax.Array:
    """[b, t, ...] -> [n, ...], cut as the logical axis "tokens" and otherwise whole."""
    batch, length = x_bt.shape[:2]
    pieces = axis_size("length")
    x = jnp.moveaxis(x_bt.reshape(batch, pieces, length // pieces, *x_bt.shape[2:]), 1, 0)
    return constrain(
        x.reshape(batch * length, *x_bt.shape[2:]), "tokens", *(None,) * (x_bt.ndim - 2)
    )


def unflatten_tokens(x_n: jax.Array, batch: int, length: int, *others: str) -> jax.Array:
    """The inverse of `flatten_tokens`: [n, ...] -> [b, t, ...]; `others`: logical axes of the rest,
    which is whole without them.
    """
    pieces = axis_size("length")
    x = jnp.moveaxis(x_n.reshape(pieces, batch, length // pieces, *x_n.shape[1:]), 0, 1)
    return constrain(
        x.reshape(batch, length, *x_n.shape[1:]),
        "batch",
        "length",
        *(others or (None,) * (x_n.ndim - 1)),
    )
