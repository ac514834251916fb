"""The layout of old checkpoints: a round trip, values by index, and where arrays are restored."""

import jax
import numpy as np
import pytest
from flax import nnx

from hclx.config import MeshConfig, ModelConfig
from hclx.model import abstract_params, init_params, logical_axes
from hclx.model.legacy import from_format_2, to_format_2
from hclx.parallel import make_mesh, named_sharding
from tests.helpers.numpy_decoder import noisy_params

CONFIG = ModelConfig(vocab_size=96, n_layers=3, d_model=24, n_heads=4, max_length=40)


def test_both_directions_are_inverse_and_move_values_alone():
    params = noisy_params(CONFIG)
    old = to_format_2(params)
    new, fused = params["blocks"]["attention"], old["blocks"]["attention"]
    assert set(fused) == {"qkv", "qkv_bias", "out", "out_bias"}
    np.testing.assert_array_equal(fused["qkv"][:, :, 0], new["q"])
    for i in (0, 1):
        np.testing.assert_array_equal(fused["qkv"][:, :, 1 + i], new["kv"][:, :, i])
        np.testing.assert_array_equal(fused["qkv_bias"][:, 1 + i], new["kv_bias"][:, i])
    jax.tree.map(np.testing.assert_array_equal, from_format_2(old), params)
    assert set(params["blocks"]["attention"]) == set(new)  # the argument is not changed


def test_a_seed_gives_the_parameters_of_earlier_versions():
    """Queries, keys and values of the first layer as one draw of the shape of format 2."""
    old = to_format_2(init_params(CONFIG, jax.random.key(5)))["blocks"]["attention"]["qkv"]
    key = nnx.Rngs(jax.random.split(jax.random.key(5), CONFIG.n_layers + 1)[1]).params()
    drawn = jax.random.normal(key, (24, 3, 4, 6))
    np.testing.assert_array_equal(old[0], 0.02 * drawn)


@pytest.mark.parametrize("mesh", [MeshConfig(), MeshConfig(pipe=1, fsdp=4, model=2)])
def test_an_abstract_tree_says_where_an_old_checkpoint_is_restored(mesh):
    mesh = make_mesh(mesh)
    abstract = jax.tree.map(
        lambda x, axes: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=named_sharding(mesh, axes)),
        abstract_params(CONFIG),
        logical_axes(CONFIG),
    )
    old = to_format_2(abstract)
    assert old["blocks"]["attention"]["qkv"].shape == (3, 24, 3, 4, 6)
    placed = jax.jit(to_format_2, out_shardings=jax.tree.map(lambda x: x.sharding, old))(
        noisy_params(CONFIG)
    )
    back = jax.eval_shape(from_format_2, placed)
    assert jax.tree.map(lambda x: x.shape, back) == jax.tree.map(lambda x: x.shape, abstract)
    spec = placed["blocks"]["attention"]["qkv"].sharding.spec
    assert spec == abstract["blocks"]["attention"]["kv"].sharding.spec
