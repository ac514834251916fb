"""Masks in a text that comes in parts are those of the whole, and no part of an item leaves."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.text.pii import PLACEHOLDERS, find_pii, masked
from hclx.text.pii.masked_stream import MOST_HELD, MaskedStream
from tests.text.pii_accuracy import labelled

# Made up: the resident number and the card have right check digits.
ITEMS = (
    "900101-1234568",
    "010-1234-5678",
    "4111 1111 1111 1111",
    "hong@naver.com",
    "홍길동@다음.한국",
)
ITEMS += (
    "02) 555-1234",
    "국민은행 123-45-678901",
    "IP 211.234.56.78",
    "여권 M12345678",
    "hong 골뱅이 naver.com",
)
WORDS = (
    "나는",
    "어제",
    "가격은 12,300원",
    "2023. 10. 12",
    "version 1.2.3",
    "전화",
    "계좌",
    "IP",
    "the cat",
)
WORDS += ("1", "23", "-", " ", "\n", ". ", "가\u200b나", "각", "(", ")", "@", "dot ", "@")


def parts_of(text, sizes):
    """The text in parts of these sizes, again and again."""
    position, parts = 0, []
    while position < len(text):
        size = sizes[len(parts) % len(sizes)]
        parts.append(text[position : position + size])
        position += size
    return parts


def streamed(text, sizes, before=""):
    stream = MaskedStream(before)
    return [*map(stream.feed, parts_of(text, sizes)), stream.finish()]


TEXTS = st.lists(st.sampled_from(ITEMS + WORDS), max_size=30).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda sign: sign.join(words))
)


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_parts_together_are_the_masked_text(text, sizes):
    assert "".join(streamed(text, sizes)) == masked(text)


def test_labelled_texts_are_masked_as_a_whole_and_in_parts():
    texts = [text for text, _ in labelled()]
    rng = random.Random(0)
    for text in texts:
        assert "".join(streamed(text, [1])) == masked(text), text
    for _ in range(100):  # several in a line
        text = " ".join(rng.sample(texts, 4)).replace("\n", " ")
        assert "".join(streamed(text, [rng.randint(1, 30)])) == masked(text)


def test_no_part_has_characters_of_an_item():
    for item in ITEMS:
        text = f"이 사람의 것은 {item} 라고 한다. 그래서 나는 그냥 갔다."
        spans = find_pii(text)
        assert spans, item
        for size in (1, 2, 5):
            parts = streamed(text, [size])
            assert "".join(parts) == masked(text)
            whole = "".join(parts)
            for placeholder in PLACEHOLDERS.values():
                whole = whole.replace(placeholder, "")
            for span in spans:
                assert text[span.start : span.end] not in whole


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 9))
def test_a_text_is_masked_by_what_stands_before_it(before, text, size):
    """The oracle masks the whole, and takes away what it has made of the characters before."""
    whole, start, expected, position = before + text, len(before), "", 0
    for span in find_pii(whole):
        expected += whole[max(position, start) : max(span.start, start)]
        expected += PLACEHOLDERS[span.kind] if span.end > start else ""
        position = span.end
    expected += whole[max(position, start) :]
    assert "".join(streamed(text, [size], before)) == expected


def test_an_item_that_begins_before_the_text_is_masked():
    phone, account = PLACEHOLDERS["phone"], PLACEHOLDERS["account"]
    assert "".join(streamed("1234-5678 이다", [3], "이름\n전화: 010-")) == f"{phone} 이다"
    assert "".join(streamed(" 123-45-678901", [1], "국민은행 계좌:")) == f" {account}"
    assert "".join(streamed(" 123-45-678901", [1], "계좌\n점수:")) == " 123-45-678901"


def test_a_word_leaves_with_the_next_and_a_number_when_it_is_known():
    stream = MaskedStream()
    assert stream.feed("나는 ") == "" and stream.feed("어제") == "나는 "
    assert stream.feed(" 갔다") == "어제 "
    assert stream.feed(" 2023년에 갔다") == "갔다 2023년에 "
    assert stream.feed(". 전화는 010-1234-5678") == "갔다. "
    assert stream.feed(" 입니다") == ""
    assert stream.feed("\n") == f"전화는 {PLACEHOLDERS['phone']} 입니다\n"
    assert stream.n_items == 1


def test_what_waits_is_bounded():
    stream, n_in, n_out = MaskedStream(), 0, 0
    for _ in range(2000):
        n_in += len("010-1234-5678, ")
        n_out += stream.feed("010-1234-5678, ").count(PLACEHOLDERS["phone"]) * 15
        assert n_in - n_out <= MOST_HELD + 30
    n_out += stream.finish().count(PLACEHOLDERS["phone"]) * 15
    assert n_out == n_in


@pytest.mark.parametrize("text", ["", "\n", "a", "가 ", "\u1100", "\ud800 가 나"])
def test_short_texts_pass(text):
    assert "".join(streamed(text, [1])) == text
