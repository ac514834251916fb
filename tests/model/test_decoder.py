"""The decoder against independent ones: numpy in float64, and Hugging Face's GPT-2."""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, ModelConfig
from hclx.model import (
    abstract_params,
    logical_axes,
    n_params,
)
from tests.helpers.decoder import CONFIG, EOD, FP32, drawn_params, logits
from tests.helpers.numpy_decoder import forward, noisy_params
from tests.helpers.sizes import SIZES


def random_tokens(batch, length, seed=0):
    return np.random.default_rng(seed).integers(2, CONFIG.vocab_size, (batch, length))


def test_logits_are_those_of_the_numpy_decoder():
    params, tokens = noisy_params(CONFIG), random_tokens(2, 40)
    for row, row_logits in zip(tokens, logits(params, tokens)):
        np.testing.assert_allclose(row_logits, forward(params, row, CONFIG), rtol=1e-4, atol=1e-4)


def test_logits_are_those_of_hugging_face_gpt2():
    torch, gpt2 = pytest.importorskip("torch"), pytest.importorskip("tests.benchmarks.gpt2")
    params, tokens = noisy_params(CONFIG), random_tokens(2, 40)
    with torch.no_grad():
        theirs = gpt2.from_params(params, CONFIG)(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(logits(params, tokens), theirs, rtol=1e-4, atol=1e-4)


def test_packed_documents_are_computed_as_if_alone():
    params, window = noisy_params(CONFIG), random_tokens(1, 40, seed=3)
    window[0, [0, 11, 12, 29]] = EOD
    packed_logits = np.asarray(logits(params, window))[0]
    for start, stop in ((0, 11), (11, 12), (12, 29), (29, 40)):
        np.testing.assert_allclose(
            packed_logits[start:stop],
            forward(params, window[0, start:stop], CONFIG),
            rtol=1e-4,
            atol=1e-4,
        )


def test_a_later_token_changes_nothing_before_it():
    params, tokens = noisy_params(CONFIG), random_tokens(1, 40)
    changed = tokens.copy()
    changed[0, 25] = (changed[0, 25] + 1 - 2) % 95 + 2
    before, after = np.asarray(logits(params, tokens))[0], np.asarray(logits(params, changed))[0]
    assert (before[:25] == after[:25]).all() and not np.allclose(before[25:], after[25:])


@functools.cache
def gradients(compute):
    params, tokens = noisy_params(CONFIG), random_tokens(2, 40)
    return jax.jit(jax.grad(lambda p: jnp.square(logits(p, tokens, compute)).mean()))(params)


@pytest.mark.parametrize(
    "compute",
    [
        ComputeConfig(dtype="float32", remat=r, scan_unroll=u)
        for r in ("minimal", "full")
        for u in (1, 3)
    ],
)
def test_remat_and_unrolling_change_no_gradient(compute):
    for gradient, expected in zip(
        jax.tree.leaves(gradients(compute)), jax.tree.leaves(gradients(FP32))
    ):
        np.testing.assert_allclose(gradient, expected, rtol=2e-4, atol=1e-5)


def test_bfloat16_stays_near_float32():
    params, tokens = drawn_params(CONFIG), random_tokens(2, 40)
    low = logits(params, tokens, ComputeConfig(dtype="bfloat16"))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, logits(params, tokens), atol=0.02)


def test_initialisation():
    config = ModelConfig(vocab_size=2048, n_layers=4, d_model=256, n_heads=4, max_length=512)
    params = drawn_params(config)
    block = params["blocks"]
    for array, std in [
        (params["embedding"]["token"], 0.02),
        (params["embedding"]["position"], 0.02),
        (block["attention"]["q"], 0.02),
        (block["attention"]["kv"], 0.02),
        (block["mlp"]["wi"], 0.02),
        (block["attention"]["out"], 0.02 / 8**0.5),
        (block["mlp"]["wo"], 0.02 / 8**0.5),
    ]:
        assert (
            np.std(array) == pytest.approx(std, rel=0.02) and abs(np.mean(array)) < 0.01 * std * 10
        )
    for array in (
        block["attention"]["q_bias"],
        block["attention"]["kv_bias"],
        block["mlp"]["wo_bias"],
        params["final_norm"]["bias"],
    ):
        assert not np.any(array)
    assert np.all(np.asarray(params["final_norm"]["scale"]) == 1)
    assert not np.allclose(block["mlp"]["wi"][0], block["mlp"]["wi"][1])
    assert jax.tree.leaves(params)[0].dtype == jnp.float32


# Kim et al. 2021, table 1, in billions (how embeddings are counted there is not said); 204B is this
# project's own shape.
PUBLISHED = {
    "137m": 0.137,
    "350m": 0.35,
    "760m": 0.76,
    "1b3": 1.3,
    "6b9": 6.9,
    "13b": 13.0,
    "39b": 39.0,
    "82b": 82.0,
    "204b": 204.0,
}


@pytest.mark.parametrize("size", SIZES)
def test_every_size_has_the_parameters_of_the_closed_formula_and_costs_no_memory(size):
    config, start = SIZES[size], time.perf_counter()
    shapes = jax.tree.leaves(abstract_params(config))
    assert time.perf_counter() - start < 10
    assert all(isinstance(s, jax.ShapeDtypeStruct) for s in shapes)
    v, t, n, d = config.vocab_size, config.max_length, config.n_layers, config.d_model
    block = (d * 3 * d + 3 * d) + (d * d + d) + (d * 4 * d + 4 * d) + (4 * d * d + d) + 2 * 2 * d
    assert sum(s.size for s in shapes) == v * d + t * d + n * block + 2 * d == n_params(config)
    assert n_params(config) / 1e9 == pytest.approx(PUBLISHED[size], rel=0.09)


def test_every_parameter_names_its_axes():
    shapes, axes = abstract_params(CONFIG), logical_axes(CONFIG)
    jax.tree.map(
        lambda s, a: None if len(s.shape) == len(a) else pytest.fail(f"{a} for {s.shape}"),
        shapes,
        axes,
    )
    assert axes["blocks"]["mlp"]["wi"] == ("layers", "embed", "mlp")
