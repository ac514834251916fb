"""Texts that ended the process, or took the square of their length: each trains a tokenizer, is
encoded, and comes back.
"""

import random
import time
from collections import Counter

import pytest

from hclx.text import train_tokenizer
from hclx.text.pretokenizers import shared_pretokenizer
from hclx.text.tokenizer import to_bytes
from hclx.text.training import MAX_CHUNK_BYTES, count_chunks
from tests.helpers.timing import cpu_seconds
from tests.helpers.unicode_samples import LONG_RUNS

MODES = ("train", "encode", "plain")
ALPHABETS = {
    "digits": "0123456789",
    "spaces": " ",
    "newlines": "\n",
    "latin": "abcdefghijklmnopqrstuvwxyz",
    "hangul": "".join(map(chr, range(0xAC00, 0xAC00 + 600))),
    "jamo": "ㄱㄴㅋㅎㅏㅑ",
    "punctuation": "-._%+!?,",
    "emoji": "😀👍🏽👩\u200d",
    "combining": "e\u0301\u0302",
}


@pytest.mark.parametrize("morphemes", ["merges", "none"])
def test_a_long_run_does_not_end_the_training(tmp_path, sample_texts, morphemes):
    texts = [*sample_texts[:20], *(f"앞{run}뒤" for run in LONG_RUNS.values())]
    tokenizer = train_tokenizer(
        texts, tmp_path / "t", vocab_size=512, morphemes=morphemes, workers=1
    )
    assert tokenizer.metadata["documents"] == len(texts)
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("mode", MODES)
def test_a_long_run_comes_back(tokenizers, mode):
    for run in LONG_RUNS.values():
        text = f"앞{run}뒤"
        assert tokenizers[mode].decode(tokenizers[mode].encode(text)) == text


def test_one_syllable_for_a_megabyte_trains_without_morphemes(tmp_path, sample_texts):
    text = "가" * (1_000_000 // 3)
    tokenizer = train_tokenizer([*sample_texts, text], tmp_path / "t", vocab_size=512, mode="plain")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_parts_of_a_long_chunk_are_counted_and_shorter_chunks_stay_whole():
    for char, n in (("\n", 70_001), ("가", 30_000), ("\U0001f44d", 1_000), ("\ud800", 1_000)):
        counts = count_chunks([char * n], "none" if char != "\n" else "merges")
        assert sum(len(chunk) * count for chunk, count in counts.items()) == n
        longest = max(len(to_bytes(chunk)) for chunk in counts)
        assert MAX_CHUNK_BYTES - 4 < longest <= MAX_CHUNK_BYTES
    whole = "a" * MAX_CHUNK_BYTES
    assert count_chunks([whole, f"{whole}b"], "none") == Counter({whole: 2, "b": 1})


@pytest.mark.long
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_time_grows_with_the_length_of_a_run(tokenizers, alphabet):
    """Four times the text takes at most six times the time; below a tenth of a second it may take
    more.
    """
    draw = random.Random(0)
    text = "".join(draw.choices(ALPHABETS[alphabet], k=64_000))
    functions = [
        shared_pretokenizer("merges").split,
        shared_pretokenizer("none").split,
        *(tokenizers[mode].encode for mode in ("train", "plain")),  # "encode" is the first and this
    ]
    for function in functions:
        assert cpu_seconds(function, text) < max(6 * cpu_seconds(function, text[:16_000]), 0.1)
    for tokenizer in tokenizers.values():
        ids = tokenizer.encode(text)
        begin = time.process_time()
        assert tokenizer.decode(ids) == text
        assert time.process_time() - begin < 0.5
