"""Turns the metrics of steps into records and events, one step late, so that reading them never
makes the device wait.
"""

import functools
import logging
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from hclx.config import Experiment
from hclx.errors import NumericsError
from hclx.progress import ProgressBar
from hclx.train.flops import FORMULA, model_flops_utilisation, peak_flops
from hclx.train.metrics_writer import MetricsWriter, figures_in_words
from hclx.train.timing import StepClock

_LOG = logging.getLogger(__name__)


class FinishedStep(NamedTuple):
    """The metrics of a step whose computation is done.

    Attributes:
      step: its number, from 1.
      loss: nats a token.
      grad_norm: before clipping.
      was_skipped: whether it left the parameters as they were.
      skipped_in_a_row: steps that were skipped since the last good one, this one included.
      examples: int64, the numbers of the examples of its batch.
    """

    step: int
    loss: float
    grad_norm: float
    was_skipped: bool
    skipped_in_a_row: int
    examples: np.ndarray

    def __str__(self) -> str:
        kind = "spike" if self.is_spike else "not finite"
        return (
            f"step {self.step} was skipped ({kind}: loss {self.loss}, gradient norm"
            f" {self.grad_norm}), examples {self.examples[0]} to {self.examples[-1]}"
        )

    @property
    def is_spike(self) -> bool:
        """Returns whether loss and gradient norm are finite: a skipped step is then a spike."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class MetricsLogger:
    """Writes a record for each logged step, an event for each skipped one, and moves the progress
    bar.
    """

    def __init__(
        self,
        model_dir: str,
        experiment: Experiment,
        step: int,
        clock: StepClock,
        skipped: int = 0,
        event: Callable[..., None] = lambda event, **fields: None,
        name: str = "pretrain",
    ):
        """Starts logging after `step`; later records of an earlier attempt are dropped.

        Args:
          model_dir: takes metrics.jsonl and tensorboard/.
          experiment: the whole configuration.
          step: the last step before.
          clock: of the run.
          skipped: steps that were skipped before, in all.
          event: takes the events `first_step`, `skip` and `spike`.
          name: what the progress says that the run does.
        """
        self._experiment, self._clock = experiment, clock
        self._skipped, self._event, self._is_first = skipped, event, True
        self._is_writer = jax.process_index() == 0
        self._open_writer, self._writer = functools.partial(MetricsWriter, model_dir, step), None
        total = experiment.train.total_steps
        self._bar = ProgressBar(
            total, name, "step", enabled=self._is_writer, done=step, slow_start=True
        )
        self._shown: dict[str, str] = {}  # what the progress says, by name
        self._pending: tuple[int, dict, np.ndarray, int] | None = None
        self._evaluation: dict[str, float] = {}
        # measured on CPU, while nothing else is computed
        peak, source = peak_flops(experiment.compute.dtype)
        self._peak = f"peak {peak:.4g} FLOP/s, {source}" if peak else source

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._bar.__exit__(*exc_info)
        if self._writer:
            self._writer.close()

    def report(
        self, step: int, metrics: dict[str, jax.Array], examples: np.ndarray, examples_seen: int
    ) -> FinishedStep | None:
        """Takes a step that was just dispatched, and writes the one before it.

        Args:
          step: its number, from 1.
          metrics: what `train_step` returns; it may not be computed yet.
          examples: int64, the numbers of the examples of its batch.
          examples_seen: by the run, with this step.
        Returns:
          The step before, or None if there is none.
        """
        if self._is_writer and self._writer is None:
            self._writer = self._open_writer()  # takes seconds, in which the first step is computed
        finished = self.flush()
        self._clock.tick()
        self._pending = (step, metrics, examples, examples_seen)
        return finished

    def add(self, evaluation: dict[str, float]) -> None:
        """Adds figures by their names, such as `validation_loss`, to the record of the step that
        was reported last, which is then written whatever `log_every` is.
        """
        self._evaluation = {**self._evaluation, **evaluation}

    def flush(self) -> FinishedStep | None:
        """Waits for the step that was reported last, writes it and returns it; None if that was
        done.
        """
        if self._pending is None:
            return None
        (step, metrics, examples, examples_seen), self._pending = self._pending, None
        evaluation, self._evaluation = self._evaluation, {}
        with self._clock.part("device"):
            values = {name: value.item() for name, value in jax.device_get(metrics).items()}
        if self._is_first:
            self._event("first_step", step=step)
            self._is_first = False
        in_a_row, was_skipped = values.pop("skipped_in_a_row"), values["skipped"] > self._skipped
        self._skipped = values["skipped"]
        finished = FinishedStep(
            step, values["loss"], values["grad_norm"], was_skipped, in_a_row, examples
        )
        if was_skipped:
            self._report_skipped(finished)
        if evaluation and self._is_writer:
            _LOG.info("step %d: %s", step, figures_in_words(evaluation))
        train = self._experiment.train
        record = None
        if evaluation or step == 1 or step % train.log_every == 0 or step == train.total_steps:
            record = {
                "step": step,
                **{name: _finite(v) for name, v in values.items()},
                **{name: _finite(v) for name, v in evaluation.items()},
                **self._context(examples_seen),
            }
        with self._clock.part("logging"):
            self._bar.update(note=self._note(values["loss"], evaluation, record))
            if record and self._writer:
                self._writer.write(record)
        return finished

    def _note(self, loss: float, evaluation: dict[str, float], record: dict | None) -> str:
        """Returns what the progress says beside the steps, with the last known of each figure."""
        self._shown["loss"] = f"loss {loss:.3f}"
        if evaluation:
            self._shown["validation"] = f"validation {evaluation['validation_loss']:.3f}"
        if record and record["tokens_per_second"]:
            self._shown["speed"] = f"{record['tokens_per_second']:,.0f} tokens/s"
        return ", ".join(self._shown.values())

    def _report_skipped(self, finished: FinishedStep) -> None:
        in_json = lambda value: value if math.isfinite(value) else str(value)
        self._event(
            "spike" if finished.is_spike else "skip",
            step=finished.step,
            examples=[int(finished.examples[0]), int(finished.examples[-1]) + 1],
            in_a_row=finished.skipped_in_a_row,
            loss=in_json(finished.loss),
            grad_norm=in_json(finished.grad_norm),
        )
        if self._is_writer:
            _LOG.warning("%s; the parameters stay as they were", finished)

    def _context(self, examples_seen: int) -> dict:
        """Tokens and speed of a step."""
        train, model = self._experiment.train, self._experiment.model
        tokens = train.global_batch_size * train.sequence_length
        times = self._clock.lap() or dict.fromkeys(StepClock.TIMES)
        speed = times["step_time"] and tokens / times["step_time"]
        dtype = self._experiment.compute.dtype
        return {
            "examples_seen": examples_seen,
            "tokens_seen": examples_seen * train.sequence_length,
            "tokens_per_second": speed,
            "mfu": speed and model_flops_utilisation(model, train.sequence_length, dtype, speed),
            "mfu_formula": f"{FORMULA}; {self._peak}",
            **times,
        }


def end_if_diverged(finished: FinishedStep | None, max_skipped: int) -> None:
    """Ends the run if a step was skipped, and with it too many steps in a row.

    Args:
      finished: the step; None is passed over.
      max_skipped: steps in a row that end the run.
    Raises:
      NumericsError: there were `max_skipped` of them.
    """
    if finished and finished.was_skipped and finished.skipped_in_a_row >= max_skipped:
        raise NumericsError(
            f"{finished}, the {finished.skipped_in_a_row}th in a row. The last save holds none of"
            " them; lower the learning rate, look at these examples, or go back with"
            " hclx checkpoint rewind"
        )


def _finite(value: float) -> float | None:
    """None for a value that is not finite, for which JSON has no number."""
    return value if math.isfinite(value) else None
