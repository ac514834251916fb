"""MODEL_DIR/examples/process-N.jsonl: which examples each step was computed from, for whoever asks
what a spike has seen.

One line a step: the numbers of the examples in the order of the run, and a CRC-32 of the tokens
  that this process held of each.
"""

import zlib
from pathlib import Path

import jax
import numpy as np

from hclx.data import Loader
from hclx.train.jsonl import drop_records_after, read_records, to_line

FOLDER = "examples"


class ExampleLog:
    """Appends a line a step; a resumed run first drops what came after the step that it goes on
    from.
    """

    def __init__(self, model_dir: str | Path, loader: Loader, step: int):
        path = Path(model_dir) / FOLDER / f"process-{jax.process_index()}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_records_after(path, step)
        if jax.process_index() == 0:  # an earlier attempt may have had more processes
            for other in path.parent.glob("process-*.jsonl"):
                if int(other.stem.removeprefix("process-")) >= jax.process_count():
                    drop_records_after(other, step)
        self._file, self._loader = path.open("a", encoding="utf-8"), loader

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._file.close()

    def write(self, step: int, index: int, window_bt: jax.Array) -> None:
        """Notes the batch at position `index` of the order, as it lies on the devices of this
        process.
        """
        found = {}
        for shard in window_bt.addressable_shards:
            first = shard.index[0].start or 0
            if first not in found:
                rows = np.asarray(shard.data)
                numbers = self._loader.examples(index + first, index + first + len(rows)).tolist()
                found[first] = [
                    (number, zlib.crc32(row.tobytes()))
                    for number, row in zip(numbers, rows, strict=True)
                ]
        pairs = [pair for first in sorted(found) for pair in found[first]]
        record = {
            "step": step,
            "examples": [number for number, _ in pairs],
            "crc32": [crc for _, crc in pairs],
        }
        self._file.write(to_line(record))
        self._file.flush()


def read_examples(model_dir: str | Path) -> dict[int, dict[int, int]]:
    """Step -> {example: CRC-32}, of all processes together."""
    steps: dict[int, dict[int, int]] = {}
    for path in sorted((Path(model_dir) / FOLDER).glob("process-*.jsonl")):
        for record in read_records(path):
            steps.setdefault(record["step"], {}).update(
                zip(record["examples"], record["crc32"], strict=True)
            )
    return steps
