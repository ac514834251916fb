"""The modules of one decoder block, as Flax NNX, with the logical names of their parameters' axes.

Shapes in names, one letter a dimension, here and everywhere in hclx:
  b batch · t query tokens · s key tokens · d d_model · h heads · k size of a head · m d_mlp · v
  vocabulary · n tokens, flat

Every module keeps float32 parameters and computes in the dtype of its input, but for the norms,
whose statistics are float32.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from hclx.config import ModelConfig
from hclx.model.matmul import matmul
from hclx.parallel import constrain, flatten_tokens, unflatten_tokens

# (q_bthk, k_bthk, v_bthk) -> (context_bthk, whatever the caller wants back: a cache, or None)
Attend = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, object]]


def _normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float, axes: tuple[str, ...]) -> nnx.Param:
    return nnx.Param(std * jax.random.normal(rngs.params(), shape, jnp.float32), logical_axes=axes)


def _constant(value: float, shape: tuple[int, ...], axes: tuple[str, ...]) -> nnx.Param:
    return nnx.Param(jnp.full(shape, value, jnp.float32), logical_axes=axes)


def residual_std(config: ModelConfig) -> float:
    """Standard deviation of the projections that end on the residual stream (Radford et al. 2019,
    section 2.3).
    """
    return config.init_std / math.sqrt(2 * config.n_layers)


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis, of `size`, with scale and bias; statistics in
    float32.
    """

    def __init__(self, config: ModelConfig, size: int):
        self.epsilon = config.layer_norm_epsilon
        self.scale = _constant(1.0, (size,), ("norm",))
        self.bias = _constant(0.0, (size,), ("norm",))

    def __call__(self, array: jax.Array) -> jax.Array:
        x = array.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.epsilon)
        return (normed * self.scale[...] + self.bias[...]).astype(array.dtype)


class Embedding(nnx.Module):
    """Token embedding, tied to the output projection, and learned positions.

    With `embedding_norm` their sum is normalised (Le Scao et al. 2022, BLOOM, section 3.2.3).
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.token = _normal(
            rngs, (config.vocab_size, config.d_model), config.init_std, ("vocab", "embed")
        )
        self.position = _normal(
            rngs, (config.max_length, config.d_model), config.init_std, ("position", "embed")
        )
        self.norm = LayerNorm(config, config.d_model) if config.embedding_norm else None

    def __call__(self, tokens_bt: jax.Array, positions_bt: jax.Array) -> jax.Array:
        """float32 [b, t, d]."""
        # The tables are gathered over `fsdp`, and each device looks up its own rows: rows are more
        # than pieces.
        token_vd, position_pd = (
            constrain(self.token[...], "vocab", None),
            constrain(self.position[...], "position", None),
        )
        x_btd = token_vd[tokens_bt] + position_pd[positions_bt]
        return (
            x_btd
            if self.norm is None
            else self.norm(constrain(x_btd, "batch", "length", "features"))
        )


class Attention(nnx.Module):
    """Multi-head projections around an attention function that the caller passes in.

    With `qk_norm` queries and keys are normalised, each head over its size (Dehghani et al. 2023,
    ViT-22B, section 2), so that scores cannot grow with the weights of the projections.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d, h, k = config.d_model, config.n_heads, config.d_head
        self.qkv = _normal(
            rngs, (d, 3, h, k), config.init_std, ("embed", "qkv", "heads", "head_dim")
        )
        self.qkv_bias = _constant(0.0, (3, h, k), ("qkv", "heads", "head_dim"))
        self.out = _normal(rngs, (h, k, d), residual_std(config), ("heads", "head_dim", "embed"))
        self.out_bias = _constant(0.0, (d,), ("norm",))
        # Scale and bias as all norms here have them, and without a scale no score could pass
        # sqrt(k); one for all heads.
        self.query_norm = LayerNorm(config, k) if config.qk_norm else None
        self.key_norm = LayerNorm(config, k) if config.qk_norm else None

    def __call__(
        self, x_btd: jax.Array, attend: Attend, precision: str
    ) -> tuple[jax.Array, object]:
        dtype, x_btd = x_btd.dtype, constrain(x_btd, "batch", "length", None)
        qkv = matmul(x_btd, self.qkv[...], precision) + self.qkv_bias[...].astype(dtype)
        qkv = checkpoint_name(constrain(qkv, "batch", "length", None, "heads", None), "qkv")
        q_bthk, k_bthk, v_bthk = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        if self.query_norm is not None:
            q_bthk, k_bthk = self.query_norm(q_bthk), self.key_norm(k_bthk)
        context_bthk, extra = attend(q_bthk, k_bthk, v_bthk)
        context_bthk = constrain(context_bthk, "batch", "length", "heads", None)
        # Heads and their size as one axis: with two, XLA for TPUs copies the gathered weight into
        # another layout.
        merge = lambda x, axis: x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
        out_btd = matmul(
            merge(context_bthk, 2), merge(self.out[...], 0), precision
        ) + self.out_bias[...].astype(dtype)
        return checkpoint_name(
            constrain(out_btd, "batch", "length", "features"), "attention_out"
        ), extra


class Mlp(nnx.Module):
    """Two projections around GELU (tanh form, as GPT-2 and GPT-3)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d, m = config.d_model, config.d_mlp
        self.wi = _normal(rngs, (d, m), config.init_std, ("embed", "mlp"))
        self.wi_bias = _constant(0.0, (m,), ("mlp",))
        self.wo = _normal(rngs, (m, d), residual_std(config), ("mlp", "embed"))
        self.wo_bias = _constant(0.0, (d,), ("norm",))

    def __call__(self, x_btd: jax.Array, precision: str) -> jax.Array:
        dtype = x_btd.dtype
        # Tokens are flattened: with two axes to sum over, CPUs copy the activations for each
        # gradient of a weight.
        x_nd = flatten_tokens(x_btd)
        hidden_nm = matmul(x_nd, self.wi[...], precision) + self.wi_bias[...].astype(dtype)
        hidden_nm = checkpoint_name(constrain(hidden_nm, "tokens", "mlp"), "mlp_in")
        out_nd = matmul(
            jax.nn.gelu(hidden_nm, approximate=True), self.wo[...], precision
        ) + self.wo_bias[...].astype(dtype)
        return unflatten_tokens(
            constrain(out_nd, "tokens", "features"), *x_btd.shape[:2], "features"
        )


class Block(nnx.Module):
    """Pre-LN: x + attention(norm(x)), then x + mlp(norm(x)).

    Where heads and widths are cut (`model`), so is the residual stream between them, by features:
    norms and sums are done once and not by each chip of a group, and what the backward pass keeps
    is smaller (Korthikanti et al. 2022, section 4.2, cut the length instead, which would not stay
    in order when tokens are flattened).
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.attention_norm = LayerNorm(config, config.d_model)
        self.attention = Attention(config, rngs)
        self.mlp_norm = LayerNorm(config, config.d_model)
        self.mlp = Mlp(config, rngs)

    def __call__(
        self, x_btd: jax.Array, attend: Attend, precision: str
    ) -> tuple[jax.Array, object]:
        out, extra = self.attention(self.attention_norm(x_btd), attend, precision)
        x_btd = constrain(x_btd + out, "batch", "length", "features")
        x_btd = constrain(
            x_btd + self.mlp(self.mlp_norm(x_btd), precision), "batch", "length", "features"
        )
        return x_btd, extra
