"""Conversion of parameter trees from and to the layout of checkpoints of format 2.

In that layout queries, keys and values were one parameter: `qkv` [..., d, 3, h, k] and `qkv_bias`
[..., 3, h, k]. They are two now, `q` [..., d, h, k] and `kv` [..., d, 2, h, k], so that keys and
values can have fewer heads. Adam's moments are trees of the same structure as the parameters and
are converted in the same way.
"""

import jax
import jax.numpy as jnp

from hclx.model.decoder import Params

_SUFFIXES = ("", "_bias")


def from_format_2(params: Params) -> Params:
    """Splits `qkv` into `q` and `kv`, without a change of any value.

    Args:
      params: tree of arrays in the layout of format 2. (`jax.eval_shape` serves abstract trees.)
    Returns:
      A new tree in the layout of today.
    """
    attention = {}
    for path, array in params["blocks"]["attention"].items():
        attention |= leaf_from_format_2(path, array)
    return _with_attention(params, attention)


def leaf_from_format_2(path: str, array: jax.Array) -> dict[str, jax.Array]:
    """Splits one parameter if it is of queries, keys and values: path -> array in today's layout.

    Args:
      path: of the array; what precedes its last part stays as it is.
      array: in the layout of format 2.
    """
    folder, slash, name = path.rpartition("/")
    if name not in [f"qkv{suffix}" for suffix in _SUFFIXES]:
        return {path: array}
    begin, suffix = folder + slash, name.removeprefix("qkv")
    return {
        f"{begin}q{suffix}": array[..., 0, :, :],
        f"{begin}kv{suffix}": array[..., 1:, :, :],
    }


def to_format_2(params: Params) -> Params:
    """Fuses `q` and `kv` into `qkv`: the inverse of `from_format_2`.

    Args:
      params: tree of arrays or of `jax.ShapeDtypeStruct` in the layout of today. If the latter have
        shardings, so does the result: an old checkpoint can be restored onto it.
    Returns:
      A new tree in the layout of format 2.
    """
    attention = dict(params["blocks"]["attention"])
    for suffix in _SUFFIXES:
        q, kv = attention.pop("q" + suffix), attention.pop("kv" + suffix)
        attention["qkv" + suffix] = _fuse(q, kv)
    return _with_attention(params, attention)


def _fuse(q, kv):
    fuse = lambda q, kv: jnp.concatenate([q[..., None, :, :], kv], axis=-3)
    if not isinstance(kv, jax.ShapeDtypeStruct):
        return fuse(q, kv)
    shape = jax.eval_shape(fuse, q, kv).shape
    return jax.ShapeDtypeStruct(shape, kv.dtype, sharding=kv.sharding)


def _with_attention(params: Params, attention: Params) -> Params:
    return params | {"blocks": params["blocks"] | {"attention": attention}}
