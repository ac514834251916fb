"""The modules of the decoder as Flax NNX, and the builders that choose them by the configuration.

A builder is a function `make_*(config, ...)`; a model family adds a module and its case in the
builder, and nothing else that is here changes.

Shapes in names, one letter for each dimension, here and everywhere in hclx:
  b batch · t query tokens · s key tokens · d d_model · h heads · g heads of keys and values
  k size of a head · m d_mlp · v vocabulary · n tokens, flattened
  e heads and their size, merged · r rotated dimensions of a head

All modules keep float32 parameters and compute in the dtype of their input; norms take their
statistics in float32.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from hclx.config import ModelConfig
from hclx.model import remat
from hclx.model.matmul import matmul
from hclx.model.parameters import matrix, vector
from hclx.model.rotary import LayerKind, rotate
from hclx.parallel import constrain, flatten_tokens, unflatten_tokens

# (q_bthk, k_bsgk, v_bsgk, window) -> (context_bthk, extra). The caller of a block passes this
# function in, so that one block serves training (`hclx.model.attention.packed_attention`; extra is
# None) and decoding over a cache (`hclx.infer`; extra is the new cache). The window is that of
# `hclx.model.rotary.LayerKind`.
Attend = Callable[[jax.Array, jax.Array, jax.Array, object], tuple[jax.Array, object]]
# (queries or keys [b, t, h, k], positions_bt, kind) -> the same shape
PositionEncoding = Callable[[jax.Array, jax.Array, LayerKind], jax.Array]


def normal(rngs: nnx.Rngs, shape: tuple[int, ...], std: float) -> jax.Array:
    """Draws float32 values from a normal distribution around 0, by the next key of the stream
    `params` of `rngs`.
    """
    return std * jax.random.normal(rngs.params(), shape, jnp.float32)


def residual_std(config: ModelConfig) -> float:
    """Initial standard deviation of projections that are added to the residual stream: `init_std`
    divided by sqrt(2 * `n_layers`) (Radford et al. 2019, GPT-2, section 2.3).
    """
    return config.init_std / math.sqrt(2 * config.n_layers)


def linear(
    x: jax.Array, weight: jax.Array, precision: str, bias: nnx.Param | None = None
) -> jax.Array:
    """x @ weight + bias in the dtype of `x`.

    Args:
      x, weight, precision: as in `hclx.model.matmul.matmul`.
      bias: of the shape of `weight` without its first axis; it is converted to the dtype of `x`.
    """
    product = matmul(x, weight, precision)
    return product if bias is None else product + bias[...].astype(x.dtype)


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis, with scale and bias; statistics in float32."""

    def __init__(self, size: int, epsilon: float):
        self.epsilon = epsilon
        self.scale = vector(1.0, (size,), ("norm",))
        self.bias = vector(0.0, (size,), ("norm",))

    def __call__(self, array: jax.Array) -> jax.Array:
        x = array.astype(jnp.float32)
        centred = x - x.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        normed = centred * jax.lax.rsqrt(variance + self.epsilon)
        return (normed * self.scale[...] + self.bias[...]).astype(array.dtype)


class RMSNorm(nnx.Module):
    """Root mean square normalisation over the last axis, with a scale; statistics in float32
    (Zhang and Sennrich 2019).
    """

    def __init__(self, size: int, epsilon: float):
        self.epsilon = epsilon
        self.scale = vector(1.0, (size,), ("norm",))

    def __call__(self, array: jax.Array) -> jax.Array:
        x = array.astype(jnp.float32)
        square = jnp.square(x).mean(-1, keepdims=True)
        return (x * jax.lax.rsqrt(square + self.epsilon) * self.scale[...]).astype(array.dtype)


def make_norm(config: ModelConfig, size: int) -> nnx.Module:
    """The norm that a model uses everywhere: [..., size] -> the same shape and dtype."""
    norm = {"layernorm": LayerNorm, "rmsnorm": RMSNorm}[config.norm]
    return norm(size, config.layer_norm_epsilon)


