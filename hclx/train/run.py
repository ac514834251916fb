"""One command from raw text to a trained model: tokenizer, cache and training, each made where it
is missing.
"""

from pathlib import Path

import jax

from hclx.config import Experiment
from hclx.data import prepare
from hclx.model import n_params
from hclx.parallel import make_mesh, process_0_first
from hclx.train.compilation_cache import keep_compiled_programs
from hclx.train.flops import flops_per_token
from hclx.train.loop import RunOptions, pretrain
from hclx.train.malloc import computes_on_cpu, keep_freed_memory
from hclx.train.preemption import FILE as STOP_FILE
from hclx.train.preemption import refuse_stop_file
from hclx.train.run_dir import check_configuration


def run_pretraining(
    experiment: Experiment, model_dir: str, options: RunOptions = RunOptions()
) -> None:
    """Prepares the data of an experiment and trains it in `model_dir`; `options`: of this start.

    What can be refused without work (another configuration's folder, a mesh that does not fit) is
    refused first. Of several processes, which share a file system, the first prepares the data and
    speaks for all.
    """
    if computes_on_cpu():
        keep_freed_memory()
    check_configuration(model_dir, experiment)
    refuse_stop_file(model_dir)
    keep_compiled_programs()
    mesh = make_mesh(experiment.mesh)
    tokenizer_dir = experiment.data.tokenizer_dir or str(Path(model_dir) / "tokenizer")
    cache_dir = experiment.data.cache_dir or str(Path(model_dir) / "cache")
    data = (
        experiment.data,
        experiment.tokenizer,
        experiment.model.vocab_size,
        tokenizer_dir,
        cache_dir,
    )
    cache = process_0_first("data", lambda: prepare(*data))
    say = print if jax.process_index() == 0 else lambda *_, **__: None
    train, model = experiment.train, experiment.model
    say(
        f"model: {n_params(model):,} parameters · mesh: {dict(mesh.shape)} on {jax.device_count()}"
        f" {jax.devices()[0].device_kind}\ndata: {cache.manifest['mixture']},"
        f" {cache.n_tokens('train'):,} tokens · batch: {train.global_batch_size} x"
        f" {train.sequence_length} tokens, {train.total_steps} steps,"
        f" {flops_per_token(model, train.sequence_length) * train.total_steps * train.global_batch_size * train.sequence_length:.3g}"
        " FLOPs",
        flush=True,
    )
    step = int(pretrain(experiment, model_dir, cache, tokenizer_dir, options).step)
    how = "done" if step == train.total_steps else f"stopped by {Path(model_dir) / STOP_FILE}"
    say(f"{how}: step {step}, checkpoint in {Path(model_dir) / 'checkpoints' / str(step)}")
