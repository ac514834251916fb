"""Arithmetic and memory traffic of single HLO instructions."""

import math
import re

from hclx.plan.hlo import Array, Instruction, Module

# Instructions that move nothing: they rename, group or describe buffers.
FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "after-all",
    "iota",
    "partition-id",
    "replica-id",
}
# of queries x keys x head size
_SPLASH_PRODUCTS = {"splash_mha_fwd": 2, "splash_mha_dkv": 4, "splash_mha_dq": 3}
SPLASH_BLOCK = 512


def matmul_flops(module: Module, computation: str, instruction: Instruction) -> float:
    """Multiplications and additions of a `convolution` (as XLA writes every matrix product for
    TPUs) or `dot`; else 0.
    """
    if instruction.opcode not in ("convolution", "dot"):
        return splash_flops(instruction) if instruction.opcode == "custom-call" else 0.0
    left, right = module.operands(computation, instruction)[:2]
    out = instruction.results[0]
    if instruction.opcode == "dot":
        contracted = [
            int(d)
            for d in re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes)
            .group(1)
            .split(",")
        ]
        return 2.0 * out.size * math.prod(left.shape[d] for d in contracted)
    return _convolution_flops(left, right, out, instruction.attributes)


def _convolution_flops(left: Array, right: Array, out: Array, attributes: str) -> float:
    """Only taps that meet the input count: XLA writes products over several axes as convolutions
    that are mostly padding.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", attributes).groups()
    size = lambda array, label, name: array.shape[label.index(name)]
    flops = (
        2.0 * size(out, labels[2], "b") * size(out, labels[2], "f") * size(right, labels[1], "i")
    )
    window = dict(
        re.findall(
            r"(\w+)=([\w.\-]+)", (re.search(r"window=\{([^}]*)\}", attributes) or [None, ""])[1]
        )
    )
    for axis, name in enumerate(sorted(set(labels[2]) & set("0123456789"))):
        field = lambda key, default: window[key].split("x")[axis] if key in window else default
        low = int(field("pad", "0_0").split("_")[0])
        steps = [int(field(key, "1")) for key in ("stride", "lhs_dilate", "rhs_dilate")]
        flops *= _valid_taps(
            size(left, labels[0], name),
            size(right, labels[1], name),
            size(out, labels[2], name),
            low,
            *steps,
        )
    return flops


def _valid_taps(
    n_in: int, n_kernel: int, n_out: int, low: int, stride: int, in_step: int, kernel_step: int
) -> int:
    """Pairs (output, tap) of one spatial axis that fall on an input, not on padding or between
    dilated inputs.
    """
    places = (o * stride + k * kernel_step - low for o in range(n_out) for k in range(n_kernel))
    return sum(place % in_step == 0 and 0 <= place // in_step < n_in for place in places)


def splash_flops(instruction: Instruction) -> float:
    """Of a splash attention kernel: the blocks at and below the diagonal are computed whole."""
    for name, products in _SPLASH_PRODUCTS.items():
        if instruction.name.startswith(name):
            # The largest result is [rows of the batch, heads, length, size of a head], without rows
            # where there is one.
            *heads, length, size = max(instruction.results, key=lambda array: array.size).shape
            blocks = max(1, length // SPLASH_BLOCK)
            return (
                products
                * 2.0
                * math.prod(heads)
                * length
                * length
                * size
                * (blocks + 1)
                / (2 * blocks)
            )
    return 0.0


def hbm_bytes(module: Module, computation: str, instruction: Instruction) -> float:
    """Bytes that one run of an instruction reads from and writes to HBM; slices of a stack count as
    the slice.
    """
    if (
        instruction.opcode in FREE
        or instruction.opcode == "while"
        or instruction.opcode.endswith("-done")
    ):
        return 0.0
    inside = module.computations.get(instruction.called("calls") or "", {})
    read = 0.0
    known = module.computations[computation]
    for position, name in enumerate(instruction.operands):
        for array in known[name].results if name in known else ():
            read += min(array.bytes, _slice_bytes(inside, position)) if array.in_hbm else 0.0
    updates = [
        inside[u.operands[1]].results[0].bytes
        for u in inside.values()
        if u.opcode == "dynamic-update-slice" and u.operands[1] in inside
    ]
    written = 0.0
    for array in instruction.results:
        if array.in_hbm:
            written += min([array.bytes, *updates]) if len(array.shape) > 1 else array.bytes
    return read + written


def _slice_bytes(inside: dict[str, Instruction], position: int) -> float:
    """What a fusion reads of its parameter number `position`, where all that uses it takes slices;
    else infinity.
    """
    names = [i.name for i in inside.values() if i.opcode == "parameter" and i.number == position]
    if not names:
        return math.inf
    uses = [i for i in inside.values() if names[0] in i.operands]
    if not uses:
        return 0.0
    if all(use.opcode == "dynamic-slice" and use.operands[0] == names[0] for use in uses):
        return float(sum(use.results[0].bytes for use in uses))
    if all(use.opcode == "dynamic-update-slice" and use.operands[0] == names[0] for use in uses):
        return 0.0
    return math.inf