def make_position_table(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Param | None:
    """Learned absolute positions [max_length, d], which are added to the token embedding; None if
    attention encodes positions instead.
    """
    if config.position != "learned":
        return None
    values = normal(rngs, (config.max_length, config.d_model), config.init_std)
    return matrix(values, ("position", "embed"), in_matmul=False)


def make_position_encoding(config: ModelConfig) -> PositionEncoding:
    """The function that encodes positions in queries and keys: (queries or keys [b, t, h, k],
    positions_bt, kind of the layer) -> the same shape. It is the identity if positions are learned,
    as these are in the embedding already.
    """
    if config.position == "learned":
        return lambda x_bthk, positions_bt, kind: x_bthk
    return lambda x_bthk, positions_bt, kind: rotate(x_bthk, positions_bt, kind.frequencies, config)


class Embedding(nnx.Module):
    """Token embedding, plus learned positions if the model has them.

    With `embedding_norm` the sum is normalised (Le Scao et al. 2022, BLOOM, section 3.2.3).
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        values = normal(rngs, (config.vocab_size, config.d_model), config.init_std)
        # It is a factor of a product as the tied output projection, not as a look-up table.
        self.token = matrix(values, ("vocab", "embed"), in_matmul=config.tied_head)
        self.multiplier = config.embedding_multiplier
        self.position = make_position_table(config, rngs)
        self.norm = make_norm(config, config.d_model) if config.embedding_norm else None

    def vectors(self, tokens_bt: jax.Array) -> jax.Array:
        """float32 [b, t, d], the vectors of tokens before positions are added."""
        # The tables are gathered over `fsdp`, and each device looks up its own rows: a batch has
        # more rows than a table has shards.
        x_btd = constrain(self.token[...], "vocab", None)[tokens_bt]
        return x_btd if self.multiplier == 1 else x_btd * self.multiplier

    def __call__(self, x_btd: jax.Array, positions_bt: jax.Array) -> jax.Array:
        """float32 [b, t, d], the vectors of tokens at their positions."""
        if self.position is not None:
            x_btd += constrain(self.position[...], "position", None)[positions_bt]
        if self.norm is not None:
            x_btd = self.norm(constrain(x_btd, "batch", "length", "features"))
        return x_btd


class Attention(nnx.Module):
    """Multi-head projections around an attention function that the caller passes in. A group of
    query heads may share a head of keys and values (Ainslie et al. 2023, GQA).

    With `qk_norm` queries and keys are normalised, each head over its size (Dehghani et al. 2023,
    ViT-22B, section 2), so that scores cannot grow with the weights of the projections.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d, h, g, k = config.d_model, config.n_heads, config.n_kv_heads, config.d_head
        # Queries, keys and values are drawn as one array, as earlier versions stored them, so that
        # a seed still gives the same model.
        q_dhk, kv_dhk = jnp.split(normal(rngs, (d, h + 2 * g, k), config.init_std), [h], axis=1)
        bias = lambda has, *arguments: vector(0.0, *arguments) if has else None
        self.q = matrix(q_dhk, ("embed", "heads", "head_dim"))
        self.q_bias = bias(config.qkv_bias, (h, k), ("heads", "head_dim"))
        self.kv = matrix(kv_dhk.reshape(d, 2, g, k), ("embed", None, "kv_heads", "head_dim"))
        self.kv_bias = bias(config.qkv_bias, (2, g, k), (None, "kv_heads", "head_dim"))
        out_hkd = normal(rngs, (h, k, d), residual_std(config))
        self.out = matrix(out_hkd, ("heads", "head_dim", "embed"))
        self.out_bias = bias(config.attention_out_bias, (d,), ("norm",))
        # One scale and one bias are shared by all heads. Without the scale, scores would be bounded
        # by sqrt(head_dim).
        self.query_norm = make_norm(config, k) if config.qk_norm else None
        self.key_norm = make_norm(config, k) if config.qk_norm else None
        self.encode_positions = make_position_encoding(config)
        # `attend` divides the scores by sqrt(head_dim).
        self.multiplier = config.attention_multiplier and config.attention_multiplier * math.sqrt(k)

    def __call__(
        self,
        x_btd: jax.Array,
        positions_bt: jax.Array,
        attend: Attend,
        precision: str,
        kind: LayerKind,
    ) -> tuple[jax.Array, object]:
        """Returns [b, t, d] in the dtype of `x_btd`, and whatever `attend` returned beside the
        context. The arguments are those of `hclx.model.run_block`.
        """
        x_btd = constrain(x_btd, "batch", "length", None)
        q_bthk = linear(x_btd, self.q[...], precision, self.q_bias)
        kv_bt2gk = linear(x_btd, self.kv[...], precision, self.kv_bias)
        q_bthk = constrain(q_bthk, "batch", "length", "heads", None)
        kv_bt2gk = constrain(kv_bt2gk, "batch", "length", None, "kv_heads", None)
        q_bthk, kv_bt2gk = checkpoint_name((q_bthk, kv_bt2gk), remat.QKV)
        k_btgk, v_btgk = kv_bt2gk[:, :, 0], kv_bt2gk[:, :, 1]
        if self.query_norm is not None:
            q_bthk, k_btgk = self.query_norm(q_bthk), self.key_norm(k_btgk)
        q_bthk, k_btgk = (self.encode_positions(x, positions_bt, kind) for x in (q_bthk, k_btgk))
        if self.multiplier:
            q_bthk *= self.multiplier
        context_bthk, extra = attend(q_bthk, k_btgk, v_btgk, kind.window)
        context_bthk = constrain(context_bthk, "batch", "length", "heads", None)
        # Heads and their size are merged into one axis: with two, XLA for TPUs copies the gathered
        # weight into another layout.
        merge = lambda x, axis: x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])
        context_bte, out_ed = merge(context_bthk, 2), merge(self.out[...], 0)
        out_btd = linear(context_bte, out_ed, precision, self.out_bias)
        out_btd = constrain(out_btd, "batch", "length", "features")
        return checkpoint_name(out_btd, remat.ATTENTION_OUT), extra


