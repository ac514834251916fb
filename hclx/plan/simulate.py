"""Simulates a compiled step on one chip: instructions in the order of their schedule, overlapped by
the transfers that were started before.
"""

import collections
import dataclasses

from jax.sharding import Mesh

from hclx.parallel.chips import Chip
from hclx.plan.hlo import Instruction, Module
from hclx.plan.hlo_cost import FREE, hbm_bytes, matmul_flops
from hclx.plan.interconnect import Collective, find_collective
from hclx.plan.topology import KERNEL_EFFICIENCY


@dataclasses.dataclass
class Timeline:
    """The time, FLOPs and traffic of one chip in a step.

    Attributes:
      seconds: the whole step.
      matmul: seconds of matrix products and what XLA fused with them.
      attention: seconds of the attention kernel.
      other: seconds of all other computation.
      exposed: seconds of waiting for a transfer with nothing to compute, by its mesh axes, a tuple
        of names.
      traffic: bytes by (kind of collective, mesh axes), see `Collective`.
      busy: seconds by link (an axis of the torus, or the network), exposed or not.
      flops: FLOPs of matrix products as compiled, recomputation included.
      hbm: bytes read from and written to HBM.
    """

    seconds: float = 0.0
    matmul: float = 0.0
    attention: float = 0.0
    other: float = 0.0
    exposed: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    traffic: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    busy: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    flops: float = 0.0
    hbm: float = 0.0

    def add(self, part: "Timeline", times: int) -> None:
        """Adds all figures of `part`, `times` over, to this timeline."""
        for field in dataclasses.fields(self):
            total, added = getattr(self, field.name), getattr(part, field.name)
            if isinstance(added, collections.Counter):
                for key, value in added.items():
                    total[key] += times * value
            else:
                setattr(self, field.name, total + times * added)


def simulate(module: Module, mesh: Mesh, chip: Chip) -> Timeline:
    """Returns the timeline of one step on one chip.

    Computation takes the cycles of XLA's cost model for TPUs. The attention kernel, which has no
    cycles there, runs at `KERNEL_EFFICIENCY` of the peak, and anything else without cycles at the
    bandwidth of HBM. An asynchronous transfer occupies its links as soon as they are free, overlaps
    with computation, and is waited for where its result is used. A synchronous one stops the chip
    until it is done, and shares its links with the transfers in flight.

    Args:
      module: the program of the step, compiled for TPUs.
      mesh: the mesh that it was compiled for.
      chip: of which the mesh is made.
    Raises:
      ValueError: see `Module.trip_count`.
    """
    return _Simulation(module, mesh, chip).run(module.entry)


class _Simulation:
    def __init__(self, module: Module, mesh: Mesh, chip: Chip):
        self.module, self.mesh, self.chip = module, mesh, chip

    def run(self, computation: str) -> Timeline:
        """Returns the timeline of one run of a computation, whose transfers all end in it."""
        timeline = Timeline()
        link_free: dict[str, float] = {}
        pending: dict[str, tuple[Collective, float]] = {}
        for instruction in self.module.computations[computation].values():
            if instruction.opcode == "while":
                times = self.module.trip_count(computation, instruction)
                timeline.add(self.run(instruction.called("body")), times)
                continue
            if instruction.opcode == "call":
                timeline.add(self.run(instruction.called("to_apply")), 1)
                continue
            done = _done_of(instruction)
            if done is not None:
                if done in pending:
                    _wait(timeline, *pending.pop(done))
                continue
            transfer = self.transfer(computation, instruction)
            if transfer is None:
                self.compute(timeline, computation, instruction)
                continue
            timeline.traffic[transfer.kind, transfer.axes] += transfer.bytes
            for link in transfer.links:
                timeline.busy[link] += transfer.seconds
            free = max([timeline.seconds, *(link_free.get(link, 0.0) for link in transfer.links)])
            if _is_start(instruction):
                pending[instruction.name] = (transfer, free + transfer.seconds)
                end = free + transfer.seconds
            else:
                # It shares its links with the transfers in flight and delays each by its own time.
                end = (
                    timeline.seconds
                    + transfer.seconds
                    + min(transfer.seconds, free - timeline.seconds)
                )
                for name, (other, late) in pending.items():
                    if late > timeline.seconds and set(other.links) & set(transfer.links):
                        pending[name] = (other, late + transfer.seconds)
                _wait(timeline, transfer, end)
                end = max(end, free + transfer.seconds)
            link_free.update(dict.fromkeys(transfer.links, end))
        return timeline

    def transfer(self, computation: str, instruction: Instruction) -> Collective | None:
        called = instruction.called("calls") or ""
        if called.startswith("async_collective_fusion"):
            return None  # computes, while a transfer that was started before overlaps
        return find_collective(self.module, computation, instruction, self.mesh, self.chip)

    def compute(self, timeline: Timeline, computation: str, instruction: Instruction) -> None:
        if instruction.opcode in FREE:
            return
        timeline.hbm += (traffic := hbm_bytes(self.module, computation, instruction))
        if instruction.opcode.endswith("-start"):
            return  # a copy between memories, which overlaps with computation
        flops = self.flops(computation, instruction)
        timeline.flops += flops
        kernel = instruction.opcode == "custom-call"
        if instruction.estimated_cycles is not None:
            seconds = instruction.estimated_cycles / self.chip.clock
        elif kernel:
            seconds = flops / (KERNEL_EFFICIENCY * self.chip.peak_bf16)
        else:
            seconds = traffic / self.chip.hbm_bandwidth
        timeline.seconds += seconds
        part = "attention" if kernel else "matmul" if flops else "other"
        setattr(timeline, part, getattr(timeline, part) + seconds)

    def flops(self, computation: str, instruction: Instruction) -> float:
        """Returns the FLOPs of the matrix products in an instruction or its fusion."""
        called = instruction.called("calls") if instruction.opcode == "fusion" else None
        if called is None:
            return matmul_flops(self.module, computation, instruction)
        return sum(
            matmul_flops(self.module, where, inner) * times
            for where, inner, times in self.module.walk(called)
        )


def _wait(timeline: Timeline, transfer: Collective, end: float) -> None:
    if end > timeline.seconds:
        timeline.exposed[transfer.axes] += end - timeline.seconds
        timeline.seconds = end


def _is_start(instruction: Instruction) -> bool:
    return instruction.opcode.endswith("-start") or instruction.name.startswith(
        "async-collective-start"
    )


def _done_of(instruction: Instruction) -> str | None:
    """Returns the name of the instruction that started the transfer which this one waits for; None
    if it waits for none.
    """
    if instruction.name.startswith("async-collective-done"):
        return instruction.name.replace("done", "start", 1)
    if instruction.opcode.endswith("-done"):
        return instruction.operands[0]
    return None
