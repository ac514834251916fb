"""Soft prompts against vectors that transformers is given as inputs, and where they begin."""

import jax
import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.tune import TuneConfig
from tests.helpers.tuning import (
    BASES,
    LENGTH,
    behind_slots,
    load_base,
    loss_and_gradients,
    plain_batch,
    random_tokens,
    start,
    torch_loss,
    torch_model,
    tuned_logits,
)

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
CONFIG = TuneConfig(kind="prompt_tune", length=LENGTH, init="random")


def vectors_of(model, table, tokens, vocab_size):
    """Rows of a table where a token is a soft slot, and else of the embedding."""
    tokens = torch.tensor(tokens, dtype=torch.long)
    own = model.get_input_embeddings()(tokens.clamp(max=vocab_size - 1))
    soft = table[(tokens - vocab_size).clamp(min=0)]
    return torch.where((tokens < vocab_size)[..., None], own, soft)


@pytest.mark.parametrize("name", [*BASES, "gemma3_text"])
def test_a_soft_prompt_is_the_same_vectors_as_inputs(name):
    """Anywhere in a row, in any order, and more than once."""
    base = load_base(name)
    trainable, tokens = start(base, CONFIG), random_tokens()
    vocab = base.config.vocab_size
    tokens[0, :LENGTH] = vocab + np.arange(LENGTH)
    tokens[1, [3, 7, 8, 20]] = vocab + np.array([4, 0, 0, 2])
    model = torch_model(base)
    with torch.no_grad():
        vectors = vectors_of(model, torch.tensor(trainable["tune"]["table"]), tokens, vocab)
        theirs = model(inputs_embeds=vectors).logits.numpy()
    ours = tuned_logits(base, CONFIG, trainable, plain_batch(tokens))
    assert np.abs(theirs).max() > 0.3
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", BASES)
def test_its_gradient_is_that_of_pytorch(name):
    base = load_base(name)
    trainable, batch = start(base, CONFIG), behind_slots(random_tokens(), base)
    loss, gradient = loss_and_gradients(base, CONFIG, trainable, batch)
    model = torch_model(base)
    table = torch.tensor(trainable["tune"]["table"], requires_grad=True)
    vectors = vectors_of(model, table, batch.tokens_bt, base.config.vocab_size)
    targets = np.minimum(batch.targets_bt, base.config.vocab_size - 1)
    theirs = torch_loss(model(inputs_embeds=vectors).logits, targets, batch.weights_bt)
    theirs.backward()
    assert loss == pytest.approx(float(theirs.detach()), rel=1e-5)
    assert table.grad.abs().max() > 1e-3
    np.testing.assert_allclose(gradient["tune"]["table"], table.grad.numpy(), atol=1e-5, rtol=0)


def test_it_begins_with_vectors_of_tokens():
    base = load_base("llama")
    embedding = base.params["embedding"]["token"]
    config = lambda init, **others: TuneConfig(length=6, init=init, **others)
    table = lambda config, tokens=(): start(base, config, tokens=tokens)["tune"]["table"]
    text = table(config("text"), [[7, 9, 11, 13]])
    np.testing.assert_allclose(text, embedding[[7, 9, 11, 13, 7, 9]], rtol=1e-6)
    labels = table(config("labels"), [[7], [9, 11]])
    np.testing.assert_allclose(labels[0], embedding[7], rtol=1e-6)
    np.testing.assert_allclose(labels[1], embedding[[9, 11]].mean(0), rtol=1e-5)
    drawn = table(config("vocabulary", init_vocabulary=8))
    rows = [int(np.abs(embedding - row).sum(1).argmin()) for row in drawn]
    np.testing.assert_array_equal(drawn, embedding[rows])
    assert len(set(rows)) == 6 and max(rows) < 8
    std = table(TuneConfig(length=500, init="random")).std()
    assert std == pytest.approx(embedding.std(), rel=0.05)


def test_it_begins_with_scaled_vectors_where_a_family_scales_them():
    base = load_base("gemma3_text")
    table = start(base, TuneConfig(length=2, init="text"), tokens=[[5, 6]])["tune"]["table"]
    scale = base.config.embedding_multiplier
    assert scale > 2
    np.testing.assert_allclose(table, scale * base.params["embedding"]["token"][[5, 6]], rtol=1e-5)


@pytest.mark.parametrize(
    "init, tokens, message",
    [
        ("text", [], "needs texts that have tokens"),
        ("labels", [[3], []], "needs texts that have tokens"),
        ("text", [[3, 4, 5]], "begins with 3 tokens or labels, and TuneConfig.length=2"),
        ("text", [[128]], "outside of the vocabulary of 128"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(init, tokens, message):
    with pytest.raises(ConfigError, match=message):
        start(load_base("llama"), TuneConfig(length=2, init=init), tokens=tokens)


def test_an_id_beyond_the_slots_makes_the_loss_nan():
    base = load_base("gpt2")
    trainable, batch = start(base, CONFIG), behind_slots(random_tokens(), base)
    assert np.isfinite(loss_and_gradients(base, CONFIG, trainable, batch)[0])
    tokens = batch.tokens_bt.copy()
    tokens[0, 0] = base.config.vocab_size + LENGTH
    beyond = batch._replace(tokens_bt=tokens)
    assert np.isnan(loss_and_gradients(base, CONFIG, trainable, beyond)[0])
    weights = np.ones_like(batch.weights_bt)  # also of targets that are slots
    all_count = batch._replace(weights_bt=weights)
    assert np.isnan(loss_and_gradients(base, CONFIG, trainable, all_count)[0])


def test_initial_values_follow_from_the_seed():
    base = load_base("gpt2")
    first, same, other = (
        start(base, TuneConfig(length=4, init="random", seed=seed)) for seed in (0, 0, 1)
    )
    jax.tree.map(np.testing.assert_array_equal, first, same)
    assert not np.array_equal(first["tune"]["table"], other["tune"]["table"])
