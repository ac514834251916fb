"""Draws the examples that stand before each item, and drops those that have no room."""

import random
from collections.abc import Callable, Mapping, Sequence

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec

Fields = Mapping[str, str]


def draw_shots(spec: RunSpec, trial: int) -> list[tuple[Fields, ...]]:
    """Returns the examples of each item, as fields with the answer among them. They are a function
    of the specification and the number of the trial, from 0.

    With draw "item" the random stream is that of lm-evaluation-harness 0.4: one `random.Random` of
    the seed for all items in turn. An item that is in the pool is never its own example.
    """
    answer = spec.prompt.answer_field
    if spec.draw == "fixed":
        examples = spec.prompt.examples[: spec.shots]
        return [examples] * len(spec.items)
    if spec.draw == "own":
        return [as_examples(item.shots[: spec.shots], answer) for item in spec.items]
    stream = random.Random(spec.seed + trial)
    if spec.draw == "trial":
        drawn = as_examples(stream.sample(_others(spec), spec.shots), answer)
        return [drawn] * len(spec.items)
    return [as_examples(_drawn_for(item, spec, stream), answer) for item in spec.items]


def as_examples(items: Sequence[Item], answer_field: str) -> tuple[Fields, ...]:
    """Returns the fields of items with their answers, as a prompt takes them."""
    return tuple({**item.fields, answer_field: item.answer} for item in items)


def _others(spec: RunSpec) -> list[Item]:
    """Returns the items of the pool that are not answered themselves."""
    if spec.split != spec.shots_split:
        return list(spec.pool)
    answered = {item.id for item in spec.items}
    others = [item for item in spec.pool if item.id not in answered]
    if len(others) < spec.shots:
        raise ConfigError(
            f"{spec.name}: the split {spec.split} has {len(others)} items that are not answered,"
            f" and {spec.shots} shots are drawn from it; answer fewer, or name another split"
        )
    return others


def _drawn_for(item: Item, spec: RunSpec, stream: random.Random) -> list[Item]:
    if spec.split != spec.shots_split:
        return stream.sample(spec.pool, spec.shots)
    drawn = stream.sample(spec.pool, min(spec.shots + 1, len(spec.pool)))
    return [other for other in drawn if other.id != item.id][: spec.shots]


def keep(examples: Sequence[Fields], count: int, drop: str) -> Sequence[Fields]:
    """Returns `count` examples, without the "first" or the "last" ones, as the prompt says."""
    count = min(count, len(examples))
    return examples[len(examples) - count :] if drop == "first" else examples[:count]


def most_that_fit(most: int, fits: Callable[[int], bool]) -> int:
    """Returns the greatest number of shots that fit, found by bisection; 0 if none does.

    Args:
      most: the number that was asked for.
      fits: number -> whether every item has room for it; fewer shots never take more room.
    """
    if fits(most):
        return most
    low, high = 0, most  # low fits, or is 0; high does not fit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
