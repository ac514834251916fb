"""What tests/benchmarks/gpu.py runs, in which order: the list of items that --plan gives."""

import dataclasses

PLAN = (
    "first,peer,remat=none,batch=32,batch=64,scan_unroll=24,scan_unroll=24&remat=none&batch=8,"
    "matmul=fp8&xla_gpu_enable_triton_gemm=False,profile,"
    "1b3:first,1b3:peer,kernels,+attention=triton,+loss_chunk_tokens=32768"
)


@dataclasses.dataclass(frozen=True)
class Item:
    """An item of the plan.

    `action` is first, peer, profile, kernels or change; a change sets fields of `ComputeConfig`, or
    the batch, on top of the first settings, or of the best ones so far.
    """

    text: str
    size: str
    action: str
    changes: dict
    on_best: bool = False


def parse_plan(text: str, size: str) -> list[Item]:
    """Parses [SIZE:]ACTION,... ; `size` is that of items without one.

    Raises:
      ValueError: an item is neither an action nor a change.
    """
    items = []
    for word in text.split(","):
        prefix, _, rest = word.rpartition(":")
        item = Item(word, prefix or size, rest, {})
        if "=" in rest:
            pairs = (pair.split("=", 1) for pair in rest.removeprefix("+").split("&"))
            changes = {name: int(value) if value.isdigit() else value for name, value in pairs}
            item = Item(word, prefix or size, "change", changes, rest.startswith("+"))
        elif rest not in ("first", "peer", "profile", "kernels"):
            raise ValueError(
                f"--plan: {word!r} is not first, peer, profile, kernels or a change such as"
                " batch=32 or +remat=none"
            )
        items.append(item)
    return items
