"""What tests/benchmarks/gpu.py runs, in which order: the list of items that --plan gives."""

import dataclasses

PLAN = (
    "first,peer,engine,engine_peer,scan_unroll=24&remat=none&batch=8,batch=32,"
    "matmul=fp8&xla_gpu_enable_triton_gemm=False,profile,"
    "1b3:first,1b3:tune=lora,1b3:tune=prompt_tune,1b3:peer,1b3:engine,1b3:engine_peer,kernels,"
    "+attention=triton,+loss_chunk_tokens=32768,remat=none,scan_unroll=24,batch=64"
)
ACTIONS = ("first", "peer", "engine", "engine_peer", "profile", "kernels")
OF_TORCH = ("peer", "engine_peer")


@dataclasses.dataclass(frozen=True)
class Item:
    """An item of the plan.

    `action` is one of `ACTIONS`, or change; a change sets fields of `ComputeConfig`, the batch, or
    the method of tuning (`tune`), on top of the first settings, or of the best ones so far.
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
        elif rest not in ACTIONS:
            raise ValueError(
                f"--plan: {word!r} is not {', '.join(ACTIONS)} or a change such as"
                " batch=32 or +remat=none"
            )
        items.append(item)
    return items
