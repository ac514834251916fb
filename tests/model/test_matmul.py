"""Quantised products against numpy, one number at a time; what they refuse; the decoder trained
with them.
"""

import functools
import types

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from hclx.config import ComputeConfig, MeshConfig, ModelConfig, OptimizerConfig, TrainConfig
from hclx.data.batch import make_batch
from hclx.errors import ConfigError
from hclx.model import hidden_states, init_params
from hclx.model.matmul import check_precision, matmul
from hclx.parallel import make_mesh
from hclx.train.optimizer import decay_mask, learning_rate_schedule, make_optimizer
from hclx.train.state import fresh_state
from hclx.train.step import make_loss, make_program, train_step
from tests.helpers.meshes import experiment

QUANTISED = ("int8", "fp8")
# The largest number of a format, and how numpy rounds to it.
INT8 = (127, np.rint)
E4M3 = (448, lambda x: x.astype(ml_dtypes.float8_e4m3fn).astype(np.float64))
E5M2 = (57344, lambda x: x.astype(ml_dtypes.float8_e5m2).astype(np.float64))
FORMATS = {"int8": (INT8, INT8), "fp8": (E4M3, E5M2)}


def quantised_rows(rows, largest, rounded):
    """Each row as the numbers that its eight bits stand for, in float64; scales are float32, as in
    the code under test.
    """
    quantised = np.zeros(rows.shape)
    for i, row in enumerate(rows.astype(np.float32)):
        scale = np.float32(np.abs(row).max()) / np.float32(largest)
        quantised[i] = rounded(row / scale) * np.float64(scale) if scale else 0
    return quantised


@pytest.fixture(scope="module")
def problem():
    """Activations and weights whose rows and columns differ by orders of magnitude, and a gradient
    of what they make.
    """
    draw = np.random.default_rng(0)
    x = draw.normal(size=(2, 5, 48)) * 10.0 ** draw.integers(-3, 3, (2, 5, 1))
    w = draw.normal(size=(48, 3, 4, 8)) * 10.0 ** draw.integers(-3, 3, (1, 3, 4, 8))
    dy = draw.normal(size=(2, 5, 3, 4, 8)) * 10.0 ** draw.integers(-6, 0, (2, 5, 1, 1, 1))
    x[0, 1] = w[:, 0, 2, 3] = dy[1, 3] = 0  # rows without a scale
    return tuple(jnp.asarray(a, jnp.float32) for a in (x, w, dy))


def products(problem, precision):
    def run(x, w, dy):
        y, vjp = jax.vjp(functools.partial(matmul, precision=precision), x, w)
        return y, *vjp(dy)

    return jax.device_get(jax.jit(run)(*problem))


def assert_near(actual, expected):
    """Row by row: sums in float32 of numbers that are the same."""
    expected = expected.reshape(actual.shape)
    largest = np.abs(expected).max(-1, keepdims=True)
    assert np.all(np.abs(actual - expected) <= 2e-6 * largest), np.max(
        np.abs(actual - expected) / (largest + 1e-30)
    )


@pytest.mark.parametrize("precision", QUANTISED)
def test_products_are_those_of_quantised_rows(problem, precision):
    """y = x w and dx = dy wᵀ, each with scales of its own over what it sums."""
    x, w, dy = (np.asarray(a) for a in problem)
    x, w, dy = x.reshape(10, 48), w.reshape(48, 96), dy.reshape(10, 96)
    operand, gradient = FORMATS[precision]
    y, dx, _ = products(problem, precision)
    assert_near(y.reshape(10, 96).T, quantised_rows(w.T, *operand) @ quantised_rows(x, *operand).T)
    assert_near(dx.reshape(10, 48), quantised_rows(dy, *gradient) @ quantised_rows(w, *operand).T)


@pytest.mark.parametrize("precision", QUANTISED)
def test_the_gradient_of_the_weights_is_not_quantised(problem, precision):
    dw, full = products(problem, precision)[2], products(problem, "full")[2]
    assert dw.dtype == jnp.float32
    np.testing.assert_array_equal(dw, full)
    x, _, dy = (np.asarray(a, np.float64) for a in problem)
    np.testing.assert_allclose(dw, np.einsum("btd,btchk->dchk", x, dy), rtol=1e-4, atol=1e-6)


# Of two operands, each with the mean square of step² / 12 over normal numbers. The largest of 256
# is 3.06 on average: int8 steps by 3.06 / 127 everywhere; e4m3 by 3.06 * 32 / 448 above 1.749, by
# half of that above 0.874, and so on.
@pytest.mark.parametrize("precision, expected", [("int8", 0.0098), ("fp8", 0.0374)])
def test_error_of_a_product(precision, expected):
    """In root mean square of the exact result, for normal numbers in bfloat16, is that of the
    format.
    """
    draw = np.random.default_rng(1)
    x, w = draw.normal(size=(64, 256)), draw.normal(size=(256, 64))
    y = jax.jit(matmul, static_argnums=2)(
        jnp.asarray(x, jnp.bfloat16), jnp.asarray(w, jnp.float32), precision
    )
    assert y.dtype == jnp.bfloat16
    exact = x @ w
    error = np.sqrt(np.square(np.asarray(y, np.float64) - exact).mean() / np.square(exact).mean())
    assert error == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("precision", QUANTISED)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_not_hidden(precision, bad):
    x = jnp.ones((3, 4)).at[1, 2].set(bad)
    finite = np.isfinite(
        np.asarray(jax.jit(matmul, static_argnums=2)(x, jnp.ones((4, 5)), precision))
    )
    assert finite[[0, 2]].all() and not finite[1].any()


