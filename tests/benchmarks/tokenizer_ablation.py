"""Three tokenizers of one size, each with the same decoder and the same number of tokens: the
ablation of HyperCLOVA's section on tokenizers (Kim et al. 2021), at a size for a CPU.

    python tests/benchmarks/tokenizer_ablation.py --output_dir=runs/ablation --steps=100,200

    morphemes    byte-level BPE whose merges stay within morphemes, this project's default
    plain        byte-level BPE whose merges stay within words
    characters   BPE over characters by the library `tokenizers`, with the bytes of rare ones

The same command goes on where it stopped, and one with more --steps or --seeds goes on from there:
the learning rate is constant. With --tuning_reviews every model is then evaluated on NSMC with
examples, is trained on that many reviews with their labels, and is evaluated without examples.
OUTPUT_DIR gets text/, tokenizers/, caches/, runs/, results.jsonl, table.md and plot.png.
"""

import functools
import json
import os
import subprocess
import time
from pathlib import Path

from absl import app, flags
from tokenizer_ablation_report import write_report
from tokenizer_ablation_text import (
    VALIDATION_PERMILLE,
    train_character_tokenizer,
    write_text,
    write_tuning,
)

from hclx.text import has_tokenizer, load_tokenizer

OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder for everything.", required=True)
SEEDS = flags.DEFINE_list("seeds", ["1", "2"], "Seeds of the weights and of the order of the data.")
STEPS = flags.DEFINE_list("steps", ["100", "200"], "Steps after which text is measured.")
TUNING = flags.DEFINE_integer("tuning_reviews", 0, "Reviews to train on; 0: no NSMC.", 0)
EPOCHS = flags.DEFINE_integer("tuning_epochs", 1, "Times that these are read.", 1)
PAUSE = flags.DEFINE_string("pause_file", "", "No command starts while this file exists.")
GIN_FILE = "gin_configs/runs/tokenizer_ablation.gin"
STEP_TOKENS = 2 * 256  # as it says
VOCAB_SIZE = 51_200
MOST_DOCUMENTS = 400  # of a kind of text that are measured
TOKENIZERS = ("morphemes", "plain", "characters")
# NSMC's ratings_test.tsv of the data at hand is no split of the publisher's, and is named dev.
NSMC = ("--suite=hyperclova", "--tasks=nsmc/hyperclova", "--split=dev", "--shots_split=train")
FEW_SHOT = (*NSMC, "--shots=4", "--trials=2", "--limit=200")
ZERO_SHOT = (*NSMC, "--shots=0", "--limit=500")


def main(_):
    prepare()
    runs = [(seed, tokenizer) for seed in SEEDS.value for tokenizer in TOKENIZERS]
    steps = sorted(map(int, STEPS.value))
    for seed, tokenizer in runs:
        pretrain(seed, tokenizer, steps[-1])
        for step in steps:
            measure_text(seed, tokenizer, step)
        write_report(root())
    for seed, tokenizer in runs if TUNING.value else ():
        evaluate_nsmc(run_of(seed, tokenizer), steps[-1], FEW_SHOT, "few_shot")
        tuned = tune(seed, tokenizer, steps[-1])
        evaluate_nsmc(tuned, None, ZERO_SHOT, "zero_shot")
        write_report(root())


def prepare() -> None:
    """Writes the text and trains the tokenizers, as far as they are missing."""
    text = root() / "text"
    if not (text / "facts.json").exists():
        write_text(data(), text)
    for name, morphemes in (("morphemes", "merges"), ("plain", "none")):
        if not has_tokenizer(tokenizer_dir(name)):
            command(
                "train_tokenizer",
                f"--input={text}/train",
                f"--output_dir={tokenizer_dir(name)}",
                f"--vocab_size={VOCAB_SIZE}",
                f"--morphemes={morphemes}",
                f"--validation_permille={VALIDATION_PERMILLE}",
            )
    if not has_tokenizer(tokenizer_dir("characters")):
        train_character_tokenizer(f"{text}/train", tokenizer_dir("characters"), VOCAB_SIZE)
    for name in TOKENIZERS:
        assert load_tokenizer(tokenizer_dir(name)).vocab_size == VOCAB_SIZE


