"""A content fingerprint of arrays: the same on any mesh, and different after any single flipped
bit.

Orbax does not checksum the bytes of arrays, so a damaged file can silently be restored as wrong
weights. Each element's bits are mixed with its position in the array, and the results are summed
modulo 2^32. The sum does not depend on the order, so each device sums its own shard, and the
position makes a swap of elements visible.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from hclx.train.row_ranges import row_ranges

_UINT = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}


def _mix(x: jax.Array) -> jax.Array:
    """Maps uint32 by a bijection whose every output bit depends on every input bit (xor-shift and
    odd multipliers).
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _linear_index(shape: tuple[int, ...], first: jax.Array | int) -> jax.Array:
    """uint32, each element's row-major position (modulo 2^32), counted from `first`."""
    index, stride = jnp.full(shape, first, jnp.uint32), 1
    for dim in range(len(shape) - 1, -1, -1):
        index = index + jax.lax.broadcasted_iota(jnp.uint32, shape, dim) * jnp.uint32(
            stride % 2**32
        )
        stride *= shape[dim]
    return index


def _mixed(x: jax.Array, first: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """The numbers whose sums are the fingerprint, for an array whose elements are counted from
    `first`.
    """
    bits = jax.lax.bitcast_convert_type(x, _UINT[x.dtype.itemsize]).astype(jnp.uint32)
    mixed = _mix(bits ^ _mix(_linear_index(x.shape, first)))
    return mixed, _mix(mixed ^ jnp.uint32(0x9E3779B9))


def array_fingerprint(x: jax.Array) -> jax.Array:
    """uint32 [2], the sums that are the fingerprint of an array, for use in compiled functions."""
    return jnp.stack([numbers.sum(dtype=jnp.uint32) for numbers in _mixed(x, 0)])


@jax.jit
def _part_fingerprint(x: jax.Array, first: jax.Array) -> jax.Array:
    """The same of a part on one device. A reduction of both takes no memory, where two would keep
    the numbers; over several devices it would take more messages.
    """
    add = lambda a, b: (a[0] + b[0], a[1] + b[1])
    sums = jax.lax.reduce(_mixed(x, first), (jnp.uint32(0),) * 2, add, tuple(range(x.ndim)))
    return jnp.stack(sums)


@jax.jit
def _fingerprints(tree):
    return jax.tree.map(array_fingerprint, tree)


@jax.jit
def _are_finite(tree):
    return jax.tree.map(lambda x: jnp.isfinite(x).all(), tree)


def not_finite(tree) -> list[str]:
    """Paths, as in `fingerprint`, of the arrays of a tree that hold an infinity or NaN; the same in
    every process.
    """
    finite = jax.device_get(_are_finite(tree))
    leaves = jax.tree_util.tree_leaves_with_path(finite)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    return [name(path) for path, is_finite in leaves if not is_finite]


def fingerprint(tree) -> dict[str, str]:
    """Computes the fingerprint of each array of a tree.

    Args:
      tree: of arrays whose items have 1, 2 or 4 bytes, sharded in any way. Those of NumPy are not
        copied as a whole.
    Returns:
      Path of the array, keys joined by "/" -> `dtype[shape]:` and 16 hexadecimal digits, such as
      "float32[2, 3]:0123456789abcdef".
    """
    arrays = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    if arrays and all(isinstance(x, np.ndarray) and x.ndim for _, x in arrays):
        return {name(path): _of_parts(x) for path, x in arrays}
    sums = jax.device_get(_fingerprints(tree))
    return {
        name(path): _text(x.dtype, x.shape, s)
        for (path, x), s in zip(arrays, jax.tree.leaves(sums), strict=True)
    }


class PartialFingerprint:
    """The fingerprint of an array of which there is never more than a part in memory."""

    def __init__(self, shape: tuple[int, ...], dtype: str | np.dtype):
        """Begins with no rows of an array of this shape and dtype."""
        self._shape, self._dtype = tuple(shape), np.dtype(dtype)
        self._sums = np.zeros(2, np.uint32)

    def add(self, begin: int, values: np.ndarray) -> None:
        """Adds the rows [begin, begin + len(values)) of the first axis, each once, in any order."""
        first = begin * math.prod(self._shape[1:]) % 2**32
        self._sums += np.asarray(_part_fingerprint(values, np.uint32(first)))

    def text(self) -> str:
        """Returns what `fingerprint` returns of the whole array, once all rows were added."""
        return _text(self._dtype, self._shape, self._sums)


def _of_parts(array: np.ndarray) -> str:
    sums = PartialFingerprint(array.shape, array.dtype)
    for begin, end in row_ranges(array.shape, array.itemsize):
        # A copy: JAX lets go of what it was given at a later call, and would keep the array.
        sums.add(begin, array[begin:end].copy())
    return sums.text()


def _text(dtype: np.dtype, shape: tuple[int, ...], sums: np.ndarray) -> str:
    return f"{dtype}{list(shape)}:{int(sums[0]):08x}{int(sums[1]):08x}"
