"""Low-rank changes against PEFT: logits, gradients, merging; dropout; a base of eight bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.convert.tensors import rules
from hclx.errors import ConfigError
from hclx.model.low_rank import LowRankWeight
from hclx.model.matmul import Int8Weight
from hclx.train.state import merge
from hclx.tune import TuneConfig, begin
from hclx.tune.frozen_base import hold_base
from hclx.tune.lora import merge_lora
from hclx.tune.peft_tensors import to_peft
from hclx.tune.projections import parse_targets
from tests.helpers.tuning import (
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
peft = pytest.importorskip("peft")
LORA = TuneConfig(kind="lora", rank=3, alpha=7.0)
# base -> our targets, and those of PEFT
TARGETS = {
    "gpt2": ("qkv,out,wi,wo", ["c_attn", "c_proj", "c_fc"]),
    "llama": (
        "q,k,v,out,wi,gate,wo",
        ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "gate_proj", "down_proj"],
    ),
}
SOME = {"llama": ("v,wo", ["v_proj", "down_proj"])}
CASES = [("gpt2", *TARGETS["gpt2"]), ("llama", *TARGETS["llama"]), ("llama", *SOME["llama"])]


def peft_model(base, config, trainable, modules):
    """PEFT's model with these A and B."""
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        use_rslora=config.rs_lora,
        target_modules=modules,
        fan_in_fan_out=base.name == "gpt2",
    )
    model = peft.get_peft_model(torch_model(base), settings)
    tensors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name, value in to_peft(trainable["tune"], base.config, base.family).items():
            tensors.pop(in_memory(name)).copy_(torch.tensor(value))
    assert not tensors
    return model.eval()


def in_memory(name):
    return name.replace(".weight", ".default.weight")


@pytest.mark.parametrize("name, targets, modules", CASES)
def test_logits_and_gradients_are_those_of_peft(name, targets, modules):
    base, rs_lora = load_base(name), name == "gpt2"
    config = dataclasses.replace(LORA, targets=targets, rs_lora=rs_lora)
    trainable, tokens = start(base, config, noise=0.1), random_tokens()
    batch, model = plain_batch(tokens), peft_model(base, config, trainable, modules)
    theirs = model(input_ids=torch.tensor(tokens, dtype=torch.long)).logits
    plain = torch_model(base)(torch.tensor(tokens, dtype=torch.long)).logits
    assert (theirs - plain).abs().max() > 0.1
    ours = tuned_logits(base, config, trainable, batch)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5, rtol=0)
    loss, gradients = loss_and_gradients(base, config, trainable, batch)
    their_loss = torch_loss(theirs, batch.targets_bt, batch.weights_bt)
    their_loss.backward()
    assert loss == pytest.approx(float(their_loss.detach()), rel=1e-5)
    theirs = dict(model.named_parameters())
    for key, ours in to_peft(gradients["tune"], base.config, base.family).items():
        gradient = theirs[in_memory(key)].grad
        assert gradient.abs().max() > 1e-4, key
        np.testing.assert_allclose(ours, gradient.numpy(), atol=1e-5, rtol=0, err_msg=key)


@pytest.mark.parametrize("name", TARGETS)
def test_merged_is_unmerged(name):
    base, tokens = load_base(name), random_tokens()
    config = dataclasses.replace(LORA, targets=TARGETS[name][0])
    trainable = start(base, config, noise=0.1)
    merged = merge_lora(merge(trainable, base.params), base.config, config)
    assert jax.tree.structure(merged) == jax.tree.structure(base.params)
    plain = base._replace(params=merged)
    ours = tuned_logits(plain, TuneConfig(kind="finetune"), {}, plain_batch(tokens))
    unmerged = tuned_logits(base, config, trainable, plain_batch(tokens))
    np.testing.assert_allclose(ours, unmerged, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", TARGETS)
def test_it_begins_as_the_base(name):
    base, tokens = load_base(name), random_tokens()
    config = dataclasses.replace(LORA, targets=TARGETS[name][0])
    ours = tuned_logits(base, config, start(base, config), plain_batch(tokens))
    plain = tuned_logits(base, TuneConfig(kind="finetune"), {}, plain_batch(tokens))
    np.testing.assert_array_equal(ours, plain)


@pytest.mark.parametrize("name", ["llama", pytest.param("gpt2", marks=pytest.mark.long)])
def test_a_base_of_eight_bits(name):
    """The change is beside the rounded weights, and its gradient is that over rounded weights."""
    base, batch = load_base(name), plain_batch(random_tokens())
    config = dataclasses.replace(LORA, targets=TARGETS[name][0])
    trainable = start(base, config, noise=0.1)
    int8 = base._replace(params=hold_base(base.params, base.config, "int8"))
    is_int8 = lambda x: isinstance(x, Int8Weight)
    leaves = jax.tree.leaves(int8.params["blocks"], is_leaf=is_int8)
    assert sum(map(is_int8, leaves)) == len(rules_of_matrices(base))

    def rounded(leaf):
        if not is_int8(leaf):
            return leaf
        lead = leaf.scale.ndim - 1  # of the output axes
        axes = tuple(range(1, leaf.values.ndim - lead))
        return np.asarray(leaf.values * np.expand_dims(leaf.scale, axes), np.float32)

    same = base._replace(params=jax.tree.map(rounded, int8.params, is_leaf=is_int8))
    errors = jax.tree.map(
        lambda x, y: np.abs(x - y).max() / np.abs(y).max(), same.params, base.params
    )
    assert 1e-3 < max(jax.tree.leaves(errors)) < 1e-2
    (loss, gradients), (expected_loss, expected) = (
        loss_and_gradients(which, config, trainable, batch) for which in (int8, same)
    )
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5, rtol=0), gradients, expected
    )


