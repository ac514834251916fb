"""Thirty steps of AdamW beside PEFT, from the same values, over the same batches; packed rows."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hclx.config import OptimizerConfig, TrainConfig
from hclx.data.batch import Batch
from hclx.train.optimizer import make_optimizer
from hclx.train.state import fresh_state
from hclx.train.step import train_step
from hclx.tune import TuneConfig, make_tuning_loss, tuning_decay_mask
from hclx.tune.peft_tensors import to_peft
from tests.helpers.tuning import (
    BASES,
    FP32,
    LENGTH,
    behind_slots,
    load_base,
    plain_batch,
    random_tokens,
    start,
    torch_loss,
    torch_model,
    tuned_logits,
)

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
STEPS, RATE = 30, 2e-2
PROMPT = TuneConfig(kind="prompt_tune", length=LENGTH, init="random")
PREFIX = TuneConfig(kind="prefix_tune", length=LENGTH, init="random")
LORA = TuneConfig(kind="lora", rank=4, alpha=8.0)
LONG = pytest.mark.long


def batches(tokens_of, base):
    """Rows of a language of six words, so that there is something to learn."""
    draw = np.random.default_rng(3)
    for _ in range(STEPS):
        yield tokens_of((draw.integers(0, 6, (4, 1)) + np.arange(16)) % 6 + 2, base)


def our_losses(base, config, trainable, all_batches):
    optimizer = make_optimizer(
        OptimizerConfig(weight_decay=0.01, beta2=0.999, clip_norm=1.0),
        jax.tree.map(lambda decays: True, tuning_decay_mask(base.config, config)),
    )
    state = fresh_state(jax.tree.map(jnp.asarray, trainable), TrainConfig(), optimizer, base.params)
    loss_fn = make_tuning_loss(base.config, FP32, config)
    schedule = optax.constant_schedule(RATE)
    step = jax.jit(
        lambda state, batch: train_step(
            *(state, batch),
            **{"loss_fn": loss_fn, "optimizer": optimizer, "schedule": schedule, "microbatches": 1},
        )
    )
    losses = []
    for batch in all_batches:
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return losses


def peft_losses(model, all_batches, behind):
    """The losses of PEFT's model, whose logits are `behind` positions later than the tokens."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), weight_decay=0.01)
    losses = []
    for batch in all_batches:
        tokens = torch.tensor(batch.tokens_bt[:, behind:], dtype=torch.long)
        logits = model(input_ids=tokens).logits[:, -batch.tokens_bt.shape[1] :]
        targets = np.minimum(batch.targets_bt, 127)
        loss = torch_loss(logits, targets, batch.weights_bt)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def compare(ours, theirs):
    assert theirs[-1] < 0.9 * theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=5e-3)


@LONG
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_soft_prompt_follows_peft(name):
    base = load_base(name)
    trainable = start(base, PROMPT)
    settings = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH)
    model = peft.get_peft_model(torch_model(base), settings)
    with torch.no_grad():
        table = model.prompt_encoder["default"].embedding.weight
        table.copy_(torch.tensor(trainable["tune"]["table"]))
    all_batches = list(batches(behind_slots, base))
    theirs = peft_losses(model, all_batches, LENGTH)
    compare(our_losses(base, PROMPT, trainable, all_batches), theirs)


def plain(tokens, base):
    return plain_batch(tokens)


@LONG
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_lora_follows_peft(name):
    base = load_base(name)
    targets, modules = {
        "gpt2": ("qkv,out,wo", ["c_attn", "c_proj"]),
        "llama": ("q,v", ["q_proj", "v_proj"]),
    }[name]
    config = dataclasses.replace(LORA, targets=targets)
    trainable = start(base, config)
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_alpha=8,
        target_modules=modules,
        fan_in_fan_out=name == "gpt2",
    )
    model = peft.get_peft_model(torch_model(base), settings)
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for key, value in to_peft(trainable["tune"], base.config, base.family).items():
            tensors[key.replace(".weight", ".default.weight")].copy_(torch.tensor(value))
    all_batches = list(batches(plain, base))
    compare(our_losses(base, config, trainable, all_batches), peft_losses(model, all_batches, 0))


@LONG
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_prefix_follows_peft(name):
    base = load_base(name)
    trainable = start(base, PREFIX, noise=0.3)
    settings = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=LENGTH)
    model = peft.get_peft_model(torch_model(base), settings)
    with torch.no_grad():
        flat = np.moveaxis(trainable["tune"]["kv"], 0, 1).reshape(LENGTH, -1)
        model.prompt_encoder["default"].embedding.weight.copy_(torch.tensor(flat))
    all_batches = list(batches(plain, base))
    compare(our_losses(base, PREFIX, trainable, all_batches), peft_losses(model, all_batches, 0))


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("config", [PROMPT, LORA], ids=lambda config: config.kind)
def test_packed_rows_are_as_single_rows(name, config):
    """Examples of one row see nothing of each other; each may have the soft prompt."""
    base = load_base(name)
    trainable = start(base, config, noise=0.2)
    rows = [random_tokens((1, n), seed=n) for n in (9, 17, 4)]
    if config.kind == "prompt_tune":
        rows = [behind_slots(row, base).tokens_bt for row in rows]
    alone = [tuned_logits(base, config, trainable, plain_batch(row)) for row in rows]
    packed = Batch(*(np.concatenate(x, axis=1) for x in zip(*map(plain_batch, rows))))
    segments = np.concatenate([np.full(row.shape, i, np.int32) for i, row in enumerate(rows)], 1)
    together = tuned_logits(base, config, trainable, packed._replace(segments_bt=segments))
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), atol=1e-5, rtol=0)
