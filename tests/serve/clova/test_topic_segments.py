"""Paragraphs of sentences: planted topics, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.serve.clova.topic_segments import AUTOMATIC, Division, depths, paragraphs_of
from hclx.text.sentences import split_sentences


def planted(sizes, seed=0):
    """Sentences, and vectors that are near to one direction for each topic."""
    rng = np.random.default_rng(seed)
    topics = 3 * np.eye(16)[: len(sizes)]
    rows = [
        topics[i] + rng.normal(scale=0.1, size=16) for i, n in enumerate(sizes) for _ in range(n)
    ]
    return ["가" * 50] * len(rows), np.array(rows)


def lengths(paragraphs):
    return [len(own) for own in paragraphs]


def test_topics_are_paragraphs():
    sizes = [5, 4, 6, 5]
    sentences, vectors = planted(sizes)
    assert lengths(paragraphs_of(sentences, vectors, Division(alpha=-0.5))) == sizes
    assert lengths(paragraphs_of(sentences, vectors, Division(count=4))) == sizes
    assert lengths(paragraphs_of(sentences, vectors, Division(count=1))) == [20]


def test_a_greater_alpha_makes_no_fewer_paragraphs():
    vectors = np.random.default_rng(3).normal(size=(60, 4))
    sentences = ["가"] * 60
    counts = [
        len(paragraphs_of(sentences, vectors, Division(alpha)))
        for alpha in (-1.5, -0.5, 0, 0.5, 1.5)
    ]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    automatic = paragraphs_of(sentences, vectors, Division(AUTOMATIC))
    assert automatic == paragraphs_of(sentences, vectors, Division(0.5))


def test_depths_are_those_of_a_plain_search():
    _, vectors = planted([4, 3, 5], seed=1)
    centred = vectors - vectors.mean(0)
    likeness = []
    for gap in range(1, len(vectors)):
        before, after = centred[max(0, gap - 3) : gap].mean(0), centred[gap : gap + 3].mean(0)
        likeness.append(before @ after / np.linalg.norm(before) / np.linalg.norm(after))
    for gap, depth in enumerate(depths(vectors)):
        left = right = gap
        while left > 0 and likeness[left - 1] >= likeness[left]:
            left -= 1
        while right + 1 < len(likeness) and likeness[right + 1] >= likeness[right]:
            right += 1
        expected = likeness[left] + likeness[right] - 2 * likeness[gap]
        assert depth == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=25),
    st.sampled_from([-1.5, 0.0, 1.5]),
    st.sampled_from([None, 60, 150]),
    st.sampled_from([None, 100, 200]),
    st.sampled_from([None, 1, 3, 40]),
)
def test_paragraphs_keep_order_and_bounds(sizes, alpha, least, most, count):
    sentences = ["가" * size for size in sizes]
    vectors = np.random.default_rng(len(sizes)).normal(size=(len(sizes), 4))
    paragraphs = paragraphs_of(sentences, vectors, Division(alpha, count, least, most))
    assert [i for own in paragraphs for i in own] == list(range(len(sizes)))
    totals = [sum(sizes[i] for i in own) for own in paragraphs]
    if most is not None:
        assert all(total <= most or len(own) == 1 for total, own in zip(totals, paragraphs))
    for first, second in zip(totals, totals[1:]):
        fits = most is None or first + second <= most
        assert least is None or min(first, second) >= least or not fits
    if count is not None and least is most is None:
        assert len(paragraphs) == min(count, len(sizes))


def test_sentences():
    text = '그는 "가자!" 하고 갔다. 값은 3.5원이다\n다음 줄?! “정말?” 끝'
    expected = ['그는 "가자!"', "하고 갔다.", "값은 3.5원이다", "다음 줄?!", "“정말?”", "끝"]
    assert split_sentences(text) == expected
    assert split_sentences(" \n ") == [] and split_sentences("하나") == ["하나"]
