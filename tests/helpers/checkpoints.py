"""A small training state, saved and damaged."""

import contextlib
import functools
import os
import resource

import jax
import numpy as np

from hclx.parallel import make_mesh
from hclx.train import init_state
from hclx.train.checkpoint_format import LoopState
from hclx.train.step import make_program
from tests.helpers.meshes import batch_of, devices_of, experiment, windows

LOOP, META = LoopState(48, []), {"hashes": {"vocabulary": "v"}}


@functools.cache  # so that it is compiled once
def program_on(config):
    return make_program(experiment(config), make_mesh(config, devices_of(config)))


def trained(config, steps=3):
    program = program_on(config)
    with jax.set_mesh(program.mesh):
        state = init_state(
            experiment(config).model,
            experiment(config).train,
            program.optimizer,
            program.abstract_state,
        )
        for window in windows(steps):
            state, _ = program.train_step(state, batch_of(window, program))
    return program, state


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(actual), expected)


def largest(path, item):
    return max((p for p in (path / item).rglob("*") if p.is_file()), key=os.path.getsize)


@contextlib.contextmanager
def no_file_above(size):
    """As a full disk: what is written beyond it fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