def test_eight_bits_reach_the_product():
    """Of int8 and of float8, in what is given to XLA: two products a layer; the gradient of the
    weights is the third.
    """
    x, w = jnp.ones((16, 32), jnp.bfloat16), jnp.ones((32, 64))
    for precision, operands in (
        ("full", []),
        ("int8", ["tensor<16x32xi8>, tensor<32x64xi8>", "tensor<16x64xi8>, tensor<32x64xi8>"]),
        (
            "fp8",
            [
                "tensor<16x32xf8E4M3FN>, tensor<32x64xf8E4M3FN>",
                "tensor<16x64xf8E5M2>, tensor<32x64xf8E4M3FN>",
            ],
        ),
    ):
        loss = lambda x, w: jnp.square(matmul(x, w, precision)).sum().astype(jnp.float32)
        text = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, w).as_text()
        dots = [line for line in text.splitlines() if "dot_general" in line]
        assert len(dots) == 3 and sum("bf16>, tensor" in line for line in dots) == 3 - len(operands)
        assert all(sum(pair in line for line in dots) == 1 for pair in operands)


def test_every_product_of_a_block_goes_through_the_hook():
    """Five products, and what is kept full: scores, context and nothing else."""
    config = ModelConfig(vocab_size=64, n_layers=1, d_model=16, n_heads=2, max_length=8)
    zeros = jnp.zeros((1, 8), jnp.int32)
    for precision, mark in (("int8", "xi8>, tensor"), ("fp8", "xf8E4M3FN>, tensor")):
        run = lambda params: hidden_states(
            params, zeros, zeros, zeros, config, ComputeConfig(matmul=precision)
        )
        text = jax.jit(run).lower(init_params(config, jax.random.key(0))).as_text()
        dots = [line for line in text.splitlines() if "dot_general" in line]
        assert len(dots) == 7 and sum(mark in line for line in dots) == 5


def device(platform, kind, **fields):
    return types.SimpleNamespace(platform=platform, device_kind=kind, **fields)


CPU, TPU = device("cpu", "cpu"), device("tpu", "TPU v5 lite")
A100, H200, MI300 = (
    device("gpu", kind, compute_capability=version)
    for kind, version in (
        ("NVIDIA A100-SXM4-80GB", "8.0"),
        ("NVIDIA H200", "9.0"),
        ("AMD Instinct MI300X", "gfx942"),
    )
)


@pytest.mark.parametrize(
    "precision, good, bad",
    [
        ("full", [CPU, TPU, A100, H200, MI300], []),
        ("int8", [CPU, TPU], [A100, H200, MI300]),
        ("fp8", [CPU, H200], [TPU, A100, MI300]),
    ],
)
def test_a_precision_that_the_devices_do_not_have_is_refused(precision, good, bad):
    for accepted in good:
        check_precision(precision, accepted)
    for refused in bad:
        with pytest.raises(
            ConfigError, match=f"ComputeConfig.matmul='{precision}'.*{refused.device_kind}"
        ):
            check_precision(precision, refused)


def test_a_run_asks_whether_its_devices_have_the_precision():
    mesh = make_mesh(MeshConfig(fsdp=1), jax.devices()[:1])
    gpu = types.SimpleNamespace(shape=mesh.shape, devices=np.array([H200]))
    with pytest.raises(
        ConfigError, match="ComputeConfig.matmul='int8' is for TPUs and this is NVIDIA H200"
    ):
        make_program(experiment(MeshConfig(fsdp=1), ComputeConfig(matmul="int8")), gpu)
    with pytest.raises(ConfigError, match="is not one of full, int8, fp8"):
        ComputeConfig(matmul="int4")


# Training: bytes of Korean text, which a decoder of this size learns to predict well within these
# steps.
CONFIG = ModelConfig(vocab_size=256, n_layers=2, d_model=64, n_heads=2, max_length=64)
OPTIMIZER = OptimizerConfig(learning_rate=1e-3, warmup_steps=20)
STEPS, BATCH = 120, 8


@pytest.fixture(scope="module")
def train(sample_texts):
    """Precision -> losses of all steps, and the last state."""
    text = np.frombuffer("".join(sample_texts).encode(), np.uint8)
    starts = np.random.default_rng(0).integers(0, len(text) - 65, (STEPS, BATCH, 1))
    rows = text[starts + np.arange(65)].astype(np.int32)
    batches = jax.tree.map(lambda *fields: np.stack(fields), *(make_batch(r, 0) for r in rows))
    optimizer = make_optimizer(OPTIMIZER, decay_mask(CONFIG))

    @functools.cache
    def run(precision):
        loss_fn = make_loss(CONFIG, ComputeConfig(matmul=precision, loss_chunk_tokens=0))
        step = functools.partial(
            train_step,
            loss_fn=loss_fn,
            optimizer=optimizer,
            schedule=learning_rate_schedule(OPTIMIZER, STEPS),
            microbatches=1,
        )

        def whole_run(key):
            state = fresh_state(init_params(CONFIG, key), TrainConfig(), optimizer)
            return jax.lax.scan(step, state, batches)

        state, metrics = jax.jit(whole_run)(jax.random.key(0))
        return np.asarray(metrics["loss"], np.float64), state

    return run


@pytest.mark.long
@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_the_loss_curve_stays_within_one_percent_of_bfloat16(train, precision):
    (losses, state), (expected, _) = train(precision), train("full")
    assert expected[-20:].mean() < 0.6 * expected[0]  # it learns, so that the curves could part
    assert abs(losses[-20:].mean() / expected[-20:].mean() - 1) < 0.01
    assert np.abs(losses / expected - 1).max() < 0.01  # in every step
    assert np.abs(losses - expected).max() > 0  # and it is not the same computation
    assert {leaf.dtype for leaf in jax.tree.leaves((state.params, state.opt_state[1].mu))} == {
        jnp.dtype("float32")
    }
