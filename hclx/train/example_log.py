"""MODEL_DIR/examples/process-N.jsonl: the examples that each step was computed from, to look at
those of a spike.

Each step has a line, with the numbers of the examples in the order of the run and a CRC-32 of the
tokens of each, for the examples whose rows this process held.
"""

import zlib
from pathlib import Path

import jax
import numpy as np

from hclx.data import Loader
from hclx.data.batch import Batch
from hclx.train.jsonl import drop_records_after, read_records, to_line

FOLDER = "examples"


class ExampleLog:
    """Appends a line for each step. A resumed run first drops those after the step that it resumes
    from.
    """

    def __init__(self, model_dir: str | Path, loader: Loader, step: int):
        """Opens the log of this process.

        Args:
          model_dir: folder of the run.
          loader: of the run; it numbers the examples.
          step: the step that the run resumes from, 0 for a new one.
        """
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

    def write(self, step: int, index: int, batch: Batch) -> None:
        """Logs a batch, as it lies on the devices of this process.

        Args:
          step: that was computed from it.
          index: position of its first row in the order of the run.
          batch: on the devices.
        """
        # by first row, as several devices may hold the same rows
        logged: dict[int, list[tuple[int, int]]] = {}
        shards = zip(batch.tokens_bt.addressable_shards, batch.targets_bt.addressable_shards)
        for tokens, targets in shards:
            first = tokens.index[0].start or 0
            if first not in logged:
                last_targets = np.asarray(targets.data)[:, -1:]
                rows = np.concatenate([np.asarray(tokens.data), last_targets], axis=1)
                numbers = self._loader.examples(index + first, index + first + len(rows)).tolist()
                logged[first] = [
                    (number, zlib.crc32(row.tobytes()))
                    for number, row in zip(numbers, rows, strict=True)
                ]
        pairs = [pair for first in sorted(logged) for pair in logged[first]]
        record = {
            "step": step,
            "examples": [number for number, _ in pairs],
            "crc32": [crc for _, crc in pairs],
        }
        self._file.write(to_line(record))
        self._file.flush()


def read_examples(model_dir: str | Path) -> dict[int, dict[int, int]]:
    """Maps each logged step to {number of an example: CRC-32 of its tokens, int32 [t + 1]}, from
    the logs of all processes; {} if there are none.
    """
    steps: dict[int, dict[int, int]] = {}
    for path in sorted((Path(model_dir) / FOLDER).glob("process-*.jsonl")):
        for record in read_records(path):
            steps.setdefault(record["step"], {}).update(
                zip(record["examples"], record["crc32"], strict=True)
            )
    return steps
