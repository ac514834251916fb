"""Measures time and memory of the stage `near` on copies of one template.

    python tests/benchmarks/near_memory.py --documents=20000 --documents=60000

Documents of 530 characters differ in three fields of four syllables, so that two of them have a
similarity of about 0.86. Their files are written as the stages before `near` leave them. Peaks are
of resident memory (VmHWM), of this process and of the largest of the workers.
"""

import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow
from absl import app, flags

from hclx.corpus.layout import DOCUMENTS, FIELDS, MANIFEST, VERDICTS, Build, RawFile, write_settings
from hclx.corpus.pipeline import PIPELINE
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import parse_settings
from hclx.corpus.store import Store
from hclx.progress import ProgressBar

N_DOCUMENTS = flags.DEFINE_multi_integer("documents", [20_000, 60_000], "Copies of the template.")
WORKERS = flags.DEFINE_integer("workers", 2, "Processes.")
OUTPUT = flags.DEFINE_string("output", None, "A folder for the files; default: a temporary one.")

_SHARD = 20_000  # documents: about 32 MB, as `part_bytes` makes them


def main(_):
    print("documents  seconds  removed  this process, MB  largest worker, MB", flush=True)
    for n in N_DOCUMENTS.value:
        folder = Path(tempfile.mkdtemp(dir=OUTPUT.value))
        try:
            measure(n, Store(str(folder)))
        finally:
            shutil.rmtree(folder)


def measure(n: int, store: Store) -> None:
    """Prints a line of the table for a corpus of n copies."""
    settings = parse_settings({"sources": {"made": {"input": "*"}}})
    write_settings(store, settings)
    file = RawFile("made", 0, "", "", 0, 0, settings.sources["made"].reading, 32 << 20)
    write_shards(n, store, file)
    runner = make_runner(workers=WORKERS.value)
    build = Build(settings, store, runner, (file,), {}, {}, {})
    (stage,) = (stage for stage in PIPELINE if stage.name == "near")
    done, peaks = threading.Event(), {}
    Path("/proc/self/clear_refs").write_text("5")  # what writing the files took is not counted
    watcher = threading.Thread(target=watch, args=(peaks, done))
    watcher.start()
    begin = time.perf_counter()
    stage.function(build, "key")
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    removed = sum(
        store.read_table(shard.file(VERDICTS, stage="near"), ["rule"])["rule"]
        .is_valid()
        .to_numpy()
        .sum()
        for shard in build.shards
    )
    own = peaks.pop("self")
    largest = max(peaks.values(), default=0)
    print(
        f"{n:9,}  {seconds:7.1f}  {removed:9,}  {own / 1e3:9,.0f}  {largest / 1e3:9,.0f}",
        flush=True,
    )


def write_shards(n: int, store: Store, file: RawFile) -> None:
    """Writes n documents, and verdicts of the stages before that keep all of them."""
    rng, parts = random.Random(0), []
    syllables = lambda k: "".join(chr(0xAC00 + rng.randrange(11_000)) for _ in range(k))
    template = [syllables(130) for _ in range(4)]
    with ProgressBar(n, "write", "document") as progress:
        for begin in range(0, n, _SHARD):
            size = min(_SHARD, n - begin)
            fields = ([syllables(4) for _ in range(3)] + [""] for _ in range(size))
            texts = ["".join(a + b for a, b in zip(template, own)) for own in fields]
            name = file.shard_name(len(parts))
            parts.append({"name": name, "bytes": 1_600 * size, "documents": size})
            table = {
                "doc_id": [f"made/{begin + i}" for i in range(size)],
                "source": ["made"] * size,
            }
            table |= {field: [""] * size for field in FIELDS} | {"text": texts}
            store.write_table(DOCUMENTS.format(name=name), pyarrow.table(table), "key")
            kept = {
                "rule": pyarrow.nulls(size, pyarrow.string()),
                "value": np.zeros(size, np.float32),
                "starts": pyarrow.array([[]] * size, pyarrow.list_(pyarrow.int32())),
                "ends": pyarrow.array([[]] * size, pyarrow.list_(pyarrow.int32())),
            }
            for stage in ("filter", "exact", "paragraph"):
                path = VERDICTS.format(stage=stage, name=name)
                store.write_table(path, pyarrow.table(kept), "key")
            progress.update(size)
    store.write_json(file.file(MANIFEST), {"parts": parts}, "key")


def watch(peaks: dict, done: threading.Event) -> None:
    """Notes the peak of this process and of its descendants, in kB, until `done` is set."""
    while not done.wait(0.05):
        parents = {}
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                status = dict(
                    line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line
                )
            except OSError:
                continue  # it ended
            parents[status["Pid"]] = status["PPid"], int(status.get("VmHWM", "0").split()[0])
        own = Path("/proc/self").readlink().name
        peaks["self"] = parents[own][1]
        for pid, (parent, peak) in parents.items():
            while parent in parents and parent != own:
                parent = parents[parent][0]
            if parent == own:
                peaks[pid] = max(peak, peaks.get(pid, 0))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    app.run(main)
