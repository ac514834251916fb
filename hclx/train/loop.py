"""Pretraining: the loop that runs steps, evaluates, saves, and goes on where it stopped."""

import contextlib
import dataclasses
import logging

import jax
import jax.numpy as jnp

from hclx.config import Experiment
from hclx.data import Loader, TokenCache
from hclx.errors import ConfigError, Preempted
from hclx.parallel import make_mesh, process_0_first
from hclx.train.checkpoint import Checkpointer
from hclx.train.profiler import StepProfiler
from hclx.train.program import Program, evaluate, make_program
from hclx.train.report import Reporter
from hclx.train.run_dir import describe_run, open_run, versions
from hclx.train.state import TrainState, init_state
from hclx.train.stop import StopSignal

_LOG = logging.getLogger(__name__)


def pretrain(
    experiment: Experiment,
    model_dir: str,
    cache: TokenCache,
    tokenizer_dir: str,
    profile_steps: tuple[int, int] | None = None,
) -> TrainState:
    """Trains to `experiment.train.total_steps`, from the newest checkpoint of `model_dir` if it holds one.

    Args:
      experiment: the whole configuration.
      model_dir: takes config.json, metrics.jsonl, tensorboard/ and checkpoints/.
      cache: of tokens, in the model's vocabulary.
      tokenizer_dir: recorded with the run, for decoding.
      profile_steps: the first and last step of which `model_dir`/profile takes a trace.
    Returns:
      The last state, which is on disk.
    Raises:
      ConfigError: the folder holds another configuration, or the mesh or the vocabulary does not fit.
      DataError: another vocabulary or text than the run began with, or a damaged checkpoint.
      NumericsError: a loss or gradient that is not finite.
      StorageError: a checkpoint could not be written.
      Preempted: SIGTERM or Ctrl-C came; the state was saved.
    """
    if cache.manifest["vocab_size"] != experiment.model.vocab_size:
        raise ConfigError(
            f"ModelConfig.vocab_size={experiment.model.vocab_size}, but the token cache has {cache.manifest['vocab_size']}"
        )
    hashes = {"vocabulary": cache.manifest["tokenizer"]["fingerprint"], "text": cache.fingerprint}
    mesh = make_mesh(experiment.mesh)
    with jax.set_mesh(mesh), contextlib.ExitStack() as stack:
        program = make_program(experiment, mesh, cache.manifest["eod_id"])
        run = describe_run(experiment, tokenizer_dir, hashes)
        process_0_first("folder", lambda: open_run(model_dir, run, write=jax.process_index() == 0))
        profiler = stack.enter_context(StepProfiler(model_dir, profile_steps if jax.process_index() == 0 else None))
        return _Run(experiment, program, cache, model_dir, hashes, profiler, stack).steps()


class _Run:
    """What has a lifetime in a run (loaders, checkpointer), and the loop over it."""

    def __init__(
        self,
        experiment: Experiment,
        program: Program,
        cache: TokenCache,
        model_dir: str,
        hashes: dict[str, str],
        profiler: StepProfiler,
        stack: contextlib.ExitStack,
    ):
        self.experiment, self.program, self.model_dir, self.hashes = experiment, program, model_dir, hashes
        self.profiler, self.stack = profiler, stack
        self.train = train = experiment.train
        open_loader = lambda split: stack.enter_context(
            Loader(
                cache,
                split,
                seed=train.seed,
                global_batch_size=train.global_batch_size,
                sequence_length=train.sequence_length,
                sharding=program.windows,
            )
        )
        self.loader = open_loader("train")
        self.validation = open_loader("validation") if train.eval_every else None
        self.piece_bytes = jnp.asarray(cache.piece_bytes, jnp.float32)
        self.checkpointer = stack.enter_context(
            Checkpointer(model_dir, keep_last=train.keep_last, keep_every=train.keep_every)
        )

    def steps(self) -> TrainState:
        """Runs to the last step, or to the signal to stop."""
        state, next_index = self.restore_or_init()
        step, total = int(state.step), self.train.total_steps
        reporter = self.stack.enter_context(Reporter(self.model_dir, self.experiment, step))
        stop, stopping = self.stack.enter_context(StopSignal(self.program.mesh)), False
        windows = self.loader.iterate(next_index)
        while step < total and not stopping:
            with reporter.clock.part("data"):
                index, window_bt = next(windows)
            step, next_index = step + 1, index + self.train.global_batch_size
            with self.profiler.step(step, before=state), reporter.clock.part("dispatch"):
                state, metrics = self.program.train_step(state, window_bt)
            reporter.report(step, metrics, self.evaluate(step, state, metrics, reporter))
            stopping = stop.agreed()
            if step % self.train.checkpoint_every == 0 or step == total or stopping:
                reporter.flush()  # raises before a state that is not finite could be saved
                self.save(state, step, next_index, reporter)
        reporter.flush()
        self.checkpointer.wait()
        if step < total:
            raise Preempted(f"{stop.requested}: saved step {step} of {total} in {self.model_dir}; the same command goes on from there")
        return state

    def restore_or_init(self) -> tuple[TrainState, int]:
        """The newest checkpoint, verified, or a fresh state; and the index of the next window."""
        restored = self.checkpointer.restore(self.program.abstract)
        if restored is None:
            abstract = self.program.abstract
            return init_state(self.experiment.model, self.program.optimizer, abstract, self.train.seed), 0
        state, loop, _ = restored
        _LOG.info("resumed from step %d of %s", int(state.step), self.model_dir)
        return state, loop["next_index"]

    def evaluate(self, step: int, state: TrainState, metrics: dict, reporter: Reporter) -> dict[str, float]:
        """Validation loss and bits per byte, on the same windows each time, when it is time for them; else nothing."""
        if not self.validation or (step % self.train.eval_every and step != self.train.total_steps):
            return {}
        with reporter.clock.paused(metrics):
            n_windows = min(self.train.eval_windows, self.validation.n_windows)
            return evaluate(self.program, state.params, self.validation, self.piece_bytes, n_windows)

    def save(self, state: TrainState, step: int, next_index: int, reporter: Reporter) -> None:
        """Starts an asynchronous save."""
        with reporter.clock.paused(state):
            loop = {"step": step, "next_index": next_index, "seed": self.train.seed}
            meta = {"model": dataclasses.asdict(self.experiment.model), "hashes": self.hashes, "versions": versions()}
            self.checkpointer.save(state, loop, meta)
