"""Lines that a run writes on the terminal: its size, what changed since its last start, its end."""

from pathlib import Path

import jax
from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.data import TokenCache
from hclx.model import n_params
from hclx.progress import counted
from hclx.train.checkpoint import checkpoints_of
from hclx.train.flops import flops_per_token
from hclx.train.optimizer import learning_rate_schedule
from hclx.train.preemption import FILE as STOP_FILE
from hclx.train.retention import losses_of, ranked
from hclx.train.rewind_history import read_lineage
from hclx.train.run import Run
from hclx.train.run_data import reads


def summary(experiment: Experiment, mesh: Mesh, cache: TokenCache) -> str:
    """Returns two lines: the model and its mesh, and the data and how often it is read."""
    model, train = experiment.model, experiment.train
    tokens = train.total_steps * train.global_batch_size * train.sequence_length
    flops = flops_per_token(model, train.sequence_length) * tokens
    return (
        f"model: {n_params(model):,} parameters · mesh: {dict(mesh.shape)} on {jax.device_count()}"
        f" {jax.devices()[0].device_kind}\ndata: {cache.manifest['mixture']},"
        f" {cache.n_tokens('train'):,} tokens ·"
        f" batch: {train.global_batch_size} x {train.sequence_length} tokens,"
        f" {counted(train.total_steps, 'step')}, {flops:.3g} FLOPs · this run reads"
        f" {reads(train, cache)}"
    )


def changes_in_words(
    changes: list[tuple[str, object, object]], experiment: Experiment, model_dir: str, step: int
) -> list[str]:
    """Returns a line for each field that changed, and one more for the learning rate; none where
    nothing is left to train, as nothing then changes.

    Args:
      changes: what `changes_of` returned before the folder was claimed.
      experiment: of this start.
      model_dir: of the run.
      step: the last one that was made.
    """
    if step >= experiment.train.total_steps:
        return []
    lines = [f"changed: {name} {before!r} -> {now!r}" for name, before, now in changes]
    for name, before, _ in changes:
        if name == "train.eval_windows" and experiment.train.keep_best:
            lines.append(
                "validation losses are those of other sequences from here on, and checkpoints from"
                " before are still compared by theirs (TrainConfig.keep_best)"
            )
        if name == "train.total_steps":
            factors = read_lineage(model_dir).rate_factors
            rate_in = lambda total, done: float(
                learning_rate_schedule(experiment.optimizer, total, factors)(done)
            )
            total = experiment.train.total_steps
            lines.append(
                f"the learning rate follows a cosine that ends at step {total:,}: it was"
                f" {rate_in(before, step - 1):.3g} at step {step:,} of {before:,} and is"
                f" {rate_in(total, step):.3g} at step {step + 1:,}"
            )
    return lines


def ending(run: Run) -> str:
    """Returns how a run ended, and where its last checkpoint is, and its best if that is kept."""
    train, folder = run.experiment.train, Path(run.model_dir)
    step, total = run.progress.step, train.total_steps
    where = f"step {step}, checkpoint in {folder / 'checkpoints' / str(step)}"
    selection, best = run.parts.selection, run.progress.best
    if selection and best.step:
        where += f"; best by {selection.name} at step {best.step}"
    elif train.keep_best:
        where += _best(folder)
    if run.ends_early:
        return (
            f"done: {counted(best.waited, 'evaluation')} without a better {selection.name}, {where}"
        )
    if step > total:
        return f"nothing to do: TrainConfig.total_steps={total} lies before {where}"
    return f"done: {where}" if step == total else f"stopped by {folder / STOP_FILE}: {where}"


def _best(model_dir: Path) -> str:
    """Returns the best checkpoint of a run in words, "" if none was evaluated."""
    folder = checkpoints_of(model_dir)
    losses = losses_of(folder, (int(p.name) for p in folder.glob("*") if p.name.isdecimal()))
    best = ranked(losses)[:1]
    return "".join(f"; lowest validation loss {losses[step]:.4f} at step {step}" for step in best)
