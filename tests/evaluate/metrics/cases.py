"""Items and predictions of the tests of metrics."""

import numpy as np

from hclx.evaluate.items import Item, Prediction


def items_of(answers, **gold):
    """Items with these answers; each value of `gold` is a list with the value of each item."""
    return [
        Item(str(n), {}, answer, gold={name: values[n] for name, values in gold.items()})
        for n, answer in enumerate(answers)
    ]


def predictions_of(answers, probabilities=None):
    return [
        Prediction(answer, {} if probabilities is None else probabilities[n], answer)
        for n, answer in enumerate(answers)
    ]


def resampled(metric, items, predictions, counts_bn):
    """The metric of each resampled set by brute force: items are repeated, and all is computed
    anew.
    """
    values = []
    for counts_n in counts_bn:
        chosen = np.repeat(np.arange(len(items)), counts_n.astype(int))
        values.append(metric.function([items[n] for n in chosen], [predictions[n] for n in chosen]))
    return values


def draws(n, seed=0, size=20):
    return np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=size).astype(float)


def assert_bootstraps(metric, items, predictions):
    """The values of weighted sets are those of sets in which items are repeated."""
    counts_bn = draws(len(items))
    values = metric.value(metric.rows(items, predictions), counts_bn)
    np.testing.assert_allclose(values, resampled(metric, items, predictions, counts_bn), atol=1e-9)
