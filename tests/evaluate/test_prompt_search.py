"""The search for prompts: planted optima, budgets, balanced and similar examples, overlap."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.prompt_search import (
    Candidate,
    balanced_examples,
    check_disjoint,
    search_prompt,
    similar_examples,
    without_items,
)


def items(name, count):
    return [Item(f"{name}{n}", {"document": f"{name} {n}"}, "01"[n % 2]) for n in range(count)]


POOL, VALIDATION, TEST = items("보기", 12), items("검증", 6), items("시험", 6)


def search(evaluate, templates=("가", "나", "다"), shots=4, budget=60, **settings):
    return search_prompt(evaluate, templates, POOL, VALIDATION, TEST, shots, budget, **settings)


def test_a_planted_template_is_chosen():
    result = search(lambda candidate: {"가": 0.1, "나": 0.9, "다": 0.5}[candidate.template])
    assert result.best.template == "나" and result.score == 0.9
    assert len(result.best.examples) == 4


def test_planted_examples_and_their_order_are_looked_for():
    """Examples with high numbers are good, and in ascending order more so."""

    def evaluate(candidate):
        shots = candidate.examples
        return 10 * sum(shots) + sum(a < b for a, b in itertools.combinations(shots, 2))

    result = search(evaluate, templates=("가",), budget=200)
    assert list(result.best.examples) == sorted(result.best.examples)  # all six pairs
    first = evaluate(result.tried[0][0])
    assert result.score == evaluate(result.best) > first
    assert result.score == max(score for _, score in result.tried)
    # The best of 100 class-balanced selections is nearly the best one: 8 + 9 + 10 + 11.
    assert sum(result.best.examples) >= 32


@pytest.mark.parametrize("budget", [3, 4, 17, 60])
def test_no_more_prompts_are_evaluated_than_the_budget_and_none_twice(budget):
    calls = []
    result = search(lambda c: calls.append(c) or 0.0, shots=6, budget=budget)
    assert len(calls) == len(set(calls)) == len(result.tried) == budget


def test_a_search_that_has_seen_everything_ends():
    result = search(lambda candidate: 0.0, shots=0, budget=60)
    assert [candidate for candidate, _ in result.tried] == [Candidate(t) for t in "가나다"]
    few = search_prompt(lambda c: 0.0, ["가"], POOL[:2], VALIDATION, TEST, 2, 60)
    assert {candidate.examples for candidate, _ in few.tried} == {(0, 1), (1, 0)}


def test_the_same_seed_tries_the_same_prompts():
    tried = lambda seed: search(lambda c: sum(c.examples), seed=seed).tried
    assert tried(1) == tried(1) != tried(2)


def test_the_first_of_equals_is_the_best_and_nan_never_is():
    assert search(lambda candidate: 0.0).best.template == "가"
    result = search(lambda c: math.nan if c.template == "가" else 0.0)
    assert result.best.template == "나" and result.score == 0
    with pytest.raises(ConfigError, match="all of them are NaN"):
        search(lambda candidate: math.nan)


def test_similar_examples_are_tried_first():
    vectors = np.eye(12)
    queries = np.zeros((6, 12))
    queries[:, [2, 3, 7, 8]] = [0.1, 0.2, 0.3, 0.4]
    result = search(lambda candidate: 0.0, vectors=(vectors, queries))
    assert result.tried[3][0].examples == (2, 3, 7, 8)


@pytest.mark.parametrize("count", range(8))
def test_examples_are_balanced_and_drawn_at_random(count):
    labels = ["a"] * 10 + ["b"] * 5 + ["c"] * 1
    first, members = Counter(), Counter()
    for seed in range(200):
        drawn = balanced_examples(labels, count, np.random.default_rng(seed))
        assert len(set(drawn)) == len(drawn) == count
        counts = Counter(labels[index] for index in drawn)
        # c has a single example, so that a and b share what is left.
        assert abs(counts["a"] - counts["b"]) <= 1
        assert counts["c"] >= (1 if count >= 3 else 0)
        members.update(drawn)
        first.update(drawn[:1])
    if count >= 2:
        assert {index for index in members if index < 15} == set(range(15))
        assert len(first) > 8


@pytest.mark.parametrize("seed", range(3))
def test_similar_examples_by_brute_force(seed):
    generator = np.random.default_rng(seed)
    pool, query = generator.normal(0, 1, (9, 4)), generator.normal(0, 1, 4)
    cosine = [v @ query / np.linalg.norm(v) / np.linalg.norm(query) for v in pool]
    ranked = sorted(range(9), key=lambda n: cosine[n])
    assert similar_examples(pool, query, 3) == tuple(ranked[-3:])
    assert similar_examples(pool * 7, query * 3, 3) == tuple(ranked[-3:])
    labels = ["a", "b", "b"] * 3
    best = lambda label: [n for n in ranked if labels[n] == label][-2:]
    expected = sorted(best("a") + best("b"), key=lambda n: cosine[n])
    assert similar_examples(pool, query, 4, labels) == tuple(expected)


def test_embeddings_of_0_are_last_and_a_query_of_0_is_refused():
    pool = np.array([[0.0, 0.0], [1.0, 0.0], [-0.5, 0.1]])
    assert similar_examples(pool, np.array([1.0, 0.0]), 2) == (2, 1)
    with pytest.raises(ConfigError, match="no direction"):
        similar_examples(pool, np.zeros(2), 1)


def test_validation_items_that_are_test_items_are_refused():
    leak = Item("다른 번호", TEST[2].fields, "다른 답")
    with pytest.raises(ConfigError, match="1 items of validation are in test too, .*다른 번호"):
        search_prompt(lambda c: 0.0, ["가"], POOL, [*VALIDATION, leak], TEST, 2, 9)
    with pytest.raises(ConfigError, match="in the pool of examples too"):
        search_prompt(lambda c: 0.0, ["가"], [*POOL, VALIDATION[0]], VALIDATION, TEST, 2, 9)
    kept = without_items([*VALIDATION, leak], TEST)
    assert kept == tuple(VALIDATION)
    check_disjoint({"validation": kept, "test": TEST})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"budget": 2}, "budget=2: give 3 or more"),
        ({"templates": (), "budget": 5}, "give 1 or more, and a template"),
        ({"shots": 13}, "shots=13: the pool has 12"),
        ({"shots": -1}, "shots=-1"),
    ],
)
def test_what_cannot_be_searched_is_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        search(lambda candidate: 0.0, **settings)
