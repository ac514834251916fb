"""Attention kernels against attention by its definition, in float64: contexts and gradients of
packed documents.

The definition is computed with NumPy, so that a GPU compiles one small program a case.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hclx.errors import ConfigError
from hclx.model import blockwise, cudnn, triton

ROWS, HEADS, MEAN_DOCUMENT = 2, 2, 100


def problem(dtype: str, head: int, length: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Draws q, k, v and a cotangent, [b, t, h, k] in `dtype`, and the documents' numbers, int32
    [b, t].

    Scores have a standard deviation of 2: attention that is nearly uniform would hide what is
    wrong with it.
    """
    draw = np.random.default_rng(head)
    scales = (2.0, 1.0, 1.0, 1.0)
    arrays = [
        (scale * draw.standard_normal((ROWS, length, HEADS, head))).astype(jnp.dtype(dtype))
        for scale in scales
    ]
    starts = draw.random((ROWS, length)) < 1 / min(MEAN_DOCUMENT, length / 4)
    return arrays, np.cumsum(starts, axis=1).astype(np.int32)


def attention_by_definition(q, k, v, cotangent, segments) -> list[np.ndarray]:
    """Causal attention within segments, in float64: the context, and the gradients of q, k, v."""
    q, k, v, cotangent = (x.astype(np.float64).swapaxes(1, 2) for x in (q, k, v, cotangent))
    scale, length = q.shape[-1] ** -0.5, q.shape[2]
    visible = (segments[:, :, None] == segments[:, None, :]) & np.tri(length, dtype=bool)
    scores = np.where(visible[:, None], scale * q @ k.swapaxes(2, 3), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    d_weights = cotangent @ v.swapaxes(2, 3)
    d_scores = weights * (d_weights - (d_weights * weights).sum(-1, keepdims=True))
    results = (
        weights @ v,
        scale * d_scores @ k,
        scale * d_scores.swapaxes(2, 3) @ q,
        weights.swapaxes(2, 3) @ cotangent,
    )
    return [x.swapaxes(1, 2) for x in results]


def compare(name: str, dtype: str, head: int, length: int) -> dict[str, float]:
    """Relative errors of a kernel, and of XLA in the same dtype, from one compiled program.

    Args:
      name: cudnn, triton or xla. On a CPU, cudnn is replaced by XLA's attention under the same
        interface, and triton runs in an interpreter.
      dtype: of queries, keys and values.
      head: their size.
      length: tokens of a sequence.

    Returns:
      `context` and `gradient` (the largest error of those of q, k and v), and the same of XLA
      with the prefix `xla_`.

    Raises:
      ConfigError: the kernel cannot serve this device, dtype or head.
    """
    on_cpu = jax.devices()[0].platform == "cpu"
    kernels = {
        "xla": blockwise.blockwise_attention,
        "cudnn": functools.partial(
            cudnn.cudnn_attention, implementation="xla" if on_cpu else "cudnn"
        ),
        "triton": functools.partial(triton.triton_attention, interpret=on_cpu),
    }
    module = {"cudnn": cudnn, "triton": triton}.get(name)
    reason = module and not on_cpu and module.unsupported(jax.devices()[0], length, head, dtype)
    if reason:
        raise ConfigError(f"{name} {reason}")

    @jax.jit
    def results(q, k, v, cotangent, segments):
        def context_and_gradients(kernel):
            context, pullback = jax.vjp(lambda *qkv: kernel(*qkv, segments), q, k, v)
            return context, *pullback(cotangent)

        return context_and_gradients(kernels["xla"]), context_and_gradients(kernels[name])

    arrays, segments = problem(dtype, head, length)
    exact = attention_by_definition(*arrays, segments)
    by_xla, by_kernel = jax.device_get(results(*arrays, segments))
    return _errors("", by_kernel, exact) | _errors("xla_", by_xla, exact)


def _errors(prefix: str, results, exact) -> dict[str, float]:
    norm = np.linalg.norm
    context, *gradients = (
        float(norm(x.astype(np.float64) - y) / norm(y)) for x, y in zip(results, exact, strict=True)
    )
    # Not max(), which may lose a NaN.
    return {f"{prefix}context": context, f"{prefix}gradient": float(np.max(gradients))}
