"""The section peft of tests/benchmarks/tuning.py: steps of tuning by hclx and by PEFT."""

import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.gpu_process import Worker

KINDS = ("prompt_tune", "lora")
ROWS = ("full", "mixed")
SECONDS = 3600  # patience with a contender


class Sizes(NamedTuple):
    """The sizes of the measurement.

    Attributes:
      batch, length: rows of a step, and tokens of a full row.
      examples: of mixed length, which both learn from in a round; a multiple of the batch.
      slots: of the soft prompt.
      steps: with full rows, in a round.
      rounds: that are counted; another one comes before them.
    """

    batch: int = 8
    length: int = 256
    examples: int = 128
    slots: int = 20
    steps: int = 4
    rounds: int = 5


TINY = Sizes(batch=2, length=32, examples=8, slots=4, steps=2, rounds=1)


def measure(folder: str, sizes: Sizes, kinds: Sequence[str] = KINDS) -> Iterator[dict]:
    """Yields the figures of each kind of tuning, with rows of either sort.

    Args:
      folder: a model of transformers that hclx reads.
      sizes: see `Sizes`.
      kinds: some of KINDS.
    """
    spec = {"folder": folder, "threads": os.cpu_count(), **sizes._asdict()}
    for kind in kinds:
        workers = {name: _worker(name, spec) for name in ("hclx", "peft")}
        try:
            for rows in ROWS:
                yield _compare(workers, kind, rows, sizes)
        finally:
            for worker in workers.values():
                worker.kill()


def _worker(name: str, spec: dict) -> Worker:
    program = str(Path(__file__).with_name("tuning_contender.py"))
    variables = {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return Worker(name, variables, [sys.executable, "-P", program, name, json.dumps(spec)])


def _ask(worker: Worker, task: dict) -> dict:
    """Runs a task in a process that is stopped before and after it."""
    worker.resume()
    result = worker.ask(task, SECONDS)
    worker.pause()
    if "error" in result:
        raise SystemExit(f"{result['error']}\n{result.get('stderr', '')}")
    return result


def _compare(workers: dict[str, Worker], kind: str, rows: str, sizes: Sizes) -> dict:
    """Compares rounds: in the first one, which is not counted, programs are compiled."""
    rounds = []
    for number in range(1 + sizes.rounds):
        task = {"kind": kind, "rows": rows, "round": number}
        rounds.append({name: _ask(worker, task) for name, worker in workers.items()})
    first, *counted = rounds
    losses = [first[name]["first_loss"] for name in ("hclx", "peft")]
    # only full rows are the same ones in the first batch of both
    if rows == "full" and abs(losses[0] - losses[1]) > 1e-4 * abs(losses[1]):
        raise SystemExit(f"{kind}, {rows} rows: the first losses differ: {losses}")
    median = lambda values: round(statistics.median(values), 3)
    speed = lambda name: [r[name]["tokens"] / r[name]["seconds"] for r in counted]
    ratios = [ours / theirs for ours, theirs in zip(speed("hclx"), speed("peft"))]
    return {
        "kind": kind,
        "rows": rows,
        **{f"{name}_tokens_per_second": median(speed(name)) for name in workers},
        **{f"{name}_filled": round(first[name]["filled"], 3) for name in workers},
        "first_losses": losses,
        "ratio": median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "rounds": len(counted),
        "threads": os.cpu_count(),
        **{name: getattr(sizes, name) for name in ("batch", "length", "examples", "steps")},
    }
