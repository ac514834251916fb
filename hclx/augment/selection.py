"""Chooses the examples of an attempt: a function of the seed and its number alone."""

from collections.abc import Sequence

import numpy as np

from hclx.errors import ConfigError
from hclx.evaluate.prompt_search import balanced_examples, similar_examples

SELECTIONS = ("uniform", "balanced", "near", "far")


def chosen_examples(
    how: str,
    pool: Sequence[int],
    count: int,
    labels: Sequence[str],
    vectors_nd: np.ndarray | None,
    generator: np.random.Generator,
) -> tuple[int, ...]:
    """Returns examples, as indices of the seeds, in the order in which a prompt has them.

    "uniform" draws them; "balanced" as many of each label, or one more; "near" and "far" draw an
    example, and take those whose embeddings have the highest or the lowest cosine to it, where Yoo
    et al. (2021) compare by BLEURT. The first is the most unlike, and the drawn one the last, if it
    is "near"; and the reverse if it is "far".

    Args:
      how: of `SELECTIONS`.
      pool: the indices of the seeds that may be taken.
      count: how many; as many as there are if the pool has fewer.
      labels: of all seeds.
      vectors_nd: embeddings of all seeds, for "near" and "far".
      generator: of the draws.
    Raises:
      ConfigError: an embedding is 0, which has no direction.
    """
    count = min(count, len(pool))
    if not count:
        return ()
    if how == "uniform":
        taken = generator.choice(len(pool), count, replace=False)
    elif how == "balanced":
        taken = balanced_examples([labels[index] for index in pool], count, generator)
    else:
        taken = _like(how, vectors_nd[np.asarray(pool)], count, generator)
    return tuple(int(pool[place]) for place in taken)


def _like(
    how: str, pool_nd: np.ndarray, count: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """Returns places in the pool: a drawn one, and those nearest to it or farthest from it."""
    drawn = int(generator.integers(len(pool_nd)))
    others = np.delete(np.arange(len(pool_nd)), drawn)
    by_cosine = similar_examples(pool_nd[others], pool_nd[drawn], len(others))  # nearest last
    if how == "near":
        nearest = by_cosine[len(others) - (count - 1) :]
        return (*(int(others[place]) for place in nearest), drawn)
    return (drawn, *(int(others[place]) for place in by_cosine[: count - 1][::-1]))


def embedded_seeds(vectors: Sequence[Sequence[float]]) -> np.ndarray:
    """Returns embeddings as an array [n, d]. Raises ConfigError if one has no direction."""
    array_nd = np.asarray(vectors, np.float64)
    if not np.all(np.any(array_nd, axis=-1)):
        raise ConfigError("the embedding of a seed is 0, so that nothing is near or far from it")
    return array_nd
