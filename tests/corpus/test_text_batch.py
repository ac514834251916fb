"""Batches: words, lines and counts of every document, kinds of characters, hashes; no document
knows its neighbours.
"""

import itertools
import random
import unicodedata

import numpy as np
import pytest

from hclx.corpus import characters
from hclx.corpus.taggers import TAGGERS
from hclx.corpus.text_batch import TextBatch, ratio, sums
from hclx.hashing import RangeHash, hash_texts
from hclx.text.spans import replace_spans
from tests.helpers.tagger_oracles import STRANGE, batched, kind, lines_of, random_texts, visible

KINDS = {
    "hangul": characters.HANGUL,
    "jamo": characters.JAMO,
    "latin": characters.LATIN,
    "han": characters.HAN,
    "kana": characters.KANA,
    "other": characters.OTHER_LETTER,
    "digit": characters.DIGIT,
    "space": characters.SPACE,
    "punctuation": characters.PUNCTUATION,
    "symbol": characters.SYMBOL,
    "control": characters.CONTROL,
    "format": characters.FORMAT,
}


@pytest.fixture(scope="module")
def texts(sample_texts) -> list[str]:
    return [*STRANGE, *sample_texts, *random_texts(300, seed=1)]


def parts(batch: TextBatch, ranges) -> list[list[str]]:
    """The strings that ranges stand for, document by document."""
    text = "".join(batch.texts)
    strings = [text[start:end] for start, end in zip(ranges.starts, ranges.ends)]
    assert [len(string) for string in strings] == ranges.lengths.tolist()
    document_parts = [strings[start:end] for start, end in itertools.pairwise(ranges.offsets)]
    assert ranges.documents.tolist() == [i for i, part in enumerate(document_parts) for _ in part]
    return document_parts


def test_words_and_lines_are_those_of_each_document_alone(texts):
    for some in [*batched(texts), []]:
        batch = TextBatch.of(some)
        assert parts(batch, batch.words) == [text.split() for text in some]
        assert parts(batch, batch.lines) == [lines_of(text) for text in some]


def test_a_word_ends_where_its_document_ends():
    batch = TextBatch.of(["", "가", "나", "", "", "다 라", "마\n", "바", ""])
    assert parts(batch, batch.words) == [
        [],
        ["가"],
        ["나"],
        [],
        [],
        ["다", "라"],
        ["마"],
        ["바"],
        [],
    ]
    assert parts(batch, batch.lines) == [[], ["가"], ["나"], [], [], ["다 라"], ["마"], ["바"], []]


def test_code_points_and_counts_of_each_document(texts):
    for some in [*batched(texts), []]:
        batch = TextBatch.of(some)
        assert len(batch) == len(some) and batch.titles == ("",) * len(some)
        assert "".join(map(chr, batch.chars)) == "".join(some)
        assert batch.n_chars.tolist() == [len(text) for text in some]
        assert batch.count(batch.kinds != characters.SPACE).tolist() == [
            visible(text) for text in some
        ]


def test_sums_and_ratios():
    offsets = np.array([0, 2, 2, 3])
    assert sums(np.array([1, 2, 3]), offsets).tolist() == [3, 0, 3]
    assert sums(np.array([True, True, True]), offsets).tolist() == [2, 0, 1]
    assert sums(np.array([0.5, 0.25, 2]), offsets).tolist() == [0.75, 0, 2]
    shares = ratio(np.array([1, 5, 2]), np.array([4, 0, 2]))
    assert shares.tolist() == [0.25, 0, 1] and shares.dtype == np.float32


def test_every_letter_has_the_kind_that_its_name_says():
    codes = [code for code in range(0x32000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")]
    names = [unicodedata.name(chr(code), "") for code in codes]
    # Marks on Kana and Hangul, and the Kana of old books, may be of either kind.
    checked = [
        code
        for code, name in zip(codes, names)
        if " MARK" not in name and not 0x1AFF0 <= code < 0x1B170
    ]
    kind_numbers = characters.kinds(np.array(checked, np.uint32))
    wrong = [
        f"{code:x}"
        for code, number in zip(checked, kind_numbers)
        if number != KINDS[kind(chr(code))]
    ]
    assert not wrong and len(checked) > 100_000


def test_kinds_by_example():
    for name, chars in {
        "hangul": "가힣뷁",
        "jamo": "ㄱㅋㅏᄒᆞᇹꥠힰ",
        "latin": "aZéＡ",
        "han": "漢㐀豈𠀀",
        "kana": "あんアーｱ",
        "other": "яعไ\ufe0f",
        "digit": "0９½Ⅷ",
        "space": " \t\n\r\u3000\xa0\u2028",
        "punctuation": ".,·…、「",
        "symbol": "₩+😀🇰",
        "control": "\0\x7f\ue000\u0378\U0010ffff",
        "format": "\u200b\u200d\ufeff\xad\u202e\U000e0067",
    }.items():
        assert set(TextBatch.of([chars]).kinds) == {KINDS[name]}, name


def test_ranges_have_equal_hashes_exactly_where_their_characters_are_equal():
    draw = random.Random(3)
    text = "".join(draw.choice("가나a\n𠀀") for _ in range(400)) + "ㅋ" * 50 + "가나" * 30
    ranges = [(start, start + n) for n in range(7) for start in range(len(text) - n + 1)]
    starts, ends = np.array(ranges).T
    hashes = TextBatch.of([text]).hashes.of(starts, ends).tolist()
    strings = [text[start:end] for start, end in ranges]
    assert len(set(hashes)) == len(set(strings)) == len(set(zip(hashes, strings)))
    assert hash_texts(strings).tolist() == hashes


def test_hashes_are_the_same_on_every_machine_and_do_not_depend_on_the_place(texts):
    assert hash_texts(["가", "", "가나다", "a𠀀"]).tolist() == [
        15738510766378657001,
        0,
        15222622401852854675,
        17264099819802955585,
    ]
    assert hash_texts([]).tolist() == []
    batch = TextBatch.of(texts)
    assert (
        batch.hashes.of(batch.offsets[:-1], batch.offsets[1:]).tolist()
        == hash_texts(texts).tolist()
    )
    assert RangeHash(batch.chars[7:]).of(np.array([3]), np.array([90])) == batch.hashes.of(
        np.array([10]), np.array([97])
    )


@pytest.mark.parametrize("name", TAGGERS)
def test_a_document_alone_is_tagged_as_in_a_batch(texts, name):
    tagger = TAGGERS[name]
    titles = [text.strip().split("\n")[0] if i % 2 else "" for i, text in enumerate(texts)]
    whole = tagger(TextBatch.of(texts, titles))
    alone = [tagger(TextBatch.of([text], [title])) for text, title in zip(texts, titles)]
    for column, values in whole.items():
        assert values.tolist() == [tags[column].item() for tags in alone], column
        assert values.dtype == alone[0][column].dtype


def test_other_characters_in_some_places():
    text = "가나다라마"
    assert (
        replace_spans(text, []) == text
        and replace_spans(text, [(0, 1, ""), (1, 1, "<>"), (3, 5, "x")]) == "<>나다x"
    )
