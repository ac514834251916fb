"""What a copy of an evaluation item costs a document: a window, however long the document is."""

import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from hclx.corpus.card import write_card
from hclx.corpus.contamination_index import Index, write_index
from hclx.corpus.explain import explain
from hclx.corpus.layout import CLEAN
from hclx.corpus.pipeline import Corpus
from hclx.corpus.removal_windows import judge
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import ContaminationSettings, parse_settings
from hclx.corpus.store import Store
from hclx.corpus.verdicts import read_verdict, remove_windows
from tests.helpers.generated_corpus import sentence

SETTINGS = ContaminationSettings()
QUIZ = {
    "quiz": [
        ("해가 지면 등대지기는 기름을 붓고 유리를 닦는다.", "등대지기는 밤에 일한다."),
        ("자연스러운 현상이에요.",),
        ("다시 만날 수 있을까?", "다시 만날 수 있을까?"),
        ("본 항의 어항구역은 다음과 같다.",),
        ("밥을 먹었니 오늘은?", "아니 아직 안 먹었어"),
        ("네",),
        ("물레방아 옆에 살던 할머니는 어디로 갔는가?", "할머니는 강 건너 딸네 집으로 갔다."),
    ]
}
LONG = " ".join(QUIZ["quiz"][0])


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    store = Store(str(tmp_path_factory.mktemp("index")))
    write_index(QUIZ, SETTINGS, store, "key")
    return Index.read(store)


def book(rng, n_chars):
    """A text of about so many characters, with a line of several sentences for each paragraph."""
    lines, n = [], 0
    while n < n_chars:
        lines.append(" ".join(sentence(rng, rng.randrange(5, 15)) for _ in range(6)))
        n += len(lines[-1]) + 1
    return lines


def judged(index, text):
    """The windows of a text, and whether it goes as a whole."""
    _, items, _ = index.search([text], SETTINGS)
    texts = ["앞의 글은 다르다.", text]  # places are those of a text, and not of all together
    places, n_letters = index.locate(texts, np.full(len(items), 1), items, SETTINGS)
    named = {index.names[item]: own for item, own in zip(items, places, strict=True)}
    return judge(text, named, int(n_letters[1]), (), SETTINGS)


def without(text, windows):
    spans = list(zip(*windows)) or [(), ()]
    return remove_windows(text, list(spans[0]), list(spans[1]))


@pytest.mark.parametrize("n_chars", [3_000, 30_000, 300_000])
def test_a_copy_costs_the_same_in_a_page_and_in_a_book(index, n_chars):
    rng = random.Random(n_chars)
    lines = book(rng, n_chars)
    middle = len(lines) // 2
    text = "\n".join([*lines[:middle], LONG, *lines[middle:]])
    windows, whole = judged(index, text)
    (window,) = windows
    assert not whole and window.items == ("quiz/0",)
    assert LONG in text[window.start : window.end]
    assert len(LONG) + 200 <= window.end - window.start <= len(LONG) + 600
    rest = without(text, windows)
    assert len(index.search([rest], SETTINGS)[0]) == 0
    assert len(text) - len(rest) <= window.end - window.start + 2


def test_a_stock_phrase_costs_nothing_in_a_book_and_in_a_comment_that_is_nothing_else(index):
    lines = book(random.Random(1), 50_000)
    for phrase in ("자연스러운 현상이에요.", "다시 만날 수 있을까?"):
        text = "\n".join([*lines[:50], f"그는 말했다. {phrase} 그리고 갔다.", *lines[50:]])
        assert len(index.search([text], SETTINGS)[0]) == 1  # it is told
        assert judged(index, text) == ([], False)
        assert judged(index, f"1. {phrase} ^^") == ([], False)
    assert judged(index, "네") == ([], False)


def test_a_text_of_many_short_items_goes_as_a_whole(index):
    phrases = ["자연스러운 현상이에요.", "다시 만날 수 있을까?", "밥을 먹었니 오늘은?"]
    assert judged(index, "\n".join(phrases[:2])) == ([], False)  # 18 letters
    phrases += ["자연스러운 현상이에요"]
    assert judged(index, "\n".join(phrases)) == ([], True)
    assert judged(index, "\n".join([*phrases, sentence(random.Random(4), 20)])) == ([], False)


def test_a_copy_of_thirteen_letters_costs_a_comment_only_if_it_is_most_of_it(index):
    """In a page it costs a window; items of more letters cost a comment."""
    phrase = QUIZ["quiz"][3][0]
    assert judged(index, phrase)[1] and judged(index, f"{phrase} ㅋㅋ 그래요")[1]
    comment = f"{phrase} 바다를 좋아하는 사람이라면 한 번쯤 가 볼 만한 곳이라고 생각합니다."
    assert judged(index, comment) == ([], False) and len(index.search([comment], SETTINGS)[0])
    longer = (
        f"{QUIZ['quiz'][6][1]} 바다를 좋아하는 사람이라면 한 번쯤 가 볼 만한 곳이라고 생각합니다."
    )
    assert judged(index, longer)[1]
    lines = book(random.Random(5), 3_000)
    windows, whole = judged(index, "\n".join([*lines[:5], phrase, *lines[5:]]))
    assert len(windows) == 1 and not whole


