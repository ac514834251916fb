"""Trains Hugging Face's GPT-2 in PyTorch as a finished run of hclx was trained, and compares the
losses.

    python tests/benchmarks/peer_curve.py --model_dir=runs/kowiki_cpu \\
        --output_dir=runs/kowiki_peer --plot=docs/kowiki_curve.png

Shape, initial weights, sequences and their order, packing, schedule, clipping and decay are those
of the run; everything that trains is PyTorch's. The script writes metrics.jsonl in the same format,
and a plot of both losses.
"""

import json
from pathlib import Path

import jax
import numpy as np
import torch
from absl import app, flags
from gpt2 import from_params
from tqdm import tqdm

from hclx.config import Experiment, MeshConfig
from hclx.data import Loader, TokenCache
from hclx.gin_bindings import SECTIONS
from hclx.model import init_params
from hclx.parallel import make_mesh, named_sharding
from hclx.train.metrics_writer import MetricsWriter, read_metrics
from hclx.train.optimizer import learning_rate_schedule
from hclx.train.plot import plot_losses

MODEL_DIR = flags.DEFINE_string("model_dir", None, "Finished run that is repeated.", required=True)
OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Folder for the peer's metrics.jsonl.", required=True
)
PLOT = flags.DEFINE_string("plot", "", "PNG file for a plot of both losses.")
THREADS = flags.DEFINE_integer("threads", 2, "Number of PyTorch's threads.")


def main(_):
    torch.set_num_threads(THREADS.value)
    run = json.loads((Path(MODEL_DIR.value) / "config.json").read_text(encoding="utf-8"))
    experiment = Experiment(
        **{name: kind(**run["config"][name]) for name, kind in SECTIONS.items()}
    )
    cache = TokenCache(experiment.data.cache_dir or Path(MODEL_DIR.value) / "cache")
    Path(OUTPUT_DIR.value).mkdir(parents=True, exist_ok=True)
    train_peer(experiment, cache)
    if PLOT.value:
        plot_losses({"hclx": MODEL_DIR.value, "GPT-2 in PyTorch": OUTPUT_DIR.value}, PLOT.value)
    ours, theirs = (
        read_metrics(folder)[-1]["validation_loss"]
        for folder in (MODEL_DIR.value, OUTPUT_DIR.value)
    )
    print(
        f"validation loss at the end: hclx {ours:.4f}, GPT-2 in PyTorch {theirs:.4f},"
        f" {100 * (ours / theirs - 1):+.2f}%"
    )


def train_peer(experiment: Experiment, cache: TokenCache) -> None:
    """Trains the peer as `experiment` says, and writes its metrics."""
    train, config = experiment.train, experiment.optimizer
    model = from_params(init_params(experiment.model, jax.random.key(train.seed)), experiment.model)
    optimizer = torch.optim.AdamW(
        decay_groups(model, config.weight_decay),
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
    )
    schedule = learning_rate_schedule(config, train.total_steps)
    loaders = {split: open_loader(cache, split, experiment) for split in ("train", "validation")}
    eod, writer = cache.manifest["eod_id"], MetricsWriter(OUTPUT_DIR.value)
    for step in tqdm(range(1, train.total_steps + 1), desc="peer"):
        start = (step - 1) * train.global_batch_size
        for group in optimizer.param_groups:
            group["lr"] = float(schedule(step - 1))
        optimizer.zero_grad()
        loss = token_losses(
            model, loaders["train"].rows(start, start + train.global_batch_size), eod
        ).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        record = {
            "step": step,
            "loss": loss.item(),
            "tokens_seen": step * train.global_batch_size * train.sequence_length,
        }
        if step % train.eval_every == 0 or step == train.total_steps:
            record |= evaluate(model, loaders["validation"], cache, train)
        if len(record) > 3 or step == 1 or step % train.log_every == 0:
            writer.write(record)
    writer.close()


def decay_groups(model, weight_decay: float) -> list[dict]:
    """Groups parameters for the optimizer: matrices decay, biases and layer norms do not."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    assert len(matrices) == 2 + 4 * model.config.n_layer
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]


def open_loader(cache: TokenCache, split: str, experiment: Experiment) -> Loader:
    """Opens a split of a cache in the order of the run."""
    sharding = named_sharding(make_mesh(MeshConfig(fsdp=1), jax.devices()[:1]), ("batch", None))
    train = experiment.train
    return Loader(
        cache,
        split,
        seed=train.seed,
        global_batch_size=train.global_batch_size,
        sequence_length=train.sequence_length,
        sharding=sharding,
    )


def token_losses(model, window_bt: np.ndarray, eod: int) -> torch.Tensor:
    """Loss of each target, float32 [b, t], of sequences [b, t + 1].

    Documents of a sequence do not attend to each other, and each has its own positions.
    """
    window = torch.from_numpy(window_bt.astype(np.int64))
    inputs, targets = window[:, :-1], window[:, 1:]
    begins, index = inputs == eod, torch.arange(inputs.shape[1])
    segments = begins.cumsum(1)
    positions = index - torch.where(begins, index, 0).cummax(1).values
    visible = (index[:, None] >= index) & (segments[:, :, None] == segments[:, None, :])
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)[:, None]
    logits = model(inputs, position_ids=positions, attention_mask=mask).logits
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none"
    ).view(targets.shape)


@torch.no_grad()
def evaluate(model, loader: Loader, cache: TokenCache, train) -> dict[str, float]:
    """Validation loss (nats a token) and bits per byte, over the sequences that the run took."""
    n = min(train.eval_windows, loader.n_sequences)
    eod, nats, n_bytes, tokens = cache.manifest["eod_id"], 0.0, 0, 0
    for start in range(0, n, train.global_batch_size):
        rows = loader.rows(start, min(n, start + train.global_batch_size))
        losses = token_losses(model, rows, eod)
        nats, tokens = nats + losses.double().sum().item(), tokens + losses.numel()
        n_bytes += int(cache.token_bytes[rows[:, 1:]].sum())
    return {"validation_loss": nats / tokens, "bits_per_byte": nats / np.log(2) / n_bytes}


if __name__ == "__main__":
    app.run(main)
