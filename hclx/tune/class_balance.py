"""Classes of unequal size: weights of their examples, or examples that are read again."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np


def class_weights(labels: Sequence[str]) -> dict[str, float]:
    """Returns label -> n / (classes · n of the class): all classes weigh the same together, and the
    mean weight of an example is 1 (King and Zeng 2001, section 4.2; scikit-learn's "balanced").
    """
    counts = collections.Counter(labels)
    return {label: len(labels) / (len(counts) * n) for label, n in counts.items()}


def oversample(labels: Sequence[str], seed: int) -> list[int]:
    """Returns the indices of examples, so often that every class has as many as the largest.

    Each is read equally often within its class, but for a rest that is drawn.

    Args:
      labels: of the examples.
      seed: draws the rest and the order.
    """
    draw = np.random.default_rng(seed)
    classes = {label: [] for label in dict.fromkeys(labels)}
    for index, label in enumerate(labels):
        classes[label].append(index)
    most = max(map(len, classes.values()), default=0)
    chosen = []
    for indices in classes.values():
        times, rest = divmod(most, len(indices))
        chosen += indices * times + draw.permutation(indices)[:rest].tolist()
    return draw.permutation(chosen).tolist()


def classes_in_words(counts: Mapping[str, int], balance: str) -> str:
    """Returns how many examples each class has, and what is done about it.

    Args:
      counts: label -> examples.
      balance: see `TuneConfig`.
    """
    classes = (f"{label} {n:,}" for label, n in counts.items())
    labels = [label for label, n in counts.items() for _ in range(n)]
    if balance == "weights":
        factors = class_weights(labels)
        classes = (f"{label} {n:,} (weight {factors[label]:.3g})" for label, n in counts.items())
    if balance == "sampling":
        most = max(counts.values())
        classes = (f"{label} {n:,} (read as {most:,})" for label, n in counts.items())
    return ", ".join(classes)
