"""Runs everything on the sample that ships with the package: hclx demo

Trains a tokenizer, builds the token cache, pretrains a small decoder, stops it half way, resumes it
from its checkpoint, and writes Korean. All files are in --model_dir.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from hclx.errors import PreemptedError, require
from hclx.launching import run
from hclx.train.metrics_writer import read_metrics
from hclx.train.plot import plot_losses
from hclx.train.run_dir import remove_run

MODEL_DIR = flags.DEFINE_string(
    "model_dir", "runs/demo", "Folder of the run; an earlier one is removed."
)
STOP_AT = flags.DEFINE_integer(
    "stop_at", 60, "Step after which the run is stopped, to show that it resumes.", lower_bound=1
)
PROMPT = flags.DEFINE_string("prompt", "우리 동네 도서관은", "Beginning of the text to write.")
LAUNCH = Path(__file__).resolve().parent


def main(_):
    require("seqio", "tensorflow", "tensorflow_text", "kiwipiepy", "matplotlib")
    model_dir = Path(MODEL_DIR.value)
    remove_run(model_dir, "sample")
    pretrain = command("pretrain", "--gin_file=runs/demo.gin", f"--model_dir={model_dir}")
    announce("1 of 3: tokenizer, token cache and pretraining, stopped half way with SIGTERM")
    stop_half_way(pretrain, model_dir)
    announce("2 of 3: the same command again, which resumes from the checkpoint")
    call(pretrain)
    announce("3 of 3: generation")
    options = (f"--prompt={PROMPT.value}", "--max_tokens=100", "--temperature=0.6", "--nostream")
    generate = command("generate", f"--model_dir={model_dir}", *options)
    report(model_dir, call(generate, stdout=subprocess.PIPE).stdout.strip())


def command(name: str, *options: str) -> list[str]:
    """Returns the command line of another script of this folder."""
    return [sys.executable, str(LAUNCH / f"{name}.py"), *options]


def call(arguments: list[str], **options) -> subprocess.CompletedProcess:
    """Runs a command; if it fails, the demo ends with its exit code."""
    result = subprocess.run(arguments, text=True, **options)
    if result.returncode:
        sys.exit(result.returncode)
    return result


def stop_half_way(arguments: list[str], model_dir: Path) -> None:
    """Runs a training command until it has logged step --stop_at, and then asks it to stop."""
    process = subprocess.Popen(arguments)
    while process.poll() is None and last_step(model_dir) < STOP_AT.value:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    if process.wait() != PreemptedError.exit_code:
        sys.exit(process.returncode or 1)


def last_step(model_dir: Path) -> int:
    """Returns the newest step in the metrics of a run, or 0."""
    return max((record["step"] for record in read_metrics(model_dir)), default=0)


def report(model_dir: Path, text: str) -> None:
    """Plots the loss, and prints the results."""
    records = read_metrics(model_dir)
    curve = model_dir / "loss.png"
    plot_losses({"demo": model_dir}, curve)
    evaluated = [record for record in records if "bits_per_byte" in record][-1]
    losses = [f"{record['loss']:.3f} at step {record['step']}" for record in records]
    validation, bits = evaluated["validation_loss"], evaluated["bits_per_byte"]
    announce("done")
    print(f"loss        {losses[0]}, {losses[-1]} (nats a token)")
    print(f"validation  {validation:.3f}, {bits:.3f} bits per byte")
    print(f"checkpoint  {model_dir / 'checkpoints' / str(records[-1]['step'])}")
    print(f"loss curve  {curve}")
    print(f"text        {text}")


def announce(message: str) -> None:
    """Prints a line that stands out among the lines of the programs that run."""
    print(f"\n== {message}", flush=True)


if __name__ == "__main__":
    run(main)