def test_two_short_texts_of_an_item_are_a_copy_where_they_stand_together(index):
    lines, (question, answer) = book(random.Random(2), 5_000), QUIZ["quiz"][4]
    together = "\n".join([*lines[:5], question, answer, *lines[5:]])
    apart = "\n".join([lines[0], question, *lines[1:-1], answer, lines[-1]])
    assert [window.items for window in judged(index, together)[0]] == [("quiz/4",)]
    assert judged(index, apart) == ([], False) and len(index.search([apart], SETTINGS)[0])


def test_windows_end_where_sentences_and_lines_do(index):
    rng = random.Random(3)
    for _ in range(30):
        lines = book(rng, 4_000)
        words = lines[3].split(". ")
        lines[3] = ". ".join([*words[:2], LONG.rstrip("."), *words[2:]])
        text = "\n".join(lines)
        (window,) = judged(index, text)[0]
        assert window.start == 0 or text[: window.start].rstrip(" \n")[-1] in ".!?"
        assert window.end == len(text) or text[: window.end].rstrip(" \n")[-1] in ".!?"
        for part in (text[: window.start], text[window.end :]):
            assert not part or len(part.strip()) >= SETTINGS.window


def test_a_rest_that_is_shorter_than_a_window_goes_with_it(index):
    some = lambda n: " ".join(sentence(random.Random(i), 9) for i in range(n))
    assert 150 < len(some(5)) < 200 < len(some(14)) - 200
    text = "\n".join([some(5), LONG, some(5), LONG, some(14), LONG, some(30)])
    windows, whole = judged(index, text)
    first, second = windows
    assert first.start == 0 and text[: first.end].count(LONG) == 2 and not whole
    assert second.end < len(text) and text[first.end : second.start].strip() in some(14)


def test_the_parts_of_an_item_that_stand_apart_all_go(tmp_path):
    rng = random.Random(9)
    item, lines = [sentence(rng, 9) for _ in range(3)], book(random.Random(10), 9_000)
    store = Store(str(tmp_path))
    write_index({"quiz": [tuple(item)]}, SETTINGS, store, "key")
    third = len(lines) // 3
    text = "\n".join([*lines[:third], item[0], *lines[third:-third], *item[1:], *lines[-third:]])
    windows, _ = judged(Index.read(store), text)
    assert len(windows) == 2 and not any(part in without(text, windows) for part in item)


def test_a_text_without_sentences_loses_no_more(index):
    for space in (" ", ""):
        syllables = "가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허"
        noise = lambda n: "".join(
            random.Random(n).choice(syllables) + (space if i % 7 == 0 else "") for i in range(n)
        )
        text = noise(20_000) + " " + LONG + " " + noise(20_001)
        (window,) = judged(index, text)[0]
        assert LONG.strip(".") in text[window.start : window.end]
        assert window.end - window.start <= len(LONG) + 600


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKD"])
def test_the_place_is_found_in_any_form_of_the_text(index, form):
    lines = book(random.Random(4), 8_000)
    odd = "ㅇ ㅏ 주 １２３ ㎏ … ﬁne ㅠㅠ"
    text = unicodedata.normalize(form, "\n".join([odd, *lines[:9], LONG, odd, *lines[9:]]))
    (window,) = judged(index, text)[0]
    assert unicodedata.normalize(form, LONG) in text[window.start : window.end]


def test_a_phrase_that_a_book_repeats_is_no_copy_of_an_item_that_has_it_too(index):
    """14 of its 20 letters are on every page, and so are two of its n-grams."""
    lines = [
        f"{line} 해가 지면 등대지기는 기름을 붓고 갔다." for line in book(random.Random(5), 20_000)
    ]
    text = "\n".join([*lines[:10], LONG, *lines[10:]])
    windows, whole = judged(index, text)
    assert len(windows) == 1 and not whole


def test_a_file_of_items_and_a_text_of_short_parts_go_as_a_whole(index):
    lines = book(random.Random(6), 100_000)
    rows = [text for item in QUIZ["quiz"] for text in item] * 20
    assert judged(index, "\n".join(rows))[1]
    short, long = lines[:3], lines[:8]
    parts = lambda own: "\n".join([*own, *(f"{LONG}\n" + "\n".join(own) for _ in range(12))])
    windows, whole = judged(index, parts(short))
    assert whole and len(windows) == 12
    assert sum(window.end - window.start for window in windows) < 0.4 * len(parts(short))
    assert not judged(index, parts(long))[1] and len(judged(index, parts(long))[0]) == 12


