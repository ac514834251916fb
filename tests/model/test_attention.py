"""Attention backends against attention by its definition, what their backward pass keeps, and what
they refuse.
"""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.cudnn import fused_attention_stablehlo

from hclx.config import MeshConfig
from hclx.errors import ConfigError
from hclx.model.attention import _repeats, choose_backend
from hclx.model.cudnn import cudnn_attention
from hclx.model.remat import remat
from hclx.model.splash import splash_attention
from hclx.model.triton import triton_attention
from hclx.parallel import make_mesh
from tests.helpers.attention import whole_square

B, T, H = 2, 256, 4
ONE, EIGHT = MeshConfig(fsdp=1), MeshConfig(data=2, fsdp=1, seq=2, model=2)
SPLASH = functools.partial(splash_attention, interpret=True)
TRITON = functools.partial(triton_attention, interpret=True)
# its coordinates, on a kernel that CPUs have
CUDNN = functools.partial(cudnn_attention, implementation="xla")


def problem(size, length=T):
    """Queries, keys, values and the segments of a few documents."""
    draw = np.random.default_rng(0)
    q, k, v = (jnp.asarray(draw.normal(size=(B, length, H, size)), jnp.float32) for _ in range(3))
    return (
        q,
        k,
        v,
        jnp.cumsum(jnp.asarray(draw.random((B, length)) < 0.02), axis=1, dtype=jnp.int32),
    )


def weigh(attend, q, k, v):
    """A scalar whose gradient reaches every element of the context with another weight."""
    return (attend(q, k, v) * jnp.cos(jnp.arange(q.size, dtype=jnp.float32)).reshape(q.shape)).sum()


def both(attend, q, k, v):
    """The context, and the gradients of queries, keys and values."""
    run = lambda q, k, v: (
        attend(q, k, v),
        jax.grad(functools.partial(weigh, attend), argnums=(0, 1, 2))(q, k, v),
    )
    return jax.tree.leaves(jax.jit(run)(q, k, v))


@pytest.mark.parametrize(
    "kernel, size, mesh, atol",
    [
        (SPLASH, 64, ONE, 1e-5),
        (SPLASH, 64, EIGHT, 1e-5),
        (TRITON, 48, ONE, 1e-5),
        (TRITON, 64, EIGHT, 1e-5),
        # scores are rounded where the coordinates' products are added, to 2**-8 before they are
        # scaled
        (CUDNN, 48, ONE, 5e-3),
        (CUDNN, 96, EIGHT, 5e-3),
    ],
)
def test_kernels_are_attention_by_its_definition(kernel, size, mesh, atol):
    """Packed documents, forward and backward, alone and each device with its rows and heads."""
    q, k, v, segments = problem(size)
    expected = lambda q, k, v: whole_square(q, k, v, segments)
    kernel_attention = functools.partial(kernel, segments_bt=segments)

    with jax.set_mesh(make_mesh(mesh, jax.devices()[: 1 if mesh is ONE else 8])):
        results = both(kernel_attention, q, k, v)
    for result, reference in zip(results, both(expected, q, k, v), strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=2 * atol)


@pytest.mark.parametrize("mesh", [ONE, EIGHT])
def test_a_group_of_query_heads_shares_keys_and_values(mesh):
    """Two heads of keys and values for eight of queries, forward and backward; on the mesh each is
    repeated once, as four devices share the heads.
    """
    q, k, v, segments = problem(64)
    q = jnp.concatenate([q, q[:, ::-1]], axis=2)
    k, v = k[:, :, :2], v[:, :, :2]
    whole = lambda x: jnp.repeat(x, 4, axis=2)
    expected = lambda q, k, v: whole_square(q, whole(k), whole(v), segments)

    def shared(q, k, v):
        n = _repeats("cudnn", 8, 2)
        assert n == (1 if mesh is ONE else 2)
        return CUDNN(q, jnp.repeat(k, n, axis=2), jnp.repeat(v, n, axis=2), segments_bt=segments)

    with jax.set_mesh(make_mesh(mesh, jax.devices()[: 1 if mesh is ONE else 8])):
        results = both(shared, q, k, v)
    for result, reference in zip(results, both(expected, q, k, v), strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=4e-2)


def test_keys_and_values_are_repeated_only_as_often_as_they_must():
    assert [_repeats(name, 32, 8) for name in ("xla", "splash", "triton")] == [4, 4, 4]
    assert _repeats("cudnn", 32, 8) == _repeats("cudnn", 12, 12) == 1
    eight = lambda **axes: jax.set_mesh(make_mesh(MeshConfig(fsdp=1, **axes)))
    with eight(model=8):
        assert (_repeats("cudnn", 32, 8), _repeats("cudnn", 32, 2)) == (1, 4)
        assert _repeats("cudnn", 24, 6) == 4  # 12 heads would not divide by 8
    with eight(model=2, seq=4):
        assert _repeats("cudnn", 16, 4) == 2


def test_no_document_sees_another_through_its_coordinates():
    """Documents of two tokens, in bfloat16, and scores between them that would win by far."""
    q = jnp.full((1, 128, 1, 64), 8.0, jnp.bfloat16)
    segments = jnp.arange(128)[None] // 2 + 2**14
    # the second of a document likes all first ones
    k = jnp.where((jnp.arange(128) % 2 == 0)[None, :, None, None], q, -q)
    v = jnp.broadcast_to(jnp.arange(128, dtype=jnp.float32)[None, :, None, None], q.shape).astype(
        jnp.bfloat16
    )
    attended = cudnn_attention(q, k, v, segments, implementation="xla")
    np.testing.assert_array_equal(
        attended, jnp.broadcast_to((v[:, ::2])[:, :, None], (1, 64, 2, 1, 64)).reshape(q.shape)
    )


