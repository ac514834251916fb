"""What other families have, all of it in one model, on meshes: the same gradients as on one device,
in float32. Layers differ (windows, frequencies), heads of keys and values are shared, the head is a
matrix with a bias.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.parallel import make_mesh
from hclx.train.step import accumulate_gradients, make_loss, make_program
from tests.helpers import meshes
from tests.helpers.numpy_decoder import noisy_params

SIZES = {"vocab_size": 256, "n_layers": 8, "d_model": 64, "n_heads": 8, "max_length": 64}
GEMMA = ModelConfig(
    **SIZES,
    **{"kv_heads": 4, "head_size": 16, "mlp_size": 96, "norm": "rmsnorm", "gated_mlp": True},
    **{"norm_placement": "peri", "qk_norm": True, "activation": "silu", "mlp_bias": False},
    **{"qkv_bias": False, "attention_out_bias": False, "tied_head": False, "head_bias": True},
    **{"position": "rotary", "window": 12, "layer_pattern": "SSSF", "window_rotary_theta": 500.0},
    **{"rope_scaling": "yarn", "rope_factor": 4.0, "rope_original_length": 16},
    **{"embedding_multiplier": 3.0, "residual_multiplier": 0.7, "attention_multiplier": 0.2},
    logits_multiplier=0.6,
)
NEOX = ModelConfig(
    **SIZES,
    **{"residual": "parallel", "activation": "gelu", "tied_head": False, "position": "rotary"},
    **{"rotary_size": 4, "rotary_interleaved": True},
)
MODELS = {"gemma": GEMMA, "neox": NEOX}


@functools.cache
def gradients(model, config, compute, microbatches):
    model = MODELS[model]
    mesh = make_mesh(config, meshes.devices_of(config))
    with jax.set_mesh(mesh):
        experiment = meshes.experiment(config, compute, accumulation_steps=microbatches)
        program = make_program(dataclasses.replace(experiment, model=model), mesh)
        params = jax.tree.map(
            lambda x, like: jax.device_put(x, like.sharding),
            noisy_params(model, gain=1),
            program.abstract_state.params,
        )
        batch = meshes.batch_of(meshes.windows()[0], program)
        run = functools.partial(
            accumulate_gradients, make_loss(model, compute), microbatches=microbatches
        )
        return jax.device_get(jax.jit(run)(params, batch))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gemma", "data 2 x fsdp 2 x model 2"),
        pytest.param("gemma", "seq 2 x fsdp 2 x model 2", marks=pytest.mark.long),
        pytest.param("gemma", "pipe 2 x seq 2 x model 2, 2 repeats", marks=pytest.mark.long),
        pytest.param(
            *("gemma", "pipe 4 x model 2, no remat, 2 gradient microbatches"),
            marks=pytest.mark.long,
        ),
        pytest.param("neox", "pipe 2 x seq 2 x model 2, 2 repeats", marks=pytest.mark.long),
    ],
)
def test_loss_and_gradients_agree_with_one_device(model, name):
    loss, grads = gradients(model, *meshes.ALL[name])
    expected_loss, expected = gradients(model, meshes.ONE, meshes.COMPUTE, 1)
    assert loss == pytest.approx(expected_loss, abs=1e-5)
    for (path, gradient), expected_gradient in zip(
        jax.tree_util.tree_leaves_with_path(grads), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(
            *(gradient, expected_gradient), rtol=0, atol=1e-5, err_msg=jax.tree_util.keystr(path)
        )
        assert np.abs(expected_gradient).max() > 1e-5
