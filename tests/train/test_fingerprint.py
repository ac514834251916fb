"""The fingerprint of arrays: a brute-force version in Python's integers, any mesh, any single
bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.parallel import make_mesh, named_sharding
from hclx.train.fingerprint import PartialFingerprint, fingerprint

U32 = 0xFFFFFFFF


def mix(x):
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & U32
    x = ((x ^ (x >> 15)) * 0x846CA68B) & U32
    return x ^ (x >> 16)


def brute_force(array: np.ndarray) -> str:
    bits = array.ravel().view({2: np.uint16, 4: np.uint32}[array.dtype.itemsize]).tolist()
    mixed = [mix(b ^ mix(i)) for i, b in enumerate(bits)]
    sums = sum(mixed) & U32, sum(mix(x ^ 0x9E3779B9) for x in mixed) & U32
    return f"{array.dtype}{list(array.shape)}:{sums[0]:08x}{sums[1]:08x}"


@pytest.mark.parametrize("dtype", ["float32", "int32", "bfloat16"])
def test_it_is_the_formula(dtype):
    array = np.asarray(
        jnp.asarray(np.random.default_rng(0).normal(size=(5, 7, 3)) * 100).astype(dtype)
    )
    assert fingerprint({"a": jnp.asarray(array)}) == {"a": brute_force(array)}


def test_it_is_the_same_on_any_mesh():
    array = np.random.default_rng(1).normal(size=(16, 24)).astype(np.float32)
    expected = fingerprint({"x": jnp.asarray(array)})
    for config in (
        MeshConfig(fsdp=8),
        MeshConfig(fsdp=1, model=8),
        MeshConfig(data=2, fsdp=2, model=2),
    ):
        placed = jax.device_put(array, named_sharding(make_mesh(config), ("embed", "mlp")))
        assert fingerprint({"x": placed}) == expected


def test_every_single_flipped_bit_shows():
    array = np.random.default_rng(2).normal(size=(6, 5)).astype(np.float32)
    original = fingerprint({"x": jnp.asarray(array)})
    for element in range(array.size):
        for bit in range(32):
            damaged = array.copy()
            damaged.ravel().view(np.uint32)[element] ^= np.uint32(1 << bit)
            assert fingerprint({"x": jnp.asarray(damaged)}) != original


def test_swaps_zeros_shape_and_dtype_show():
    x = np.arange(12, dtype=np.float32)
    swapped = x.copy()
    swapped[[3, 8]] = swapped[[8, 3]]
    prints = [
        fingerprint({"x": jnp.asarray(a)})["x"]
        for a in (x, swapped, x.reshape(3, 4), x.astype(np.int32), 0 * x, -0.0 * x)
    ]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("shape", [(7, 5, 3), (9,), (4, 1)])
def test_the_parts_of_an_array_make_its_fingerprint_in_any_order(shape):
    array = np.random.default_rng(4).normal(size=shape).astype(np.float32)
    sums = PartialFingerprint(shape, "float32")
    for begin, end in ((3, shape[0]), (0, 1), (1, 3)):
        sums.add(begin, array[begin:end])
    assert sums.text() == brute_force(array)


def test_positions_are_counted_modulo_2_to_the_32():
    """The last rows of an array of 2^32 + 8 elements, by the formula."""
    shape, rows = (2**29 + 1, 8), np.arange(16, dtype=np.float32).reshape(2, 8)
    sums = PartialFingerprint(shape, "float32")
    sums.add(2**29 - 1, rows)
    first = 2**32 - 8
    bits = rows.ravel().view(np.uint32).tolist()
    mixed = [mix(b ^ mix((first + i) & U32)) for i, b in enumerate(bits)]
    expected = sum(mixed) & U32, sum(mix(x ^ 0x9E3779B9) for x in mixed) & U32
    assert sums.text().endswith(":%08x%08x" % expected)


def test_an_array_of_numpy_is_read_in_parts(monkeypatch):
    monkeypatch.setattr("hclx.train.row_ranges._PART_BYTES", 100)
    array = np.random.default_rng(5).normal(size=(11, 6)).astype(np.float32)
    assert fingerprint({"a": {"b": array}, "c": None}) == {"a/b": brute_force(array)}
