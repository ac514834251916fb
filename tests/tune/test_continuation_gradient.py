"""The gradient of a continuation on a model that is loaded for inference, against PyTorch, the
plain forward pass, and other layouts of the same model.
"""

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig, ModelConfig
from hclx.errors import ConfigError
from hclx.model import hidden_states, token_vectors, unembed
from hclx.tune.continuation_gradient import ContinuationGradients
from tests.helpers.engines import loaded
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.tuning import FP32, load_base, plain_batch, torch_model

CONTEXT, CONTINUATION = [5, 17, 9, 17, 30, 2], [44, 8, 61]
NO_SLOTS = np.zeros((0, 48), np.float32)
TINY = ModelConfig(vocab_size=128, n_layers=2, d_model=48, n_heads=4, max_length=64)


@pytest.mark.parametrize("name", ["llama", pytest.param("gpt2", marks=pytest.mark.long)])
def test_it_is_that_of_pytorch(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    base = load_base(name)
    answer = ContinuationGradients(loaded(base.params, base.config))(
        CONTEXT, CONTINUATION, NO_SLOTS
    )
    model = torch_model(base)
    ids = torch.tensor([CONTEXT + CONTINUATION])
    vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
    logprobs = model(inputs_embeds=vectors).logits[0].log_softmax(-1)
    total = sum(logprobs[5 + i, token] for i, token in enumerate(CONTINUATION))
    total.backward()
    assert answer.logprob == pytest.approx(float(total.detach()), rel=1e-5)
    np.testing.assert_allclose(answer.vectors_nd, vectors.detach()[0, :6], rtol=1e-6)
    assert vectors.grad[0, :6].abs().max() > 1e-3
    np.testing.assert_allclose(answer.gradient_nd, vectors.grad[0, :6], atol=1e-4, rtol=0)


def plain_gradient(params, ids, n_context):
    """jax.grad of the sum of log-probabilities by the plain forward pass."""
    batch = plain_batch([ids[:-1]])

    def total(vectors_btd):
        x_btd = hidden_states(
            params, batch.tokens_bt, batch.segments_bt, batch.positions_bt, TINY, FP32,
            vectors_btd=vectors_btd,
        )  # fmt: skip
        logprobs_tv = jax.nn.log_softmax(unembed(params, x_btd, TINY)[0])
        return sum(logprobs_tv[i - 1, ids[i]] for i in range(n_context, len(ids)))

    vectors_btd = token_vectors(params, batch.tokens_bt, TINY)
    return jax.jit(jax.grad(total))(vectors_btd)[0, :n_context]


def test_it_is_that_of_the_plain_forward_pass():
    params = noisy_params(TINY)
    answer = ContinuationGradients(loaded(params, TINY))(CONTEXT, CONTINUATION, NO_SLOTS)
    expected = plain_gradient(params, CONTEXT + CONTINUATION, len(CONTEXT))
    np.testing.assert_allclose(answer.gradient_nd, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    "mesh, dtype, tolerance",
    [
        (MeshConfig(data=2, fsdp=1, model=4), "float32", 1e-4),
        (None, "int8", 0.2),
        (None, "bfloat16", 0.1),
    ],
)
def test_other_layouts_and_dtypes_are_close(mesh, dtype, tolerance):
    params = noisy_params(TINY, gain=1)
    expected = ContinuationGradients(loaded(params, TINY))(CONTEXT, CONTINUATION, NO_SLOTS)
    other = ContinuationGradients(loaded(params, TINY, mesh, dtype))
    gradient = other(CONTEXT, CONTINUATION, NO_SLOTS).gradient_nd
    distance = np.linalg.norm(gradient - expected.gradient_nd)
    assert distance < tolerance * np.linalg.norm(expected.gradient_nd)


def test_slots_are_vectors_of_the_caller():
    """A slot that holds the vector of a token is that token."""
    gradients = ContinuationGradients(loaded(noisy_params(TINY), TINY))
    plain = gradients(CONTEXT, CONTINUATION, NO_SLOTS)
    slots = np.stack([plain.vectors_nd[2], plain.vectors_nd[4]])
    with_slots = [5, 17, 128, 17, 129, 2]
    answer = gradients(with_slots, CONTINUATION, slots)
    assert answer.logprob == pytest.approx(plain.logprob, rel=1e-6)
    np.testing.assert_allclose(answer.gradient_nd, plain.gradient_nd, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "context, slots, message",
    [
        ([5, 128], NO_SLOTS, "token 128 is not an id from 0 to 127"),
        ([5, 128], np.zeros((1, 4)), r"shape \[1, 4\]"),
        ([5, 128], np.full((1, 48), np.nan), "not finite"),
        ([5] * 63, NO_SLOTS, "a row has 65 tokens"),
    ],
)
def test_what_has_no_gradient_is_refused(context, slots, message):
    gradients = ContinuationGradients(loaded(noisy_params(TINY), TINY))
    with pytest.raises(ConfigError, match=message):
        gradients(context, CONTINUATION, slots)
