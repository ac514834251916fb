"""Which tokenizer mode to train with: the same model, text and token budget in each, by bits per
byte.

    python tests/benchmarks/tokenizer_modes.py --output_dir=runs/modes

Runs launch/pretrain.py once a mode (train, encode, plain) and prints a table. Bits per byte are of
documents that were not trained on, and do not depend on how the text is cut into tokens.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags

from hclx.config import MORPHEMES_OF
from hclx.data import TokenCache
from hclx.train.metrics_writer import read_metrics

OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for the runs.", required=True)
GIN_FILE = flags.DEFINE_string(
    "gin_file", "gin_configs/runs/tokenizer_modes.gin", "Configuration of the runs."
)
SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds; one run of each mode for each seed.")
BINDINGS = flags.DEFINE_multi_string("binding", [], "NAME=VALUE, a gin binding of every run.")
MODES = ("train", "encode", "plain")


def main(_):
    print("| mode | bytes a token | validation loss (nats a token) | bits per byte |")
    print("|---|---|---|---|")
    for mode in MODES:
        results = [run(mode, seed) for seed in SEEDS.value]
        ratio, loss, bits = np.mean(results, axis=0)
        spread = f" ± {np.std([r[2] for r in results]):.3f}" if len(results) > 1 else ""
        print(f"| {mode} | {ratio:.3f} | {loss:.3f} | {bits:.4f}{spread} |", flush=True)


def run(mode: str, seed: str) -> tuple[float, float, float]:
    """Trains one run; returns the bytes a token of the validation split, the loss on it, and bits
    per byte.
    """
    model_dir = Path(OUTPUT_DIR.value) / f"{mode}_{seed}"
    shared = Path(OUTPUT_DIR.value) / mode
    subprocess.run(
        [
            sys.executable,
            "launch/pretrain.py",
            f"--gin_file={GIN_FILE.value}",
            f"--gin.TokenizerConfig.mode={mode}",
            f"--gin.TrainConfig.seed={seed}",
            f"--gin.DataConfig.tokenizer_dir={shared}/tokenizer",
            f"--gin.DataConfig.cache_dir={shared}/cache",
            f"--model_dir={model_dir}",
            *(f"--gin.{binding}" for binding in BINDINGS.value),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    source = TokenCache(shared / "cache").manifest["sources"][0]["splits"]["validation"]
    last = read_metrics(model_dir)[-1]
    tokenizer = json.loads((model_dir / "config.json").read_text())["config"]["tokenizer"]
    assert tokenizer["morphemes"] == MORPHEMES_OF[mode]
    return source["n_bytes"] / source["n_tokens"], last["validation_loss"], last["bits_per_byte"]


if __name__ == "__main__":
    app.run(main)
