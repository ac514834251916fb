"""Repetition: shares equal those of a plain count of lines and n-grams of eojeol."""

import random
from collections import defaultdict

import numpy as np
import pytest

from hclx.corpus.taggers.repetition import repetition
from hclx.corpus.text_batch import TextBatch
from tests.helpers.tagger_oracles import (
    STRANGE,
    assert_tags,
    lines_of,
    paragraphs_of,
    random_texts,
    share,
    visible,
)


def repeated(items) -> list[bool]:
    """Whether each item occurred before."""
    seen = set()
    return [item in seen or bool(seen.add(item)) for item in items]


def oracle(text: str, title: str) -> dict:
    words = text.split()
    total = sum(map(len, words))
    result = {}
    for name, parts in (("line", lines_of(text)), ("paragraph", paragraphs_of(text))):
        again = repeated(parts)
        result[f"dup_{name}s"] = share(sum(again), len(parts))
        result[f"dup_{name}_chars"] = share(
            sum(visible(part) for part, twice in zip(parts, again) if twice), total
        )
        if name == "line":
            long = [part for part, twice in zip(parts, again) if twice and len(part) >= 50]
            result["dup_long_line_chars"] = share(sum(map(visible, long)), total)
    for n in range(2, 11):
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        chars = lambda starts: sum(
            len(words[i]) for i in {start + k for start in starts for k in range(n)}
        )
        if n <= 4:
            # The most frequent one; of equally frequent ones, the one that covers most. A run that
            # is there once repeats nothing.
            places = defaultdict(list)
            for start, run in enumerate(runs):
                places[run].append(start)
            result[f"top_{n}"] = share(
                max(
                    ((len(starts), chars(starts)) for starts in places.values() if len(starts) > 1),
                    default=(0, 0),
                )[1],
                total,
            )
        if n >= 5:
            result[f"dup_{n}"] = share(
                chars(start for start, twice in enumerate(repeated(runs)) if twice), total
            )
    result["dup_in_words"] = share(sum(map(repeated_inside, words)), total)
    return result


def repeated_inside(word: str) -> int:
    """Characters of all parts of a word that say 2 to 12 characters three times or more."""
    inside = set()
    for period in range(2, 13):
        for start in range(len(word)):
            end = start + period
            while end < len(word) and word[end] == word[end - period]:
                end += 1
            if end - start >= max(3 * period, 9) and len({*word[start:end]}) > 1:
                inside.update(range(start, end))
    return len(inside)


def stacked(n: int, seed: int) -> list[str]:
    """Texts of few lines in paragraphs of one to three, with all kinds of blank lines between
    them.
    """
    draw = random.Random(seed)
    lines = ["가나다", "라 마", " 가나다 ", "바", "라  마"]
    blank = ["\n\n", "\n \n", "\n\n\n", "\r\n\r\n", "\n\u3000\n\t\n"]
    paragraph = lambda: "\n".join(draw.choice(lines) for _ in range(draw.randint(1, 3)))
    return [
        "".join(paragraph() + draw.choice(blank) for _ in range(draw.randint(1, 8)))
        for _ in range(n)
    ]


def glued(n: int, seed: int) -> list[str]:
    """Texts whose words say short strings several times, one after another."""
    draw = random.Random(seed)
    part = lambda: "".join(draw.choices("가나다!", k=draw.randint(1, 6))) * draw.randint(1, 6)
    word = lambda: "".join(part() for _ in range(draw.randint(1, 3)))
    return [" ".join(word() for _ in range(draw.randint(1, 4))) for _ in range(n)]


@pytest.fixture(scope="module")
def texts(sample_texts) -> list[str]:
    doubled = [f"{text}\n{text}" for text in sample_texts[:20]]
    apart = [f"{text}\n\n{text}" for text in sample_texts[20:40]]
    return [
        *STRANGE,
        *sample_texts,
        *doubled,
        *apart,
        *stacked(200, seed=4),
        *random_texts(500, seed=9),
        *glued(300, seed=5),
    ]


def test_columns_are_those_of_counting_one_by_one(texts):
    assert_tags(repetition, oracle, texts)


def measure(*texts: str) -> list[dict]:
    columns = repetition(TextBatch.of(texts))
    return [{name: column[i].item() for name, column in columns.items()} for i in range(len(texts))]


def test_the_first_place_of_a_line_is_not_a_repetition():
    (shares,) = measure("같은 줄\n다른\n 같은 줄\r\n같은 줄")
    assert shares["dup_lines"] == 0.5 and shares["dup_line_chars"] == np.float32(6 / 11)


def test_what_is_said_again_within_one_eojeol_is_measured():
    """A run of one character is measured by `spam.runs`, and a word that doubles is a word."""
    values = [
        shares["dup_in_words"]
        for shares in measure(
            "가나다가나다가나다",
            "정말 최고다최고다최고다!",
            "하하하하하하하하하하",
            "반짝반짝 작은 별",
        )
    ]
    assert values == [1, np.float32(9 / 12), 0, 0]


