"""Signs of spam and repeated titles: values equal those of a plain count."""

import itertools

import numpy as np
import pytest

from hclx.corpus.lexicon import LISTS
from hclx.corpus.taggers.spam import spam, title
from hclx.corpus.text_batch import TextBatch
from tests.conftest import ROOT
from tests.helpers.tagger_oracles import (
    STRANGE,
    assert_tags,
    count_phrases,
    kind,
    lines_of,
    phrases,
    random_texts,
    share,
    visible,
)

LISTED = {
    name: phrases(
        (ROOT / "hclx" / "corpus" / "lexicons" / f"{name}.txt").read_text(encoding="utf-8")
    )
    for name in LISTS
}


def links(text: str) -> int:
    """Addresses that begin with http://, https:// or www.; https://www. is one beginning."""
    starts = [i for i in range(len(text)) if text.startswith(("http://", "https://", "www."), i)]
    return sum(
        not (text.startswith("www.", i) and text[:i].endswith(("http://", "https://")))
        for i in starts
    )


def spam_oracle(text: str, title: str) -> dict:
    seen, n_words = visible(text), len(text.split())
    runs = [(char, len(list(group))) for char, group in itertools.groupby(text)]
    laughter = sum(n for char, n in runs if n >= 2 and char in "ㅋㅎㅠㅜㅇㄷㄱㅡ")
    laughter += sum(
        n for c, n in runs if n >= 4 and kind(c) == "jamo" and c not in "ㅋㅎㅠㅜㅇㄷㄱㅡ"
    )
    counts = {name: count_phrases(listed, text) for name, listed in LISTED.items()}
    return {
        "jamo": share(sum(kind(char) == "jamo" for char in text) - laughter, seen),
        "laughter": share(laughter, seen),
        "runs": share(
            sum(n for char, n in runs if n >= 4 and kind(char) not in ("space", "digit")), seen
        ),
        "longest_run": max((n for char, n in runs if not char.isspace()), default=0),
        "links": links(text),
        **counts,
        "spam_hits": counts["gambling"] + counts["adult"] + counts["advertising"],
        "profane_words": share(counts["profanity"], n_words),
        "boilerplate_words": share(counts["boilerplate"], n_words),
        "spam_words": share(counts["gambling"] + counts["adult"] + counts["advertising"], n_words),
    }


def title_oracle(text: str, title: str) -> dict:
    lines, title_line = lines_of(text), " ".join(title.split())
    repeats = sum(line == title_line for line in lines) if title_line else 0
    return {"repeats": repeats, "share": share(repeats, len(lines))}


@pytest.fixture(scope="module")
def texts(sample_texts) -> list[str]:
    return [*STRANGE, *sample_texts, *random_texts(300, seed=11)]


def test_columns_are_those_of_counting_one_by_one(texts):
    assert_tags(spam, spam_oracle, texts)


def test_titles_that_come_again_are_those_of_comparing_line_by_line(texts):
    # Of every three documents one has its first line for a title, one another document's, one none.
    of = lambda i: [
        f" {(lines_of(texts[i]) or [''])[0]}\n",
        (lines_of(texts[i - 1]) or [""])[-1],
        " ",
    ][i % 3]
    assert_tags(title, title_oracle, texts, [of(i) for i in range(len(texts))])


def measure(*texts: str) -> list[dict]:
    columns = spam(TextBatch.of(texts))
    return [{name: column[i].item() for name, column in columns.items()} for i in range(len(texts))]


def test_laughter_is_no_lone_letter():
    laughing, lone, short = measure("진짜 ㅋㅋㅋ ㅠㅠ", "ㅋㅎㅏㅏ 나", "ㅇㅇ")
    drawn_out, not_yet = measure("쯧 ㅉㅉㅉㅉ", "쯧 ㅉㅉㅉ")
    assert (drawn_out["laughter"], drawn_out["jamo"]) == (np.float32(0.8), 0)
    assert (not_yet["laughter"], not_yet["jamo"]) == (0, np.float32(0.75))
    assert (laughing["laughter"], laughing["jamo"]) == (np.float32(5 / 7), 0)
    assert (lone["laughter"], lone["jamo"]) == (0, np.float32(0.8))
    assert (short["laughter"], short["jamo"]) == (1, 0)


def test_runs_of_four_equal_characters_count_but_not_those_of_digits_and_white_space():
    bang, three, digits, blank = measure("가!!!!", "가!!!", "가11111", "가" + " " * 9)
    assert (bang["runs"], bang["longest_run"]) == (np.float32(0.8), 4)
    assert (three["runs"], three["longest_run"]) == (0, 3)
    assert (digits["runs"], digits["longest_run"]) == (0, 5)
    assert (blank["runs"], blank["longest_run"]) == (0, 1)


def test_runs_end_with_their_document():
    assert [
        (signs["runs"], signs["longest_run"], signs["laughter"])
        for signs in measure("ㅋ", "ㅋㅋㅋ", "", "ㅋㅋ")
    ] == [
        (0, 1, 0),
        (0, 3, 1),
        (0, 0, 0),
        (0, 2, 1),
    ]


def test_a_link_counts_once():
    counted = measure(
        "https://www.naver.com/a",
        "http://a.kr?b=https://c.kr",
        "www.a.kr http://b.kr",
        "www.a.kr",
        "http 와 www",
        "",
    )
    assert [signs["links"] for signs in counted] == [1, 2, 2, 1, 0, 0]


def test_shares_of_listed_words():
    (signs,) = measure("병신 같은 온라인카지노 광고 출장안마")
    assert (signs["profanity"], signs["gambling"], signs["adult"], signs["advertising"]) == (
        1,
        1,
        1,
        0,
    )
    assert (signs["profane_words"], signs["spam_words"]) == (np.float32(1 / 5), np.float32(2 / 5))


def test_a_title_that_is_a_line_again():
    batch = TextBatch.of(
        ["제목 하나\n글이다.\n 제목 하나 \n끝", "제목 하나\n글", "글", ""],
        [" 제목  하나\n", "", "글이다", "가"],
    )
    columns = title(batch)
    assert columns["repeats"].tolist() == [2, 0, 0, 0] and columns["share"].tolist() == [
        0.5,
        0,
        0,
        0,
    ]
