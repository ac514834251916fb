"""FLOPs and memory traffic of single HLO instructions."""

import math
import re

from hclx.plan.hlo import Array, Instruction, Module

# Instructions that move no data: they rename, group or describe buffers.
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
# matrix products of queries x keys x head size in each kernel
_SPLASH_PRODUCTS = {"splash_mha_fwd": 2, "splash_mha_dkv": 4, "splash_mha_dq": 3}
SPLASH_BLOCK = 512


def matmul_flops(module: Module, computation: str, instruction: Instruction) -> float:
    """Returns the FLOPs of a `dot`, a `convolution` (XLA's form of every matrix product on TPUs) or
    a splash attention kernel; 0 for other instructions, also for fusions, whose
    instructions count one by one.

    Args:
      module: the program.
      computation: the name of the computation that holds the instruction.
      instruction: one run of it is counted.
    """
    if instruction.opcode not in ("convolution", "dot"):
        return splash_flops(instruction) if instruction.opcode == "custom-call" else 0.0
    left, right = module.operands(computation, instruction)[:2]
    out = instruction.results[0]
    if instruction.opcode == "dot":
        listed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.attributes).group(1)
        return 2.0 * out.size * math.prod(left.shape[int(d)] for d in listed.split(","))
    return _convolution_flops(left, right, out, instruction.attributes)


def _convolution_flops(left: Array, right: Array, out: Array, attributes: str) -> float:
    """Returns the FLOPs of a convolution. Taps on padding do not count: XLA writes products over
    several axes as convolutions that are mostly padding.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", attributes).groups()
    size = lambda array, label, name: array.shape[label.index(name)]
    flops = (
        2.0 * size(out, labels[2], "b") * size(out, labels[2], "f") * size(right, labels[1], "i")
    )
    fields = (re.search(r"window=\{([^}]*)\}", attributes) or [None, ""])[1]
    window = dict(re.findall(r"(\w+)=([\w.\-]+)", fields))
    for axis, name in enumerate(sorted(set(labels[2]) & set("0123456789"))):
        field = lambda key, default: window[key].split("x")[axis] if key in window else default
        low_padding = int(field("pad", "0_0").split("_")[0])
        steps = [int(field(key, "1")) for key in ("stride", "lhs_dilate", "rhs_dilate")]
        sizes = (size(array, label, name) for array, label in zip((left, right, out), labels))
        flops *= valid_taps(*sizes, low_padding, *steps)
    return flops


def valid_taps(
    n_in: int,
    n_kernel: int,
    n_out: int,
    low_padding: int,
    stride: int,
    in_dilation: int,
    kernel_dilation: int,
) -> int:
    """Counts the pairs (output, tap) of one spatial axis that use an input, and not padding or the
    space between dilated inputs.

    Args:
      n_in, n_kernel, n_out: sizes of input, kernel and output along the axis.
      low_padding: zeros before the first input; if negative, inputs that are left out.
      stride: between outputs, in (dilated) inputs.
      in_dilation, kernel_dilation: distance between neighbours; 1: no dilation.
    """
    places = (
        output * stride + tap * kernel_dilation - low_padding
        for output in range(n_out)
        for tap in range(n_kernel)
    )
    return sum(place % in_dilation == 0 and 0 <= place // in_dilation < n_in for place in places)


def splash_flops(instruction: Instruction) -> float:
    """Returns the FLOPs of a splash attention kernel, which computes whole the blocks at and below
    the diagonal; 0 for other kernels.
    """
    for name, products in _SPLASH_PRODUCTS.items():
        if instruction.name.startswith(name):
            # The largest result is [batch, heads, length, head size]; a batch of 1 is left out.
            *heads, length, size = max(instruction.results, key=lambda array: array.size).shape
            blocks = max(1, length // SPLASH_BLOCK)
            computed = (blocks + 1) / (2 * blocks)  # of all blocks
            return products * 2.0 * math.prod(heads) * length * length * size * computed
    return 0.0


def hbm_bytes(module: Module, computation: str, instruction: Instruction) -> float:
    """Returns the bytes that one run of an instruction reads from and writes to HBM. A slice of a
    stack counts as the slice alone; loops, and the ends of transfers, count nothing.

    Args:
      module: the program.
      computation: the name of the computation that holds the instruction.
      instruction: one run of it is counted.
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
    """Returns the bytes that a fusion reads of its parameter number `position` if it only takes
    slices of it; else infinity.
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
