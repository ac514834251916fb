"""Losses of vectors and pairs against the formulas of sentence-transformers in PyTorch, and packed
rows against texts that are read alone.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import ComputeConfig, ModelConfig
from hclx.errors import ConfigError
from hclx.model import hidden_states
from hclx.train.state import merge
from hclx.tune import TuneConfig, begin
from hclx.tune.text_groups import Group, Layout, lay_out, pack_groups, score_bits
from hclx.tune.text_losses import (
    contrastive_losses,
    make_text_loss,
    make_text_token_losses,
    pair_losses,
    similarity_losses,
)
from hclx.tune.text_vectors import make_text_outputs
from tests.helpers.decoder import drawn_params

torch = pytest.importorskip("torch")

MODEL = ModelConfig(vocab_size=64, n_layers=2, d_model=16, n_heads=2, max_length=40, init_std=0.3)
COMPUTE = ComputeConfig(dtype="float32", attention="xla")
LENGTH = 24


def vectors(b=2, g=3, n=2, d=16, seed=0):
    return np.random.default_rng(seed).normal(size=(b, g, n, d)).astype(np.float32)


def distinct(b=2, g=3, n=2):
    return np.arange(b * g * n, dtype=np.int32).reshape(b, g, n)


def torch_contrast(x, temperature, symmetric):
    """MultipleNegativesRankingLoss and MultipleNegativesSymmetricRankingLoss."""
    flat = torch.nn.functional.normalize(x.reshape(-1, *x.shape[2:]), dim=-1)
    scores = flat[:, 0] @ torch.cat([flat[:, i] for i in range(1, flat.shape[1])]).T / temperature
    own = torch.arange(len(flat))
    loss = torch.nn.functional.cross_entropy(scores, own)
    if symmetric:
        backward = torch.nn.functional.cross_entropy(scores[:, : len(flat)].T, own)
        loss = (loss + backward) / 2
    return loss


def agree(of_jax, of_torch, x):
    """Values and gradients of a mean over groups."""
    value, gradient = jax.value_and_grad(lambda x: of_jax(x).mean())(x)
    y = torch.tensor(x, requires_grad=True)
    expected = of_torch(y)
    expected.backward()
    assert float(value) == pytest.approx(expected.item(), abs=1e-5)
    np.testing.assert_allclose(gradient, y.grad.numpy(), rtol=0, atol=1e-5)
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("texts", [2, 3])
def test_contrast_is_that_of_sentence_transformers(texts, symmetric):
    config = TuneConfig(temperature=0.2, symmetric=symmetric)
    ones, wordings = np.ones((2, 3), np.float32), distinct(n=texts)
    agree(
        lambda x: contrastive_losses(x, wordings, ones, config),
        lambda y: torch_contrast(y, 0.2, symmetric),
        vectors(n=texts),
    )


def test_a_group_that_is_missing_is_no_negative_of_others():
    config, x, wordings = TuneConfig(temperature=0.2), vectors(), distinct()
    weights = np.ones((2, 3), np.float32)
    weights[1, 2] = 0
    losses = contrastive_losses(x, wordings, weights, config)
    present = torch.tensor(x.reshape(6, 2, 16)[None, :5])
    mean = np.average(losses, weights=weights)
    assert mean == pytest.approx(torch_contrast(present, 0.2, False).item(), abs=1e-5)
    x[1, 2] = 0  # as pooling leaves it
    gradient = jax.grad(
        lambda x: (contrastive_losses(x, wordings, weights, config) * weights).sum()
    )(x)
    assert np.isfinite(gradient).all() and not gradient[1, 2].any()


@pytest.mark.parametrize("at", [0, 1], ids=["query", "positive"])
def test_an_equal_query_or_positive_makes_no_negative(at):
    config, x, wordings = TuneConfig(temperature=0.2), vectors(), distinct()
    wordings[1, 1, at] = wordings[0, 0, at]
    losses = np.array(contrastive_losses(x, wordings, np.ones((2, 3), np.float32), config))
    units = x.reshape(6, 2, 16) / np.linalg.norm(x, axis=-1).reshape(6, 2, 1)
    logits = units[:, 0] @ units[:, 1].T / 0.2
    logits[0, 4] = logits[4, 0] = -np.inf
    expected = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    np.testing.assert_allclose(losses.reshape(-1), expected, atol=1e-5)


def test_a_missing_negative_is_none():
    config, x = TuneConfig(temperature=0.2), vectors(n=3)
    x[0, 1, 2] = 0
    losses = contrastive_losses(x, distinct(n=3), np.ones((2, 3), np.float32), config)
    units = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)
    queries, positives, negatives = units.reshape(6, 3, 16).swapaxes(0, 1)
    candidates = np.concatenate([positives, np.delete(negatives, 1, 0)])
    logits = queries @ candidates.T / 0.2
    expected = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    np.testing.assert_allclose(np.reshape(losses, -1), expected, atol=1e-5)


def test_similarity_is_that_of_sentence_transformers():
    scores = np.random.default_rng(1).uniform(size=(2, 3)).astype(np.float32)
    targets = np.stack([np.zeros((2, 3), np.int32), scores.view(np.int32)], -1)

    def expected(y):
        cosines = torch.nn.functional.cosine_similarity(y[:, :, 0], y[:, :, 1], dim=-1)
        return torch.nn.functional.mse_loss(cosines, torch.tensor(scores))

    agree(lambda x: similarity_losses(x, targets), expected, vectors())


def test_pairs_are_those_of_cross_entropy():
    labels = np.array([[0, 2, 1], [1, 1, 0]], np.int32)
    scores = np.array([[0, 1, 0.25], [0.5, 0.9, 0.1]], np.float32)
    agree(
        lambda x: pair_losses(x, labels, TuneConfig(objective="pair", labels="a,b,c")),
        lambda y: torch.nn.functional.cross_entropy(
            y.reshape(6, 3), torch.tensor(labels.reshape(-1).astype(np.int64))
        ),
        vectors(n=3)[..., 0],
    )
    agree(
        lambda x: pair_losses(x, scores.view(np.int32), TuneConfig(objective="pair")),
        lambda y: torch.nn.functional.binary_cross_entropy_with_logits(
            y[:, :, 0], torch.tensor(scores)
        ),
        vectors(n=1)[..., 0],
    )


# ---- Packed rows


CONFIG = TuneConfig(kind="lora", rank=2, objective="contrast", temperature=0.2)


def texts_of(sizes, seed=0):
    draw = np.random.default_rng(seed)
    return tuple(draw.integers(1, 64, n).astype(np.int32) for n in sizes)


GROUPS = [
    Group(texts_of((3, 5), 1), (0, 1)),
    Group(texts_of((2, 4, 6), 2), (2, 3, 4)),
    Group(texts_of((7, 1), 3), (5, 6)),
    Group(texts_of((8, 6, 5), 4), (7, 8, 9)),
]


def parameters(config=CONFIG):
    """Merged parameters away from the beginning, where B of LoRA is 0."""
    base = drawn_params(MODEL)
    params = merge(*begin(MODEL, config, base))
    noise = lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape)
    return {**params, "tune": jax.tree.map(noise, params["tune"])}


def packed(groups=GROUPS):
    layout = lay_out([groups], LENGTH)
    return pack_groups(groups, LENGTH, layout, pad_id=9), layout


def test_groups_are_packed_as_segments_with_targets_at_their_ends():
    batch, layout = packed()
    assert layout == Layout(2, 3) and batch.tokens_bt.shape == (3, LENGTH)
    assert batch.weights_bt.sum() == len(GROUPS)
    assert sorted(batch.targets_bt[batch.weights_bt > 0].tolist()) == [1, 4, 6, 9]
    seen = []
    for row in range(len(batch.tokens_bt)):
        for segment in range(layout.segments):
            here = batch.segments_bt[row] == segment
            if here.any():
                assert batch.positions_bt[row][here].tolist() == list(range(here.sum()))
                seen.append(batch.tokens_bt[row][here].tolist())
    assert sorted(seen) == sorted(text.tolist() for group in GROUPS for text in group.texts)


@pytest.mark.parametrize("pooling", ["mean", "weighted", "last"])
def test_a_text_of_a_packed_row_has_the_vector_that_it_has_alone(pooling):
    config = dataclasses.replace(CONFIG, kind="finetune", pooling=pooling)
    params, (batch, layout) = drawn_params(MODEL), packed()
    outputs = jax.jit(make_text_outputs(MODEL, COMPUTE, config, layout))(params, batch)
    zeros, positions = np.zeros((1, LENGTH), np.int32), np.arange(LENGTH)[None]
    states_of = jax.jit(
        lambda tokens: hidden_states(params, tokens, zeros, positions, MODEL, COMPUTE)[0]
    )
    weights_of = {
        "mean": lambda n: np.full(n, 1 / n),
        "weighted": lambda n: np.arange(1, n + 1) / (n * (n + 1) / 2),
        "last": lambda n: np.eye(n)[-1],
    }
    for row, segment in np.argwhere(np.ones((3, layout.segments))):
        here = batch.segments_bt[row] == segment
        vector = outputs[row, segment // layout.texts, segment % layout.texts]
        if not here.any():
            assert not vector.any()
            continue
        alone, n = zeros.copy(), here.sum()
        alone[0, :n] = batch.tokens_bt[row][here]  # no state sees the padding behind it
        expected = weights_of[pooling](n) @ np.asarray(states_of(alone))[:n]
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_the_loss_of_packed_rows_is_the_mean_over_sizes_and_groups():
    config = dataclasses.replace(CONFIG, sizes="4,8")
    params, (batch, layout) = parameters(), packed()
    outputs = np.array(jax.jit(make_text_outputs(MODEL, COMPUTE, CONFIG, layout))(params, batch))
    is_group = outputs.any((2, 3))
    total, n = jax.jit(make_text_loss(MODEL, COMPUTE, config, layout))(params, batch)
    x = torch.tensor(outputs[is_group])  # [groups, 3, d], without a negative: zeros
    expected = []
    for size in (4, 8, 16):
        units = torch.nn.functional.normalize(x[..., :size], dim=-1)
        negatives = units[:, 2][units[:, 2].any(-1)]
        scores = units[:, 0] @ torch.cat([units[:, 1], negatives]).T / 0.2
        expected.append(torch.nn.functional.cross_entropy(scores, torch.arange(4)).item())
    assert int(n) == 4 and float(total / n) == pytest.approx(np.mean(expected), abs=1e-5)
    losses_bt = jax.jit(make_text_token_losses(MODEL, COMPUTE, config, layout))(params, batch)
    assert float((losses_bt * batch.weights_bt).sum()) == pytest.approx(float(total), abs=1e-5)


def test_the_head_of_pairs_is_linear_and_has_the_gradient_of_pytorch():
    config = dataclasses.replace(CONFIG, objective="pair", labels="yes,no,maybe")
    pairs = [Group(texts_of((n,), n), (n % 3,)) for n in (4, 7, 9, 5)]
    batch, layout = packed(pairs)
    params = parameters(config)
    as_vectors = dataclasses.replace(config, objective="contrast")
    outputs = jax.jit(make_text_outputs(MODEL, COMPUTE, as_vectors, layout))(params, batch)
    rows, places = np.nonzero(batch.weights_bt)
    states = outputs[rows, batch.segments_bt[rows, places], 0]
    head = {
        k: torch.tensor(np.array(v), requires_grad=True)
        for k, v in params["tune"]["pair_head"].items()
    }
    logits = torch.tensor(np.array(states)) @ head["weight"] + head["bias"]
    targets = torch.tensor(batch.targets_bt[rows, places].astype(np.int64))
    expected = torch.nn.functional.cross_entropy(logits, targets)
    expected.backward()

    def mean_loss(own):
        changed = {**params, "tune": {**params["tune"], "pair_head": own}}
        total, n = make_text_loss(MODEL, COMPUTE, config, layout)(changed, batch)
        return total / n

    loss, gradients = jax.jit(jax.value_and_grad(mean_loss))(params["tune"]["pair_head"])
    assert float(loss) == pytest.approx(expected.item(), abs=1e-5)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, head[name].grad.numpy(), atol=1e-5)


def test_a_token_that_is_not_known_makes_no_loss():
    batch, layout = packed()
    loss_fn = make_text_loss(MODEL, COMPUTE, CONFIG, layout)
    batch.tokens_bt[0, 0] = 64
    assert jnp.isnan(loss_fn(parameters(), batch)[0])


def test_a_score_is_stored_to_the_last_bit():
    scores = np.random.default_rng(0).uniform(size=50).astype(np.float32)
    assert all(np.int32(score_bits(s)).view(np.float32) == s for s in scores)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"objective": "vectors"}, "objective"),
        ({"pooling": "max"}, "pooling"),
        ({"temperature": 0.0}, "temperature"),
        ({"sizes": "8,x"}, "'x' is no size"),
        ({"labels": "a,a"}, "different labels"),
        ({"labels": "a"}, "two or more"),
    ],
)
def test_settings_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        TuneConfig(**fields)
    with pytest.raises(ConfigError, match="has 16 entries"):
        TuneConfig(sizes="8,32").vector_sizes(16)
