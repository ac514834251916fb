"""Pretraining, from raw text to a trained model. The module reads from top to bottom:

  pretrain         one start of a run: refusals, data, steps
  starting_point   where the run starts from: one numbered list
  train_loop       the steps, and the hooks between them
  save_checkpoint  and how a run ends

What a run has open meanwhile (its folder, loaders, checkpointer) is in hclx/train/run.py.
"""

import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import jax

from hclx.config import Experiment
from hclx.data.batch import Batch
from hclx.errors import PreemptedError, StorageError, StuckError
from hclx.parallel import make_mesh
from hclx.train.checkpoint import MAX_FAILED_SAVES
from hclx.train.checkpoint_format import LoopState
from hclx.train.compilation_cache import keep_compiled_programs
from hclx.train.dry_run import check_before_work
from hclx.train.example_log import ExampleLog
from hclx.train.fingerprint import fingerprint
from hclx.train.malloc import computes_on_cpu, keep_freed_memory
from hclx.train.messages import changes_in_words, ending, summary
from hclx.train.metrics_logger import MetricsLogger, end_if_diverged
from hclx.train.preemption import StopSignal
from hclx.train.profiler import StepProfiler
from hclx.train.retention import LOSS, RANK, finite_or_none, finite_rank
from hclx.train.run import Run, RunOptions, claimed_folder, open_run
from hclx.train.run_changes import changes_of
from hclx.train.run_data import prepare_data, remarks, with_known_vocabulary
from hclx.train.run_dir import versions
from hclx.train.run_parts import pretraining_parts
from hclx.train.state import TrainState
from hclx.train.step import Metrics
from hclx.train.step_selection import BEST, BestStep
from hclx.train.validation import evaluate, evaluate_beginning

_LOG = logging.getLogger(__name__)


def pretrain(
    experiment: Experiment, model_dir: str, options: RunOptions = RunOptions()
) -> TrainState:
    """Prepares the data of an experiment, and trains to `experiment.train.total_steps`.

    A run that was started before resumes. Of several processes, which share a file system, the
    first prepares the data and prints.

    Args:
      experiment: the whole configuration.
      model_dir: takes config.json, metrics.jsonl, events.jsonl, tensorboard/ and checkpoints/, and
        tokenizer/ and cache/ unless the experiment names others.
      options: of this start.
    Returns:
      The last state, which is on disk and was read back; the state of an earlier step if the file
      STOP ended the run.
    Raises:
      ConfigError: the folder holds another configuration or a run that is alive, or the mesh, the
        vocabulary or `options.init_from` does not fit.
      DataError: text, vocabulary or weights are missing, damaged or not those that the run began
        with; or there were checkpoints and none is good.
      NumericsError: too many steps were skipped in a row.
      StorageError: checkpoints could not be written.
      StuckError: hardware computed one step to two results.
      PreemptedError: SIGTERM or Ctrl-C came; the state was saved.
    """
    # ---- Refuse what can be refused without work
    if computes_on_cpu():
        keep_freed_memory()
    requested, experiment = experiment, with_known_vocabulary(experiment, model_dir)
    check_before_work(experiment, model_dir, options)
    changes = changes_of(model_dir, experiment)
    keep_compiled_programs()
    mesh = make_mesh(experiment.mesh)

    say = print if jax.process_index() == 0 else lambda *_, **__: None
    with claimed_folder(model_dir, options) as lease:
        # ---- Tokenizer and token cache, each made if it is missing
        experiment, cache, tokenizer_dir = prepare_data(requested, model_dir)
        say(
            summary(experiment, mesh, cache),
            *remarks(requested, experiment, cache),
            sep="\n",
            flush=True,
        )

        # ---- The run
        parts = pretraining_parts(experiment, model_dir, mesh, cache, tokenizer_dir)
        opened = open_run(experiment, model_dir, options, parts, lease)
        with jax.set_mesh(mesh), opened as run:
            state = starting_point(run)
            for line in changes_in_words(changes, experiment, model_dir, run.progress.step):
                say(line, flush=True)
            state = train_loop(run, state)
    say(ending(run))
    return state


# ---- Where a run starts from


def starting_point(run: Run) -> TrainState:
    """The state that a run starts from, in this order:

    1. its own newest good checkpoint, among those that its rewinds left;
    2. if it was rewound to step 0, its beginning: 3 or 4, whatever checkpoints there were;
    3. the weights of another run (--init_from), with a fresh optimizer;
    4. random weights.

    Both are the business of `RunParts.begin`; in tuning, 3 is the base, and there is no 4.

    Returns:
      The state; the run's progress is set to it.
    Raises:
      CheckpointError: there were checkpoints and none is good, the checkpoint belongs to another
        history of rewinds, or the weights of the other run are damaged.
    """
    begun, weights = time.time(), run.description["init_from"]
    frozen = run.parts.read_frozen(run.program, weights)
    # 1.
    restored = run.checkpointer.restore(
        run.program.abstract_state, frozen, from_scratch=run.lineage.from_scratch
    )
    if restored is not None:
        state, loop, meta = restored
        step = run.progress.step = int(jax.device_get(state.step))
        run.progress.next_index = loop.next_index
        run.progress.best = BestStep.from_json(meta.get(BEST))
        run.lineage.check_leads_from(loop.lineage, step)
        changed = _changed_versions(meta["versions"])
        took = {"seconds": round(time.time() - begun, 3), "versions_changed": changed}
        run.event("restore", step=step, next_index=loop.next_index, **took)
        _LOG.info("resumed from step %d of %s", step, run.model_dir)
        return state
    # 2. The rewind set all checkpoints aside, so that none was restored.
    run.event("begin", step=0, init_from=weights, rewound=run.lineage.from_scratch)
    # 3. and 4.
    state = run.parts.begin(run.program, weights, frozen)
    if weights is not None:
        _LOG.info("began from step %d of %s", weights["step"], weights["model_dir"])
    return state


