"""Automatic prompt work in discrete space: which template, which examples, in which order, chosen
on a validation split with a budget of evaluated prompts.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.samples import doc_hash


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A prompt: the name of a template, and examples as indices of the pool, in their order."""

    template: str
    examples: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The prompt with the highest score on the validation split.

    Attributes:
      best: the first of those with that score.
      score: on the validation split; an optimistic one, because it was chosen by it.
      tried: all prompts that were evaluated with their scores, in order.
    """

    best: Candidate
    score: float
    tried: tuple[tuple[Candidate, float], ...]


Evaluate = Callable[[Candidate], float]
_MOST_KNOWN = 100  # proposals in turn that are not new, after which there is nothing new


def search_prompt(
    evaluate: Evaluate,
    templates: Sequence[str],
    pool: Sequence[Item],
    validation: Sequence[Item],
    test: Sequence[Item],
    shots: int,
    budget: int,
    seed: int = 0,
    vectors: tuple[np.ndarray, np.ndarray] | None = None,
) -> SearchResult:
    """Searches template, examples and order in turn, each on top of the best one so far.

    Templates are compared with the same class-balanced examples. Half of what is left of the budget
    goes to selections of examples: the most similar ones if there are vectors, then class-balanced
    draws. The rest goes to orders: two examples of the best prompt change places, and the better
    order is kept.

    Args:
      evaluate: the score of a prompt on `validation`; a larger one is better, and one that is NaN
        never is.
      templates: names of prompt documents.
      pool: of examples.
      validation: what prompts are compared on.
      test: what the chosen prompt will be measured on; it is used for the check alone.
      shots: examples of a prompt.
      budget: the most prompts that are evaluated, at least one for each template.
      seed: of the draws.
      vectors: embeddings of the pool [n, d] and of the validation items [m, d].
    Raises:
      ConfigError: items are in two of the sets, the budget is too small, there are too few
        examples, or no prompt has a score.
    """
    check_disjoint({"validation": validation, "test": test})
    check_disjoint({"validation": validation, "the pool of examples": pool})
    if not templates or budget < len(templates):
        raise ConfigError(f"budget={budget}: give {max(1, len(templates))} or more, and a template")
    if not 0 <= shots <= len(pool):
        raise ConfigError(f"shots={shots}: the pool has {len(pool)} examples")
    generator = np.random.default_rng(seed)
    labels = [item.answer for item in pool]
    draw = lambda: balanced_examples(labels, shots, generator)
    tries = _Tries(evaluate)
    examples = draw()
    for template in templates:
        tries.evaluate(Candidate(template, examples))
    if shots:
        _search_selections(tries, draw, (budget + len(templates)) // 2, vectors, labels, shots)
        _search_orders(tries, budget, generator)
    return tries.result()


def balanced_examples(
    labels: Sequence[str], count: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """Draws examples of which each label has as many as the others, or one more, as long as there
    are some left, in random order.

    Args:
      labels: the label of each example.
      count: how many to draw.
      generator: of the draws.
    """
    _check_count(labels, count)
    taken = _turns(labels, generator.permutation(len(labels)), generator)[:count]
    return tuple(int(index) for index in generator.permutation(taken)) if taken else ()


def similar_examples(
    pool_nd: np.ndarray, query_d: np.ndarray, count: int, labels: Sequence[str] | None = None
) -> tuple[int, ...]:
    """Returns the examples with the highest cosine to a query, the nearest last, next to the item
    (Liu et al., 2022, "What makes good in-context examples for GPT-3?").

    Args:
      pool_nd: embeddings of the examples.
      query_d: of an item, or of the mean of many.
      count: how many to return.
      labels: the label of each example, to have as many of each.
    """
    _check_count(pool_nd, count)
    if not np.any(query_d):
        raise ConfigError("the query's embedding is 0, which has no direction")
    lengths = np.linalg.norm(pool_nd, axis=-1) * np.linalg.norm(query_d)
    cosine_n = np.where(lengths == 0, -1.0, pool_nd @ query_d / np.where(lengths == 0, 1, lengths))
    nearest = np.argsort(-cosine_n, kind="stable")
    chosen = nearest[:count] if labels is None else np.array(_turns(labels, nearest)[:count], int)
    return tuple(int(index) for index in chosen[np.argsort(cosine_n[chosen], kind="stable")])


def check_disjoint(sets: dict[str, Sequence[Item]]) -> None:
    """Raises ConfigError if an item's fields are in two of the sets.

    Args:
      sets: name -> items.
    """
    (first, items), (second, others) = sets.items()
    known = {_text_hash(item) for item in others}
    shared = [item for item in items if _text_hash(item) in known]
    if shared:
        raise ConfigError(
            f"{len(shared)} items of {first} are in {second} too, the first of them {shared[0].id};"
            " leave them out: `without_items` does"
        )


def without_items(items: Sequence[Item], others: Sequence[Item]) -> tuple[Item, ...]:
    """Returns the items whose fields no item of `others` has."""
    known = {_text_hash(item) for item in others}
    return tuple(item for item in items if _text_hash(item) not in known)


def _text_hash(item: Item) -> str:
    return doc_hash(item.fields, "")  # whatever its answer: the text would be known


def _check_count(examples, count: int) -> None:
    if not 0 <= count <= len(examples):
        raise ConfigError(f"{count} examples of {len(examples)} were asked for")


def _turns(labels: Sequence[str], order, generator: np.random.Generator | None = None) -> list[int]:
    """Returns examples in such an order that labels take turns, those of a label in `order`.

    Args:
      labels: the label of each example.
      order: indices, the first ones first.
      generator: of the order in which labels begin; None: that of their first example.
    """
    queues: dict[str, list[int]] = {}
    for index in order:
        queues.setdefault(labels[index], []).append(int(index))
    names = list(queues)
    if generator is not None:
        names = [names[n] for n in generator.permutation(len(names))]
    longest = max(map(len, queues.values()), default=0)
    return [
        queues[name][turn] for turn in range(longest) for name in names if turn < len(queues[name])
    ]


class _Tries:
    """The prompts that were evaluated, none of them twice."""

    def __init__(self, evaluate: Evaluate):
        self._evaluate = evaluate
        self.scores: dict[Candidate, float] = {}
        self.best: Candidate | None = None

    def evaluate(self, candidate: Candidate) -> None:
        if candidate in self.scores:
            return
        score = self.scores[candidate] = float(self._evaluate(candidate))
        if not math.isnan(score) and (self.best is None or score > self.scores[self.best]):
            self.best = candidate

    def result(self) -> SearchResult:
        if self.best is None:
            raise ConfigError("no prompt has a score: all of them are NaN")
        return SearchResult(self.best, self.scores[self.best], tuple(self.scores.items()))


def _repeat(tries: _Tries, budget: int, propose: Callable[[int], Candidate]) -> None:
    """Evaluates proposals until the budget is used, or nothing new is proposed any more.

    Args:
      tries: the prompts so far.
      budget: the most prompts, with those before.
      propose: is given the number of proposals in turn that were evaluated before.
    """
    known = 0
    while len(tries.scores) < budget and known < _MOST_KNOWN:
        candidate = propose(known)
        known = known + 1 if candidate in tries.scores else 0
        tries.evaluate(candidate)


def _search_selections(
    tries: _Tries,
    draw: Callable[[], tuple[int, ...]],
    budget: int,
    vectors: tuple[np.ndarray, np.ndarray] | None,
    labels: Sequence[str],
    shots: int,
) -> None:
    template = (tries.best or next(iter(tries.scores))).template
    if vectors is not None and len(tries.scores) < budget:
        pool_nd, validation_md = vectors
        similar = similar_examples(pool_nd, validation_md.mean(0), shots, labels)
        tries.evaluate(Candidate(template, similar))
    _repeat(tries, budget, lambda known: Candidate(template, draw()))


def _search_orders(tries: _Tries, budget: int, generator: np.random.Generator) -> None:
    def propose(known: int) -> Candidate:
        best = tries.best or next(iter(tries.scores))
        order = list(best.examples)
        # Where all orders that are a step away are known, those that are more steps away.
        for _ in range(1 + known // 10 if len(order) > 1 else 0):
            a, b = generator.choice(len(order), 2, replace=False)
            order[a], order[b] = order[b], order[a]
        return Candidate(best.template, tuple(order))

    _repeat(tries, budget, propose)