def primitives(jaxpr) -> list[str]:
    """Names of all primitives of a jaxpr, those within others too."""
    names = []
    for equation in jaxpr.eqns:
        names.append(equation.primitive.name)
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)
            names.extend(primitives(inner) if hasattr(inner, "eqns") else ())
    return names


@pytest.mark.parametrize(
    "attend, of_the_kernel, once",
    [
        (TRITON, "pallas_call", 3),  # forward, a sum before the backward pass, the backward pass
        (cudnn_attention, "dot_product_attention_fwd_wrapper", 1),
    ],
)
def test_the_backward_pass_does_not_run_the_kernel_again(monkeypatch, attend, of_the_kernel, once):
    """Under the default policy: what it needs has the name that is kept. Traced alone, so that
    cuDNN is not needed.
    """
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    *qkv, segments = problem(48, 128)

    def loss(*qkv):
        qkv = [jax.ad_checkpoint.checkpoint_name(x.astype(jnp.bfloat16), "qkv") for x in qkv]
        return jnp.square(attend(*qkv, segments)).sum().astype(jnp.float32)

    operations = {
        policy: primitives(jax.make_jaxpr(jax.grad(remat(loss, policy)))(*qkv).jaxpr)
        for policy in ("minimal", "full")
    }
    assert operations["minimal"].count(of_the_kernel) == once
    assert operations["full"].count(of_the_kernel) == once + 1


def device(platform, capability="9.0"):
    return types.SimpleNamespace(platform=platform, compute_capability=capability)


HOPPER, AMPERE, VOLTA, CPU, TPU = (
    device("gpu"),
    device("gpu", "8.0"),
    device("gpu", "7.0"),
    device("cpu", None),
    device("tpu", None),
)


@pytest.mark.parametrize(
    "where, length, size, dtype, expected",
    [
        (TPU, 2048, 64, "bfloat16", "splash"),
        (TPU, 100, 64, "bfloat16", "xla"),
        (CPU, 2048, 64, "float32", "xla"),
        (HOPPER, 2048, 128, "bfloat16", "cudnn"),
        (HOPPER, 2048, 128, "float32", "triton"),
        (AMPERE, 2048, 96, "bfloat16", "cudnn"),
        (AMPERE, 2048, 128, "bfloat16", "triton"),
        (AMPERE, 2000, 128, "bfloat16", "xla"),
        (VOLTA, 2048, 64, "bfloat16", "xla"),
        (device("gpu", "gfx90a"), 2048, 64, "bfloat16", "xla"),
    ],
)
def test_auto_takes_the_kernel_that_serves(where, length, size, dtype, expected):
    assert choose_backend("auto", where, length=length, head_size=size, dtype=dtype) == expected


@pytest.mark.parametrize(
    "backend, where, length, size, dtype, message",
    [
        ("splash", CPU, 2048, 64, "bfloat16", "kernel for TPUs"),
        ("splash", TPU, 200, 64, "bfloat16", "multiples of 128"),
        ("cudnn", CPU, 2048, 64, "bfloat16", "kernel for NVIDIA GPUs"),
        ("cudnn", HOPPER, 2048, 64, "float32", "computes in bfloat16"),
        ("cudnn", AMPERE, 2048, 128, "bfloat16", "up to 112"),
        ("cudnn", HOPPER, 2048, 60, "bfloat16", "multiples of 8"),
        ("cudnn", HOPPER, 2048, 256, "bfloat16", "up to 240"),
        ("cudnn", HOPPER, 2**15, 64, "bfloat16", "less than 32768 tokens"),
        ("triton", VOLTA, 2048, 64, "bfloat16", "from Ampere on"),
        ("triton", HOPPER, 200, 64, "bfloat16", "multiples of 128 tokens"),
        ("triton", HOPPER, 2048, 256, "bfloat16", "up to 128"),
    ],
)
def test_a_named_backend_that_cannot_serve_is_refused(backend, where, length, size, dtype, message):
    with pytest.raises(ConfigError, match=message):
        choose_backend(backend, where, length=length, head_size=size, dtype=dtype)


def test_a_kernel_that_jax_no_longer_has_is_refused(monkeypatch):
    monkeypatch.setattr("hclx.model.triton._MODULE", "jax.experimental.pallas.ops.gpu.no_more")
    assert choose_backend("auto", HOPPER, length=2048, head_size=128, dtype="float32") == "xla"
    with pytest.raises(ConfigError, match="no longer has"):
        choose_backend("triton", HOPPER, length=2048, head_size=128, dtype="bfloat16")


@pytest.mark.parametrize(("backend", "where"), [("splash", TPU), ("cudnn", HOPPER)])
def test_kernels_refuse_windows_and_auto_takes_none(backend, where):
    shape = {"length": 2048, "head_size": 128, "dtype": "bfloat16"}
    assert choose_backend("auto", where, **shape) == backend
    assert choose_backend("auto", where, **shape, has_window=True) == "xla"
    with pytest.raises(ConfigError, match="no sliding windows, which ModelConfig.window asks for"):
        choose_backend(backend, where, **shape, has_window=True)
