"""What a run would be: its resolved configuration, parameters, steps and memory, without starting
it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hclx.config import Experiment
from hclx.model import n_params
from hclx.parallel import make_mesh
from hclx.train.compiled_steps import make_program
from hclx.train.state import bytes_per_device

_EOD_ID = 1  # any number does: memory does not depend on it


def describe(experiment: Experiment) -> str:
    """A page of text; compiles the training step for the devices at hand, and allocates nothing."""
    mesh = make_mesh(experiment.mesh)
    train = experiment.train
    with jax.set_mesh(mesh):
        program = make_program(experiment, mesh, _EOD_ID)
        shape = (train.global_batch_size, train.sequence_length + 1)
        windows = jax.ShapeDtypeStruct(shape, jnp.int32, sharding=program.windows)
        memory = program.train_step.lower(program.abstract, windows).compile().memory_analysis()
    tokens = train.global_batch_size * train.sequence_length
    gigabytes = lambda n: f"{n / 1e9:.3f} GB"
    return "\n".join(
        [
            *_fields(experiment),
            "",
            f"parameters         {n_params(experiment.model):,}",
            (
                f"devices            {mesh.size} x {mesh.devices.flat[0].device_kind}:"
                f" {dict(mesh.shape)}"
            ),
            (
                f"steps              {train.total_steps:,} of {tokens:,} tokens:"
                f" {train.total_steps * tokens:,} tokens"
            ),
            (
                f"memory per device  {gigabytes(bytes_per_device(program.abstract))} of parameters"
                f" and moments, {gigabytes(memory.temp_size_in_bytes)} of temporaries as compiled"
            ),
        ]
    )


def _fields(experiment: Experiment) -> list[str]:
    sections = {
        field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)
    }
    return [
        f"{type(section).__name__}.{name} = {value!r}"
        for section in sections.values()
        for name, value in dataclasses.asdict(section).items()
    ]
