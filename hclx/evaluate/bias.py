"""Biases of a prompted model that come from its examples and its labels (Zhao et al., 2021,
section 4): recency, majority label and common token; each estimated by prompts that differ in
nothing else, with a test, before and after contextual calibration.

The design of the prompts and the tests are this project's own.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hclx.errors import ConfigError
from hclx.evaluate.calibration import content_free_prior, normalised, without_prior

Example = tuple[Mapping[str, str], str]  # fields, label
# Examples -> log-probabilities [inputs, labels] of always the same inputs behind them.
Score = Callable[[Sequence[Example]], np.ndarray]
MAJORITY = 3  # examples of one label for each of the other
PER_LABEL = 2  # examples of each label where they are balanced
_EXACT = 12  # up to so many pairs all signs are tried
_FLIPS = 9999


@dataclasses.dataclass(frozen=True)
class Effect:
    """A bias.

    Attributes:
      effect: how much probability it moves to a label, on average; see `bias_report`.
      interval: of the effect, for other pairs of prompts or other inputs, by bootstrap; its level
        is 1 less that of the test.
      p: the two-sided probability of an effect so large where there is none.
      is_detected: whether p is at most the report's level.
    """

    effect: float
    interval: tuple[float, float]
    p: float
    is_detected: bool


@dataclasses.dataclass(frozen=True)
class Bias:
    """A bias before contextual calibration, and after it; None without content-free inputs."""

    before: Effect
    after: Effect | None


@dataclasses.dataclass(frozen=True)
class BiasReport:
    """The biases of a model under a prompt.

    Attributes:
      biases: "recency", "majority_label" and "common_token".
      prior: label -> its mean probability without examples.
      level: the rate of false alarms of each test.
      rounds: pairs of prompts for recency, and as many for the majority label.
    """

    biases: Mapping[str, Bias]
    prior: Mapping[str, float]
    level: float
    rounds: int

    def to_json(self) -> dict[str, Any]:
        """Returns an object with `before` and `after`, each name of a bias -> `Effect`, `labels`
        and their `prior` in that order, and how it was measured.
        """
        effects = {name: dataclasses.asdict(bias) for name, bias in self.biases.items()}
        has_after = all(bias.after for bias in self.biases.values())
        return {
            "level": self.level,
            "rounds": self.rounds,
            "labels": list(self.prior),
            "prior": list(self.prior.values()),
            "before": {name: bias["before"] for name, bias in effects.items()},
            "after": {name: b["after"] for name, b in effects.items()} if has_after else None,
        }


def bias_report(
    score: Score,
    examples: Sequence[Example],
    labels: Sequence[str],
    content_free: Score | None = None,
    rounds: int = 16,
    per_label: int = PER_LABEL,
    level: float = 0.05,
    seed: int = 0,
) -> BiasReport:
    """Measures biases by prompts in pairs.

    Recency: the examples of a pair are the same, as many of each label; the first and the last,
    which have different labels, have changed places. The effect is by how much a label is more
    probable when it stands last. Negative: when it stands first.

    Majority label: of two labels, `MAJORITY` examples have the first and one has the second, or the
    other way round; other labels have one each, and the last example is the same. The effect is by
    how much a label is more probable when it is the more frequent.

    Common token: without examples, the effect is by how much the likeliest label is more probable
    than 1 / labels.

    Signs of the pairs' differences, or of the inputs', are flipped at random for the p-value.

    Args:
      score: has about as many inputs of each label, else the prior is not the model's. It is called
        4 * rounds + 1 times.
      examples: at least `MAJORITY` of each label, to choose from.
      labels: in the order of the columns of `score`.
      content_free: scores inputs without content behind the same examples.
      rounds: six or more, since fewer pairs can never be significant at 0.05.
      per_label: examples of each label where they are balanced.
      level: of the tests.
      seed: of the examples, their order and the tests.
    Raises:
      ConfigError: labels lack examples, or a number is out of range.
    """
    by_label = _by_label(examples, labels, max(MAJORITY, per_label))
    if rounds < 1 or per_label < 1 or not 0 < level < 1:
        raise ConfigError(
            f"rounds={rounds}, per_label={per_label}, level={level}: give positive numbers, and a"
            " level below 1"
        )
    generator = np.random.default_rng(seed)
    designs = {
        "recency": [_recency_pair(by_label, per_label, generator) for _ in range(rounds)],
        "majority_label": [_majority_pair(by_label, generator) for _ in range(rounds)],
    }
    plain, calibrated = _scorers(score, content_free)
    before, prior_l = _differences(plain, designs, labels), plain(()).mean(0)
    after = _differences(calibrated, designs, labels) if calibrated else {}
    effect = lambda differences: None if differences is None else _effect(differences, level, seed)
    biases = {name: Bias(effect(before[name]), effect(after.get(name))) for name in before}
    prior = dict(zip(labels, map(float, prior_l), strict=True))
    return BiasReport(biases, prior, level, rounds)


def sign_flip_test(differences_nk: np.ndarray, seed: int = 0) -> float:
    """Returns the two-sided p-value of means that differ from 0 although each row's sign is as
    likely to be the other one: by all signs where there are few rows, else by random ones.

    Args:
      differences_nk: [n, k]; of k columns, whose signs flip together, the mean that is farthest
        from 0 counts.
      seed: of random signs.
    """
    n = len(differences_nk)
    if n <= _EXACT:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    else:
        flips = np.random.default_rng(seed).integers(0, 2, (_FLIPS, n)) * 2.0 - 1.0
        signs = np.concatenate([np.ones((1, n)), flips])
    statistics = np.abs(signs @ differences_nk).max(-1)
    return float(np.mean(statistics >= statistics[0] * (1 - 1e-9)))


def _by_label(
    examples: Sequence[Example], labels: Sequence[str], least: int
) -> dict[str, list[Example]]:
    if len(labels) < 2:
        raise ConfigError(f"labels={list(labels)}: biases are between two labels or more")
    by_label = {label: [e for e in examples if e[1] == label] for label in labels}
    for label, members in by_label.items():
        if len(members) < least:
            raise ConfigError(f"label {label!r} has {len(members)} examples; give {least} or more")
    return by_label


def _draw(
    by_label: Mapping[str, list[Example]], counts: Mapping[str, int], generator: np.random.Generator
) -> dict[str, list[Example]]:
    """Draws so many examples of each label, in random order."""
    return {
        label: [by_label[label][n] for n in generator.permutation(len(by_label[label]))[:count]]
        for label, count in counts.items()
    }


def _shuffled(examples: list[Example], generator: np.random.Generator) -> list[Example]:
    return [examples[n] for n in generator.permutation(len(examples))]


def _recency_pair(by_label, per_label: int, generator: np.random.Generator):
    """Returns two labels, and examples that end in the first and in the second of them."""
    first, second = generator.permutation(list(by_label))[:2].tolist()
    drawn = _draw(by_label, dict.fromkeys(by_label, per_label), generator)
    ends = drawn[first].pop(), drawn[second].pop()
    middle = _shuffled([e for members in drawn.values() for e in members], generator)
    return (first, second), [ends[1], *middle, ends[0]], [ends[0], *middle, ends[1]]


def _majority_pair(by_label, generator: np.random.Generator):
    """Returns two labels, and examples of which most have the first and the second of them."""
    labels = generator.permutation(list(by_label))[:2].tolist()
    counts = {label: MAJORITY if label in labels else 1 for label in by_label}
    drawn = _draw(by_label, counts, generator)
    others = [e for label in by_label if label not in labels for e in drawn[label]]
    last_label = labels[generator.integers(2)]
    last = drawn[last_label].pop()
    prompts = []
    for most, least in (labels, labels[::-1]):
        rest = drawn[most][: MAJORITY - (most == last_label)]
        rest = [*rest, *drawn[least][: 1 - (least == last_label)], *others]
        prompts.append([*_shuffled(rest, generator), last])
    return tuple(labels), *prompts


def _scorers(score: Score, content_free: Score | None) -> tuple[Score, Score | None]:
    """Returns functions that give probabilities, without and with calibration; each prompt is
    scored once.
    """
    known: dict[tuple[int, ...], list[np.ndarray]] = {}

    def scored(function: Score, place: int, shots: Sequence[Example]) -> np.ndarray:
        arrays = known.setdefault(tuple(map(id, shots)), [None, None])
        if arrays[place] is None:
            arrays[place] = np.asarray(function(shots), np.float64)
        return arrays[place]

    plain = lambda shots: np.exp(normalised(scored(score, 0, shots)))
    calibrated = lambda shots: np.exp(
        without_prior(scored(score, 0, shots), content_free_prior(scored(content_free, 1, shots)))
    )
    return plain, calibrated if content_free else None


def _differences(
    probabilities: Score, designs: Mapping[str, list], labels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns name of a bias -> the differences of pairs [rounds, 1], or by how much the labels are
    more probable than 1 / labels for each input [inputs, labels].
    """
    differences = {
        name: np.array([[_difference(probabilities, labels, *pair)] for pair in pairs])
        for name, pairs in designs.items()
    }
    return {**differences, "common_token": probabilities(()) - 1 / len(labels)}


def _effect(differences_nk: np.ndarray, level: float, seed: int) -> Effect:
    """Returns the largest mean of the columns, its interval and its test."""
    largest = differences_nk.mean(0).argmax()
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(differences_nk), size=(1000, len(differences_nk)))
    low, high = np.quantile(differences_nk[drawn, largest].mean(-1), [level / 2, 1 - level / 2])
    p = sign_flip_test(differences_nk, seed)
    mean = float(differences_nk[:, largest].mean())
    return Effect(mean, (float(low), float(high)), p, p <= level)


def _difference(
    probabilities: Score,
    labels: Sequence[str],
    pair: tuple[str, str],
    favoured: Sequence[Example],
    other: Sequence[Example],
) -> float:
    """Returns by how much the examples that favour a label make it more probable, as the mean of
    both labels of a pair.
    """
    first, second = (list(labels).index(label) for label in pair)
    gap = lambda p_nl: float((p_nl[:, first] - p_nl[:, second]).mean())
    return (gap(probabilities(favoured)) - gap(probabilities(other))) / 2