def test_repeated_lines_that_the_stage_paragraph_would_remove_are_long():
    long, short = "가나다라마바사아자차" * 5, "가나다라마바사아자차" * 4 + "가나다라마바사아자"
    (shares,) = measure("\n".join([long, short, f" {long} ", short, "끝"]))
    assert shares["dup_long_line_chars"] == np.float32(50 / 199)
    assert shares["dup_line_chars"] == np.float32(99 / 199)


def test_paragraphs_stand_between_blank_lines():
    shares, single, lines = measure(
        "하나\n둘\n\n셋\n \t\n하나\n둘\n\n\n둘", "하나\n하나\n하나", "하나\n\n하나\n\n둘셋"
    )
    # "둘" alone is another paragraph
    assert shares["dup_paragraphs"] == 0.25 and shares["dup_paragraph_chars"] == np.float32(3 / 8)
    assert single["dup_paragraphs"] == single["dup_paragraph_chars"] == 0 and single[
        "dup_lines"
    ] == np.float32(2 / 3)
    assert lines["dup_paragraphs"] == lines["dup_lines"] == np.float32(1 / 3) and lines[
        "dup_paragraph_chars"
    ] == np.float32(1 / 3)


def test_paragraphs_that_stood_before_are_lines_that_did(texts):
    columns = repetition(TextBatch.of(texts))
    assert (
        np.all(columns["dup_paragraph_chars"] <= columns["dup_line_chars"])
        and columns["dup_paragraph_chars"].any()
    )
    assert np.any(columns["dup_paragraphs"] > columns["dup_lines"])  # by number they may be more


def test_a_paragraph_ends_with_its_document():
    assert [
        shares["dup_paragraphs"]
        for shares in measure("하나\n\n둘", "둘\n\n하나", "\n\n", "하나", "하나\n\n하나")
    ] == [0, 0, 0, 0, 0.5]


def test_a_text_that_is_there_twice_is_half_repeated():
    words = " ".join("하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열".split())
    (shares,) = measure(f"{words} {words}")
    assert all(shares[f"dup_{n}"] == 0.5 for n in range(5, 11)) and shares["dup_lines"] == 0
    (once,) = measure(words)
    assert not any(once.values())


def test_runs_shorter_than_n_do_not_count_as_n():
    (shares,) = measure("가 나 다 라 마 ㄱ 가 나 다 라 마 ㄴ")  # five eojeol twice
    assert shares["dup_5"] == np.float32(5 / 12) and shares["dup_6"] == 0
    assert (shares["top_2"], shares["top_3"], shares["top_4"]) == (
        np.float32(4 / 12),
        0.5,
        np.float32(8 / 12),
    )


def test_of_equally_frequent_runs_the_longest_counts():
    (shares,) = measure("가 나 x 가 나 y 하늘 바다 z 하늘 바다")
    assert shares["top_2"] == np.float32(8 / 15)
    (shares,) = measure(
        "가 나 x 가 나 y 가 나 z 하늘 바다 w 하늘 바다"
    )  # the more frequent one goes first
    assert shares["top_2"] == np.float32(6 / 18)


def test_the_most_frequent_run_covers_a_character_once():
    same, apart = measure("가 가 가 가", "가 가 x 가 가")
    assert [same[f"top_{n}"] for n in (2, 3, 4)] == [1, 1, 0]
    assert apart["top_2"] == np.float32(4 / 5)
    # both are there twice; one covers three characters, the other four
    (shares,) = measure("가 가 가 나 다 x 나 다")
    assert shares["top_2"] == np.float32(4 / 8)
    # the more frequent one goes first, although it covers less
    (shares,) = measure("가 가 가 가 나나나 다다다 x 나나나 다다다")
    assert shares["top_2"] == np.float32(4 / 17)


def test_overlapping_runs_count_their_characters_once():
    (shares,) = measure(" ".join(["가"] * 20))
    assert shares["dup_5"] == np.float32(19 / 20) and shares["dup_10"] == np.float32(19 / 20)


def test_white_space_between_eojeol_makes_no_difference():
    (shares,) = measure("가 나 다 라 마\n가  나\t다 라\u3000마")
    assert shares["dup_5"] == 0.5 and shares["dup_lines"] == 0


def test_eojeol_are_compared_whole():
    (shares,) = measure("가나 다 라 마 바 가 나다 라 마 바")  # the same characters, cut elsewhere
    assert shares["dup_5"] == 0


def test_runs_and_lines_of_other_documents_are_no_repetition():
    line = "하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열"
    assert not any(
        any(shares.values())
        for shares in measure(line, line, "", "하나 둘 셋", "넷 다섯 여섯 일곱 여덟", line)
    )
