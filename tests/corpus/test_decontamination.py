"""Evaluation items in documents: every copy is found, however it is spaced, and nothing else."""

import functools
import gzip
import itertools
import json
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from hclx.corpus import text_batch
from hclx.corpus.contamination_index import Index, write_index
from hclx.corpus.decontamination import find_items, write_report, write_verdicts
from hclx.corpus.layout import DOCUMENTS, VERDICTS, Shard
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store
from hclx.errors import DataError
from hclx.tasks.evaluation import evaluation_items
from tests.helpers.generated_corpus import sentence
from tests.helpers.held_out import held, letters

SETTINGS = ContaminationSettings()


@functools.cache
def phrases(text):
    """Every run of whole words, by their letters."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower())
    return {"".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}


def coverage(item, text, n=SETTINGS.ngram, least=SETTINGS.min_chars):
    """By sets: the share of an item's n-grams, or of its shorter texts, that are there, or whether
    the text is the item.
    """
    parts = [letters(field) for field in item]
    parts = parts if max(map(len, parts)) >= least else ["".join(parts)]
    if grams := {part[i : i + n] for part in parts for i in range(len(part) - n + 1)}:
        return sum(gram in letters(text) for gram in grams) / len(grams)
    if shorter := {part for part in parts if len(part) >= least}:
        return len(shorter & phrases(text)) / len(shorter)
    return float(parts == [letters(text)])


def units(name, item):
    """What is looked for of an item: its texts together, and each that has an n-gram."""
    long = [place for place, text in enumerate(item, 1) if len(letters(text)) >= SETTINGS.ngram]
    single = {f"{name}#{place}": (item[place - 1],) for place in long}
    return {name: item, **(single if len(long) > 1 else {})}


@pytest.fixture(scope="module")
def items():
    rng = random.Random(1)
    long = [(sentence(rng, 12), sentence(rng, 6)) for _ in range(150)]
    return {
        "long": long,
        "short": [(f"짧은 질문 번호 {i:03}",) for i in range(100)],
        "tiny": [("좋아요",), ("네",)],
    }


def index_of(items, folder) -> Index:
    store = Store(str(folder))
    write_index(items, SETTINGS, store, "key")
    return Index.read(store)


def matches(index, texts):
    return {
        (int(text), index.names[item]): share
        for text, item, share in zip(*index.search(texts, SETTINGS))
    }


def test_copies_are_found_and_nothing_else_is(items, tmp_path):
    index, rng = index_of(items, tmp_path), random.Random(2)
    clean = [sentence(rng, 40) + "\n" + sentence(rng, 40) for _ in range(200)]
    texts, planted = list(clean), set()
    for name in ("long", "short"):
        for number, item in enumerate(items[name]):
            texts.append(clean[number] + "\n" + "\n".join(item) + "\n" + clean[number + 1])
            planted.add((len(texts) - 1, f"{name}/{number}"))
    assert planted <= set(matches(index, texts)) and {
        text for text, _ in matches(index, texts)
    } == {text for text, _ in planted}
    assert matches(index, clean) == {}


def test_a_text_of_an_item_is_found_without_the_others(tmp_path):
    items = {
        "nli": [
            (
                "두 소년이 강가에서 연을 날리다가 줄을 놓쳤다.",
                "해 지는 강가에서 아이들이 밖에서 논다.",
            ),
            ("해가 진 뒤에도 시장은 붐볐다.", "시장은 밤에 문을 닫는다고 한다."),
        ]
    }
    index = index_of(items, tmp_path)
    # A text that is shorter than an n-gram does not count beside one that is not.
    assert index.names == ["nli/0", "nli/1", "nli/0#1", "nli/0#2"]
    texts = [
        "그날, 해 지는 강가에서 아이들이 밖에서 논다",
        "\n".join(items["nli"][0]),
        items["nli"][1][1],
    ]
    assert set(matches(index, texts)) == {
        *((0, "nli/0#2"), (1, "nli/0"), (1, "nli/0#1"), (1, "nli/0#2"), (2, "nli/1"))
    }
    sets = Store(str(tmp_path)).read_json("contamination/items.json")["sets"]
    assert sets == {"nli": {"items": 2, "too_short": 0}}


def test_what_stood_elsewhere_before_a_set_is_no_item_of_it(data_dir):
    """Paragraphs of Wikipedia are context, and who has read them does not know the answers."""
    items = evaluation_items(("kobest_boolq", "klue_nli"), str(data_dir))
    assert {len(item) for own in items.values() for item in own} == {1}
    assert items["kobest_boolq"][0] == ("봉룡은 숙정을 죽였는가?",)


def test_spacing_punctuation_width_and_case_hide_nothing(tmp_path):
    items = {"quiz": [("Python 3 언어로 쓴 프로그램은, 무엇이라고 부르나요?",)]}
    index = index_of(items, tmp_path)
    copies = [
        "앞말. python3언어로 쓴 프로그램은 무엇이라고 부르나요 뒷말",
        "ＰＹＴＨＯＮ ３ 언어로\n쓴\n프로그램은 「무엇이라고」 부르나요",
    ]
    assert set(matches(index, copies)) == {(0, "quiz/0"), (1, "quiz/0")}


def test_coverage_is_that_of_sets(items, tmp_path):
    index, rng, texts = index_of(items, tmp_path), random.Random(3), []
    for item in items["long"][:60]:
        whole = " ".join(item)
        texts.append(
            sentence(rng, 10)
            + " "
            + whole[rng.randrange(12) :][: rng.randrange(20, 80)]
            + " "
            + sentence(rng, 10)
        )
        texts.append(f"{whole[:25]}\n" * 4)  # again and again, it is no more of the item
    texts += [
        "짧은 질문 번호 007",
        "이것은 짧은 질문 번호 007 입니다",
        "이 짧은질문번호008!\n다른 줄",
        "또 짧은 질문 번호 009는",
        "엇짧은 질문 번호 010",
    ]
    texts += ["좋아요.", " 네!\n", "네, 좋아요", "네가", "좋아", "이건\n네\n좋아요"]
    result = matches(index, texts)
    expected = {}
    for i, text in enumerate(texts):
        for name, examples in items.items():
            for number, item in enumerate(examples):
                for unit, texts_of_unit in units(f"{name}/{number}", item).items():
                    if (share := coverage(texts_of_unit, text)) >= SETTINGS.coverage:
                        expected[i, unit] = share
    assert result == pytest.approx(expected) and 10 < len(expected) < 60


def test_items_that_could_be_anybodys_words_are_found_as_whole_documents_and_counted(
    items, tmp_path
):
    index = index_of(items, tmp_path)
    assert set(
        matches(index, ["좋아요", "네", "좋아요 좋아요", "정말 좋아요", "네\n좋아요", "네..."])
    ) == {(0, "tiny/0"), (1, "tiny/1"), (5, "tiny/1")}
    assert Store(str(tmp_path)).read_json("contamination/items.json")["sets"]["tiny"] == {
        "items": 2,
        "too_short": 2,
    }


def test_texts_of_an_item_that_are_all_too_short_are_looked_for_as_one(tmp_path):
    pairs = [
        ("몇 시야", "세 시"),
        ("너 어디 가니?", "나 집에 가"),
        ("밥을 먹었니?", "아니 아직 안 먹었어"),
        ("이름이 뭐야", "저는 노마예요", "나이는"),
    ]
    index = index_of({"quiz": pairs}, tmp_path)
    expected = {(i, f"quiz/{i}") for i in range(4)}
    # 5, 9, 5 and 8, 14 letters
    assert set(matches(index, ["\n".join(pair) for pair in pairs])) == expected
    assert set(
        matches(index, ["앞말. " + ", ".join(pair) + " 뒷말" for pair in pairs])
    ) == expected - {(0, "quiz/0")}
    assert set(matches(index, [part for pair in pairs for part in pair])) == {(5, "quiz/2")}
    sets = Store(str(tmp_path)).read_json("contamination/items.json")["sets"]
    assert sets == {"quiz": {"items": 4, "too_short": 1}}


def test_an_item_of_marks_alone_is_a_whole_document(tmp_path):
    items = {"quiz": [("^^",), ("♥ ♥ ♥",), (".~.~.~.~.~",), ("",), ("?" * 20,), ("좋아", "!!!")]}
    index = index_of(items, tmp_path)
    texts = ["^^\n", "♥♥♥", ".~.~.~.~.~", "", "?" * 20, "좋아"]
    assert set(matches(index, texts)) == {(i, f"quiz/{i}") for i in range(6) if texts[i]}
    assert matches(index, [f"이 글은 다르다 {text} 그렇다" for text in texts]) == {}


def test_letters_that_join_when_nothing_stands_between_them_are_the_same_as_when_something_does(
    tmp_path,
):
    item = "ㅋㅋ ㅠㅠ 이 영화는 ㅇ ㅏ 주 슬프다 가 ㄳ"
    index = index_of(
        {
            "quiz": [
                (item,),
                ("ㄱ ㅏ 나다라마바사아",),
                ("ㅠㅠ 나다라마바사",),
                ("가나다라마바사ㅇ ㅏ ㄳ",),
            ]
        },
        tmp_path,
    )
    copies = [
        item.replace(" ", ""),
        "-".join(item),
        item.replace(" ", " . "),
        "ㄱㅏ 나다라마바사아 하",
        unicodedata.normalize("NFD", item),
    ]
    assert matches(index, copies) == {(i, f"quiz/{int(i == 3)}"): 1 for i in range(5)}
    assert matches(index, ["이 말에 ㅠㅠ 나다라마바사", "이 말에 가나다라마바사 ㅇㅏㄳ"]) == {
        (0, "quiz/2"): 1,
        (1, "quiz/3"): 1,
    }


def test_a_file_of_the_index_that_was_lost_is_made_again(items, tmp_path):
    index_of(items, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "contamination").iterdir()}
    for path in before:
        path.unlink()
        index_of(items, tmp_path)
        assert {
            path: path.read_bytes() for path in (tmp_path / "contamination").iterdir()
        } == before


def test_an_item_shorter_than_an_ngram_is_found_as_whole_words_down_to_the_least_length(tmp_path):
    texts = ["가나다라 마바사아자차카타파"[: n + 1] for n in range(6, 14)]
    index = index_of({"quiz": [(text,) for text in texts]}, tmp_path)
    within = [
        {(i, f"quiz/{i}") for i, text in enumerate(texts) if len(letters(text)) >= least}
        for least in (0, SETTINGS.min_chars, SETTINGS.ngram)
    ]
    assert set(matches(index, texts)) == within[0]
    assert set(matches(index, [f"3. 앞 ({text})뒤 말" for text in texts])) == within[1]
    assert set(matches(index, [f"앞{text}뒤 말" for text in texts])) == within[2]


def test_no_text_and_no_match(items, tmp_path):
    index = index_of(items, tmp_path)
    assert all(len(part) == 0 for part in index.search([], SETTINGS)) and matches(index, [""]) == {}
    assert isinstance(index.size, np.ndarray)


def test_a_document_is_removed_for_its_largest_share_and_names_all_its_items(tmp_path, monkeypatch):
    monkeypatch.setattr(text_batch, "_BATCH_CHARS", 100)  # several batches
    rng, store, shard = random.Random(5), Store(str(tmp_path)), Shard("news/00000-00000", 0)
    first, second = sentence(rng, 12), sentence(rng, 12)
    texts = [
        first,
        sentence(rng, 20),
        f"{first}\n{second[:-4]}",
        sentence(rng, 30),
        f"{first[4:]}\n{second}",
        second,
    ]
    store.write_table(
        shard.file(DOCUMENTS),
        pyarrow.table({"doc_id": [str(i) for i in range(6)], "text": texts}),
        "key",
    )
    store.write_json("settings.json", {"paragraph": None, "near": None})
    # what is gone already is not judged
    rules = pyarrow.array(["too_short", *[None] * 5], pyarrow.string())
    verdict = pyarrow.table({"rule": rules, "value": np.zeros(6, np.float32)})
    store.write_table(shard.file(VERDICTS, stage="filter"), verdict, "key")
    store.write_table(shard.file(VERDICTS, stage="exact"), verdict, "key")
    quiz = {"quiz": [(first,), (second,)]}
    write_index(quiz, SETTINGS, store, "key")
    find_items(shard, store, SETTINGS, "key")
    write_verdicts(shard, [], store, SETTINGS, "key")
    verdict = store.read_table(shard.file(VERDICTS, stage="contamination")).to_pydict()
    assert verdict["items"] == [[], [], ["quiz/0", "quiz/1"], [], ["quiz/0", "quiz/1"], ["quiz/1"]]
    assert write_report([shard], quiz, store, "key")["sets"] == {
        "quiz": {
            **{"items": 2, "too_short": 0, "found": 2, "stock": 0},
            **{"documents": 3, "removed": 3, "shortened": 0},
        }
    }
    assert verdict["value"] == [0, 0, 1, 0, 1, 1] and [
        rule is not None for rule in verdict["rule"]
    ] == [bool(names) for names in verdict["items"]]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{}")])
def test_a_list_of_items_that_is_lost_is_an_error_that_names_it(items, tmp_path, damage):
    index_of(items, tmp_path)
    damage(tmp_path / "contamination" / "items.json")
    store = Store(str(tmp_path))
    for read in (lambda: Index.read(store), lambda: write_report([], items, store, "key")):
        with pytest.raises(DataError, match="contamination/items.json is missing or damaged"):
            read()


def test_the_other_judge_of_copies():
    item = ("비 오는 날에는 우산 장수가 웃는다.", "맑게 갠 아침이면 짚신을 엮어 판다!")
    assert (
        held(
            item,
            "머리말 맑게갠 아침이면 짚신을 엮어 판다. 그리고 비오는 날에는, 우산 장수가 웃는다.",
        )
        == 1
    )
    assert (
        held(item, item[0]) == 0.5
        and held(item, "웃는다 장수가 우산 날에는 오는 비") < 0.3
        and held(item, "") == 0
    )


def test_real_documents_raise_no_false_alarm_and_copies_in_them_are_found(data_dir, tmp_path):
    """Documents that are flagged hold 80% of the letters of an item; difflib, and not n-grams, says
    so.
    """
    real = evaluation_items(("nsmc", "klue_ner", "kobest_boolq", "ud_gsd"), str(data_dir))
    index, texts = index_of(real, tmp_path), []
    for source, n in (("kowiki", 1_200), ("reviews", 3_000)):
        with gzip.open(
            sorted((data_dir / "corpus" / source).glob("*.jsonl.gz"))[0], "rt", encoding="utf-8"
        ) as file:
            texts += [json.loads(line)["text"] for line in itertools.islice(file, n)]
    by_name = {
        f"{name}/{number}": item
        for name, examples in real.items()
        for number, item in enumerate(examples)
    }
    shares: dict[int, float] = {}
    for text, name in matches(index, texts):
        shares[text] = max(shares.get(text, 0), held(by_name[name], texts[text]))
    assert len(shares) >= 5 and min(shares.values()) >= 0.8, shares
    clean = [text for i, text in enumerate(texts) if i not in shares]
    names = [name for name, item in by_name.items() if len(letters(item[0])) >= SETTINGS.ngram][
        ::50
    ]
    planted = [
        clean[i] + "\n" + " ".join(by_name[name]) + "\n" + clean[-i - 1]
        for i, name in enumerate(names)
    ]
    assert {(i, name) for i, name in enumerate(names)} <= set(matches(index, planted)) and len(
        names
    ) > 200
    assert matches(index, clean) == {}
