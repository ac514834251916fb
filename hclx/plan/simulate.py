"""Times a compiled step: its instructions in the order of their schedule, transfers beside them
where they may overlap.
"""

import collections
import dataclasses

from jax.sharding import Mesh

from hclx.plan.chips import KERNEL_EFFICIENCY, Chip
from hclx.plan.hlo import Instruction, Module
from hclx.plan.hlo_cost import FREE, hbm_bytes, matmul_flops
from hclx.plan.interconnect import Collective, find_collective


@dataclasses.dataclass
class Timeline:
    """What one chip does in a step, in seconds, FLOPs and bytes.

    Attributes:
      seconds: of the whole step.
      matmul: matrix products and what XLA fused with them; `attention`: the kernel; `other`:
        everything else computed.
      exposed: waiting for a transfer with nothing to compute, by the mesh axes that it goes over.
      traffic: bytes by (kind of collective, mesh axes).
      busy: seconds by link (an axis of the torus, or the network), exposed or not.
      flops: of matrix products, as compiled: with what is computed again.
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
        """Adds `part`, run `times` in a row."""
        for field in dataclasses.fields(self):
            mine, its = getattr(self, field.name), getattr(part, field.name)
            if isinstance(its, collections.Counter):
                for key, value in its.items():
                    mine[key] += times * value
            else:
                setattr(self, field.name, mine + times * its)


def simulate(module: Module, mesh: Mesh, chip: Chip) -> Timeline:
    """The timeline of one step on one chip.

    Computation takes the cycles that XLA's cost model for TPUs gives it (`KERNEL_EFFICIENCY` for
    the attention kernel, the bandwidth of HBM for what has no estimate). A transfer that is started
    takes its links when they are free, goes on beside the computation, and is waited for where its
    result is used. One that is not split in start and done stops the chip until it is over, and
    shares its links with those under way.
    """
    return _Simulation(module, mesh, chip).run(module.entry)


class _Simulation:
    def __init__(self, module: Module, mesh: Mesh, chip: Chip):
        self.module, self.mesh, self.chip = module, mesh, chip

    def run(self, computation: str) -> Timeline:
        """The timeline of one turn of a computation whose transfers all end in it."""
        line = Timeline()
        link_free: dict[str, float] = {}
        pending: dict[str, tuple[Collective, float]] = {}
        for instruction in self.module.computations[computation].values():
            if instruction.opcode == "while":
                times = self.module.trip_count(computation, instruction)
                line.add(self.run(instruction.called("body")), times)
                continue
            if instruction.opcode == "call":
                line.add(self.run(instruction.called("to_apply")), 1)
                continue
            done = _done_of(instruction)
            if done is not None:
                if done in pending:
                    _wait(line, *pending.pop(done))
                continue
            transfer = self.transfer(computation, instruction)
            if transfer is None:
                self.compute(line, computation, instruction)
                continue
            line.traffic[transfer.kind, transfer.axes] += transfer.bytes
            for link in transfer.links:
                line.busy[link] += transfer.seconds
            free = max([line.seconds, *(link_free.get(link, 0.0) for link in transfer.links)])
            if _is_start(instruction):
                pending[instruction.name] = (transfer, free + transfer.seconds)
                end = free + transfer.seconds
            else:
                # It shares its links with what is on them, which is late by as much as it takes
                # itself.
                end = line.seconds + transfer.seconds + min(transfer.seconds, free - line.seconds)
                for name, (other, late) in pending.items():
                    if late > line.seconds and set(other.links) & set(transfer.links):
                        pending[name] = (other, late + transfer.seconds)
                _wait(line, transfer, end)
                end = max(end, free + transfer.seconds)
            link_free.update(dict.fromkeys(transfer.links, end))
        return line

    def transfer(self, computation: str, instruction: Instruction) -> Collective | None:
        called = instruction.called("calls") or ""
        if called.startswith("async_collective_fusion"):
            return None  # computes while a transfer, started before, goes on
        return find_collective(self.module, computation, instruction, self.mesh, self.chip)

    def compute(self, line: Timeline, computation: str, instruction: Instruction) -> None:
        if instruction.opcode in FREE:
            return
        line.hbm += (traffic := hbm_bytes(self.module, computation, instruction))
        if instruction.opcode.endswith("-start"):
            return  # a copy between memories beside the computation
        flops = self.flops(computation, instruction)
        line.flops += flops
        kernel = instruction.opcode == "custom-call"
        if instruction.estimated_cycles is not None:
            seconds = instruction.estimated_cycles / self.chip.clock
        elif kernel:
            seconds = flops / (KERNEL_EFFICIENCY * self.chip.peak_bf16)
        else:
            seconds = traffic / self.chip.hbm_bandwidth
        line.seconds += seconds
        part = "attention" if kernel else "matmul" if flops else "other"
        setattr(line, part, getattr(line, part) + seconds)

    def flops(self, computation: str, instruction: Instruction) -> float:
        """Of matrix products in an instruction, or in the fusion that it is."""
        called = instruction.called("calls") if instruction.opcode == "fusion" else None
        if called is None:
            return matmul_flops(self.module, computation, instruction)
        return sum(
            matmul_flops(self.module, where, inner) * times
            for where, inner, times in self.module.walk(called)
        )


def _wait(line: Timeline, transfer: Collective, end: float) -> None:
    if end > line.seconds:
        line.exposed[transfer.axes] += end - line.seconds
        line.seconds = end


def _is_start(instruction: Instruction) -> bool:
    return instruction.opcode.endswith("-start") or instruction.name.startswith(
        "async-collective-start"
    )


def _done_of(instruction: Instruction) -> str | None:
    """The name of the instruction that started what this one waits for; None when it waits for
    nothing.
    """
    if instruction.name.startswith("async-collective-done"):
        return instruction.name.replace("done", "start", 1)
    if instruction.opcode.endswith("-done"):
        return instruction.operands[0]
    return None
