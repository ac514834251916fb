"""The validation loss of a run, and that of the weights that it began with."""

import logging

import jax

from hclx.train import step
from hclx.train.metrics_writer import figures_in_words
from hclx.train.retention import finite_or_none
from hclx.train.run import Run
from hclx.train.state import TrainState

_LOG = logging.getLogger(__name__)


def evaluate(run: Run, state: TrainState) -> dict[str, float]:
    """Returns `validation_loss` and `bits_per_byte` of a state on the validation split of the run,
    which must have one, and the metrics of its kind of training.
    """
    n = min(run.experiment.train.eval_windows, run.validation.n_sequences)
    values = step.evaluate(run.program, state.params, run.validation, run.token_bytes, n)
    return values | run.parts.metrics(run.program, state)


def evaluate_beginning(run: Run, state: TrainState) -> None:
    """Says and records how good the weights of another run are before the first step: the figures
    that training is measured against. Does nothing for a run that is never evaluated.
    """
    if not (run.experiment.train.eval_every and run.validation):
        return
    values = evaluate(run, state)
    run.event("evaluate", step=0, **{name: finite_or_none(v) for name, v in values.items()})
    if jax.process_index() == 0:
        _LOG.info("step 0: %s", figures_in_words(values))