def pretrain(seed: str, tokenizer: str, steps: int) -> None:
    """Trains a run up to a number of steps."""
    if has_checkpoint(run_of(seed, tokenizer), steps):
        return
    command(
        "pretrain",
        f"--gin_file={GIN_FILE}",
        binding("DataConfig.input", root() / "text" / "train"),
        binding("DataConfig.tokenizer_dir", tokenizer_dir(tokenizer)),
        binding("DataConfig.cache_dir", root() / "caches" / tokenizer),
        f"--gin.TrainConfig.seed={seed}",
        f"--gin.TrainConfig.total_steps={steps}",
        f"--model_dir={run_of(seed, tokenizer)}",
    )


def measure_text(seed: str, tokenizer: str, step: int) -> None:
    """Measures the bits per byte of the held-out text after a number of steps."""
    run = run_of(seed, tokenizer)
    if (output := run / f"perplexity_{step}.json").exists():
        return
    command(
        "perplexity",
        f"--model_dir={run}",
        f"--step={step}",
        f"--input={root()}/text/held_out",
        f"--max_documents={MOST_DOCUMENTS}",
        "--rows=16",
        f"--output={output}",
    )


def tune(seed: str, tokenizer: str, step: int) -> Path:
    """Trains a model on reviews with their labels; returns the folder of the run."""
    run = run_of(seed, tokenizer)
    model_dir = run.with_name(f"{run.name}_tuned_{step}_{TUNING.value}_{EPOCHS.value}")
    text = root() / "text" / "tuning" / f"{TUNING.value}_{seed}.jsonl"
    if not text.exists():
        write_tuning(data(), text, TUNING.value, int(seed))
    reader = load_tokenizer(tokenizer_dir(tokenizer))
    lines = text.read_text(encoding="utf-8").splitlines()
    n_tokens = sum(1 + len(reader.encode(json.loads(line)["text"])) for line in lines)
    steps = EPOCHS.value * n_tokens // STEP_TOKENS
    if not has_checkpoint(model_dir, steps):
        command(
            "pretrain",
            f"--gin_file={GIN_FILE}",
            binding("DataConfig.input", text),
            "--gin.DataConfig.validation_permille=1",
            binding("DataConfig.tokenizer_dir", tokenizer_dir(tokenizer)),
            f"--gin.TrainConfig.seed={seed}",
            f"--gin.TrainConfig.total_steps={steps}",
            f"--gin.TrainConfig.checkpoint_every={steps}",
            "--gin.OptimizerConfig.final_fraction=0.1",
            "--gin.OptimizerConfig.warmup_steps=10",
            f"--init_from={run}:{step}",
            f"--model_dir={model_dir}",
        )
    return model_dir


def evaluate_nsmc(run: Path, step: int | None, options: tuple[str, ...], name: str) -> None:
    """Evaluates a model on NSMC; of a tuned one there is one checkpoint."""
    output = run / (name if step is None else f"{name}_{step}")
    if not (output / "results.json").exists():
        steps = [] if step is None else [f"--step={step}"]
        place = (f"--data_dir={data()}", f"--output={output}")
        command("evaluate", f"--model_dir={run}", *steps, *options, *place)


def command(name: str, *options: str) -> None:
    """Runs a command of hclx, once the file that pauses is gone."""
    while PAUSE.value and os.path.exists(PAUSE.value):
        time.sleep(5)
    begin = time.monotonic()
    print(f"{time.strftime('%H:%M:%S')} hclx {name} {' '.join(options)}", flush=True)
    subprocess.run(["hclx", name, *options], check=True)
    print(f"{time.strftime('%H:%M:%S')} {name}: {time.monotonic() - begin:.0f} s", flush=True)


def binding(field: str, path: Path) -> str:
    """Returns the option that sets a field to a path."""
    return f"--gin.{field}={str(path)!r}"


def has_checkpoint(run: Path, step: int) -> bool:
    """Returns whether a run has a checkpoint of a step."""
    return (run / "checkpoints" / str(step)).is_dir()


@functools.cache
def root() -> Path:
    """Returns the folder of everything."""
    return Path(OUTPUT_DIR.value).absolute()


def run_of(seed: str, tokenizer: str) -> Path:
    """Returns the folder of a run."""
    return root() / "runs" / f"{tokenizer}_{seed}"


def tokenizer_dir(name: str) -> Path:
    """Returns the folder of a tokenizer."""
    return root() / "tokenizers" / name


def data() -> Path:
    """Returns the folder of the data, which HCLX_DATA_DIR names."""
    return Path(os.environ["HCLX_DATA_DIR"])


if __name__ == "__main__":
    app.run(main)
