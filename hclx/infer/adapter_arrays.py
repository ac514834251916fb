"""The arrays of adapters on the devices, and how the calls find them: beside the parameters of the
model, in the same tree.

Without adapters the tree is that of the model alone, and so are the programs. With them it has
"adapters" too: `slots` [n, d], the vectors of all soft slots; `low_rank`, for each layer
(part, leaf) -> the stacks A and B of all adapters, whose first entries are zeros; and `numbers_r`,
which of them each row of the call has. `hclx.infer.adapted_params` reads it.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.infer.adapters import MATRICES, change_shape
from hclx.infer.kv_cache import KVCache, place_cache
from hclx.model import Params
from hclx.parallel import constrain


class AdapterArrays:
    """The arrays of all adapters. Stacks grow by doubling: an adapter that finds room in them
    changes no shape, and no program is compiled anew.
    """

    def __init__(self, params: Params, config: ModelConfig):
        """Starts without adapters beside parameters as `hclx.infer.prepare_params` returns them."""
        self._params, self._config = params, config
        self._slots_nd: jax.Array | None = None
        self._prefixes: dict[int, KVCache] = {}
        self._stacks: dict[int, list[tuple[jax.Array, jax.Array]]] = {}  # by number of matrix

    @property
    def _dtype(self):
        return self._params["embedding"]["token"].dtype

    @property
    def all(self) -> tuple:
        """Returns the arrays, for those who wait for them."""
        return self._slots_nd, self._prefixes, self._stacks

    def beside(self, numbers_r: np.ndarray, with_slots: bool = False) -> Params:
        """Returns the tree that a call takes.

        Args:
          numbers_r: int32, the index of the low-rank changes of each of its rows, 0 for none.
          with_slots: whether its tokens may be soft slots, which none is that was sampled.
        """
        adapters = {}
        if self._stacks:
            layers = zip(*self._stacks.values())
            names = [MATRICES[number] for number in self._stacks]
            adapters["low_rank"] = tuple(dict(zip(names, layer)) for layer in layers)
            adapters["numbers_r"] = numbers_r
        if with_slots and self._slots_nd is not None:
            adapters["slots"] = self._slots_nd
        return {**self._params, "adapters": adapters} if adapters else self._params

    def add_slots(self, offset: int, slots_pd: np.ndarray) -> None:
        """Adds soft slots; the id of the first is `vocab_size` + `offset`."""
        old = np.zeros((0, slots_pd.shape[1]), self._dtype)
        old = old if self._slots_nd is None else self._slots_nd
        size = max(len(old), _doubled(int(offset) + len(slots_pd)))
        self._slots_nd = _with_slots(old, slots_pd, np.int32(offset), size=size)

    def add_prefix(self, number: int, k: np.ndarray, v: np.ndarray) -> None:
        """Adds keys and values [layers, p, g, k] of the adapter with this number."""
        place = functools.partial(_prefix_layer, dtype=self._dtype.name)
        self._prefixes[int(number)] = KVCache(tuple(map(place, k)), tuple(map(place, v)))

    def add_low_rank(self, index: int, matrices: np.ndarray, *arrays: np.ndarray) -> None:
        """Adds low-rank changes.

        Args:
          index: of the changes in the stacks, from 1 on; what was there before is replaced.
          matrices: int32, the index of each changed matrix in `MATRICES`.
          arrays: A and B of each, as `hclx.infer.adapters.Adapter` has them.
        """
        changes = dict(zip(map(int, matrices), zip(arrays[::2], arrays[1::2], strict=True)))
        old = [stacks[0][0].shape[0] for stacks in self._stacks.values()]
        n_entries = max(*old, 0, _doubled(int(index) + 1))
        for number in sorted({*self._stacks, *changes}):
            stacks = self._with_entry(number, int(index), changes.get(number), n_entries)
            self._stacks[number] = stacks
        # All calls have them in one order, so that they are one program.
        self._stacks = dict(sorted(self._stacks.items()))

    def _with_entry(self, number: int, index: int, change, n_entries: int) -> list[tuple]:
        """The stacks of a matrix in all layers with another entry, of zeros if there is no change;
        ranks are padded with zeros.
        """
        spec = change_shape(self._config, MATRICES[number])
        layers, (inputs, *outputs) = range(self._config.n_layers), spec.shape
        none = np.zeros((len(layers), inputs, 0)), np.zeros((len(layers), 0, *outputs))
        a, b = none if change is None else change
        empty = tuple(np.zeros((0, *array.shape[1:]), self._dtype) for array in none)
        old = self._stacks.get(number) or [empty for _ in layers]
        rank = max(a.shape[2], old[0][0].shape[2])
        put = functools.partial(_with_entry, index=np.int32(index))
        a_shape, b_shape = (n_entries, inputs, rank), (n_entries, rank, *outputs)
        a_axes, b_axes = (None, spec.axes[0], None), (None, None, *spec.axes[1:])
        return [
            (
                put(old[layer][0], entry=a[layer], shape=a_shape, axes=a_axes),
                put(old[layer][1], entry=b[layer], shape=b_shape, axes=b_axes),
            )
            for layer in layers
        ]

    def remove(self, number: int, has_slots: bool, has_low_rank: bool) -> None:
        """Removes the prefix of an adapter; and soft slots and low-rank changes of all, once no
        adapter has any. Those of one alone are left where they are, until others replace them.
        """
        self._prefixes.pop(int(number), None)
        self._slots_nd = self._slots_nd if has_slots else None
        self._stacks = self._stacks if has_low_rank else {}

    def write_prefix(self, cache: KVCache, row: int, number: int) -> tuple[KVCache, int]:
        """Writes the prefix of an adapter to the beginning of a row; returns the cache, which was
        donated, and the number of positions.
        """
        prefix = self._prefixes[int(number)]
        return _write_prefix(cache, prefix, np.int32(row)), prefix.size


def _doubled(n: int) -> int:
    """The least power of two from `n` on."""
    return 1 << (n - 1).bit_length()


@functools.partial(jax.jit, static_argnames="size")
def _with_slots(old_nd: jax.Array, slots_pd: jax.Array, offset: jax.Array, *, size: int):
    table_nd = jnp.pad(old_nd, ((0, size - len(old_nd)), (0, 0)))
    new_pd = slots_pd.astype(old_nd.dtype)
    return constrain(jax.lax.dynamic_update_slice(table_nd, new_pd, (offset, 0)), None, None)


@functools.partial(jax.jit, static_argnames=("shape", "axes"))
def _with_entry(stack, index, entry, *, shape: Sequence[int], axes: Sequence[str | None]):
    """A stack that is padded with zeros to `shape`, with an entry that is padded too."""
    grown = lambda array, shape: jnp.pad(array, [(0, n - m) for n, m in zip(shape, array.shape)])
    entry = grown(entry.astype(stack.dtype), shape[1:])
    return constrain(grown(stack, shape).at[index].set(entry), *axes)


@functools.partial(jax.jit, static_argnames="dtype")
def _prefix_layer(x_pgk: jax.Array, *, dtype: str) -> jax.Array:
    """One layer of a prefix as a row of the cache, [1, g, p, k], on all devices."""
    x_1gpk = x_pgk.astype(dtype).swapaxes(0, 1)[None]
    return constrain(x_1gpk, None, "kv_heads", None, "head_dim")


@functools.partial(jax.jit, donate_argnames="cache")
def _write_prefix(cache: KVCache, prefix: KVCache, row: jax.Array) -> KVCache:
    def write(to_bgsk, from_1gpk):
        return place_cache(jax.lax.dynamic_update_slice(to_bgsk, from_1gpk, (row, 0, 0, 0)))

    return jax.tree.map(write, cache, prefix)
