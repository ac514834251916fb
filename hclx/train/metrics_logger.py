"""Turns the metrics of steps into records and events, one step late, so that reading them never
makes the device wait.
"""

import functools
import logging
import math
from collections.abc import Callable

import jax
import numpy as np
from tqdm import tqdm

from hclx.config import Experiment
from hclx.errors import NumericsError
from hclx.train.flops import FORMULA, model_flops_utilisation, peak_flops
from hclx.train.metrics_writer import MetricsWriter, StepClock

_LOG = logging.getLogger(__name__)


def _no_event(event: str, **fields) -> None:
    """For whoever keeps no events."""


def _finite(value: float) -> float | None:
    """JSON has no number for what is not finite."""
    return value if math.isfinite(value) else None


class Reporter:
    """Counts steps that were left out, writes a record for each logged step, and moves the progress
    bar.
    """

    def __init__(
        self,
        model_dir: str,
        experiment: Experiment,
        step: int,
        skipped: int = 0,
        event: Callable[..., None] = _no_event,
    ):
        """Starts reporting after `step`; records that come after it are dropped.

        Args:
          model_dir: takes metrics.jsonl and tensorboard/.
          experiment: the whole configuration.
          step: the last one before.
          skipped: steps that were left out before.
          event: takes the events `first_step` and `skip`.
        """
        self._skipped, self._event, self._is_first = skipped, event, True
        self._experiment, self.clock = experiment, StepClock()
        self._is_writer = jax.process_index() == 0
        self._open_writer, self._writer = functools.partial(MetricsWriter, model_dir, step), None
        total = experiment.train.total_steps
        self._bar = tqdm(
            total=total,
            initial=step,
            desc="pretrain",
            unit="step",
            disable=None if self._is_writer else True,
        )
        self._pending: tuple[int, dict, dict, np.ndarray, int] | None = None
        # measured on CPU, while nothing else is computed
        self._peak, self._peak_source = peak_flops(experiment.compute.dtype)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._bar.close()
        if self._writer:
            self._writer.close()

    def report(
        self,
        step: int,
        metrics: dict[str, jax.Array],
        evaluation: dict[str, float],
        examples: np.ndarray,
        seen: int,
    ) -> None:
        """Takes a step that was just dispatched, and writes the one before it.

        Args:
          step: its number, from 1.
          metrics: what `train_step` returns, still on its way.
          evaluation: `validation_loss` and `bits_per_byte`, or empty.
          examples: the numbers of those of its batch.
          seen: how many the run has seen with it.
        Raises:
          NumericsError: the step before was left out, as were too many before it.
        """
        if self._is_writer and self._writer is None:
            self._writer = self._open_writer()  # takes seconds, in which the first step is computed
        self.flush()
        self.clock.tick()
        self._pending = (step, metrics, evaluation, examples, seen)

    def flush(self) -> None:
        """Waits for the step that was reported last, and writes it.

        Raises:
          NumericsError: it was left out, as were too many before it.
        """
        if self._pending is None:
            return
        (step, metrics, evaluation, examples, seen), self._pending = self._pending, None
        with self.clock.part("device"):
            values = {name: value.item() for name, value in jax.device_get(metrics).items()}
        if self._is_first:
            self._event("first_step", step=step)
            self._is_first = False
        in_a_row = values.pop("skipped_in_a_row")
        if values["skipped"] > self._skipped:
            self._tell_skipped(step, values, in_a_row, examples)
        train = self._experiment.train
        record = None
        if evaluation or step == 1 or step % train.log_every == 0 or step == train.total_steps:
            record = {
                "step": step,
                **{name: _finite(v) for name, v in values.items()},
                **evaluation,
                **self._context(seen),
            }
        with self.clock.part("logging"):
            self._bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
            self._bar.update()
            if record and self._writer:
                self._writer.write(record)

    def _tell_skipped(self, step: int, values: dict, in_a_row: int, examples: np.ndarray) -> None:
        """An event and a warning, or the end of the run."""
        self._skipped, loss, norm = values["skipped"], values["loss"], values["grad_norm"]
        spike = math.isfinite(loss) and math.isfinite(norm)
        first, last = int(examples[0]), int(examples[-1])
        # JSON has no word for the others
        in_json = lambda value: value if math.isfinite(value) else str(value)
        found = {"in_a_row": in_a_row, "loss": in_json(loss), "grad_norm": in_json(norm)}
        self._event("spike" if spike else "skip", step=step, examples=[first, last + 1], **found)
        said = (
            f"step {step} was left out ({'spike' if spike else 'not finite'}: loss {loss}, gradient"
            f" norm {norm}), examples {first} to {last}"
        )
        if in_a_row >= self._experiment.train.max_skipped:
            raise NumericsError(
                f"{said}, the {in_a_row}th in a row. The last save holds none of them; lower the"
                " learning rate, look at these examples, or go back with launch/checkpoint.py"
                " rewind"
            )
        if self._is_writer:
            _LOG.warning("%s; the parameters stay as they were", said)

    def _context(self, seen: int) -> dict:
        """Tokens and speed of a step."""
        train, model = self._experiment.train, self._experiment.model
        tokens = train.global_batch_size * train.sequence_length
        times = self.clock.lap() or dict.fromkeys(StepClock.TIMES)
        speed = times["step_time"] and tokens / times["step_time"]
        dtype = self._experiment.compute.dtype
        return {
            "examples_seen": seen,
            "tokens_seen": seen * train.sequence_length,
            "tokens_per_second": speed,
            "mfu": speed and model_flops_utilisation(model, train.sequence_length, dtype, speed),
            "mfu_formula": f"{FORMULA}; peak {self._peak:.4g} FLOP/s, {self._peak_source}",
            **times,
        }
