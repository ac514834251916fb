"""The character-level tokenizer of the ablation, what is kept out of its training text, and its
table.
"""

import json

import pytest

from hclx.text import load_tokenizer
from tests.benchmarks.tokenizer_ablation_report import KINDS, text_table
from tests.benchmarks.tokenizer_ablation_text import Copies, train_character_tokenizer

WORDS = ("바다가 보이는 방", "강을 건너는 다리", "비가 오는 골목길", "눈이 쌓인 지붕")


@pytest.fixture(scope="module")
def characters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("characters")
    with (folder / "text.jsonl").open("w", encoding="utf-8") as file:
        for i in range(3_000):
            rare = "\u9f98" if i == 0 else ""
            text = f"{WORDS[i % 4]}, {WORDS[i // 4 % 4]}{rare}\n"
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    train_character_tokenizer(str(folder / "text.jsonl"), folder / "tokenizer", 320)
    return load_tokenizer(folder / "tokenizer")


@pytest.mark.parametrize(
    "text",
    ["바다가 보이는 방", "\u9f98\U0001f600 \u2581 <0x41> <|endoftext|>\t\u3000끝 ", "  \n\n", ""],
)
def test_no_text_is_lost(characters, text):
    assert characters.decode(characters.encode(text)) == text
    assert characters.eod_id not in characters.encode(text)


def test_tokens_are_of_whole_characters_and_rare_ones_are_bytes(characters):
    common = [characters.decode_bytes([i]).decode() for i in characters.encode(WORDS[0])]
    assert "".join(common) == WORDS[0] and len(common) < len(WORDS[0])
    rare = [characters.decode_bytes([i]) for i in characters.encode("\u9f98")]
    assert rare == [bytes([byte]) for byte in "\u9f98".encode()]


def test_copies_are_known_by_their_letters():
    copies = Copies(["비 오는 날 골목길을 혼자 걸었다.", "좋아요!"])
    assert copies.held_by("어제는 '비 오는 날, 골목길을 혼자 걸었다'고 썼다.")
    assert copies.held_by("좋 아 요")
    assert not copies.held_by("정말 좋아요")  # short ones could be anybody's words
    assert not copies.held_by("비 오는 날 골목길을 혼자 뛰었다.")


def test_the_table_has_the_steps_that_all_tokenizers_have():
    def rows(tokenizer, step, seed, bits):
        return [
            {
                "tokenizer": tokenizer,
                "step": step,
                "seed": seed,
                "text": text,
                "bits_per_byte": bits,
                "interval": [bits - 0.1, bits + 0.1],
                "characters_per_token": 2.0,
            }
            for text in KINDS
        ]

    every = [rows(t, 100, 1, 3.0) for t in ("morphemes", "plain", "characters")]
    every += [
        rows("plain", 100, 2, 2.5),
        rows("plain", 200, 1, 2.0),
        rows("plain", 100, 3, 1.5)[1:],
    ]
    table = text_table([row for part in every for row in part])
    assert table.count("| 51,200 |") == 4 and "102,400" not in table and "1.500" not in table
    assert "| 51,200 | byte-level BPE | 2 | 2.500 [2.400, 2.600] |" in table
