"""Compiles the training step of an experiment for TPUs that need not be attached."""

import dataclasses
import logging
import os

import jax
from jax.sharding import Mesh

from hclx.config import Experiment, MeshConfig
from hclx.errors import ConfigError, require
from hclx.parallel import make_mesh
from hclx.parallel.chips import Chip
from hclx.plan.hlo import Module, parse_hlo
from hclx.plan.topology import chip_of
from hclx.train.state import bytes_per_device
from hclx.train.step import make_program

_LOG = logging.getLogger(__name__)

# libtpu looks for a machine of its own unless it is told that there is none.
_NO_MACHINE = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """The training step as a chip would run it. Bytes are those of one chip.

    Attributes:
      experiment: the configuration, with the sizes of all mesh axes.
      topology: its name, such as "v5p:8x16x16"; with several slices "2 x v5p:8x16x16".
      chip: the kind of chip.
      mesh: of the topology's devices.
      module: the compiled program.
      state_bytes: parameters and moments.
      argument_bytes: the state and the batch, as laid out.
      temporary_bytes: all that the step holds beside arguments and outputs.
      output_bytes: outputs that do not alias arguments.
      code_bytes: the program.
    """

    experiment: Experiment
    topology: str
    chip: Chip
    mesh: Mesh
    module: Module
    state_bytes: int
    argument_bytes: int
    temporary_bytes: int
    output_bytes: int
    code_bytes: int

    @property
    def peak_bytes(self) -> int:
        """Bytes of HBM that a chip needs: arguments, temporaries, outputs and code."""
        return self.argument_bytes + self.temporary_bytes + self.output_bytes + self.code_bytes


def topology_devices(topology: str, num_slices: int = 1) -> list:
    """Returns the devices of a TPU topology such as "v5p:8x16x16", which need not be attached.

    Args:
      topology: of one slice.
      num_slices: that many slices; the list holds the devices of all of them.
    Raises:
      ConfigError: libtpu is not installed or refuses the topology.
    """
    from jax.experimental import topologies

    chip_of(topology)
    require("libtpu")
    for name, value in _NO_MACHINE.items():
        os.environ.setdefault(name, value)
    try:
        options = {"num_slices": num_slices} if num_slices > 1 else {}
        return list(
            topologies.get_topology_desc(platform="tpu", topology_name=topology, **options).devices
        )
    except Exception as error:  # libtpu raises errors of many types
        raise ConfigError(f"--topology={topology}: {' '.join(str(error).split())[:300]}") from error


def compile_step(experiment: Experiment, topology: str, num_slices: int = 1) -> CompiledStep:
    """Compiles the step that `hclx pretrain` would run, for a topology; a large model takes
    minutes.

    Args:
      experiment: its mesh may have an axis of -1.
      topology: of one slice, such as "v5p:8x16x16".
      num_slices: that many slices, joined by the data centre's network.
    Raises:
      ConfigError: the topology is unknown, the mesh does not fit it, or XLA runs out of memory.
    """
    chip = chip_of(topology)
    mesh = make_mesh(experiment.mesh, topology_devices(topology, num_slices))
    _LOG.info(
        "compiling the training step for %d x %s; a large model takes minutes", mesh.size, chip.name
    )
    with jax.set_mesh(mesh):
        program = make_program(experiment, mesh)
        lowered = program.train_step.lower(program.abstract_state, program.abstract_batch)
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            reason = " ".join(str(error).split()).removeprefix("RESOURCE_EXHAUSTED: ")[:300]
            raise ConfigError(
                f"the plan does not fit {mesh.size} x {chip.name} of {chip.hbm_capacity / 1e9:.0f}"
                f" GB: {reason}"
            ) from error
    memory = compiled.memory_analysis()
    return CompiledStep(
        experiment=dataclasses.replace(experiment, mesh=MeshConfig(*mesh.devices.shape)),
        topology=topology if num_slices == 1 else f"{num_slices} x {topology}",
        chip=chip,
        mesh=mesh,
        module=parse_hlo(compiled.as_text()),
        state_bytes=bytes_per_device(program.abstract_state),
        argument_bytes=memory.argument_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        output_bytes=memory.output_size_in_bytes - memory.alias_size_in_bytes,
        code_bytes=memory.generated_code_size_in_bytes,
    )
