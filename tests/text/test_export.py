"""Exports give the tokenizer's own ids in the libraries that they are for, on text they never
saw.
"""

import shutil

import pytest

from hclx.errors import DataError
from hclx.text import load_tokenizer
from hclx.text.export import HUGGING_FACE_FILE, TIKTOKEN_FILE, TIKTOKEN_PATTERN
from hclx.text.tokenizer import CONTROL_SYMBOLS
from tests.helpers.unicode_samples import LONG_RUNS, STRANGE, random_texts

# Every control symbol, and what other tokenizers have in their place.
SYMBOLS = "앞 " + " 뒤 ".join([*CONTROL_SYMBOLS, "<s>", "</s>", "<mask>", "[CLS]"]) + "끝"
TEXTS = [
    text
    for text in [*STRANGE, SYMBOLS, *CONTROL_SYMBOLS, *LONG_RUNS.values()]
    if not any("\ud800" <= char < "\ue000" for char in text)  # not UTF-8
]


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


def transformers(folder):
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)


def test_hugging_face_gives_the_same_ids_and_text(exported, sample_texts):
    tokenizer, folder = exported
    theirs = hugging_face(folder)
    for text in [*TEXTS, *sample_texts]:
        ids = tokenizer.encode(text)
        assert theirs.encode(text).ids == ids
        assert theirs.decode(ids) == theirs.decode(ids, skip_special_tokens=False) == text


def test_transformers_gives_the_same_ids_and_text(exported, sample_texts):
    tokenizer, folder = exported
    theirs = transformers(folder)
    for text in [*TEXTS, *sample_texts[:20]]:
        ids = tokenizer.encode(text)
        assert theirs(text).input_ids == ids
        assert theirs.decode([*ids, tokenizer.eod_id, 0], skip_special_tokens=True) == text
    assert (theirs.eos_token_id, theirs.pad_token_id) == (tokenizer.eod_id, tokenizer.pad_id)
    assert len(theirs) == tokenizer.vocab_size
    assert theirs(["가나다라", "가"], padding=True).input_ids[1][-1] == tokenizer.pad_id


def test_tiktoken_gives_the_same_ids_and_text(exported, sample_texts):
    tokenizer, folder = exported
    theirs = tiktoken_encoding(folder)
    for text in [*TEXTS, *random_texts(100, seed=5), *sample_texts]:
        if any("\ud800" <= c < "\ue000" for c in text):
            continue
        ids = tokenizer.encode(text)
        assert theirs.encode(text, disallowed_special=()) == theirs.encode_ordinary(text) == ids
        assert theirs.decode(ids) == text


def test_all_agree_on_real_articles(exported, wiki_texts):
    tokenizer, folder = exported
    face, tik = hugging_face(folder), tiktoken_encoding(folder)
    for text in wiki_texts[:150]:
        ids = tokenizer.encode(text)
        assert face.encode(text).ids == ids
        assert tik.encode_ordinary(text) == ids


@pytest.mark.parametrize("name", [HUGGING_FACE_FILE, TIKTOKEN_FILE])
def test_an_export_that_was_changed_is_found_when_the_tokenizer_is_loaded(
    name, tokenizer_dirs, tmp_path
):
    folder = shutil.copytree(tokenizer_dirs["train"], tmp_path / "tokenizer")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name} is not the file.*get the folder again"):
        load_tokenizer(folder)
    (folder / name).unlink()
    assert load_tokenizer(folder).encode("가")
