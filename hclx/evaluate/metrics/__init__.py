"""Metrics of predictions, by name.

All but BLEU and chrF are shares or correlations from 0 (or -1) to 1; those two are from 0 to 100.
"""

from collections.abc import Sequence

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.metrics import (
    classification,
    correlation,
    reading,
    social_bias,
    structures,
    translation,
)
from hclx.evaluate.metrics.metric import Metric

__all__ = ["METRICS", "Metric", "check_metrics", "metrics_named"]

_MODULES = (classification, correlation, reading, structures, translation, social_bias)
METRICS: dict[str, Metric] = {
    metric.name: metric
    for module in _MODULES
    for metric in vars(module).values()
    if isinstance(metric, Metric)
}


def metrics_named(names: Sequence[str]) -> dict[str, Metric]:
    """Returns name -> metric.

    Raises:
      ConfigError: there is no metric of that name.
    """
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise ConfigError(f"no metric {unknown[0]!r}; known are {', '.join(METRICS)}")
    return {name: METRICS[name] for name in names}


def check_metrics(names: Sequence[str], items: Sequence[Item], has_choices: bool) -> None:
    """Checks that metrics can be computed, before anything is answered.

    Args:
      names: of the metrics.
      items: that are answered.
      has_choices: whether the model chooses among labels.
    Raises:
      ConfigError: a metric is unknown, reads what an item lacks, or reads the probabilities of
        choices where answers are generated.
    """
    for name, metric in metrics_named(names).items():
        if metric.needs_probabilities and not has_choices:
            raise ConfigError(
                f"{name} needs probabilities: give the prompt choices, or leave it out"
            )
        for item in items:
            lacking = [field for field in metric.needs if field not in item.gold]
            if lacking:
                raise ConfigError(f"{name} needs gold.{lacking[0]}, which item {item.id} has not")
