"""Classes of unequal size: weights against their formula, and counts of what is read."""

import collections

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.prompts import prompt_from_json
from hclx.tune import TuneConfig
from hclx.tune.class_balance import class_weights, classes_in_words, oversample
from hclx.tune.row_files import Row
from hclx.tune.tuning_data import TuningText, prepare_examples
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.tuning_runs import PROMPT

TOKENIZER = ByteTokenizer(300)
LABELS = ["good"] * 7 + ["bad"] * 2
ROWS = [Row(str(n), {"text": f"글 {n}", "answer": label}) for n, label in enumerate(LABELS)]


def prepared(prompt=prompt_from_json(PROMPT), **fields):
    text = TuningText("rows", ROWS, ROWS[6:8], prompt)
    config = TuneConfig(kind="lora", **fields)
    return prepare_examples(text, TOKENIZER, TOKENIZER.vocab_size, config, 128, 0)


def weights_by_answer(rows):
    """Last target of an answer -> the weights of all answers that end with it."""
    weights = collections.defaultdict(list)
    for n in range(len(rows.tokens_bt)):
        for segment in np.unique(rows.segments_bt[n]):
            (index,) = np.nonzero(rows.segments_bt[n] == segment)
            own = rows.weights_bt[n][index]
            if own.any():
                assert len(set(own[own > 0])) == 1
                weights[int(rows.targets_bt[n][index[-1]])].append(float(own[-1]))
    return weights


def test_all_classes_weigh_the_same():
    weights = class_weights(LABELS)
    assert weights == pytest.approx({"good": 9 / 14, "bad": 9 / 4})
    of_tokens = weights_by_answer(prepared(balance="weights").train)
    assert sorted(map(len, of_tokens.values())) == [2, 7]
    assert [sum(own) for own in of_tokens.values()] == pytest.approx([4.5, 4.5])
    of_choices = weights_by_answer(prepared(balance="weights", objective="choices").train)
    both = [9 / 14] * 7 + [9 / 4] * 2  # each answer of a question weighs as the question
    assert [sorted(own) for own in of_choices.values()] == [pytest.approx(both)] * 2


def test_the_smaller_class_is_read_as_often_as_the_largest():
    indices = oversample(LABELS, seed=0)
    assert indices == oversample(LABELS, seed=0) != oversample(LABELS, seed=1)
    counts = collections.Counter(indices)
    assert all(counts[index] == 1 for index in range(7))
    assert sorted((counts[7], counts[8])) == [3, 4]
    read = weights_by_answer(prepared(balance="sampling").train)
    assert sorted(map(len, read.values())) == [7, 7] and set(sum(read.values(), [])) == {1.0}


def test_what_is_held_out_stays_as_it_is_and_counts_are_told():
    for balance, words in (
        ("none", "good 7, bad 2"),
        ("weights", "good 7 (weight 0.643), bad 2 (weight 2.25)"),
        ("sampling", "good 7 (read as 7), bad 2 (read as 7)"),
    ):
        data = prepared(balance=balance)
        assert data.counts == {"good": 7, "bad": 2} and data.n_train == 9
        assert classes_in_words(data.counts, balance) == words
        held_out = weights_by_answer(data.held_out)
        assert list(held_out.values()) == [[1.0], [1.0]]
    with pytest.raises(ConfigError, match="TuneConfig.balance='weights' needs a prompt document"):
        prepared(prompt=None, balance="weights")
