"""Levels of a text, and the thresholds behind them, against a search over all of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hclx.errors import ConfigError
from hclx.serve.safety.categories import (
    LIKELY,
    POSSIBLE,
    SAFE,
    Category,
    Threshold,
    choose_threshold,
    read_category,
)

SAMPLES = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]), st.booleans()), min_size=1)


@given(SAMPLES, st.sampled_from([0.5, 0.7, 0.9]))
def test_a_threshold_has_the_most_recall_of_its_precision(samples, precision):
    chances, members = zip(*samples)
    best = None
    for least in sorted(set(chances), reverse=True):
        flagged = [member for chance, member in samples if chance >= least]
        if sum(members) and sum(flagged) / len(flagged) >= precision:
            recall = sum(flagged) / sum(members)
            if best is None or recall > best[2]:
                best = least, sum(flagged) / len(flagged), recall
    step = choose_threshold(LIKELY, precision, chances, members)
    if best is None:
        assert step.least > 1
    else:
        assert (step.least, step.precision, step.recall) == pytest.approx(best)


def test_level_0_is_the_worst():
    steps = Threshold(LIKELY, 0.8, 0.9, 0.1), Threshold(POSSIBLE, 0.4, 0.7, 0.5)
    category = Category("curse", "insult", "hate", ("hate", "offensive"), steps)
    levels = [category.level(chance) for chance in (0.9, 0.8, 0.5, 0.4, 0.1)]
    assert levels == [LIKELY, LIKELY, POSSIBLE, POSSIBLE, SAFE] == [0, 0, 1, 1, 2]
    shares = {"hate": {"hate": 0.3, "none": 0.5, "offensive": 0.2}}
    assert category.probability(shares) == pytest.approx(0.5)


def test_a_category_is_read_or_refused():
    read = read_category("curse/insult:hate=hate,offensive")
    assert read == Category("curse", "insult", "hate", ("hate", "offensive"))
    for text in ("", "curse/insult", "insult:hate=hate", "curse/insult:hate=", "a/b:c=d,"):
        with pytest.raises(ConfigError, match="GROUP/NAME:COLUMN=VALUE"):
            read_category(text)
