"""Metrics of predictions, by name.

All but BLEU and chrF are shares or correlations from 0 (or -1) to 1; those two are from 0 to 100.
"""

from collections.abc import Sequence

from hclx.errors import ConfigError
from hclx.evaluate.metrics import (
    classification,
    correlation,
    reading,
    social_bias,
    structures,
    translation,
)
from hclx.evaluate.metrics.metric import Metric

__all__ = ["METRICS", "Metric", "metrics_named"]

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