def test_no_copy_is_left_and_the_rest_is_the_text(index):
    rng = random.Random(7)
    for _ in range(40):
        lines = book(rng, rng.randrange(300, 9_000))
        for _ in range(rng.randrange(4)):
            item = " ".join(rng.choice([QUIZ["quiz"][0], QUIZ["quiz"][3], QUIZ["quiz"][4]]))
            lines.insert(rng.randrange(len(lines) + 1), item)
        text = "\n".join(lines)
        windows, whole = judged(index, text)
        rest, place = without(text, windows), 0
        for part in filter(None, rest.split("\n\n")):
            place = text.index(part, place) + len(part)
        _, items, _ = index.search([rest], SETTINGS)
        assert whole or items.tolist() == []


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A corpus of a book, a comment, and pages that share a phrase of 13 letters."""
    folder, rng = tmp_path_factory.mktemp("windows"), random.Random(8)
    lines, others = book(rng, 30_000), book(random.Random(11), 3_000)
    pages = ["\n".join(book(rng, 1_500)) for _ in range(21)]
    texts = {
        "book": "\n".join([*lines[:60], LONG, *lines[60:], "자연스러운 현상이에요."]),
        "comment": f"{LONG} ㅋㅋ",
        "plain": pages.pop(),
        "answer": "\n".join([*others[:9], QUIZ["quiz"][6][1], *others[9:]]),
    }
    for number, page in enumerate(pages):
        phrase = "본 항의 어항구역은 다음과 같다." if number < 6 else ""
        texts[f"page{number}"] = f"{page}\n{phrase}\n" + "\n".join(book(rng, 800))
    rows = [{"id": name, "text": text} for name, text in texts.items()]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    settings = {"sources": {"made": {"input": "*.jsonl"}}, "contamination": {}, "near": None}
    settings["rules"] = dict.fromkeys(parse_settings(settings).sources["made"].rules)
    corpus = Corpus(
        parse_settings(settings), str(folder), str(folder / "out"), make_runner(workers=1), QUIZ
    )
    corpus.build()
    return corpus, texts


def test_the_record_the_report_and_the_explanation_are_true(built):
    corpus, texts = built
    (shard,) = corpus.shards
    verdict = read_verdict(corpus.store, shard, "contamination").to_pylist()
    by_name = dict(zip(texts, verdict, strict=True))
    kept = corpus.store.read_table(shard.file(CLEAN), ["doc_id", "text"]).to_pylist()
    kept = {row["doc_id"]: row["text"] for row in kept}
    (start,), (end,) = by_name["book"]["starts"], by_name["book"]["ends"]
    assert LONG in texts["book"][start:end] and by_name["book"]["causes"] == [["quiz/0"]]
    assert by_name["book"]["rule"] is None and by_name["comment"]["rule"] == "contaminated"
    assert kept["made/book"] == remove_windows(texts["book"], [start], [end])
    assert by_name["answer"]["causes"] == [["quiz/6#2"]]  # without its question
    assert "made/comment" not in kept and kept["made/page3"] == texts["page3"]
    report = corpus.store.read_json("contamination/report.json")
    assert report["sets"]["quiz"] == {
        **{"items": 7, "too_short": 1, "found": 4, "stock": 2},
        **{"documents": 9, "removed": 1, "shortened": 2},
    }
    assert report["stock_phrases"] == [
        {"item": "quiz/3", "texts": [*QUIZ["quiz"][3]], "documents": 6},
        {"item": "quiz/1", "texts": [*QUIZ["quiz"][1]], "documents": 1},
    ]
    shown = explain(corpus.store, "made/book")
    assert f"kept, {end - start:,} characters removed around copies of evaluation items" in shown
    assert f"characters {start:,} to {end:,}, for quiz/0: " in shown
    assert "stock phrases, which remove nothing by themselves: quiz/1" in shown
    assert f"\n      quiz/0: {' / '.join(QUIZ['quiz'][0])[:60]}" in shown
    assert f"\n      quiz/1: {QUIZ['quiz'][1][0]}" in shown and shown[-300:].count("quiz/") == 0
    shown = explain(corpus.store, "made/comment")
    assert "removed by contaminated: evaluation items are most of it" in shown
    card = write_card(corpus.store, corpus.settings, corpus.shards)
    (other_start,), (other_end,) = by_name["answer"]["starts"], by_name["answer"]["ends"]
    n_chars = end - start + other_end - other_start
    assert card["all"]["cut_windows"] == {"documents": 2, "windows": 2, "chars": n_chars}
    page = Path(corpus.store.path("card.html")).read_text(encoding="utf-8")
    assert f"copies of evaluation items {n_chars:,} characters were removed, in 2 places" in page
    assert "본 항의 어항구역은 다음과 같다." in page and "자연스러운 현상이에요." in page


def test_a_short_item_in_few_documents_is_removed(built, tmp_path):
    """Of 13 letters, in 5 documents."""
    corpus, texts = built
    rows = [{"id": name, "text": texts[name]} for name in texts if name != "page0"]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text, encoding="utf-8")
    other = Corpus(
        corpus.settings, str(tmp_path), str(tmp_path / "o"), make_runner(workers=1), QUIZ
    )
    other.build()
    report = other.store.read_json("contamination/report.json")["sets"]["quiz"]
    assert report["stock"] == 1 and report["shortened"] == 7 and report["removed"] == 1
