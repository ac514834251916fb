"""Examples of an attempt against brute force."""

from collections import Counter

import numpy as np
import pytest

from hclx.augment.selection import chosen_examples, embedded_seeds
from hclx.errors import ConfigError

LABELS = ["a"] * 9 + ["b"] * 3
VECTORS = np.random.default_rng(5).normal(size=(12, 4))


def chosen(how, count=3, seed=0, pool=range(12)):
    return chosen_examples(how, pool, count, LABELS, VECTORS, np.random.default_rng(seed))


def test_uniform_draws_each_example_as_often():
    counts = Counter(index for seed in range(2000) for index in chosen("uniform", seed=seed))
    assert sum(counts.values()) == 6000 and all(abs(n - 500) < 100 for n in counts.values())
    assert chosen("uniform", seed=7) == chosen("uniform", seed=7) != chosen("uniform", seed=8)


def test_balanced_draws_each_label_as_often():
    for seed in range(50):
        counts = Counter(LABELS[index] for index in chosen("balanced", 4, seed))
        assert counts == {"a": 2, "b": 2}


@pytest.mark.parametrize("how", ["near", "far"])
def test_near_and_far_are_those_of_all_cosines(how):
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    for seed in range(30):
        taken = chosen(how, 4, seed)
        drawn = taken[-1] if how == "near" else taken[0]
        cosines = {i: unit[i] @ unit[drawn] for i in range(12) if i != drawn}
        ranked = sorted(cosines, key=cosines.get, reverse=how == "near")[:3]
        assert list(taken) == ([*ranked[::-1], drawn] if how == "near" else [drawn, *ranked[::-1]])


def test_a_pool_is_kept_to_and_may_be_small():
    assert set(chosen("uniform", 9, pool=[4, 10])) == {4, 10}
    assert set(chosen("near", 9, pool=[4, 10])) == {4, 10}
    assert chosen("far", 2, pool=[3]) == (3,) and chosen("uniform", 2, pool=[]) == ()


def test_an_embedding_without_a_direction_is_refused():
    with pytest.raises(ConfigError, match="nothing is near or far"):
        embedded_seeds([[1.0, 2.0], [0.0, 0.0]])
