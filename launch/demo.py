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

from hclx.child_processes import Children
from hclx.errors import ConfigError, PreemptedError, require
from hclx.gin_bindings import load_experiment
from hclx.launching import run
from hclx.train.metrics_writer import read_metrics
from hclx.train.plot import plot_losses
from hclx.train.run_dir import remove_run

MODEL_DIR = flags.DEFINE_string(
    "model_dir", "runs/demo", "Folder of the run; an earlier run of the demo is removed first."
)
STOP_AT = flags.DEFINE_integer("stop_at", 60, "Step after which the run is stopped, to resume it.")
PROMPT = flags.DEFINE_string("prompt", "우리 동네 도서관은", "Beginning of the text to write.")
GIN_FILE = "runs/demo.gin"
LAUNCH = Path(__file__).resolve().parent


def main(_):
    require("seqio", "tensorflow", "tensorflow_text", "kiwipiepy", "matplotlib")
    model_dir = Path(MODEL_DIR.value)
    check_stop()
    remove_run(model_dir, mixture="sample")
    pretrain = command("pretrain", f"--gin_file={GIN_FILE}", f"--model_dir={model_dir}")
    options = f"--prompt={PROMPT.value}", "--max_tokens=100", "--temperature=0.6", "--nostream"
    generate = command("generate", f"--model_dir={model_dir}", *options)
    with Children() as children:
        announce("1 of 3: tokenizer, token cache and pretraining, stopped half way with SIGTERM")
        stop = lambda process: stop_half_way(process, model_dir)
        children.run(pretrain, stop, expected=PreemptedError.exit_code)
        announce("2 of 3: the same command again, which resumes from the checkpoint")
        children.run(pretrain)
        announce("3 of 3: generation")
        text = children.run(generate, stdout=subprocess.PIPE).strip()
    report(model_dir, text)


def check_stop() -> None:
    """Refuses a --stop_at after which no step is left that is logged."""
    train = load_experiment([GIN_FILE], []).train
    last = train.total_steps - train.log_every
    if not 1 <= STOP_AT.value <= last:
        raise ConfigError(
            f"--stop_at={STOP_AT.value} is not between 1 and {last}; the demo has"
            f" {train.total_steps} steps, and has to be stopped before it logs the last"
        )


def command(name: str, *options: str) -> list[str]:
    """Returns the command line of another script of this folder."""
    return [sys.executable, str(LAUNCH / f"{name}.py"), *options]


def stop_half_way(process: subprocess.Popen, model_dir: Path) -> None:
    """Waits until a training process has logged step --stop_at, and then asks it to stop."""
    while process.poll() is None and last_step(model_dir) < STOP_AT.value:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)


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
    announce("done")
    print(f"loss        {losses[0]}, {losses[-1]} (nats a token)")
    print(
        "validation  {validation_loss:.3f}, {bits_per_byte:.3f} bits per byte".format(**evaluated)
    )
    print(f"checkpoint  {model_dir / 'checkpoints' / str(records[-1]['step'])}")
    print(f"loss curve  {curve}")
    print(f"text        {text}")


def announce(message: str) -> None:
    """Prints a line that stands out among the lines of the programs that run."""
    print(f"\n== {message}", flush=True)


if __name__ == "__main__":
    run(main)
