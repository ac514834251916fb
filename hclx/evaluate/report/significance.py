"""Tests of differences: exact McNemar, and Holm's correction for several tests."""

from collections.abc import Sequence


def mcnemar(gained: int, lost: int) -> float:
    """Computes the p of McNemar's exact test: whether changes in both directions are equally
    likely, a two-sided binomial test (McNemar 1947).

    Args:
      gained: items that were wrong and are right.
      lost: items that were right and are wrong.
    Returns:
      1.0 if no item changed.
    """
    n, term, tail = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        tail += term
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * tail / 2**n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects the p-values of several tests, so that the chance of any false alarm among them is
    bounded (Holm 1979).

    Args:
      p_values: of the tests.
    Returns:
      The corrected ones, in the same order.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda test: p_values[test])
    for rank, test in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[test]))
        corrected[test] = highest
    return corrected
