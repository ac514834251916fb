"""Metrics of reading comprehension: cases by hand and brute force."""

import itertools
import re
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from hclx.evaluate.metrics.reading import f1_characters, f1_substring, normalise_korquad
from tests.evaluate.metrics.cases import assert_bootstraps

TEXTS = st.text(alphabet="가나다라 ab.,'《》〈〉()‘’!\t\n", max_size=12)


def score(name, answer, *accepted, **gold):
    item = Item("1", {}, accepted[0] if accepted else "", answers=accepted, gold=gold)
    return METRICS[name].function([item], [Prediction(answer)])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("《훈민정음》", "훈민정음"),
        ("‘한글’의  (옛) 이름", "한글 의 옛 이름"),
        ("1,000 명", "1000 명"),
        ("A.I.", "ai"),
        ("홍길동<영화>", "홍길동 영화"),
        ("「책」", "「책」"),
        ("  \n", ""),
    ],
)
def test_what_korquad_leaves_out(text, normal):
    assert normalise_korquad(text) == normal


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_normalisation_follows_its_steps(text):
    text_with_blanks = re.sub(r"['\"《》<>〈〉()‘’]", " ", text).lower()
    kept = "".join(c for c in text_with_blanks if c not in set(string.punctuation))
    assert normalise_korquad(text) == re.sub(r"\s+", " ", kept).strip()


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
def test_f1_of_characters_by_its_definition(predicted, gold):
    predicted, gold = re.sub(r"\s", "", predicted), re.sub(r"\s", "", gold)
    shared, left = 0, Counter(gold)
    for character in predicted:
        if left[character]:
            left[character] -= 1
            shared += 1
    expected = 0.0
    if shared:
        precision, recall = shared / len(predicted), shared / len(gold)
        expected = 2 * precision * recall / (precision + recall)
    assert f1_characters(predicted, gold) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS.filter(bool))
def test_longest_common_run_by_brute_force(predicted, gold):
    ends = itertools.combinations(range(len(predicted) + 1), 2)
    longest = max((b - a for a, b in ends if predicted[a:b] in gold), default=0)
    expected = 2 * longest / (len(predicted) + len(gold))
    assert f1_substring(predicted, gold) == pytest.approx(expected)


def test_frequent_characters_of_long_texts_count():
    assert f1_substring("다가", "나" + "가다" * 150) == pytest.approx(2 * 2 / 303)


def test_the_best_of_the_accepted_answers_counts():
    assert score("exact_match", "이순신 장군", "이순신", "이순신 장군") == 1
    assert score("exact_match", "이순신장군", "이순신", "이순신 장군") == 0
    # 3 of 3 and 3 of 5 characters, then 5 of 5 without blanks.
    assert score("f1_character", "이순신", "이순신 장군") == pytest.approx(2 * 3 / 8)
    assert score("f1_character", "이순신장군", "이순신 장군") == 1
    assert score("f1_character", "신순이", "이순신") == 1  # the order does not matter
    assert score("rouge_w", "신순이", "이순신") == pytest.approx(1 / 3)


def test_an_empty_prediction_is_wrong():
    for name in ("exact_match", "f1_character", "em_klue_mrc", "rouge_w"):
        assert score(name, "", "서울") == 0


def test_signs_of_their_own_are_no_punctuation_for_klue():
    assert score("em_klue_mrc", "《서울》", "서울") == 0
    assert score("exact_match", "《서울》", "서울") == 1
    assert score("em_klue_mrc", '"서울".', "서울") == 1


@pytest.mark.parametrize("name", ["em_klue_mrc", "rouge_w"])
def test_a_question_without_an_answer_is_right_or_wrong(name):
    assert score(name, "", is_impossible=True) == 1
    assert score(name, "서울", is_impossible=True) == 0
    assert score(name, "답 없음", "답 없음", is_impossible=True) == 1
    assert score(name, "", "답 없음", is_impossible=True) == 1
    assert score(name, "답", "답 없음", is_impossible=True) == 0
    assert score(name, "", "서울", is_impossible=False) == 0


def test_weighted_sets_are_resampled_sets():
    words = ["서울", "서울 시", "부산", "한강", ""]
    items = [Item(str(n), {}, word or "강", gold={}) for n, word in enumerate(words)]
    predictions = [Prediction(word) for word in ["서울", "서울", "부산 시", "", "강"]]
    for name in ("exact_match", "f1_character", "em_klue_mrc", "rouge_w"):
        assert_bootstraps(METRICS[name], items, predictions)
