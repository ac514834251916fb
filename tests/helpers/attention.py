"""Attention by its definition."""

import jax
import jax.numpy as jnp
import numpy as np


def whole_square(q, k, v, segments):
    """Attention by its definition: a query sees the keys of its own document at its own index and
    before.
    """
    index = jnp.arange(q.shape[1])
    sees = (index[:, None] >= index) & (segments[:, :, None] == segments[:, None, :])
    scores = jnp.einsum("bthk,bshk->bhts", q, k) / np.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(sees[:, None], scores, -jnp.inf))
    return jnp.einsum("bhts,bshk->bthk", weights, v)
