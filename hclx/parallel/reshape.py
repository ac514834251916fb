"""Reshapes between [batch, length] and one axis of tokens, without communication.

The batch of an array [b, t, ...] is sharded over `data` and `fsdp`, its length over `seq`. In the
order of a plain reshape the tokens of a device would not be contiguous, so the shards of the length
become the first axis: [seq, b, t / seq, ...] -> [n, ...].
"""

import jax
import jax.numpy as jnp

from hclx.parallel.sharding import axis_size, constrain


def flatten_tokens(x_bt: jax.Array) -> jax.Array:
    """Reshapes [b, t, ...] to [n, ...], sharded as the logical axis "tokens" and replicated over
    the rest.
    """
    batch, length = x_bt.shape[:2]
    shards = axis_size("length")
    x = jnp.moveaxis(x_bt.reshape(batch, shards, length // shards, *x_bt.shape[2:]), 1, 0)
    return constrain(
        x.reshape(batch * length, *x_bt.shape[2:]), "tokens", *(None,) * (x_bt.ndim - 2)
    )


def unflatten_tokens(x_n: jax.Array, batch: int, length: int, *others: str) -> jax.Array:
    """Inverts `flatten_tokens`: reshapes [n, ...] to [b, t, ...].

    Args:
      x_n: as `flatten_tokens` returns it.
      batch, length: b and t.
      others: logical axes of the other dimensions, which are replicated without them.
    """
    shards = axis_size("length")
    x = jnp.moveaxis(x_n.reshape(shards, batch, length // shards, *x_n.shape[1:]), 0, 1)
    return constrain(
        x.reshape(batch, length, *x_n.shape[1:]),
        "batch",
        "length",
        *(others or (None,) * (x_n.ndim - 1)),
    )
