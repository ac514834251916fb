"""Pretraining: the loop that runs steps, evaluates, saves, and goes on where it stopped."""

import collections
import contextlib
import dataclasses
import logging
import time

import jax
import jax.numpy as jnp

from hclx.config import Experiment
from hclx.data import Loader, TokenCache
from hclx.errors import ConfigError, PreemptedError, StuckError, exit_code
from hclx.parallel import is_distributed, make_mesh, process_0_first
from hclx.train.checkpoint import Checkpointer
from hclx.train.compiled_steps import Program, evaluate, make_program
from hclx.train.events import EventLog
from hclx.train.example_log import ExampleLog
from hclx.train.fingerprint import fingerprint
from hclx.train.goodput import write_goodput
from hclx.train.metrics_logger import Reporter
from hclx.train.preemption import FILE as STOP_FILE
from hclx.train.preemption import StopSignal
from hclx.train.profiler import StepProfiler
from hclx.train.rewind_history import Lineage, read_lineage
from hclx.train.run_dir import describe_run, open_run, versions
from hclx.train.run_lock import Lease
from hclx.train.state import TrainState, init_state
from hclx.train.watchdog import Watchdog

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What belongs to one start of a run, and not to what it computes."""

    # the first and last step of which MODEL_DIR/profile takes a trace
    profile_steps: tuple[int, int] | None = None
    # seconds without progress after which the process ends with 70; 0: never
    step_timeout: float = 1800.0
    lease_seconds: float = 30.0  # after which the lock of a run that gives no sign is taken over
    save_timeout: int = 600  # seconds that processes wait for each other to write a checkpoint
    log_examples: bool = False  # writes MODEL_DIR/examples: see hclx/train/example_log.py
    started: float | None = None  # time.time() when the command began


def pretrain(
    experiment: Experiment,
    model_dir: str,
    cache: TokenCache,
    tokenizer_dir: str,
    options: RunOptions,
) -> TrainState:
    """Trains to `experiment.train.total_steps`, from the newest good checkpoint of `model_dir` if
    it holds any.

    Args:
      experiment: the whole configuration.
      model_dir: takes config.json, metrics.jsonl, events.jsonl, tensorboard/ and checkpoints/.
      cache: of tokens, in the model's vocabulary.
      tokenizer_dir: recorded with the run, for decoding.
      options: of this start.
    Returns:
      The last state, which is on disk and was read back; before the last step where a file STOP
      ended the run.
    Raises:
      ConfigError: the folder holds another configuration or a run that is alive, or the mesh or the
        vocabulary does not fit.
      DataError: another vocabulary or text than the run began with, or there were checkpoints and
        none is good.
      NumericsError: too many steps in a row were left out.
      StorageError: checkpoints could not be written.
      StuckError: hardware computed a step to two results.
      PreemptedError: SIGTERM or Ctrl-C came; the state was saved.
    """
    if cache.manifest["vocab_size"] != experiment.model.vocab_size:
        raise ConfigError(
            f"ModelConfig.vocab_size={experiment.model.vocab_size}, but the token cache has"
            f" {cache.manifest['vocab_size']}"
        )
    hashes = {"vocabulary": cache.manifest["tokenizer"]["fingerprint"], "text": cache.fingerprint}
    mesh, is_first = make_mesh(experiment.mesh), jax.process_index() == 0
    run = describe_run(experiment, tokenizer_dir, hashes)
    with jax.set_mesh(mesh), contextlib.ExitStack() as stack:
        lineage = read_lineage(model_dir)
        program = make_program(experiment, mesh, cache.manifest["eod_id"], lineage.rate_factors)
        lease = Lease(model_dir, options.lease_seconds)

        def claim():
            changes = open_run(model_dir, run, write=False)
            if is_first:
                stack.enter_context(lease)
                open_run(model_dir, run)
            return changes

        changes = process_0_first("folder", claim)
        log = EventLog(model_dir, jax.process_index())
        loop = _Run(
            experiment, program, cache, model_dir, hashes, lineage, lease, log, options, stack
        )
        if is_first:
            seconds = time.time() - options.started if options.started else 0.0
            about = {
                "versions": versions(),
                "processes": jax.process_count(),
                "devices": jax.device_count(),
                "mesh": dict(mesh.shape),
            }
            log.write(
                "start", seconds=round(seconds, 3), changes=changes, previous=lease.before, **about
            )
        return loop.run()


class _Run:
    """What has a lifetime in a run (loaders, checkpointer, lease), and the loop over it."""

    def __init__(
        self,
        experiment: Experiment,
        program: Program,
        cache: TokenCache,
        model_dir: str,
        hashes: dict[str, str],
        lineage: Lineage,
        lease: Lease,
        log: EventLog,
        options: RunOptions,
        stack: contextlib.ExitStack,
    ):
        self.experiment, self.program, self.model_dir, self.hashes = (
            experiment,
            program,
            model_dir,
            hashes,
        )
        self.lineage, self.lease, self.log, self.options, self.stack = (
            lineage,
            lease,
            log,
            options,
            stack,
        )
        self.train = train = experiment.train
        self.is_first = jax.process_index() == 0
        self.step, self.next_index, self.spent = 0, 0, collections.Counter()
        open_loader = lambda split, **more: stack.enter_context(
            Loader(
                cache,
                split,
                seed=train.seed,
                global_batch_size=train.global_batch_size,
                sequence_length=train.sequence_length,
                sharding=program.windows,
                **more,
            )
        )
        self.loader = open_loader("train", skip=lineage.skip)
        self.validation = open_loader("validation") if train.eval_every else None
        self.token_bytes = jnp.asarray(cache.token_bytes, jnp.float32)
        self.checkpointer = stack.enter_context(
            Checkpointer(
                model_dir,
                keep_last=train.keep_last,
                keep_every=train.keep_every,
                save_timeout=options.save_timeout,
                report=self.event,
            )
        )
        self.profiler = stack.enter_context(
            StepProfiler(model_dir, options.profile_steps if self.is_first else None)
        )

    def event(self, event: str, **fields) -> None:
        """Writes an event of the run, once, however many processes it has."""
        if self.is_first:
            self.log.write(event, **fields)

    def run(self) -> TrainState:
        """The steps, and the event of how they ended."""
        code, reason = 0, "done"
        try:
            state = self.steps()
            if self.step < self.train.total_steps:
                reason = f"file {STOP_FILE}"
            return state
        except BaseException as error:
            code, reason = (
                exit_code(error, is_distributed()),
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            )
            raise
        finally:
            if self.is_first or code:
                where = {
                    "step": self.step,
                    "next_index": self.next_index,
                    "spent": dict(self.spent),
                }
                self.log.write("exit", code=code, reason=reason, **where)
            if self.is_first:
                _LOG.info(write_goodput(self.model_dir))

    def steps(self) -> TrainState:
        """Runs to the last step, or to the request to stop."""
        enter, train = self.stack.enter_context, self.train
        watchdog = enter(Watchdog(self.options.step_timeout, self.log.write))
        state, began = self.restore_or_begin(), self.step
        reporter = enter(
            Reporter(
                self.model_dir, self.experiment, self.step, int(state.guard.skipped), self.event
            )
        )
        stop, stopping = enter(StopSignal(self.program.mesh, self.model_dir, self.is_first)), False
        examples = (
            enter(ExampleLog(self.model_dir, self.loader, self.step))
            if self.options.log_examples
            else None
        )
        windows = self.loader.iterate(self.next_index)
        while self.step < train.total_steps and not stopping:
            with reporter.clock.part("data"):
                index, window_bt = next(windows)
            self.step, self.next_index = self.step + 1, index + train.global_batch_size
            if examples:
                examples.write(self.step, index, window_bt)
            with self.profiler.step(self.step, before=state), reporter.clock.part("dispatch"):
                state, metrics = self.take_step(state, window_bt)
            reporter.report(
                self.step,
                metrics,
                self.evaluate(state, metrics, reporter),
                self.loader.examples(index, self.next_index),
                self.next_index,
            )
            watchdog.alive(self.step)
            self.lease.reached(self.step, self.spent)
            stopping = stop.agreed()
            if stopping:
                self.event(
                    "preempt", step=self.step, next_index=self.next_index, reason=stop.requested
                )
            if (
                self.step % train.checkpoint_every == 0
                or self.step == train.total_steps
                or stopping
            ):
                reporter.flush()  # ends the run here where too many steps were left out
                self.save(state, reporter)
                watchdog.alive(self.step)
        reporter.flush()
        if self.step > began:
            self.finish(state, reporter)
        if self.step < train.total_steps and not stop.by_file():
            raise PreemptedError(
                f"{stop.requested}: saved step {self.step} of {train.total_steps} in"
                f" {self.model_dir}; the same command goes on from there"
            )
        return state

    def restore_or_begin(self) -> TrainState:
        """The newest good checkpoint, or a fresh state; sets `step` and `next_index`."""
        begun = time.time()
        restored = self.checkpointer.restore(
            self.program.abstract, from_scratch=self.lineage.from_scratch
        )
        if restored is None:
            self.event("begin", step=0)
            return init_state(
                self.experiment.model, self.train, self.program.optimizer, self.program.abstract
            )
        state, loop, meta = restored
        self.step, self.next_index = int(state.step), loop["next_index"]
        self.lineage.check_leads_from(loop["lineage"], self.step)
        changed = {
            name: [meta["versions"].get(name), now]
            for name, now in versions().items()
            if meta["versions"].get(name) != now
        }
        if changed and self.is_first:
            said = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in changed.items())
            _LOG.warning(
                "versions differ from those of the checkpoint, so the last digits may: %s", said
            )
        self.event(
            "restore",
            step=self.step,
            next_index=self.next_index,
            seconds=round(time.time() - begun, 3),
            versions_changed=changed,
        )
        _LOG.info("resumed from step %d of %s", self.step, self.model_dir)
        return state

    def take_step(self, state: TrainState, window_bt: jax.Array) -> tuple[TrainState, dict]:
        """One step; every `replay_every` of them twice, from the same state.

        Raises:
          StuckError: the two differ, though the program is deterministic: some hardware is not.
        """
        if not self.train.replay_every or self.step % self.train.replay_every:
            return self.program.train_step(state, window_bt)
        (first, metrics), (second, _) = (
            self.program.replay_step(state, window_bt) for _ in range(2)
        )
        arrays = lambda state: fingerprint({"params": state.params, "opt_state": state.opt_state})
        wrong = [
            name
            for (name, a), b in zip(arrays(first).items(), arrays(second).values(), strict=True)
            if a != b
        ]
        if wrong:
            raise StuckError(
                f"step {self.step}, run twice from one state, gave two results ({len(wrong)}"
                f" array(s), first {wrong[0]}): faulty hardware. Nothing of it was saved; the same"
                " command goes on from the last save, best on other machines"
            )
        return first, metrics

    def evaluate(self, state: TrainState, metrics: dict, reporter: Reporter) -> dict[str, float]:
        """Validation loss and bits per byte, on the same windows each time, when it is time for
        them; else nothing.
        """
        if not self.validation or (
            self.step % self.train.eval_every and self.step != self.train.total_steps
        ):
            return {}
        with self.beside_training("evaluation", reporter, metrics):
            n_windows = min(self.train.eval_windows, self.validation.n_windows)
            return evaluate(
                self.program, state.params, self.validation, self.token_bytes, n_windows
            )

    def save(self, state: TrainState, reporter: Reporter) -> None:
        """Starts an asynchronous save."""
        with self.beside_training("saving", reporter, state):
            if self.is_first:
                self.lease.check()
            loop = {
                "step": self.step,
                "next_index": self.next_index,
                "seed": self.train.seed,
                "lineage": self.lineage.to_json(),
            }
            meta = {
                "model": dataclasses.asdict(self.experiment.model),
                "hashes": self.hashes,
                "versions": versions(),
            }
            self.checkpointer.save(state, loop, meta)

    def finish(self, state: TrainState, reporter: Reporter) -> None:
        """Makes sure that the last state is on disk, and reads it back where the run is done; saves
        it again if need be.
        """
        while not (self.checkpointer.wait() and self.reads_back()):
            self.save(state, reporter)

    def reads_back(self) -> bool:
        """Whether the last checkpoint is what was saved; a run that was told to hurry does not
        look.
        """
        if self.step < self.train.total_steps:
            return True
        good = self.checkpointer.verify(self.step, self.program.abstract)
        self.event("verify", step=self.step, good=good)
        return good

    @contextlib.contextmanager
    def beside_training(self, name: str, reporter: Reporter, wait_for):
        """Takes the time of what is no step, under its name."""
        with reporter.clock.paused(wait_for):
            begun = time.perf_counter()
            yield
            self.spent[name] = round(self.spent[name] + time.perf_counter() - begun, 3)
