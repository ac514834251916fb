"""The dry run: configuration, parameters, steps and memory of a run that is not started."""

import dataclasses

import jax

from hclx.config import Experiment
from hclx.model import n_params
from hclx.parallel import make_mesh
from hclx.train.initial_weights import choose_initial_weights
from hclx.train.state import bytes_per_device
from hclx.train.step import make_program


def describe(experiment: Experiment, model_dir: str | None = None, init_from: str = "") -> str:
    """Describes a run in a page of text: a line for each field of the configuration, then
    parameters, devices, steps, and the memory that each device needs.

    The training step is compiled for the devices of this machine; nothing is allocated.

    Args:
      experiment: the whole configuration.
      model_dir, init_from: as in `choose_initial_weights`.
    Raises:
      ConfigError, DataError: as `choose_initial_weights`, `make_mesh` and `make_program`.
    """
    weights = choose_initial_weights(model_dir, init_from, experiment.model)
    mesh = make_mesh(experiment.mesh)
    train = experiment.train
    with jax.set_mesh(mesh):
        program = make_program(experiment, mesh)
        lowered = program.train_step.lower(program.abstract_state, program.abstract_batch)
        memory = lowered.compile().memory_analysis()
    tokens = train.global_batch_size * train.sequence_length
    began = f"step {weights['step']} of {weights['model_dir']}" if weights else "random weights"
    gigabytes = lambda n: f"{n / 1e9:.3f} GB"
    return "\n".join(
        [
            *_fields(experiment),
            "",
            f"parameters         {n_params(experiment.model):,}",
            f"begins from        {began}",
            (
                f"devices            {mesh.size} x {mesh.devices.flat[0].device_kind}:"
                f" {dict(mesh.shape)}"
            ),
            (
                f"steps              {train.total_steps:,} of {tokens:,} tokens:"
                f" {train.total_steps * tokens:,} tokens"
            ),
            (
                f"memory per device  {gigabytes(bytes_per_device(program.abstract_state))} of"
                f" parameters and moments, {gigabytes(memory.temp_size_in_bytes)} of temporaries as"
                " compiled"
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
