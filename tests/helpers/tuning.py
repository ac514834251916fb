"""Tiny bases of two families, with their models of transformers, and what tests tune of them."""

import functools
import tempfile
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import ComputeConfig, MeshConfig, ModelConfig
from hclx.convert.importing import look_at, read_params
from hclx.data.batch import Batch
from hclx.model import unembed
from hclx.parallel import make_mesh
from hclx.train.state import merge
from hclx.tune import apply_method, begin, make_tuning_loss, tuned_hidden_states
from tests.helpers.families import make_model, save_model

FP32 = ComputeConfig(dtype="float32", attention="xla")
BASES = ("gpt2", "llama")  # of the latter, two query heads share a head of keys and values
LENGTH = 5  # of soft prompts and prefixes


class Base(NamedTuple):
    name: str
    params: dict
    config: ModelConfig
    family: str
    folder: str


@functools.cache
def load_base(name):
    folder = tempfile.mkdtemp(prefix="hclx-base-")
    save_model(name, folder)
    source = look_at(folder)
    params = read_params(source, make_mesh(MeshConfig(fsdp=1), jax.devices()[:1]))
    return Base(name, jax.device_get(params), source.config, source.family, folder)


def torch_model(base):
    """The same model of transformers, fresh, as PEFT changes the model that it is given."""
    return make_model(base.name)


def plain_batch(tokens_bt, weights_bt=None):
    """Rows of one document each, whose last target weighs nothing."""
    tokens_bt = np.asarray(tokens_bt, np.int32)
    targets_bt = np.concatenate([tokens_bt[:, 1:], np.zeros_like(tokens_bt[:, :1])], axis=1)
    if weights_bt is None:
        weights_bt = np.ones(tokens_bt.shape, np.float32)
        weights_bt[:, -1] = 0
    positions_bt = np.broadcast_to(np.arange(tokens_bt.shape[1], dtype=np.int32), tokens_bt.shape)
    return Batch(tokens_bt, targets_bt, weights_bt, np.zeros_like(tokens_bt), positions_bt)


def random_tokens(shape=(3, 24), seed=1):
    return np.random.default_rng(seed).integers(2, 128, shape).astype(np.int32)


def behind_slots(tokens_bt, base, length=LENGTH):
    """Rows that begin with all soft slots, and the batch of a loss on the tokens alone: targets
    that are slots weigh nothing.
    """
    slots = np.broadcast_to(base.config.vocab_size + np.arange(length), (len(tokens_bt), length))
    batch = plain_batch(np.concatenate([slots, tokens_bt], axis=1))
    weights_bt = (batch.targets_bt < base.config.vocab_size).astype(np.float32)
    weights_bt[:, -1] = 0
    return batch._replace(weights_bt=weights_bt)


def noisy(tree, seed=0, std=0.3):
    """The tree with noise, so that no array is 0 and nothing is symmetric."""
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(x + std * draw.normal(size=x.shape), np.float32), tree)


def start(base, config, noise=0.0, tokens=()):
    """The trainable tree at which tuning begins, with noise if its beginning is trivial."""
    trainable, _ = begin(base.config, config, base.params, tokens)
    return noisy(trainable, std=noise) if noise else jax.device_get(trainable)


def loss_and_gradients(base, config, trainable, batch):
    """The mean loss and its gradient by what is trained."""
    frozen = {} if config.kind == "finetune" else base.params
    return jax.device_get(_mean_loss(base.config, config)(trainable, frozen, batch))


@functools.cache
def _mean_loss(model, config):
    loss_fn = make_tuning_loss(model, FP32, config)

    def mean(trainable, frozen, batch):
        total, weight = loss_fn(merge(trainable, frozen), batch)
        return total / weight

    return jax.jit(jax.value_and_grad(mean))


def tuned_logits(base, config, trainable, batch):
    return np.asarray(_logits(base.config, config)(merge(trainable, base.params), batch))


@functools.cache
def _logits(model, config):
    def logits(params, batch):
        tuned = apply_method(params, model, config)
        x_btd = tuned_hidden_states(tuned, batch, model, FP32)
        return unembed(tuned.params, x_btd, model)

    return jax.jit(logits)


def torch_loss(logits, targets, weights):
    import torch

    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(targets).flatten().long(), reduction="none"
    )
    weights = torch.tensor(weights).flatten()
    return (losses * weights).sum() / weights.sum()