def _changed_versions(saved: dict[str, str]) -> dict[str, list]:
    """Package -> [version of a checkpoint, version now], of those that differ; logs them."""
    changed = {
        name: [saved.get(name), now] for name, now in versions().items() if saved.get(name) != now
    }
    if changed and jax.process_index() == 0:
        listed = ", ".join(f"{name} {before} -> {now}" for name, (before, now) in changed.items())
        _LOG.warning(
            "versions differ from those of the checkpoint, so the last digits may: %s", listed
        )
    return changed


# ---- The steps, and what happens between them


class StepInfo(NamedTuple):
    """A step that was just dispatched; its arrays may not be computed yet.

    Attributes:
      step: its number, from 1.
      index: position of its first example in the order of the run.
      next_index: position after its last example.
      batch: what it was computed from.
      state: after the step.
      metrics: as `hclx.train.step.train_step` returns them.
    """

    step: int
    index: int
    next_index: int
    batch: Batch
    state: TrainState
    metrics: Metrics


@dataclasses.dataclass(frozen=True)
class Hook:
    """A function that the loop calls after every `every`-th step."""

    every: int  # 0: never
    function: Callable[[StepInfo], None]
    also_last: bool = True  # also after the last step of the run
    also_stopped: bool = False  # also after the step at which a signal or the file STOP ends it

    def is_due(self, step: int, is_last: bool, is_stopping: bool) -> bool:
        """Returns whether to call the function after step `step`, from 1.

        It is due at multiples of `every`, at the last step of the run (`is_last`) if `also_last`,
        and at the step at which a signal or the file STOP ends the run (`is_stopping`) if
        `also_stopped`; but never if `every` is 0.
        """
        ends = (self.also_last and is_last) or (self.also_stopped and is_stopping)
        return self.every > 0 and (step % self.every == 0 or ends)


def train_loop(run: Run, state: TrainState) -> TrainState:
    """Trains from the state that `starting_point` returned to the last step of the run, or until it
    is asked to stop.

    Returns:
      The last state, which is on disk.
    Raises:
      NumericsError, StorageError, StuckError, PreemptedError: as in `pretrain`.
    """
    train, progress, began = run.experiment.train, run.progress, run.progress.step
    if run.is_done:  # nothing to do, and nothing is opened to record it
        return state
    with contextlib.ExitStack() as stack:
        skipped = int(jax.device_get(state.guard.skipped))
        logger = stack.enter_context(
            MetricsLogger(
                *(run.model_dir, run.experiment, began, run.clock),
                *(skipped, run.event, run.parts.name),
            )
        )
        stop = StopSignal(run.program.mesh, run.model_dir, jax.process_index() == 0)
        hooks = _hooks(run, logger, stop, stack)
        if began == 0 and run.description["init_from"]:
            evaluate_beginning(run, state)
        batches = run.loader.iterate(progress.next_index)
        while not (run.is_done or progress.stopping):
            with run.clock.part("data"):
                index, batch = next(batches)
            step = progress.step = progress.step + 1
            progress.next_index = index + train.global_batch_size
            annotation = jax.profiler.StepTraceAnnotation("train", step_num=step)
            with annotation, run.clock.part("dispatch"):
                state, metrics = one_step(run, state, batch)
            if step == began + 1:  # a signal that comes while it is compiled has nothing to save
                stack.enter_context(stop)
                run.record()
            info = StepInfo(step, index, progress.next_index, batch, state, metrics)
            for hook in hooks:
                if hook.is_due(step, run.is_done, progress.stopping):
                    hook.function(info)
            run.watchdog.alive(step)
        end_if_diverged(logger.flush(), train.max_skipped)
        save_until_good(run, state)
        if not (run.is_done or stop.by_file()):
            raise PreemptedError(
                f"{stop.requested}: saved step {progress.step} of {train.total_steps} in"
                f" {run.model_dir}; re-run the same command to resume"
            )
    return state


