"""Turns the metrics of steps into records, one step late, so that reading them never makes the device wait."""

import functools
import math

import jax
from tqdm import tqdm

from hclx.config import Experiment
from hclx.errors import NumericsError
from hclx.train.flops import FORMULA, model_flops_utilisation, peak_flops
from hclx.train.metrics import MetricsWriter, StepClock


class Reporter:
    """Checks every step's loss, writes a record for each logged step, and moves the progress bar."""

    def __init__(self, model_dir: str, experiment: Experiment, step: int):
        """Starts reporting after `step`; records that come after it are dropped."""
        self._experiment, self.clock = experiment, StepClock()
        self._is_writer = jax.process_index() == 0
        self._open_writer, self._writer = functools.partial(MetricsWriter, model_dir, step), None
        total = experiment.train.total_steps
        self._bar = tqdm(total=total, initial=step, desc="pretrain", unit="step", disable=None if self._is_writer else True)
        self._pending: tuple[int, dict, dict] | None = None
        self._peak, self._peak_source = peak_flops(experiment.compute.dtype)  # measured on CPU, while nothing else is computed

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._bar.close()
        if self._writer:
            self._writer.close()

    def report(self, step: int, metrics: dict[str, jax.Array], evaluation: dict[str, float]) -> None:
        """Takes a step that was just dispatched, and writes the one before it.

        Args:
          step: its number, from 1.
          metrics: `loss`, `grad_norm` and `learning_rate`, still on their way.
          evaluation: `validation_loss` and `bits_per_byte`, or empty.
        Raises:
          NumericsError: the loss or gradient of the step before is not finite.
        """
        if self._is_writer and self._writer is None:
            self._writer = self._open_writer()  # takes seconds, in which the first step is computed
        self.flush()
        self.clock.tick()
        self._pending = (step, metrics, evaluation)

    def flush(self) -> None:
        """Waits for the step that was reported last, and writes it.

        Raises:
          NumericsError: its loss or gradient is not finite.
        """
        if self._pending is None:
            return
        (step, metrics, evaluation), self._pending = self._pending, None
        with self.clock.part("device"):
            values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if not all(map(math.isfinite, values.values())):
            raise NumericsError(f"step {step}: {values} is not finite; nothing of it was saved. Lower the learning rate or look at the data")
        train = self._experiment.train
        record = None
        if evaluation or step == 1 or step % train.log_every == 0 or step == train.total_steps:
            record = {"step": step, **values, **evaluation, **self._context(step)}
        with self.clock.part("logging"):
            self._bar.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
            self._bar.update()
            if record and self._writer:
                self._writer.write(record)

    def _context(self, step: int) -> dict:
        """Tokens and speed of a step."""
        train, model = self._experiment.train, self._experiment.model
        tokens = train.global_batch_size * train.sequence_length
        times = self.clock.lap() or dict.fromkeys(StepClock.TIMES)
        speed = times["step_time"] and tokens / times["step_time"]
        dtype = self._experiment.compute.dtype
        return {
            "tokens_seen": step * tokens,
            "tokens_per_second": speed,
            "mfu": speed and model_flops_utilisation(model, train.sequence_length, dtype, speed),
            "mfu_formula": f"{FORMULA}; peak {self._peak:.4g} FLOP/s, {self._peak_source}",
            **times,
        }
