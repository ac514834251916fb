"""What collectives cost: over which axes of the mesh they go, over which links, and how long they
take there.
"""

import dataclasses
import math
import re

import numpy as np
from jax.sharding import Mesh

from hclx.plan.chips import Chip
from hclx.plan.hlo import Instruction, Module

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
NETWORK = "network"  # between slices


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of one chip.

    Attributes:
      kind: one of `KINDS`.
      axes: the mesh axes that it goes over.
      bytes: of the whole array, gathered or not yet scattered; of what one chip holds for
        all-to-all and permute.
      links: what it occupies: physical axes of the torus, or `NETWORK`.
      seconds: how long, when it has them for itself.
    """

    kind: str
    axes: tuple[str, ...]
    bytes: float
    links: tuple[str, ...]
    seconds: float


def find_collective(
    module: Module, computation: str, instruction: Instruction, mesh: Mesh, chip: Chip
) -> Collective | None:
    """The collective that an instruction is, starts, or holds as a fusion; None for any other
    instruction.
    """
    inner, where = instruction, computation
    kind = _kind(instruction)
    if kind is None:
        where = instruction.called("calls") or (
            instruction.called("to_apply") if instruction.opcode == "call-start" else None
        )
        inner = next((i for i in module.computations.get(where, {}).values() if _kind(i)), None)
        if inner is None:
            return None
        kind = _kind(inner)
    if kind == "all-reduce" and "reduce-scatter" in where:
        kind = "reduce-scatter"  # XLA fuses an all-reduce and the slice that a chip keeps
    group = replica_group(inner.attributes, mesh.size)
    if len(group) < 2:
        return None
    sent = sum(a.bytes for a in module.operands(where, inner))
    got = sum(a.bytes for a in inner.results)
    if inner.opcode in ("all-gather-start", "collective-permute-start"):
        got -= sent  # their result holds the operand too
    return cost(kind, float(max(sent, got) if kind in KINDS[:3] else sent), group, mesh, chip)


def _kind(instruction: Instruction) -> str | None:
    opcode = instruction.opcode.removesuffix("-start")
    return opcode if opcode in KINDS else None


def replica_group(attributes: str, n_devices: int) -> list[int]:
    """The devices, by their place in the mesh, that the first device communicates with in a
    collective.

    Of a permute, the two that are farthest apart: some may stay where they are, and some go to
      another slice.
    """
    pairs = re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)+)\}", attributes)
    if pairs:
        both = [(int(a), int(b)) for a, b in re.findall(r"(\d+),(\d+)", pairs.group(1))]
        return list(max(both, key=lambda pair: abs(pair[0] - pair[1])))
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", attributes)
    if listed:
        return [int(d) for d in listed.group(1).split(",")]
    meshed = re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((.*?)\))? \{([^}]*)\}", attributes
    )
    if meshed:
        sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", meshed.group(1))}
        ids = _iota(meshed.group(2), n_devices).reshape(tuple(sizes.values()))
        axes = [list(sizes).index(name) for name in re.findall(r"'(\w+)'", meshed.group(3))]
        return ids[tuple(slice(None) if i in axes else 0 for i in range(ids.ndim))].ravel().tolist()
    iota = re.search(r"replica_groups=\[([\d,]+)\]<=(\S+?)(?:, |$)", attributes)
    if iota:
        return (
            _iota(iota.group(2), n_devices)
            .reshape([int(d) for d in iota.group(1).split(",")])[0]
            .tolist()
        )
    return list(range(n_devices))


def _iota(order: str | None, n_devices: int) -> np.ndarray:
    """Device numbers in an order such as "[16,64]T(1,0)": reshaped, transposed, and flat."""
    ids = np.arange(n_devices)
    if order:
        shape = [int(d) for d in re.search(r"\[([\d,]+)\]", order).group(1).split(",")]
        permutation = re.search(r"T\(([\d,]+)\)", order)
        ids = ids.reshape(shape)
        ids = (
            ids.transpose([int(d) for d in permutation.group(1).split(",")]) if permutation else ids
        )
    return ids.ravel()


def cost(kind: str, n_bytes: float, group: list[int], mesh: Mesh, chip: Chip) -> Collective:
    """Times a collective on rings of the torus that run both ways.

    With W what a chip sends over the axes of the torus that the group extends over, both directions
    together, and n
    chips in the group: all-gather and reduce-scatter take bytes (n - 1) / n / W, an all-reduce
      twice that, all-to-all
    bytes · longest axis / 4 / (W of one axis), a permute bytes / link. An axis that does not close
    to a ring has half.
    """
    devices = mesh.devices.ravel()[group]
    places = np.array(np.unravel_index(group, mesh.devices.shape))
    axes = tuple(name for name, row in zip(mesh.axis_names, places) if len(set(row)) > 1)
    n = len(group)
    slices = {getattr(device, "slice_index", 0) for device in devices}
    if len(slices) > 1:
        return Collective(
            kind, axes, n_bytes, (NETWORK,), _network_seconds(kind, n_bytes, n, len(slices), chip)
        )
    whole = np.array([device.coords for device in mesh.devices.flat])
    coords = np.array([device.coords for device in devices])
    extents = {"xyz"[i]: len(set(coords[:, i])) for i in range(3) if len(set(coords[:, i])) > 1}
    lengths = {"xyz"[i]: len(set(whole[:, i])) for i in range(3)}
    widths = {
        a: chip.link * (2 if e == lengths[a] and e % chip.wrap == 0 else 1)
        for a, e in extents.items()
    }
    total = sum(widths.values())
    seconds = {
        "all-gather": lambda: n_bytes * (n - 1) / n / total,
        "reduce-scatter": lambda: n_bytes * (n - 1) / n / total,
        "all-reduce": lambda: 2 * n_bytes * (n - 1) / n / total,
        "all-to-all": lambda: n_bytes * max(extents.values()) / 4 / min(widths.values()),
        "collective-permute": lambda: n_bytes / chip.link,
    }[kind]()
    return Collective(kind, axes, n_bytes, tuple(extents), seconds)


def _network_seconds(kind: str, n_bytes: float, n: int, slices: int, chip: Chip) -> float:
    """Between slices: each chip of a slice carries its share, then the slices exchange over the
    network.
    """
    within = n // slices
    factor = {"all-reduce": 2 * (slices - 1) / slices, "collective-permute": 1.0}.get(
        kind, (slices - 1) / slices
    )
    share = n_bytes / within if kind in KINDS[:3] else n_bytes
    return factor * share / chip.network if math.isfinite(chip.network) else 0.0
