"""Filters against brute force and planted lines."""

import random

import pytest

from hclx.augment.line_filters import Bounds, NearDuplicates, Overlap, first_reason, measured
from hclx.errors import ConfigError
from tests.helpers.few_shot import REVIEWS

TEXTS = [text for text, _ in REVIEWS]


def jaccard(a, b):
    """By sets of runs of three characters without spaces."""
    runs = []
    for text in (a, b):
        plain = "".join(text.split()).casefold()
        runs.append({plain[i : i + 3] for i in range(max(1, len(plain) - 2))} - {""})
    return len(runs[0] & runs[1]) / len(runs[0] | runs[1]) if runs[0] | runs[1] else 0.0


def test_the_nearest_text_is_that_of_all_pairs():
    stream, known, texts = random.Random(0), NearDuplicates(), []
    for _ in range(120):
        text = "".join(stream.choice("가나 다A") for _ in range(stream.randrange(0, 12)))
        expected = max((jaccard(text, other) for other in texts), default=0.0)
        assert known.similarity(text) == pytest.approx(expected), (text, texts)
        known.add(text)
        texts.append(text)


@pytest.mark.parametrize(
    "text", ["음악이 아름답다!", "음악이  아름답다", "음악이아름답다..", "음악이 아름답다"]
)
def test_a_copy_with_other_signs_is_the_same(text):
    assert NearDuplicates(TEXTS).has(text)
    assert not NearDuplicates(TEXTS).has("음악도 아름답다")


def test_texts_of_signs_alone_are_not_all_the_same():
    known = NearDuplicates(["ㅋㅋㅋ", "!!!"])
    assert known.has("!!!") and not known.has("???") and known.has("ㅋㅋㅋ")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("배우들의 연기가 좋았다", ""),
        ("짧", "too short"),
        ("길다 " * 40, "too long"),
        ("This film has no Korean in it, but it has letters", "another language"),
        ("映画がとても面白かったです", "another language"),
        ("12345 67", "another language"),
        ("문의는 010-1234-5678 로 주세요", "personal data"),
        ("재미있다\ufffd", "characters that cannot be seen"),
        ("재미\u0007있다", "characters that cannot be seen"),
        ("재미\ud83d있다", "characters that cannot be seen"),
    ],
)
def test_reasons(text, reason):
    (values,) = measured([text], None)
    assert first_reason(values, Bounds()) == reason
    assert values["characters"] == len(text)


def test_any_language():
    (values,) = measured(["This film has no Korean in it, but it has letters"], None)
    assert values["language"] == "en" and first_reason(values, Bounds(language="")) == ""


def test_texts_of_evaluation_sets_are_found(tmp_path):
    sets = {"a.csv": TEXTS, "b.jsonl": ["전혀 다른 이야기를 하는 긴 문장이 여기에 하나 있다"]}
    overlap = Overlap(sets, tmp_path)
    places = overlap.of(
        [
            "어제 봤는데 배우들의 연기가 살아 있어서 두 시간이 짧았다고 한다",
            "전혀 다른 이야기를 하는, 긴 문장이 여기에 하나 있다!",
            "배우들의 연기가 살아 있었다",
            "음악이 아름답다",
        ]
    )
    assert places == ["a.csv#0", "b.jsonl#0", "", "a.csv#2"]
    (values,) = measured([sets["b.jsonl"][0]], overlap)
    assert first_reason(values, Bounds()) == "text of an evaluation set"


@pytest.mark.parametrize(
    "values", [{"min_chars": 0}, {"max_chars": 1}, {"near": 0}, {"near": 1.5}, {"min_agreement": 2}]
)
def test_bounds_out_of_range_are_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        Bounds(**values)
