"""The record of a parameter and what is derived from it; the seams for other model families."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, MeshConfig, ModelConfig
from hclx.data.batch import packing
from hclx.errors import ConfigError
from hclx.model import (
    ParamSpec,
    abstract_params,
    count_params,
    decoder,
    hidden_states,
    init_params,
    layers,
    n_params,
    param_specs,
)
from hclx.model.parameters import matrix, vector
from hclx.parallel import make_mesh
from hclx.train.flops import flops_per_token
from hclx.train.optimizer import decay_mask

CONFIG = ModelConfig(
    vocab_size=95, n_layers=4, d_model=32, n_heads=4, max_length=24, qk_norm=True, mlp_size=80
)
EOD = 1


def by_path(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.fixture
def fresh_modules():
    """No module of a changed builder stays in a cache."""
    caches = (decoder._abstract_modules, decoder.param_specs)
    [cache.cache_clear() for cache in caches]
    yield
    [cache.cache_clear() for cache in caches]


def test_abstract_parameters_are_the_shapes_of_those_that_are_made():
    made = jax.eval_shape(lambda: init_params(CONFIG, jax.random.key(0)))
    assert abstract_params(CONFIG) == made
    assert n_params(CONFIG) == sum(x.size for x in jax.tree.leaves(made))


def test_every_matrix_decays_and_every_factor_of_a_product_is_a_matrix():
    """By shape: a parameter is a matrix if it has two dimensions or more and is no bias."""
    for path, spec in by_path(param_specs(CONFIG)).items():
        dimensions = len(spec.shape) - path.startswith("blocks/")
        is_matrix = dimensions >= 2 and not path.endswith("bias")
        assert spec.decays == is_matrix, path
        assert spec.in_matmul == (is_matrix and path != "embedding/position"), path


def test_a_new_matrix_decays_and_counts_and_a_new_vector_does_not():
    assert matrix(jnp.ones((3, 4)), ("embed", "mlp")).get_metadata("spec") == ParamSpec(
        (3, 4), ("embed", "mlp"), decays=True, in_matmul=True
    )
    assert vector(0.0, (2, 4), ("norm", None)).get_metadata("spec") == ParamSpec(
        (2, 4), ("norm", None), decays=False, in_matmul=False
    )


def test_the_parameters_of_a_new_module_reach_decay_and_flops(monkeypatch, fresh_modules):
    """A matrix beside those of the MLP is declared once, by the module that has it."""

    class Gated(layers.Mlp):
        def __init__(self, config, rngs):
            super().__init__(config, rngs)
            shape = (config.d_model, config.d_mlp)
            self.second = matrix(layers.normal(rngs, shape, 0.02), ("embed", "mlp"))
            self.second_bias = vector(0.0, shape[1:], ("mlp",))

    before = flops_per_token(CONFIG, 16), n_params(CONFIG)
    for cache in (decoder._abstract_modules, decoder.param_specs):
        cache.cache_clear()
    monkeypatch.setattr(layers, "make_mlp", Gated)
    gate = CONFIG.n_layers * CONFIG.d_model * CONFIG.d_mlp
    assert flops_per_token(CONFIG, 16) == before[0] + 6 * gate
    assert n_params(CONFIG) == before[1] + gate + CONFIG.n_layers * CONFIG.d_mlp
    mlp = decay_mask(CONFIG)["blocks"]["mlp"]
    assert mlp["second"] and not mlp["second_bias"]
    assert init_params(CONFIG, jax.random.key(0))["blocks"]["mlp"]["second"].shape == (4, 32, 80)


def test_the_size_of_the_mlp_can_be_set():
    assert ModelConfig().d_mlp == 4 * ModelConfig().d_model and CONFIG.d_mlp == 80
    mlp = abstract_params(CONFIG)["blocks"]["mlp"]
    assert (mlp["wi"].shape, mlp["wo"].shape) == ((4, 32, 80), (4, 80, 32))
    specs = param_specs(CONFIG)["blocks"]
    assert count_params(specs, in_matmul=True) == 4 * (4 * 32 * 32 + 2 * 32 * 80)
    with pytest.raises(ConfigError, match="mlp_size=-1 is negative"):
        ModelConfig(mlp_size=-1)


def rotate(x_bthk, positions_bt, kind):
    """Rotary positions: scores depend on differences of positions alone."""
    half = x_bthk.shape[-1] // 2
    angles = positions_bt[:, :, None, None] * 100.0 ** (-jnp.arange(half) / half)
    a, b = jnp.split(x_bthk, 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


@pytest.mark.parametrize("mesh", [None, MeshConfig(pipe=2, fsdp=2, model=2)])
def test_positions_reach_every_block(mesh, monkeypatch, fresh_modules):
    """With positions in attention alone, packed documents are as if alone, also in a pipeline."""
    monkeypatch.setattr(layers, "make_position_encoding", lambda config: rotate)
    monkeypatch.setattr(layers, "make_position_table", lambda config, rngs: None)
    compute = ComputeConfig(dtype="float32")
    params = jax.tree.map(lambda x: 2 * x, init_params(CONFIG, jax.random.key(0)))
    assert set(params["embedding"]) == {"token"}
    window = np.random.default_rng(0).integers(2, 95, (8, 24))
    window[:, 9] = EOD

    run_packed = jax.jit(lambda *arrays: hidden_states(params, *arrays, CONFIG, compute))

    def run(tokens_bt, shift=0):
        segments_bt, positions_bt = packing(tokens_bt, EOD)
        return run_packed(tokens_bt, segments_bt, positions_bt + shift)

    if mesh is None:
        packed = run(window)
    else:
        with jax.set_mesh(make_mesh(mesh)):
            packed = run(window)
    alone = run(window[:, 9:])
    np.testing.assert_allclose(packed[:, 9:], alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run(window[:, 9:], 5), alone, rtol=1e-3, atol=1e-3)
    stretched = hidden_states(
        params, window[:, 9:], *(2 * x for x in packing(window[:, 9:], EOD)), CONFIG, compute
    )
    assert np.abs(np.asarray(stretched) - alone).max() > 0.1  # so that 1e-3 means something
