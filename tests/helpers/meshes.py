"""A small model, its meshes and its batches, for tests that compare meshes."""

import dataclasses
import functools

import jax
import numpy as np

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.data.batch import make_batch
from hclx.model import init_params

MODEL = ModelConfig(vocab_size=256, n_layers=8, d_model=64, n_heads=8, max_length=64)

COMPUTE = ComputeConfig(dtype="float32", loss_chunk_tokens=128)

MESHES = {
    "data=8": MeshConfig(data=8, fsdp=1),
    "fsdp=8": MeshConfig(fsdp=8),
    "model=8": MeshConfig(fsdp=1, model=8),
    "data 2 x fsdp 2 x model 2": MeshConfig(data=2, fsdp=2, model=2),
    "fsdp 4 x model 2": MeshConfig(fsdp=4, model=2),
    "seq 2 x data 4": MeshConfig(data=4, fsdp=1, seq=2),
    "seq 2 x fsdp 2 x model 2": MeshConfig(fsdp=2, seq=2, model=2),
    "seq 4 x fsdp 2": MeshConfig(fsdp=2, seq=4),
    "seq 4 x model 2": MeshConfig(fsdp=1, seq=4, model=2),
}

# name -> mesh, what it computes with, microbatches of the accumulated gradient
PIPELINES = {
    "pipe 2 x fsdp 2 x model 2, 4 microbatches": (
        MeshConfig(pipe=2, fsdp=2, model=2),
        {"pipeline_microbatches": 4},
        1,
    ),
    "pipe 2 x seq 2 x model 2, 2 repeats": (
        MeshConfig(pipe=2, fsdp=1, seq=2, model=2),
        {"pipeline_repeats": 2},
        1,
    ),
    "pipe 4 x model 2, no remat, 2 gradient microbatches": (
        MeshConfig(pipe=4, fsdp=1, model=2),
        {"remat": "none"},
        2,
    ),
    "pipe 4 x fsdp 2, 8 microbatches, 2 repeats": (
        MeshConfig(pipe=4),
        {"pipeline_microbatches": 8, "pipeline_repeats": 2},
        1,
    ),
}

ALL = {name: (config, COMPUTE, 1) for name, config in MESHES.items()} | {
    name: (config, dataclasses.replace(COMPUTE, **fields), microbatches)
    for name, (config, fields, microbatches) in PIPELINES.items()
}

ONE = MeshConfig(fsdp=1)


def experiment(mesh, compute=COMPUTE, **train):
    train = {
        "total_steps": 8,
        "global_batch_size": 16,
        "sequence_length": 64,
        "eval_every": 0,
    } | train
    return Experiment(
        MODEL,
        compute,
        mesh,
        OptimizerConfig(warmup_steps=2),
        DataConfig(mixture="sample"),
        TokenizerConfig(),
        TrainConfig(**train),
    )


def windows(steps=1):
    tokens = (
        np.random.default_rng(0).integers(2, MODEL.vocab_size, (steps, 16, 65)).astype(np.int32)
    )
    tokens[:, ::3, 20] = 1  # documents begin in the middle of some windows
    return tokens


def devices_of(config):
    return jax.devices()[:1] if config == ONE else jax.devices()


@functools.cache
def parameters():
    return jax.device_get(jax.jit(lambda: init_params(MODEL, jax.random.key(0)))())


def placed(program):
    """Parameters and a batch, where a program wants them."""
    params = jax.tree.map(
        lambda x, like: jax.device_put(x, like.sharding),
        parameters(),
        program.abstract_state.params,
    )
    return params, batch_of(windows()[0], program)


def batch_of(window, program):
    """A batch of rows whose documents begin with token 1, where a program wants it."""
    return jax.device_put(make_batch(window, 1), program.batch_sharding)