def make_attention(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Module:
    """The attention of a block: (x_btd, positions_bt, attend, precision, kind) -> (out_btd, extra),
    as in `Attention`. Its initial values are drawn by `rngs`.
    """
    return Attention(config, rngs)


def mlp_hidden(
    x_nd: jax.Array, weight_dm: jax.Array, precision: str, bias_m: nnx.Param | None = None
) -> jax.Array:
    """The hidden layer [n, m] of an MLP before its activation function, in the dtype of `x_nd`,
    under the name that remat policies keep. The arguments are those of `linear`.
    """
    hidden_nm = linear(x_nd, weight_dm, precision, bias_m)
    return checkpoint_name(constrain(hidden_nm, "tokens", "mlp"), remat.MLP_IN)


_ACTIVATIONS = {
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),  # as in GPT-2 and GPT-3
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
}


class Mlp(nnx.Module):
    """Two projections around an activation function; or, with a gate, three (Shazeer 2020, "GLU
    variants improve Transformer").
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        d, m = config.d_model, config.d_mlp
        make = lambda: matrix(normal(rngs, (d, m), config.init_std), ("embed", "mlp"))
        bias = lambda *arguments: vector(0.0, *arguments) if config.mlp_bias else None
        self.wi, self.wi_bias = make(), bias((m,), ("mlp",))
        self.wo = matrix(normal(rngs, (m, d), residual_std(config)), ("mlp", "embed"))
        self.wo_bias = bias((d,), ("norm",))
        self.gate = make() if config.gated_mlp else None
        self.gate_bias = bias((m,), ("mlp",)) if config.gated_mlp else None
        self.activation = _ACTIVATIONS[config.activation]

    def __call__(self, x_nd: jax.Array, precision: str) -> jax.Array:
        hidden_nm = mlp_hidden(x_nd, self.wi[...], precision, self.wi_bias)
        if self.gate is None:
            hidden_nm = self.activation(hidden_nm)
        else:
            gate_nm = mlp_hidden(x_nd, self.gate[...], precision, self.gate_bias)
            hidden_nm = self.activation(gate_nm) * hidden_nm
        return linear(hidden_nm, self.wo[...], precision, self.wo_bias)


def make_mlp(config: ModelConfig, rngs: nnx.Rngs) -> nnx.Module:
    """The MLP of a block: (x_nd, precision) -> out_nd in the dtype of `x_nd`; for `precision` see
    `hclx.model.matmul.matmul`. Its initial values are drawn by `rngs`.
    """
    return Mlp(config, rngs)


class OutputProjection(nnx.Module):
    """The parameters of the output projection that are not the token embedding."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        shape = (config.vocab_size, config.d_model)
        values = None if config.tied_head else normal(rngs, shape, config.init_std)
        self.weight = None if config.tied_head else matrix(values, ("vocab", "embed"))
        self.bias = vector(0.0, shape[:1], ("vocab",)) if config.head_bias else None


def _norm(norm: nnx.Module | None, x: jax.Array) -> jax.Array:
    return x if norm is None else norm(x)


class Block(nnx.Module):
    """A residual block: x + attention(norm(x)), then x + mlp(norm(x)), or as the configuration
    places norms and residuals.

    If the mesh shards heads and widths (`model`), it shards the residual stream between them by
    features: each device of such a group computes its share of norms and sums, and less is kept for
    the backward pass. (Korthikanti et al. 2022, section 4.2, shard it by length instead, which
    would change the order of tokens when they are flattened.)
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        self.is_parallel = config.residual != "sequential"
        self.has_one_norm = config.residual == "parallel_one_norm"
        norm = lambda has: make_norm(config, config.d_model) if has else None
        before, after = config.norm_placement != "post", config.norm_placement != "pre"
        self.attention_norm = norm(before)
        self.attention = make_attention(config, rngs)
        self.mlp_norm = norm(before and not self.has_one_norm)
        self.mlp = make_mlp(config, rngs)
        self.attention_out_norm, self.mlp_out_norm = norm(after), norm(after)
        self.multiplier = config.residual_multiplier

    def __call__(
        self,
        x_btd: jax.Array,
        positions_bt: jax.Array,
        attend: Attend,
        precision: str,
        kind: LayerKind,
    ) -> tuple[jax.Array, object]:
        """See `hclx.model.run_block`."""
        normed_btd = _norm(self.attention_norm, x_btd)
        out_btd, extra = self.attention(normed_btd, positions_bt, attend, precision, kind)
        after_btd = self._add(x_btd, _norm(self.attention_out_norm, out_btd))
        if not self.has_one_norm:
            normed_btd = _norm(self.mlp_norm, x_btd if self.is_parallel else after_btd)
        # Tokens are flattened: with two axes to sum over, CPUs copy the activations for the
        # gradient of each weight.
        out_nd = constrain(self.mlp(flatten_tokens(normed_btd), precision), "tokens", "features")
        out_btd = unflatten_tokens(out_nd, *x_btd.shape[:2], "features")
        return self._add(after_btd, _norm(self.mlp_out_norm, out_btd)), extra

    def _add(self, x_btd: jax.Array, out_btd: jax.Array) -> jax.Array:
        out_btd = out_btd if self.multiplier == 1 else out_btd * self.multiplier
        return constrain(x_btd + out_btd, "batch", "length", "features")
