"""The cost of collectives: the mesh axes and the links that they use, and their time there."""

import dataclasses
import math
import re

import numpy as np
from jax.sharding import Mesh

from hclx.parallel.chips import Chip
from hclx.plan.hlo import Instruction, Module

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
NETWORK = "network"  # between slices


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective of one chip.

    Attributes:
      kind: "all-gather", "all-reduce", "reduce-scatter", "all-to-all" or "collective-permute".
      axes: the mesh axes that it communicates over.
      bytes: of the unsharded array, that is before a scatter and after a gather; for all-to-all
        and permute, of the part on one chip.
      links: that it occupies: axes of the torus, "x", "y" or "z"; or "network", between slices.
      seconds: its time if no other collective uses these links.
    """

    kind: str
    axes: tuple[str, ...]
    bytes: float
    links: tuple[str, ...]
    seconds: float


def find_collective(
    module: Module, computation: str, instruction: Instruction, mesh: Mesh, chip: Chip
) -> Collective | None:
    """Returns the collective that an instruction performs, starts, or contains as a fusion; None
    for any other instruction, and for a collective of one device.

    Args:
      module: the program.
      computation: the name of the computation that holds the instruction.
      instruction: the one that may be a collective.
      mesh: the mesh that the program was compiled for.
      chip: of which the mesh is made.
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
        kind = "reduce-scatter"  # XLA fuses an all-reduce with the slice that a chip keeps
    group = replica_group(inner.attributes, mesh.size)
    if len(group) < 2:
        return None
    sent = sum(a.bytes for a in module.operands(where, inner))
    received = sum(a.bytes for a in inner.results)
    if inner.opcode in ("all-gather-start", "collective-permute-start"):
        received -= sent  # their result holds the operand too
    return cost(kind, float(max(sent, received) if kind in KINDS[:3] else sent), group, mesh, chip)


def _kind(instruction: Instruction) -> str | None:
    opcode = instruction.opcode.removesuffix("-start")
    return opcode if opcode in KINDS else None


def replica_group(attributes: str, n_devices: int) -> list[int]:
    """Returns the devices, as flat indices into the mesh, of the first group of a collective.

    For a permute these are the two devices that are farthest apart, because some pairs may stay on
    one device while others cross slices.

    Args:
      attributes: of the collective's instruction, with `replica_groups=` in any of XLA's forms, or
        `source_target_pairs=`; without either the group is all devices.
      n_devices: the number of devices of the mesh.
    """
    permuted = re.search(r"source_target_pairs=\{((?:\{\d+,\d+\},?)+)\}", attributes)
    if permuted:
        pairs = [(int(a), int(b)) for a, b in re.findall(r"(\d+),(\d+)", permuted.group(1))]
        return list(max(pairs, key=lambda pair: abs(pair[0] - pair[1])))
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
        shape = [int(d) for d in iota.group(1).split(",")]
        return _iota(iota.group(2), n_devices).reshape(shape)[0].tolist()
    return list(range(n_devices))


def _iota(order: str | None, n_devices: int) -> np.ndarray:
    """Returns device numbers in an order such as "[16,64]T(1,0)": reshape, transpose, flatten."""
    ids = np.arange(n_devices)
    if order:
        shape = [int(d) for d in re.search(r"\[([\d,]+)\]", order).group(1).split(",")]
        permutation = re.search(r"T\(([\d,]+)\)", order)
        ids = ids.reshape(shape)
        if permutation:
            ids = ids.transpose([int(d) for d in permutation.group(1).split(",")])
    return ids.ravel()


def cost(kind: str, n_bytes: float, group: list[int], mesh: Mesh, chip: Chip) -> Collective:
    """Estimates the time of a collective on bidirectional rings of the torus.

    Let n be the chips of the group, and W the bytes a second that a chip sends over all axes of the
    torus that the group spans, in both directions together. All-gather and reduce-scatter take
    bytes (n - 1) / n / W, all-reduce twice as long, all-to-all bytes · (longest axis) / 4 / (W of
    one axis), a permute bytes / link. An axis that does not close to a ring has half of the W.
    Between slices each chip sends its share of the same bytes over the network; that takes no time
    if the bandwidth of the network is not finite.

    Args:
      kind: see `Collective.kind`.
      n_bytes: see `Collective.bytes`.
      group: flat indices of its devices in the mesh, at least two.
      mesh: of devices with `coords` and, over several slices, `slice_index`.
      chip: of which the mesh is made.
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
        a: chip.link * (2 if e == lengths[a] and e % chip.ring == 0 else 1)
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
    """Estimates a collective between slices: each chip of a slice exchanges its share with the
    other slices over the network.
    """
    within = n // slices
    factor = {"all-reduce": 2 * (slices - 1) / slices, "collective-permute": 1.0}.get(
        kind, (slices - 1) / slices
    )
    share = n_bytes / within if kind in KINDS[:3] else n_bytes
    return factor * share / chip.network if math.isfinite(chip.network) else 0.0
