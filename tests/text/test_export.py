"""Exports give the tokenizer's own ids in the libraries that they are for, on text they never
saw.
"""

import pytest

from hclx.text.export import HUGGING_FACE_FILE, TIKTOKEN_FILE, TIKTOKEN_PATTERN
from hclx.text.tokenizer import CONTROL_SYMBOLS
from tests.helpers.unicode_samples import STRANGE, random_texts


@pytest.fixture(params=["train", "plain"])
def exported(request, tokenizer_dirs, tokenizers):
    return tokenizers[request.param], tokenizer_dirs[request.param]


def hugging_face(folder):
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.Tokenizer.from_file(f"{folder}/{HUGGING_FACE_FILE}")


def tiktoken_encoding(folder):
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken.load import load_tiktoken_bpe

    ranks = load_tiktoken_bpe(f"{folder}/{TIKTOKEN_FILE}")
    special = {symbol: i for i, symbol in enumerate(CONTROL_SYMBOLS)}
    return tiktoken.Encoding(
        "hclx", pat_str=TIKTOKEN_PATTERN, mergeable_ranks=ranks, special_tokens=special
    )


def test_hugging_face_gives_the_same_ids_and_text(exported, sample_texts):
    tokenizer, folder = exported
    theirs = hugging_face(folder)
    for text in [*(t for t in STRANGE if t.isprintable() or "\x00" in t), *sample_texts]:
        # not UTF-8; spells a control symbol
        if any("\ud800" <= c < "\ue000" for c in text) or "<" in text:
            continue
        ids = tokenizer.encode(text)
        assert theirs.encode(text).ids == ids
        assert theirs.decode(ids) == text


def test_tiktoken_gives_the_same_ids_and_text(exported, sample_texts):
    tokenizer, folder = exported
    theirs = tiktoken_encoding(folder)
    for text in [*STRANGE, *random_texts(100, seed=5), *sample_texts]:
        if any("\ud800" <= c < "\ue000" for c in text):
            continue
        ids = tokenizer.encode(text)
        assert theirs.encode(text, disallowed_special=()) == ids
        assert theirs.decode(ids) == text


def test_all_three_agree_on_real_articles(exported, wiki_texts):
    tokenizer, folder = exported
    face, tik = hugging_face(folder), tiktoken_encoding(folder)
    for text in wiki_texts[:150]:
        if "<|" in text or "<pad>" in text or "<unk>" in text:
            continue
        ids = tokenizer.encode(text)
        assert face.encode(text).ids == ids
        assert tik.encode(text, disallowed_special=()) == ids
