"""Asks a teacher about packed examples: the likeliest tokens in the place of each target."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hclx.config import ComputeConfig
from hclx.data.batch import Batch
from hclx.distill.distill_config import DistillConfig
from hclx.distill.teacher_cache import TeacherCache
from hclx.errors import ConfigError
from hclx.model import Params, head_weights, hidden_states, project_to_vocab
from hclx.model_config import ModelConfig
from hclx.parallel import flatten_tokens, named_sharding, process_0_first, unflatten_tokens
from hclx.progress import ProgressBar
from hclx.train.initial_weights import choose_initial_weights, fingerprints_of
from hclx.train.loss import join_positions, split_positions
from hclx.train.whole_model import read_whole_model
from hclx.tune.artefact import base_fingerprint
from hclx.tune.frozen_base import read_held_base


class Teacher(NamedTuple):
    """A teacher, whose weights are not read yet.

    Attributes:
      model: its shape.
      weights: see `hclx.train.initial_weights.choose_initial_weights`.
    """

    model: ModelConfig
    weights: dict

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its weights, as artefacts of tuning name their base."""
        return base_fingerprint(fingerprints_of(self.weights))


def find_teacher(teacher: str, vocabulary: str) -> Teacher:
    """Finds a run whose model teaches.

    Args:
      teacher: MODEL_DIR or MODEL_DIR:STEP.
      vocabulary: the fingerprint of the student's tokenizer.
    Raises:
      ConfigError, CheckpointError: there is no such run, or it has another tokenizer: what a
        teacher says about its own tokens means nothing for others.
    """
    model = read_whole_model(teacher.partition(":")[0])[0].model
    return Teacher(model, choose_initial_weights(None, teacher, model, vocabulary))


def make_top_k(
    model: ModelConfig, compute: ComputeConfig, config: DistillConfig
) -> Callable[[Params, Batch], tuple[jax.Array, jax.Array]]:
    """Returns (params, batch) -> the ids int32 [b, t, k] of the likeliest next tokens, likeliest
    first, and their float32 log-probabilities of softmax(logits / temperature).

    Args:
      model: the teacher's shape.
      compute: how it is computed; `attention` is a backend and not "auto".
      config: `top_k` and the temperature.
    """

    def top_k(params, batch):
        packed = batch.tokens_bt, batch.segments_bt, batch.positions_bt
        x_btd, head = hidden_states(params, *packed, model, compute), head_weights(params, model)

        def of_chunk(x_bcd):
            logits_nv = project_to_vocab(flatten_tokens(x_bcd), head) / config.temperature
            values_nk, ids_nk = jax.lax.top_k(logits_nv, config.top_k)
            log_probs_nk = values_nk - jax.nn.logsumexp(logits_nv, axis=1)[:, None]
            shape = x_bcd.shape[:2]
            return tuple(unflatten_tokens(x_nk, *shape) for x_nk in (ids_nk, log_probs_nk))

        chunks = split_positions(x_btd, compute.loss_chunk_tokens)
        return tuple(map(join_positions, jax.lax.map(of_chunk, chunks)))

    return top_k


def ask_teacher(
    teacher: Teacher,
    rows: Batch,
    folder: str,
    compute: ComputeConfig,
    config: DistillConfig,
    mesh: Mesh,
    batch_size: int,
    made_from: dict[str, Any],
) -> TeacherCache:
    """Writes what is missing of a cache; the weights are read only if something is.

    Args:
      teacher: see `find_teacher`.
      rows: packed examples.
      folder: of the cache, which all processes see.
      compute, config: as in `make_top_k`.
      mesh: the devices; also the ambient mesh.
      batch_size: rows that are computed at once.
      made_from: what the cache depends on beside the teacher and `config`.
    Returns:
      The cache, which is complete.
    Raises:
      ConfigError: the folder has a cache of something else, or `top_k` is too many.
      DataError, CheckpointError: the cache or the teacher is damaged.
    """
    if config.top_k >= teacher.model.vocab_size:
        raise ConfigError(
            f"DistillConfig.top_k={config.top_k} is not below the {teacher.model.vocab_size} tokens"
            " of the teacher"
        )
    own = {"top_k": config.top_k, "temperature": config.temperature}
    held = {"dtype": compute.dtype, "teacher_dtype": config.teacher_dtype}
    described = {"teacher": teacher.fingerprint, **own, **held, **made_from}
    cache = process_0_first("teacher", lambda: TeacherCache(folder, rows, described))
    first = process_0_first("taught", cache.n_written)
    if first == cache.n_shards:
        return cache
    params = read_held_base(teacher.weights, teacher.model, config.teacher_dtype, mesh)
    everywhere = NamedSharding(mesh, PartitionSpec())
    top_k = jax.jit(make_top_k(teacher.model, compute, config), out_shardings=everywhere)
    sharding = named_sharding(mesh, ("batch", None))
    with ProgressBar(cache.n_shards, "asking the teacher", "file", done=first) as progress:
        for shard in range(first, cache.n_shards):
            part = Batch(*(field[cache.rows_of(shard)] for field in rows))
            answers = [top_k(params, batch) for batch in _batches(part, batch_size, sharding)]
            n = len(part.tokens_bt)
            ids, log_probs = (np.concatenate(x)[:n] for x in zip(*jax.device_get(answers)))
            if jax.process_index() == 0:
                cache.write(shard, ids, log_probs)
            progress.update(1)
    return cache


def _batches(rows: Batch, size: int, sharding: NamedSharding):
    """Yields rows in batches of one size, on the devices; the last one repeats its last row."""
    n = len(rows.tokens_bt)
    for begin in range(0, n, size):
        chosen = np.minimum(np.arange(begin, begin + size), n - 1)
        fields = (field[chosen] for field in rows)
        yield Batch(
            *(
                jax.make_array_from_callback(field.shape, sharding, lambda at, f=field: f[at])
                for field in fields
            )
        )
