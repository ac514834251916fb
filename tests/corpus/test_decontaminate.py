"""Evaluation items in documents: every copy is found, however it is spaced, and nothing else."""

import random

import numpy as np
import pytest

from hclx.corpus.decontaminate import Index, write_index
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store
from tests.corpus.small import sentence

SETTINGS = ContaminationSettings()


def letters(text):
    import unicodedata

    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if unicodedata.category(c)[0] in "LMN")


def coverage(item, text, n=SETTINGS.ngram):
    """By sets: the share of an item's n-grams, or whether it is a whole line."""
    grams = {part[i : i + n] for field in item for part in [letters(field)] for i in range(len(part) - n + 1)}
    lines = {part for field in item for part in [letters(field)] if SETTINGS.min_chars <= len(part) < n}
    if not grams and not lines:
        return 0.0
    whole, own = letters(text), {letters(line) for line in text.split("\n")}
    return (sum(gram in whole for gram in grams) + len(lines & own)) / (len(grams) + len(lines))


@pytest.fixture(scope="module")
def items():
    rng = random.Random(1)
    long = [(sentence(rng, 12), sentence(rng, 6)) for _ in range(150)]
    return {"long": long, "short": [(f"짧은 질문 번호 {i:03}",) for i in range(100)], "tiny": [("좋아요",), ("네",)]}


def index_of(items, folder) -> Index:
    store = Store(str(folder))
    write_index(items, SETTINGS, store, "key")
    return Index.read(store)


def found(index, texts):
    return {(int(text), index.names[item]): share for text, item, share in zip(*index.search(texts, SETTINGS))}


def test_copies_are_found_and_nothing_else_is(items, tmp_path):
    index, rng = index_of(items, tmp_path), random.Random(2)
    clean = [sentence(rng, 40) + "\n" + sentence(rng, 40) for _ in range(200)]
    texts, planted = list(clean), set()
    for name in ("long", "short"):
        for number, item in enumerate(items[name]):
            texts.append(clean[number] + "\n" + "\n".join(item) + "\n" + clean[number + 1])
            planted.add((len(texts) - 1, f"{name}/{number}"))
    assert planted <= set(found(index, texts)) and {text for text, _ in found(index, texts)} == {text for text, _ in planted}
    assert found(index, clean) == {}


def test_spacing_punctuation_width_and_case_hide_nothing(tmp_path):
    items = {"quiz": [("Python 3 언어로 쓴 프로그램은, 무엇이라고 부르나요?",)]}
    index = index_of(items, tmp_path)
    copies = ["앞말. python3언어로 쓴 프로그램은 무엇이라고 부르나요 뒷말", "ＰＹＴＨＯＮ ３ 언어로\n쓴\n프로그램은 「무엇이라고」 부르나요"]
    assert set(found(index, copies)) == {(0, "quiz/0"), (1, "quiz/0")}


def test_coverage_is_that_of_sets(items, tmp_path):
    index, rng, texts = index_of(items, tmp_path), random.Random(3), []
    for item in items["long"][:60]:
        whole = " ".join(item)
        texts.append(sentence(rng, 10) + " " + whole[rng.randrange(12) :][: rng.randrange(20, 80)] + " " + sentence(rng, 10))
    texts += ["짧은 질문 번호 007", "이것은 짧은 질문 번호 007 입니다", "짧은질문번호008!\n다른 줄"]
    result = found(index, texts)
    expected = {}
    for i, text in enumerate(texts):
        for name, examples in items.items():
            for number, item in enumerate(examples):
                if (share := coverage(item, text)) >= SETTINGS.coverage:
                    expected[i, f"{name}/{number}"] = share
    assert result == pytest.approx(expected) and 10 < len(expected) < 60


def test_items_that_could_be_anybodys_words_are_counted_and_not_looked_for(items, tmp_path):
    index = index_of(items, tmp_path)
    assert found(index, ["좋아요", "네"]) == {}
    assert Store(str(tmp_path)).read_json("contamination/items.json")["sets"]["tiny"] == {"items": 2, "too_short": 2}


def test_no_text_and_no_match(items, tmp_path):
    index = index_of(items, tmp_path)
    assert all(len(part) == 0 for part in index.search([], SETTINGS)) and found(index, [""]) == {}
    assert isinstance(index.size, np.ndarray)
