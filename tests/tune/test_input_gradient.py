"""The gradient by input vectors against PyTorch, and a prompt that is optimised by it alone."""

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.tune.input_gradient import check_request, make_input_gradient, slot_gradient
from tests.helpers.tuning import (
    BASES,
    FP32,
    LENGTH,
    behind_slots,
    load_base,
    plain_batch,
    random_tokens,
    torch_loss,
    torch_model,
)

TABLE = np.random.default_rng(5).normal(size=(LENGTH, 48)).astype(np.float32)


@pytest.mark.parametrize("name", [*BASES, pytest.param("gemma3_text", marks=pytest.mark.long)])
def test_it_is_that_of_pytorch(name):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    base = load_base(name)
    batch = plain_batch(random_tokens())
    batch.weights_bt[:, 12:] = 0
    batch.weights_bt[0, 3] = 2.5
    answer = make_input_gradient(base.config, FP32)(base.params, batch, TABLE)
    model = torch_model(base)
    vectors = model.get_input_embeddings()(torch.tensor(batch.tokens_bt, dtype=torch.long))
    vectors = vectors.detach().requires_grad_()
    loss = torch_loss(model(inputs_embeds=vectors).logits, batch.targets_bt, batch.weights_bt)
    loss.backward()
    assert float(answer.loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    np.testing.assert_allclose(answer.vectors_btd, vectors.detach().numpy(), rtol=1e-6)
    assert vectors.grad.abs().max() > 1e-3
    np.testing.assert_allclose(answer.gradient_btd, vectors.grad.numpy(), atol=1e-5, rtol=0)
    assert np.abs(answer.gradient_btd[:, 12:]).max() == 0


def test_a_soft_prompt_is_optimised_through_it_alone():
    """Its user sends tokens and vectors, and gets gradients; the model stays behind the function.
    The prompt learns to make every row end with one token.
    """
    base = load_base("llama")
    vocab, slots = base.config.vocab_size, LENGTH
    batch = behind_slots(random_tokens((4, 6)), base)
    batch.targets_bt[:, -1], batch.weights_bt[:] = 17, 0
    batch.weights_bt[:, -1] = 1
    serve = make_input_gradient(base.config, FP32)
    table, momentum, losses = 0.1 * TABLE, np.zeros_like(TABLE), []
    for _ in range(40):
        check_request(batch, table, base.config)
        answer = serve(base.params, batch, table)
        gradient = slot_gradient(answer.gradient_btd, batch.tokens_bt, vocab, slots)
        losses.append(float(answer.loss))
        momentum = 0.9 * momentum + gradient
        table = table - 0.3 * momentum
    assert losses[0] > 3 and losses[-1] < losses[0] / 3


def test_the_gradient_of_a_slot_is_the_sum_over_its_positions():
    """Against a difference quotient along a random direction."""
    base = load_base("gpt2")
    tokens = random_tokens((2, 12))
    tokens[0, [0, 5, 7]] = tokens[1, 2] = base.config.vocab_size + 1
    batch = plain_batch(tokens)
    batch.weights_bt[np.asarray(batch.targets_bt) >= base.config.vocab_size] = 0
    serve = make_input_gradient(base.config, FP32)
    answer = serve(base.params, batch, TABLE)
    gradient = slot_gradient(answer.gradient_btd, tokens, base.config.vocab_size, LENGTH)
    assert np.abs(gradient[[0, 2, 3, 4]]).max() == 0
    direction = np.random.default_rng(6).normal(size=TABLE.shape).astype(np.float32)
    step = 1e-2
    ahead, behind = (
        float(serve(base.params, batch, TABLE + sign * step * direction).loss) for sign in (1, -1)
    )
    quotient = (ahead - behind) / (2 * step)
    assert (gradient * direction).sum() == pytest.approx(quotient, rel=2e-2)


def test_requests_without_an_answer_are_refused():
    base = load_base("gpt2")
    batch = behind_slots(random_tokens(), base)
    check_request(batch, TABLE, base.config)
    infinite = TABLE.copy()
    infinite[0, 0] = np.inf
    no_weights = batch._replace(weights_bt=np.zeros_like(batch.weights_bt))
    counted = batch._replace(weights_bt=np.ones_like(batch.weights_bt))
    for wrong, table, message in (
        (batch, TABLE[:, :4], r"shape \[5, 4\], and this model takes \[slots, 48\]"),
        (batch, TABLE[:2], "token 130 is not an id from 0 to 129"),
        (batch, infinite, "not finite"),
        (no_weights, TABLE, "no target has a weight above 0"),
        (counted, TABLE, "target 129 is not an id from 0 to 127"),
        (plain_batch(random_tokens((1, 300))), TABLE, "a row has 300 tokens"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_request(wrong, table, base.config)
