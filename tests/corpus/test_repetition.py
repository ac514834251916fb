"""Repetition: the shares that counting lines and runs of eojeol one by one gives."""

from collections import Counter

import numpy as np
import pytest

from hclx.corpus.batch import TextBatch
from hclx.corpus.taggers.repetition import repetition
from tests.corpus.oracles import STRANGE, assert_tags, lines_of, random_texts, share, visible


def repeated(items) -> list[bool]:
    """Which items stood before."""
    seen = set()
    return [item in seen or bool(seen.add(item)) for item in items]


def oracle(text: str, title: str) -> dict:
    lines, words = lines_of(text), text.split()
    again = repeated(lines)
    total = sum(map(len, words))
    result = {
        "dup_lines": share(sum(again), len(lines)),
        "dup_line_chars": share(sum(visible(line) for line, twice in zip(lines, again) if twice), total),
    }
    for n in range(2, 11):
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        if n <= 4:
            # The most frequent one; of equally frequent ones, the longest. A run that is there once repeats nothing.
            times, chars = max(((times, sum(map(len, run))) for run, times in Counter(runs).items()), default=(0, 0))
            result[f"top_{n}"] = share(times * chars if times > 1 else 0, total)
        if n >= 5:
            inside = {i + k for i, twice in enumerate(repeated(runs)) if twice for k in range(n)}
            result[f"dup_{n}"] = share(sum(len(words[i]) for i in inside), total)
    return result


@pytest.fixture(scope="module")
def texts(sample_texts) -> list[str]:
    doubled = [f"{text}\n{text}" for text in sample_texts[:20]]
    return [*STRANGE, *sample_texts, *doubled, *random_texts(500, seed=9)]


def test_columns_are_those_of_counting_one_by_one(texts):
    assert_tags(repetition, oracle, texts)


def found(*texts: str) -> list[dict]:
    columns = repetition(TextBatch.of(texts))
    return [{name: column[i].item() for name, column in columns.items()} for i in range(len(texts))]


def test_the_first_place_of_a_line_is_not_a_repetition():
    (one,) = found("같은 줄\n다른\n 같은 줄\r\n같은 줄")
    assert one["dup_lines"] == 0.5 and one["dup_line_chars"] == np.float32(6 / 11)


def test_a_text_that_is_there_twice_is_half_repeated():
    words = " ".join("하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열".split())
    (one,) = found(f"{words} {words}")
    assert all(one[f"dup_{n}"] == 0.5 for n in range(5, 11)) and one["dup_lines"] == 0
    (once,) = found(words)
    assert not any(once.values())


def test_runs_shorter_than_n_do_not_count_as_n():
    (one,) = found("가 나 다 라 마 ㄱ 가 나 다 라 마 ㄴ")  # five eojeol twice
    assert one["dup_5"] == np.float32(5 / 12) and one["dup_6"] == 0
    assert (one["top_2"], one["top_3"], one["top_4"]) == (np.float32(4 / 12), 0.5, np.float32(8 / 12))


def test_of_equally_frequent_runs_the_longest_counts():
    (one,) = found("가 나 x 가 나 y 하늘 바다 z 하늘 바다")
    assert one["top_2"] == np.float32(8 / 15)
    (one,) = found("가 나 x 가 나 y 가 나 z 하늘 바다 w 하늘 바다")  # the more frequent one goes first
    assert one["top_2"] == np.float32(6 / 18)


def test_overlapping_runs_count_their_characters_once():
    (one,) = found(" ".join(["가"] * 20))
    assert one["dup_5"] == np.float32(19 / 20) and one["dup_10"] == np.float32(19 / 20)


def test_white_space_between_eojeol_makes_no_difference():
    (one,) = found("가 나 다 라 마\n가  나\t다 라\u3000마")
    assert one["dup_5"] == 0.5 and one["dup_lines"] == 0


def test_eojeol_are_compared_whole():
    (one,) = found("가나 다 라 마 바 가 나다 라 마 바")  # the same characters, cut elsewhere
    assert one["dup_5"] == 0


def test_runs_and_lines_of_other_documents_are_no_repetition():
    line = "하나 둘 셋 넷 다섯 여섯 일곱 여덟 아홉 열"
    assert not any(any(one.values()) for one in found(line, line, "", "하나 둘 셋", "넷 다섯 여섯 일곱 여덟", line))
