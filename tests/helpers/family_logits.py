"""Logits of a folder of transformers by the decoder here and by transformers, in float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ComputeConfig, MeshConfig
from hclx.convert.importing import look_at, read_params
from hclx.model import hidden_states, unembed
from hclx.parallel import make_mesh

LENGTH = 96  # beyond all windows and original lengths of the tiny models
FP32 = ComputeConfig(dtype="float32")


@functools.cache
def load(path, mesh=MeshConfig(fsdp=1)):
    source = look_at(path)
    devices = jax.devices()[: np.prod(mesh.shape)]
    return source, read_params(source, make_mesh(mesh, devices))


def logits(params, config, tokens):
    return np.asarray(_logits(params, config, tokens))


@functools.partial(jax.jit, static_argnums=1)
def _logits(params, config, tokens):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x = hidden_states(params, tokens, jnp.zeros_like(positions), positions, config, FP32)
    return unembed(params, x, config)


def random_tokens(shape=(2, LENGTH)):
    return np.random.default_rng(1).integers(2, 128, shape).astype(np.int32)


def their_logits(model, tokens):
    import torch

    with torch.no_grad():
        return model(torch.tensor(tokens, dtype=torch.long)).logits.numpy()


def flat(tree):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
