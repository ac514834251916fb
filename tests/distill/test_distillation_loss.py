"""The loss of a student against PyTorch: divergences, their gradients, and a model's whole loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hclx.config import ModelConfig
from hclx.distill import DistillConfig, TaughtBatch, make_distillation_loss, soft_losses
from hclx.distill.ask_teacher import make_top_k
from hclx.errors import ConfigError
from tests.helpers.decoder import drawn_params
from tests.helpers.decoder import logits as logits_of
from tests.helpers.tuning import FP32, load_base, plain_batch, random_tokens, torch_model

K, TEMPERATURES = 5, [1.0, 2.5]


def random_logits(seed, shape=(7, 40)):
    return np.random.default_rng(seed).normal(scale=3, size=shape).astype(np.float32)


def top(logits_nv, k, temperature):
    log_p_nv = np.asarray(jax.nn.log_softmax(logits_nv / temperature))
    ids_nk = np.argsort(-log_p_nv, axis=1)[:, :k]
    return ids_nk.astype(np.int32), np.take_along_axis(log_p_nv, ids_nk, 1)


def grouped(torch, log_p_nv, ids_nk):
    """Log-probabilities of the k tokens, and of all others together."""
    ids = torch.tensor(ids_nk).long()
    chosen = torch.gather(log_p_nv, 1, ids)
    mask = torch.zeros_like(log_p_nv, dtype=torch.bool).scatter(1, ids, True)
    rest = torch.logsumexp(log_p_nv.masked_fill(mask, -torch.inf), 1, keepdim=True)
    return torch.cat([chosen, rest], 1)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_divergences_and_gradients_are_those_of_pytorch(temperature):
    torch = pytest.importorskip("torch")
    teacher, student = random_logits(0), random_logits(1)
    ids, log_probs = top(teacher, K, temperature)
    ours, pull = jax.vjp(lambda x: soft_losses(x, ids, log_probs, temperature), student)
    logits = torch.tensor(student, dtype=torch.float64, requires_grad=True)
    log_q = grouped(torch, torch.log_softmax(logits / temperature, 1), ids)
    exact = torch.tensor(teacher, dtype=torch.float64)
    log_p = grouped(torch, torch.log_softmax(exact / temperature, 1), ids)
    kl = torch.nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    theirs = temperature**2 * kl
    theirs.sum().backward()
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-5)
    (gradient,) = pull(jnp.ones(len(ours)))
    np.testing.assert_allclose(gradient, logits.grad, rtol=1e-5, atol=1e-5)
    # Of the k tokens, the gradient is that of the whole distributions.
    softmax = lambda x: np.asarray(jax.nn.softmax(x / temperature))
    whole = temperature * (softmax(student) - softmax(teacher))
    of_top = np.take_along_axis(np.asarray(gradient), ids, 1)
    np.testing.assert_allclose(of_top, np.take_along_axis(whole, ids, 1), atol=1e-5)


def test_an_equal_or_a_sure_student_is_finite():
    logits = random_logits(0) * 30  # of which float32 leaves the others nothing
    ids, log_probs = top(logits, K, 1.0)
    value, gradient = jax.value_and_grad(lambda x: soft_losses(x, ids, log_probs, 1.0).sum())(
        logits
    )
    assert abs(value) < 1e-4 and np.abs(gradient).max() < 1e-4
    other = jax.grad(lambda x: soft_losses(x, ids, log_probs, 1.0).sum())(random_logits(2) * 30)
    assert np.isfinite(other).all()


def taught(batch, ids, log_probs):
    return TaughtBatch(*batch, ids, log_probs)


@pytest.mark.parametrize("chunk", [0, 8])
def test_the_loss_of_a_model_and_its_gradients_are_those_of_pytorch(chunk):
    torch = pytest.importorskip("torch")
    base = load_base("gpt2")
    tokens = random_tokens((2, 16))
    weights = np.random.default_rng(5).random((2, 16)).astype(np.float32)
    weights[0, :5] = 0
    batch = plain_batch(tokens, weights)
    ids, log_probs = top(random_logits(3, (32, base.config.vocab_size)), K, 2.0)
    shape = (2, 16, K)
    compute = dataclasses.replace(FP32, loss_chunk_tokens=chunk)
    config = DistillConfig(top_k=K, temperature=2.0, soft_weight=0.7)
    loss_fn = make_distillation_loss(base.config, compute, config)
    arguments = taught(batch, ids.reshape(shape), log_probs.reshape(shape))
    (total, weight), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(
        base.params, arguments
    )
    model = torch_model(base)
    logits = model(torch.tensor(tokens).long()).logits.flatten(0, 1)
    log_q = grouped(torch, torch.log_softmax(logits / 2.0, 1), ids)
    p = torch.tensor(np.exp(log_probs))
    p = torch.cat([p, 1 - p.sum(1, keepdim=True)], 1)
    soft = 4.0 * torch.nn.functional.kl_div(log_q, p, reduction="none").sum(1)
    hard = torch.nn.functional.cross_entropy(
        logits, torch.tensor(batch.targets_bt).flatten().long(), reduction="none"
    )
    expected = (torch.tensor(weights).flatten() * (0.7 * soft + 0.3 * hard)).sum()
    expected.backward()
    assert weight == pytest.approx(weights.sum(), rel=1e-6)
    assert total == pytest.approx(float(expected.detach()), rel=1e-5)
    decoder = model.transformer
    pairs = [
        (grads["final_norm"]["scale"], decoder.ln_f.weight.grad),
        (grads["embedding"]["token"], decoder.wte.weight.grad),
        (grads["blocks"]["mlp"]["wo"][0], decoder.h[0].mlp.c_proj.weight.grad),
    ]
    for ours, theirs in pairs:
        theirs = theirs.numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
    unknown = arguments._replace(ids_btk=arguments.ids_btk + base.config.vocab_size)
    assert np.isnan(jax.jit(loss_fn)(base.params, unknown)[0])


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_what_a_teacher_says_is_the_top_of_its_softmax(temperature):
    torch = pytest.importorskip("torch")
    base, tokens = load_base("gpt2"), random_tokens((2, 16))
    compute = dataclasses.replace(FP32, loss_chunk_tokens=8)
    config = DistillConfig(top_k=K, temperature=temperature)
    ids, log_probs = jax.jit(make_top_k(base.config, compute, config))(
        base.params, plain_batch(tokens)
    )
    with torch.no_grad():
        logits = torch_model(base)(torch.tensor(tokens).long()).logits
    values, places = torch.log_softmax(logits / temperature, -1).topk(K)
    np.testing.assert_array_equal(ids, places)
    np.testing.assert_allclose(log_probs, values, atol=1e-5)


def test_a_student_learns_the_distribution_better_than_by_tokens():
    """From the same few tokens, which the teacher has drawn, in as many steps."""
    base, draw = load_base("gpt2"), np.random.default_rng(0)
    tokens, unseen = (random_tokens((8, 24), seed) for seed in (1, 2))
    config = DistillConfig(top_k=16, soft_weight=1.0)
    teacher = lambda rows: np.asarray(logits_of(base.params, rows, FP32, base.config))
    whole = np.exp(np.asarray(jax.nn.log_softmax(teacher(tokens))))
    targets = (whole.cumsum(-1) > draw.random((8, 24, 1))).argmax(-1).astype(np.int32)
    batch = plain_batch(tokens)._replace(targets_bt=targets)
    said = make_top_k(base.config, FP32, config)(base.params, batch)
    model = ModelConfig(
        vocab_size=base.config.vocab_size, n_layers=1, d_model=32, n_heads=2, max_length=32
    )

    def divergence(soft_weight):
        own = dataclasses.replace(config, soft_weight=soft_weight)
        loss_fn = make_distillation_loss(model, FP32, own)
        params = drawn_params(model)
        optimizer = optax.adam(3e-3)

        def step(carry, _):
            params, state = carry
            grads = jax.grad(lambda p: loss_fn(p, taught(batch, *said))[0] / 192)(params)
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, None, length=150))(
            (params, optimizer.init(params))
        )
        log_q = np.asarray(jax.nn.log_softmax(logits_of(params, unseen, FP32, model)))
        log_p = np.asarray(jax.nn.log_softmax(teacher(unseen)))
        return (np.exp(log_p) * (log_p - log_q)).sum(-1).mean()

    soft, hard = divergence(1.0), divergence(1e-6)
    assert soft < 0.8 * hard


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="soft_weight=0.0 is not in"):
        DistillConfig(soft_weight=0.0)
    with pytest.raises(ConfigError, match="top_k"):
        DistillConfig(top_k=0)
