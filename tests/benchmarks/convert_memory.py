"""Measures the peak memory and the speed of `launch/convert.py import` and `export` on random
models of the Llama family.

    python tests/benchmarks/convert_memory.py --layers=16 --layers=35

A peak is that of the whole process with the pages of files that it maps (the maximum resident set
size), beside the larger of the file and the parameters in float32. The line `nothing` is of a model
of 1 MB: what Python, JAX and orbax take by themselves. Files that are read are in the page cache;
`processor` is seconds of all cores together.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

LAYERS = flags.DEFINE_multi_integer("layers", [16, 35], "Of the models; 16 are 1.1 GB in float32.")
WIDTH = flags.DEFINE_integer("width", 1024, "d_model.")
VOCABULARY = flags.DEFINE_integer("vocabulary", 32_000, "Rows of the embedding and of the head.")
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "Of the files.")
FOLDER = flags.DEFINE_string("folder", None, "For the files; default: a temporary one.")


def main(_):
    from tests.helpers.peak_memory import write_random_llama

    print("what     files      file MB    tree    peak  of the larger  seconds  processor")
    with tempfile.TemporaryDirectory(dir=FOLDER.value) as folder:
        tokenizer = Path(folder) / "tokenizer"
        train_tokenizer(tokenizer)
        for dtype in DTYPES.value:
            small = Path(folder) / "small"
            write_random_llama(small, layers=2, width=64, vocabulary=1024, dtype=dtype)
            measure("nothing", small, tokenizer, dtype)
            for layers in LAYERS.value:
                large, shape = Path(folder) / "large", {"width": WIDTH.value}
                shape |= {"vocabulary": VOCABULARY.value, "layers": layers}
                write_random_llama(large, dtype=dtype, **shape)
                measure("", large, tokenizer, dtype)


def train_tokenizer(folder: Path) -> None:
    """Trains a small tokenizer on the sample."""
    sample = ROOT / "hclx" / "data" / "sample" / "korean_sample.jsonl"
    command = [sys.executable, "launch/train_tokenizer.py", f"--input={sample}"]
    options = [f"--output_dir={folder}", "--vocab_size=1024", "--morphemes=none"]
    subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True)


def measure(note: str, folder: Path, tokenizer: Path, dtype: str) -> None:
    """Prints a line each of the import and the export of a folder, and removes all files."""
    from tests.helpers.peak_memory import take

    shutil.copytree(tokenizer, folder / "hclx_tokenizer")
    run, out = folder.with_name("run"), folder.with_name("out")
    file = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    tree = file * (2 if dtype == "bfloat16" else 1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for what, *options in (
        ("import", f"--input={folder}", f"--model_dir={run}"),
        ("export", f"--model_dir={run}", f"--output_dir={out}", f"--dtype={dtype}"),
    ):
        command, begin = [sys.executable, "launch/convert.py", what, *options], time.perf_counter()
        peak, processor = take(command, cwd=ROOT, env=environment)
        seconds = time.perf_counter() - begin
        sizes = "  ".join(f"{n_bytes / 1e6:6,.0f}" for n_bytes in (file, tree, peak))
        ratio = note or f"{peak / tree:.2f}"
        times = f"{seconds:7.1f}  {processor:9.1f}"
        print(f"{what:7}  {dtype:8}  {sizes}  {ratio:>13}  {times}", flush=True)
    for path in (folder, run, out):
        shutil.rmtree(path)


if __name__ == "__main__":
    app.run(main)
