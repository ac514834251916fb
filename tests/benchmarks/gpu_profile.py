"""The largest operations of a trace of `jax.profiler`, as a table, without TensorFlow."""

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path

# The kind of an operation by what its kernel, its instruction or its source is called; the first
# expression that matches decides.
KINDS = {
    "attention": r"sdpa|fmha|flash|mha_|attention",
    "matrix products": r"gemm|nvjet|cublas|cutlass|xmma|matmul|dot_general|\bdot",
    "copies and slices": r"memcpy|memset|copy|transpose|slice|concatenate|gather|scatter|\bpad",
    "reductions": r"reduce|softmax|norm",
}
OTHER = "elementwise and other"
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = .*metadata=\{[^}]*op_name=\"([^\"]*)\"")


def read_trace(folder: str) -> list[dict]:
    """Returns the events of the newest trace in a folder of `jax.profiler.trace`.

    Events are those of Chrome's trace format: metadata ("ph": "M") names the lanes, complete
    events ("ph": "X") have `ts` and `dur` in microseconds. Where JAX writes no such file, they are
    read from the protocol buffer beside it.

    Raises:
      FileNotFoundError: the folder holds no trace.
    """
    files = sorted(
        (
            path
            for path in Path(folder).rglob("*")
            if path.name.endswith((".json.gz", ".xplane.pb"))
        ),
        key=lambda path: (path.name.endswith(".json.gz"), path.stat().st_mtime),
    )
    if not files:
        raise FileNotFoundError(f"{folder} holds no *.trace.json.gz and no *.xplane.pb")
    if files[-1].suffix == ".pb":
        return read_xplane(str(files[-1]))
    with gzip.open(files[-1], "rt", encoding="utf-8") as file:
        return json.load(file)["traceEvents"]


def read_xplane(path: str) -> list[dict]:
    """Returns the events of an *.xplane.pb file in Chrome's trace format."""
    import jax

    events = []
    for pid, plane in enumerate(jax.profiler.ProfileData.from_file(path).planes):
        events.append(_metadata("process_name", plane.name, pid))
        for tid, line in enumerate(plane.lines):
            events.append(_metadata("thread_name", line.name, pid, tid))
            for event in line.events:
                stats = {name: str(value) for name, value in event.stats if name is not None}
                times = {"ts": event.start_ns / 1e3, "dur": event.duration_ns / 1e3}
                lane = {"ph": "X", "pid": pid, "tid": tid}
                events.append({**lane, **times, "name": event.name, "args": stats})
    return events


def _metadata(kind: str, name: str, pid: int, tid: int = 0) -> dict:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def instruction_sources(program: str) -> dict[str, str]:
    """Maps the instructions of a compiled program, given as text, to JAX's operations."""
    matches = map(_INSTRUCTION.match, program.splitlines())
    return {match[1]: match[2] for match in matches if match}


def summarize(events: list[dict], steps: int, sources: dict[str, str] = {}, largest: int = 20):
    """Sums up the time of each operation in a trace.

    Counted are the kernels and copies on the streams of a GPU, or, if the trace has no GPU, the
    instructions that XLA ran on the CPU. The time of an operation is without that of operations
    inside it (a loop is not counted again).

    Args:
      events: see `read_trace`.
      steps: how many training steps the trace holds; times are divided by it.
      sources: see `instruction_sources`.
      largest: how many operations to return.

    Returns:
      `busy_ms`, the time a step in which at least one operation ran; `kinds`, ms a step by kind;
      `operations`, the largest ones, each with `ms` and `calls` a step, its `share` of all
      operations' time, `kernel`, `instruction`, `kind` and `source`; `lanes`, the names of the
      lanes that were counted.
    """
    by_name = _lanes_of_operations(events)
    lanes = list(by_name.values())
    totals, calls = defaultdict(float), defaultdict(int)
    # Kernels in a CUDA graph may come without their instruction, whose name theirs is made of.
    named_after = {re.sub(r"\W", "_", instruction): instruction for instruction in sources}
    for lane in lanes:
        for event, microseconds in _self_times(lane):
            kernel = event["name"]
            instruction = event.get("args", {}).get("hlo_op") or named_after.get(kernel, "")
            key = kernel, instruction
            totals[key] += microseconds
            calls[key] += 1
    whole, kinds = sum(totals.values()), defaultdict(float)
    operations = []
    for (kernel, instruction), microseconds in sorted(totals.items(), key=lambda item: -item[1]):
        source = sources.get(instruction, "")
        kind = _kind(kernel, instruction, source.rpartition("/")[2])
        kinds[kind] += microseconds / 1e3 / steps
        operations.append(
            {
                "ms": microseconds / 1e3 / steps,
                "calls": calls[kernel, instruction] / steps,
                "share": microseconds / whole,
                "kind": kind,
                "kernel": kernel,
                "instruction": instruction,
                "source": source,
            }
        )
    return {
        "busy_ms": _covered(lanes) / 1e3 / steps,
        "kinds": dict(sorted(kinds.items(), key=lambda item: -item[1])),
        "operations": operations[:largest],
        "lanes": sorted(by_name),
    }


