"""The fingerprint of arrays: a brute-force version in Python's integers, any mesh, any single
bit.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.parallel import make_mesh, named_sharding
from hclx.train.fingerprint import fingerprint

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