def rules_of_matrices(base):
    """Paths of the matrices of a block."""
    paths = [p for rule in rules(base.config, base.family) for p in rule.ours if "blocks" in p]
    return [p for p in paths if not p.endswith(("scale", "bias"))]


# ---- Dropout


def test_dropout_is_the_same_for_the_same_step_and_else_another():
    base = load_base("llama")
    config = dataclasses.replace(LORA, targets="q,v,wo", dropout=0.4)
    trainable, batch = start(base, config, noise=0.3), plain_batch(random_tokens())
    first, again = (loss_and_gradients(base, config, trainable, batch) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    other = dataclasses.replace(config, seed=1)
    assert float(loss_and_gradients(base, other, trainable, batch)[0]) != float(first[0])


def test_a_batch_that_differs_in_one_token_has_other_masks():
    """Seen where that token has no weight and is seen by none that has."""
    base = load_base("llama")
    config = dataclasses.replace(LORA, targets="q,v,wo", dropout=0.4)
    trainable, tokens = start(base, config, noise=0.3), random_tokens()
    losses = []
    for last in (3, 4):
        tokens[:, -1] = last
        batch = plain_batch(tokens)
        batch.weights_bt[:, -2:] = 0
        losses.append(float(loss_and_gradients(base, config, trainable, batch)[0]))
    assert losses[0] != losses[1]


def test_dropout_leaves_out_the_share_that_it_says_and_keeps_the_mean():
    ones = jnp.ones((200, 100))
    key = jax.random.key_data(jax.random.key(3))
    identity = LowRankWeight(jnp.zeros((100, 100)), jnp.eye(100), jnp.eye(100), key, 2.0, 0.3)
    out = np.asarray(identity.change(ones))
    assert set(np.unique(out)) == {0.0, np.float32(np.float32(1 / 0.7) * 2)}
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert out.mean() == pytest.approx(2, rel=0.03)


def test_layers_and_projections_have_masks_of_their_own():
    from hclx.tune.lora import with_low_rank

    base = load_base("llama")
    config = dataclasses.replace(LORA, targets="q,v,wo", dropout=0.4)
    trainable, _ = begin(base.config, config, base.params)
    blocks = with_low_rank(
        base.params["blocks"], trainable["tune"], base.config, config, jax.random.key(0)
    )
    keys = [blocks["attention"]["q"].key, blocks["attention"]["kv"].key, blocks["mlp"]["wo"].key]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 3 * base.config.n_layers


# ---- Names


@pytest.mark.parametrize(
    "text, targets",
    [
        ("q,v", ("q", "v")),
        ("v_proj, q_proj", ("q", "v")),
        ("c_attn,c_fc", ("qkv", "wi")),
        ("query_key_value,dense,dense_h_to_4h", ("qkv", "out", "wi")),
        ("o_proj,gate_proj,up_proj,down_proj", ("out", "wi", "gate", "wo")),
    ],
)
def test_projections_have_the_names_of_peft_too(text, targets):
    assert parse_targets(text) == targets


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "'' is not q, k"),
        ("q,attention", "'attention' is not q, k"),
        ("c_proj", "'c_proj' is out or wo, by the family"),
        ("q,q_proj", "names a projection twice"),
        ("qkv,v", "qkv is q, k and v in one"),
    ],
)
def test_names_that_mean_nothing_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        TuneConfig(kind="lora", targets=text)


def test_a_projection_that_the_model_has_not_is_refused():
    base = load_base("gpt2")
    with pytest.raises(ConfigError, match="the MLPs of this model have no gate"):
        begin(base.config, TuneConfig(kind="lora", targets="gate"), base.params)