def lane_names(events: list[dict]) -> dict[tuple[int, int], str]:
    """Maps the lanes of a trace, (process, thread), to names such as "/device:GPU:0 Stream #1"."""
    processes, threads = {}, {}
    for event in events:
        if event.get("ph") == "M" and event["name"] == "process_name":
            processes[event["pid"]] = event["args"]["name"]
        elif event.get("ph") == "M" and event["name"] == "thread_name":
            threads[event["pid"], event["tid"]] = event["args"]["name"]
    return {lane: f"{processes.get(lane[0], '')} {name}" for lane, name in threads.items()}


def _lanes_of_operations(events: list[dict]) -> dict[str, list[dict]]:
    """Complete events by lane, sorted: streams of GPUs, or XLA's instructions on the CPU.

    Other lanes of a GPU ("XLA Ops", "Steps", ...) hold the same time again.
    """
    names = lane_names(events)
    streams = {lane for lane, name in names.items() if re.search(r"GPU\S* Stream", name)}
    lanes = defaultdict(list)
    for event in events:
        if event.get("ph") == "X" and event.get("dur"):
            lane = event["pid"], event["tid"]
            if lane in streams if streams else "hlo_op" in event.get("args", {}):
                lanes[names.get(lane, str(lane))].append(event)
    return {name: sorted(lane, key=lambda e: (e["ts"], -e["dur"])) for name, lane in lanes.items()}


def _self_times(lane: list[dict]) -> list[tuple[dict, float]]:
    """Each event of a sorted lane, with its microseconds outside of the events inside it."""
    times, open_events = [], []  # open_events: indices into `times`, the innermost last
    for event in lane:
        while open_events and _end(times[open_events[-1]][0]) <= event["ts"]:
            open_events.pop()
        if open_events:
            times[open_events[-1]][1] -= event["dur"]
        open_events.append(len(times))
        times.append([event, event["dur"]])
    return [(event, max(0.0, microseconds)) for event, microseconds in times]


def _end(event: dict) -> float:
    return event["ts"] + event["dur"]


def _covered(lanes: list[list[dict]]) -> float:
    """Microseconds in which at least one event of any lane ran."""
    covered, until = 0.0, float("-inf")
    for event in sorted((event for lane in lanes for event in lane), key=lambda e: e["ts"]):
        covered += max(0.0, _end(event) - max(until, event["ts"]))
        until = max(until, _end(event))
    return covered


def _kind(*names: str) -> str:
    """The kernel's name decides before the instruction's, and that before the source's."""
    for name in names:
        for kind, expression in KINDS.items():
            if re.search(expression, name.lower()):
                return kind
    return OTHER


def table(profile: dict) -> str:
    """Renders what `summarize` returns, with the `step_ms` of the traced steps, as markdown."""
    busy, step_ms = profile["busy_ms"], profile["step_ms"]
    idle = max(0.0, step_ms - busy)
    kinds = ", ".join(f"{kind} {ms:.1f} ms" for kind, ms in profile["kinds"].items())
    lines = [
        f"A traced step took {step_ms:.1f} ms; the device was busy for {busy:.1f} ms of it and idle"
        f" for {idle:.1f} ms ({idle / step_ms:.1%}). By kind: {kinds}.",
        "",
        "| | ms a step | share | calls a step | kind | kernel | instruction | source |",
        "|---:|---:|---:|---:|---|---|---|---|",
    ]
    for rank, operation in enumerate(profile["operations"], 1):
        instruction = operation["instruction"]
        words = [
            str(rank),
            f"{operation['ms']:.2f}",
            f"{operation['share']:.1%}",
            f"{operation['calls']:.0f}",
            operation["kind"],
            _short(operation["kernel"]),
            "" if instruction == operation["kernel"] else _short(instruction),
            _short(operation["source"], keep_end=True),
        ]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def _short(name: str, length: int = 56, keep_end: bool = False) -> str:
    name = name.replace("|", "/")
    if len(name) <= length:
        return name
    return f"…{name[1 - length :]}" if keep_end else f"{name[: length - 1]}…"
