"""The main job on the sample that ships with the package: python launch/demo.py

Trains a tokenizer, builds the token cache, pretrains a small decoder, is stopped half way, goes on
from its checkpoint, and writes Korean. Everything it makes is in --model_dir.
"""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from hclx.errors import PreemptedError
from hclx.launching import run
from hclx.train.metrics_writer import read_metrics
from hclx.train.plot import plot_losses

MODEL_DIR = flags.DEFINE_string("model_dir", "runs/demo", "Folder of the run; emptied first.")
STOP_AT = flags.DEFINE_integer(
    "stop_at", 60, "Step at which the run is stopped, to show that it goes on."
)
PROMPT = flags.DEFINE_string("prompt", "우리 동네 도서관은", "What the model continues.")
HERE = Path(__file__).resolve().parent


def main(_):
    model_dir = Path(MODEL_DIR.value)
    shutil.rmtree(model_dir, ignore_errors=True)
    pretrain = [
        sys.executable,
        str(HERE / "pretrain.py"),
        "--gin_file=gin_configs/runs/demo.gin",
        f"--model_dir={model_dir}",
    ]
    say("1 of 3: tokenizer, token cache, pretraining; stopped half way with SIGTERM")
    stop_half_way(pretrain, model_dir)
    say("2 of 3: the same command again: goes on from the checkpoint")
    subprocess.run(pretrain, check=True)
    say("3 of 3: writes")
    generate = [
        sys.executable,
        str(HERE / "generate.py"),
        f"--model_dir={model_dir}",
        f"--prompt={PROMPT.value}",
        "--max_tokens=100",
        "--temperature=0.6",
    ]
    text = subprocess.run(
        [*generate, "--nostream"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    report(model_dir, text)


def stop_half_way(command: list[str], model_dir: Path) -> None:
    """Runs a command until the run has reached step --stop_at, and asks it to stop."""
    process = subprocess.Popen(command)
    while process.poll() is None and last_step(model_dir) < STOP_AT.value:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    if process.wait() != PreemptedError.exit_code:
        sys.exit(process.returncode or 1)


def last_step(model_dir: Path) -> int:
    """The newest logged step."""
    return max((record["step"] for record in read_metrics(model_dir)), default=0)


def report(model_dir: Path, text: str) -> None:
    """The page that ends the demo."""
    records = read_metrics(model_dir)
    curve = model_dir / "loss.png"
    plot_losses({"demo": model_dir}, curve)
    evaluated = [record for record in records if "bits_per_byte" in record][-1]
    say("done")
    print(
        f"loss        {records[0]['loss']:.3f} at step {records[0]['step']},"
        f" {records[-1]['loss']:.3f} at step {records[-1]['step']} (nats a token)"
    )
    print(
        f"validation  {evaluated['validation_loss']:.3f}, {evaluated['bits_per_byte']:.3f} bits per"
        " byte"
    )
    print(f"checkpoint  {model_dir / 'checkpoints' / str(records[-1]['step'])}")
    print(f"loss curve  {curve}")
    print(f"text        {text}")


def say(message: str) -> None:
    """A line that stands out between the lines of the programs that are run."""
    print(f"\n== {message}", flush=True)


if __name__ == "__main__":
    run(main)
