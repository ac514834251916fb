"""The parts of a run that differ between pretraining and tuning: its data, its programs, and the
parameters that it begins with.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.data import BatchLoader, Loader, TokenCache
from hclx.data.token_cache import too_little
from hclx.model import Params
from hclx.train.initial_weights import read_initial_weights
from hclx.train.run_dir import read_config
from hclx.train.state import TrainState, fresh_state, init_state
from hclx.train.step import Program, make_program
from hclx.train.step_selection import Selection

_LOG = logging.getLogger(__name__)

Ranges = tuple[tuple[int, int], ...]  # [first, last) examples
Weights = dict[str, Any] | None  # see `hclx.train.initial_weights.choose_initial_weights`


@dataclasses.dataclass(frozen=True)
class RunParts:
    """The data, programs and first parameters of a kind of training, for its runs.

    Attributes:
      tokenizer_dir: is recorded with the run, for decoding.
      hashes: fingerprints of what a run may not change, "vocabulary" and "text" among them.
      token_bytes: [v], the UTF-8 bytes of each token.
      make_program: rate factors -> programs: see `hclx.train.step.make_program`.
      open_loader: (program, examples that are skipped) -> context of the batches of training.
      open_validation: program -> context of those that are held out, or of None.
      read_frozen: (program, weights) -> the frozen parameters on their shardings.
      begin: (program, weights, frozen parameters) -> the state of step 0.
      metrics: (program, state) -> name -> value, beside the validation loss.
      selection: how the best step is chosen, and when the run ends early; None: by the validation
        loss, and never.
      name: what such a run does, a word.
      description: further fields of config.json.
    """

    tokenizer_dir: str
    hashes: Mapping[str, str]
    token_bytes: np.ndarray
    make_program: Callable[[tuple[tuple[int, float], ...]], Program]
    open_loader: Callable[[Program, Ranges], BatchLoader]
    open_validation: Callable[[Program], contextlib.AbstractContextManager[BatchLoader | None]]
    begin: Callable[[Program, Weights, Params], TrainState]
    read_frozen: Callable[[Program, Weights], Params] = lambda program, weights: {}
    metrics: Callable[[Program, TrainState], dict[str, float]] = lambda program, state: {}
    selection: Selection | None = None
    name: str = "pretrain"
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def pretraining_parts(
    experiment: Experiment, model_dir: str, mesh: Mesh, cache: TokenCache, tokenizer_dir: str
) -> RunParts:
    """The parts of pretraining: sequences of a token cache, and a decoder that is trained whole.

    Args:
      experiment: the whole configuration.
      model_dir: folder of the run.
      mesh: also the ambient mesh.
      cache: of tokens, in the model's vocabulary.
      tokenizer_dir: of the tokenizer of the cache.
    Raises:
      DataError: the config.json of the folder is damaged.
    """
    return RunParts(
        tokenizer_dir=tokenizer_dir,
        hashes=_hashes(model_dir, cache),
        token_bytes=cache.token_bytes,
        make_program=lambda factors: make_program(experiment, mesh, factors),
        open_loader=lambda program, skip: _loader(experiment, program, cache, "train", skip),
        open_validation=lambda program: _validation_loader(experiment, program, cache),
        begin=lambda program, weights, _: begin_whole(experiment, program, weights),
    )


def begin_whole(experiment: Experiment, program: Program, weights: Weights) -> TrainState:
    """The state of step 0 of a model that is trained whole: of another run's weights with a fresh
    optimizer, or of random ones. The arguments are those of `RunParts.begin`.
    """
    train, abstract, optimizer = experiment.train, program.abstract_state, program.optimizer
    if weights is None:
        return init_state(experiment.model, train, optimizer, abstract)
    params = read_initial_weights(weights, abstract.params)
    begin = lambda params: fresh_state(params, train, optimizer)
    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    return jax.jit(begin, out_shardings=shardings, donate_argnums=0)(params)


def _hashes(model_dir: str, cache: TokenCache) -> dict[str, str]:
    """Fingerprints of vocabulary and text; an old run keeps the fingerprint that it recorded."""
    recorded = (read_config(model_dir) or {"hashes": {}})["hashes"].get("text")
    is_old = recorded == cache.old_fingerprint
    return {
        "vocabulary": cache.manifest["tokenizer"]["fingerprint"],
        "text": cache.old_fingerprint if is_old else cache.fingerprint,
    }


def can_evaluate(experiment: Experiment, cache: TokenCache) -> bool:
    """Returns whether the run evaluates; a text of which not one sequence is held out is told."""
    train = experiment.train
    n_tokens = max(cache.n_tokens("validation", i) for i in range(len(cache.rates)))
    if train.eval_every and n_tokens <= train.sequence_length and jax.process_index() == 0:
        _LOG.warning(
            "no validation loss is computed%s: %d tokens are held out, and a sequence has %d; %s",
            ", and TrainConfig.keep_best keeps nothing" if train.keep_best else "",
            n_tokens,
            train.sequence_length,
            too_little(cache, "validation", train.sequence_length),
        )
    return bool(train.eval_every) and n_tokens > train.sequence_length


def _loader(
    experiment: Experiment,
    program: Program,
    cache: TokenCache,
    split: str,
    skip: Ranges = (),
) -> Loader:
    return Loader(
        cache,
        split,
        seed=experiment.train.seed,
        global_batch_size=experiment.train.global_batch_size,
        sequence_length=experiment.train.sequence_length,
        sharding=program.batch_sharding,
        skip=skip,
    )


def _validation_loader(experiment: Experiment, program: Program, cache: TokenCache):
    if can_evaluate(experiment, cache):
        return _loader(experiment, program, cache, "validation")
    return contextlib.nullcontext()