def _hooks(
    run: Run, logger: MetricsLogger, stop: StopSignal, stack: contextlib.ExitStack
) -> tuple[Hook, ...]:
    """All that happens between two steps, in this order."""
    train, options, progress = run.experiment.train, run.options, run.progress

    def log(info: StepInfo) -> None:
        examples = run.loader.examples(info.index, info.next_index)
        finished = logger.report(info.step, info.metrics, examples, info.next_index)
        end_if_diverged(finished, train.max_skipped)

    def evaluate_model(info: StepInfo) -> None:
        with run.clock.paused("evaluation", info.metrics):
            values = evaluate(run, info.state)
        progress.evaluated = info.step, values["validation_loss"]
        if selection := run.parts.selection:
            progress.rank = selection.rank(values)
            progress.best = progress.best.after(info.step, progress.rank)
            values |= {"best_step": progress.best.step}
        logger.add(values)

    def evaluate_suite(info: StepInfo) -> None:
        with run.clock.paused("evaluation", info.metrics):
            values = options.suite(run, info.step, info.state)
        logger.add(values)

    def look_around(info: StepInfo) -> None:
        run.watchdog.alive(info.step)
        run.lease.reached(info.step, run.clock.spent)
        run.checkpointer.look()
        progress.stopping = stop.agreed()
        if progress.stopping:
            where = {"step": info.step, "next_index": info.next_index}
            run.event("preempt", **where, reason=stop.requested)

    def save(info: StepInfo) -> None:
        end_if_diverged(logger.flush(), train.max_skipped)
        save_checkpoint(run, info.state)

    hooks = [
        Hook(1, log),
        Hook(train.eval_every if run.validation else 0, evaluate_model),
        Hook(train.suite_every if options.suite else 0, evaluate_suite),
        Hook(1, look_around),
        Hook(train.checkpoint_every, save, also_stopped=True),
    ]
    if options.log_examples:
        examples = stack.enter_context(ExampleLog(run.model_dir, run.loader, progress.step))
        # before a save, so that each step of a checkpoint has its line
        hooks.insert(0, Hook(1, lambda info: examples.write(info.step, info.index, info.batch)))
    if options.profile_steps and jax.process_index() == 0:
        profiler = stack.enter_context(StepProfiler(run.model_dir, options.profile_steps))
        profiler.after(progress.step, ())
        hooks.append(Hook(1, lambda info: profiler.after(info.step, info.metrics)))
    return tuple(hooks)


def one_step(run: Run, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
    """Takes one step; every `replay_every`-th step is computed twice, from the same state.

    Args:
      run: `run.progress.step` is the number of this step.
      state: is donated, unless the step is computed twice.
      batch: on the devices.
    Returns:
      The state and the metrics of `hclx.train.step.train_step`.
    Raises:
      StuckError: the two results differ, although the program is deterministic: some hardware is
        not.
    """
    every, step = run.experiment.train.replay_every, run.progress.step
    if not every or step % every:
        return run.program.train_step(state, batch)
    (first, metrics), (second, _) = (run.program.replay_step(state, batch) for _ in range(2))
    arrays = lambda state: fingerprint({"params": state.trainable, "opt_state": state.opt_state})
    expected = arrays(first)
    wrong = [name for name, value in arrays(second).items() if value != expected[name]]
    if wrong:
        raise StuckError(
            f"step {step}, run twice from one state, gave two results ({len(wrong)} array(s), first"
            f" {wrong[0]}): faulty hardware. Nothing of it was saved; re-run the same command to"
            " resume from the last save, best on other machines"
        )
    return first, metrics


# ---- Saving, and the end


def save_checkpoint(run: Run, state: TrainState) -> None:
    """Starts an asynchronous save of `state` and of the progress of the run.

    Raises:
      ConfigError: another run has taken the folder over.
      NumericsError, StorageError: as `Checkpointer.save`.
    """
    with run.clock.paused("saving", state):
        if jax.process_index() == 0:
            run.lease.check()
        loop = LoopState(run.progress.next_index, run.lineage.to_json())
        meta = {name: run.description[name] for name in ("hashes", "versions", "init_from")}
        meta["model"] = run.description["config"]["model"]
        evaluated, loss = run.progress.evaluated
        meta[LOSS] = finite_or_none(loss) if evaluated == run.progress.step else None
        if run.parts.selection:
            is_known = meta[LOSS] is not None and finite_rank(run.progress.rank)
            meta[RANK] = list(run.progress.rank) if is_known else None
            meta[BEST] = run.progress.best.to_json()
        run.checkpointer.save(state, loop, meta)


def save_until_good(run: Run, state: TrainState) -> None:
    """Waits until the last state is on disk. At the end of the run it is also read back, and saved
    again if it is not what was saved; a run that is asked to stop has no time for that.

    Raises:
      ConfigError, NumericsError, StorageError: as `save_checkpoint`.
      StorageError: `MAX_FAILED_SAVES` saves were not what was saved.
    """
    step, is_done = run.progress.step, run.is_done

    def reads_back() -> bool:
        good = run.checkpointer.verify(step, run.program.abstract_state)
        run.event("verify", step=step, good=good)
        return good

    for failures in itertools.count(1):
        if run.checkpointer.wait() and (not is_done or reads_back()):
            return
        if failures >= MAX_FAILED_SAVES:
            raise StorageError(
                f"{run.model_dir}: step {step} was saved {failures} times, and was never read back"
                " as it was saved; the disk may be failing: run the same command again on another"
            )
        save_checkpoint(run, state)
