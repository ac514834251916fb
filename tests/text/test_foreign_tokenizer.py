"""Tokenizers of other models: the ids of the library, every byte back, whole characters in a
stream, and no text that becomes a special token.
"""

import json
import shutil
import unicodedata

import numpy as np
import pytest

from hclx.errors import DataError
from hclx.text import load_tokenizer
from hclx.text.tokenizer import StreamDecoder
from tests.helpers.foreign_tokenizers import KINDS, LOSSY, TEXTS, save_tokenizer

tokenizers = pytest.importorskip("tokenizers")
LOSSLESS = [name for name in KINDS if name not in LOSSY]
EVERY_KIND = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_tokenizer(name, tmp_path_factory.mktemp("tokenizer")) for name in KINDS}


@pytest.fixture(scope="module")
def loaded(folders):
    return {name: load_tokenizer(folder) for name, folder in folders.items()}


@EVERY_KIND
def test_ids_are_those_of_transformers(name, folders, loaded, sample_texts):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(folders[name])
    texts = [*TEXTS, *sample_texts[:50]]
    expected = [theirs(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert [loaded[name].encode(text) for text in texts] == expected
    assert loaded[name].encode_batch(texts) == expected
    assert loaded[name].eod_id == theirs.eos_token_id
    assert loaded[name].vocab_size == len(theirs)


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_text_is_decoded_to_itself(name, loaded, sample_texts):
    tokenizer = loaded[name]
    for text in [*TEXTS, *sample_texts[:50]]:
        expected = unicodedata.normalize("NFC", text) if name == "Qwen" else text
        if name in ("Metaspace", "Unigram"):  # which put no space before one
            expected = expected.removeprefix(" ")
        assert tokenizer.decode(tokenizer.encode(text)) == expected


@pytest.mark.parametrize("name", LOSSY)
def test_a_character_that_is_no_token_is_lost_without_byte_fallback(name, loaded):
    assert loaded[name].decode(loaded[name].encode("가나 🙂 다라")) == "가나  다라"


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_stream_has_whole_characters_alone(name, loaded):
    tokenizer = loaded[name]
    text = "값은 🙂 뷁 漢字!"
    ids = tokenizer.encode(text)
    stream = StreamDecoder(tokenizer)
    parts = [stream.feed(i) for i in ids] + [stream.flush()]
    assert "".join(parts).removeprefix(" ") == text and "\ufffd" not in "".join(parts)
    assert "" in parts[:-1]  # some character is split over tokens
    stream = StreamDecoder(tokenizer)
    first = next(n for n, part in enumerate(parts) if part == "")
    assert [stream.feed(i) for i in ids[: first + 1]][-1] == "" and stream.flush() == "\ufffd"


@EVERY_KIND
def test_a_text_that_spells_a_special_token_is_text(name, loaded, folders):
    tokenizer = loaded[name]
    content = json.loads((folders[name] / "tokenizer.json").read_text())
    special = {t["content"]: t["id"] for t in content["added_tokens"] if t["special"]}
    assert special
    for token, token_id in special.items():
        ids = tokenizer.encode(f"가나 {token} 다라")
        assert token_id not in ids or (name in LOSSY and token == "<unk>")
        if name not in LOSSY:
            assert tokenizer.decode(ids) == f"가나 {token} 다라"
        assert tokenizer.decode([token_id]) == "" and tokenizer.token_bytes()[token_id] == 0


def test_added_tokens_that_are_not_special_are_text_of_one_token(loaded):
    tokenizer = loaded["Qwen"]
    ids = tokenizer.encode("가<tool_call>나")
    assert len([i for i in ids if tokenizer.decode([i]) == "<tool_call>"]) == 1
    assert tokenizer.decode(ids) == "가<tool_call>나"


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("GPT-2", "<|endoftext|>"),
        ("Llama 3", "<|begin_of_text|>"),
        ("Qwen", "<|im_end|>"),
        ("Llama 2", "<s>"),
        ("Unigram", "<s>"),
    ],
)
def test_a_prompt_begins_as_the_file_says(name, begin, loaded):
    """With the token that its post-processor puts before a text, or else that of the end."""
    library = loaded[name]._tokenizer
    assert loaded[name].begin_ids == [library.token_to_id(begin)]


def test_a_prompt_begins_as_the_configuration_says(tmp_path):
    asked = {"add_bos_token": True, "bos_token": {"content": "<|begin_of_text|>"}}
    folder = save_tokenizer("GPT-2", tmp_path / "a", **asked)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.begin_ids == [0] and tokenizer.eod_id == 1
    folder = save_tokenizer("GPT-2", tmp_path / "b", **{**asked, "add_bos_token": False})
    assert load_tokenizer(folder).begin_ids == [1]


def test_token_bytes_are_those_of_the_decoded_tokens(loaded):
    for tokenizer in loaded.values():
        lengths = [len(tokenizer.decode_bytes([i])) for i in range(tokenizer.vocab_size)]
        np.testing.assert_array_equal(tokenizer.token_bytes(), lengths)
        with pytest.raises(IndexError, match="is not in the vocabulary"):
            tokenizer.decode([tokenizer.vocab_size])


def edit(folder, file="tokenizer.json", change=lambda content: None):
    path = folder / file
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def swap_two(content):
    vocab = content["model"]["vocab"]
    a, b = [token for token in vocab if token not in ("<|endoftext|>", "<|begin_of_text|>")][:2]
    vocab[a], vocab[b] = vocab[b], vocab[a]


CHANGES = {
    "a vocabulary": ("tokenizer.json", swap_two),
    "merges": ("tokenizer.json", lambda c: c["model"]["merges"].pop()),
    "how text is split": (
        "tokenizer.json",
        lambda c: c["pre_tokenizer"].update(use_regex=False),
    ),
    "an added token": (
        "tokenizer.json",
        lambda c: c["added_tokens"].append(
            {**c["added_tokens"][0], "id": len(c["model"]["vocab"]), "content": "<x>"}
        ),
    ),
    "the end": (
        "tokenizer_config.json",
        lambda c: c.update(eos_token="<|begin_of_text|>"),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_another_file_has_another_fingerprint(kind, folders, loaded, tmp_path):
    folder = shutil.copytree(folders["GPT-2"], tmp_path / "tokenizer")
    assert load_tokenizer(folder).fingerprint == loaded["GPT-2"].fingerprint
    edit(folder, *CHANGES[kind])
    assert load_tokenizer(folder).fingerprint != loaded["GPT-2"].fingerprint
    with pytest.raises(DataError, match="is not the vocabulary that the model was trained with"):
        load_tokenizer(folder, loaded["GPT-2"].fingerprint)


def test_a_template_of_chats_is_no_part_of_the_ids(folders, loaded, tmp_path):
    folder = shutil.copytree(folders["GPT-2"], tmp_path / "tokenizer")
    edit(folder, "tokenizer_config.json", lambda c: c.update(chat_template="{{ messages }}"))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.fingerprint == loaded["GPT-2"].fingerprint
    assert tokenizer.chat_template == "{{ messages }}"
    several = [{"name": "rag", "template": "b"}, {"name": "default", "template": "a"}]
    edit(folder, "tokenizer_config.json", lambda c: c.update(chat_template=several))
    assert load_tokenizer(folder).chat_template == "a"
    (folder / "chat_template.jinja").write_text("{{ 안녕 }}", encoding="utf-8")
    assert load_tokenizer(folder).chat_template == "{{ 안녕 }}"


def test_ids_may_have_gaps(folders, tmp_path):
    folder = shutil.copytree(folders["GPT-2"], tmp_path / "tokenizer")
    vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    last = max(vocab, key=vocab.get)
    edit(folder, change=lambda content: content["model"]["vocab"].update({last: 450}))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.vocab_size == 451 == len(tokenizer.token_bytes())
    assert tokenizer.decode([vocab[last]]) == "" != tokenizer.decode([450])
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_added_token_has_the_id_that_the_file_says(folders, tmp_path):
    folder = shutil.copytree(folders["GPT-2"], tmp_path / "tokenizer")
    token = {"id": 450, "content": "<far>", "special": False, "single_word": False}
    token |= {"lstrip": False, "rstrip": False, "normalized": False}
    edit(folder, change=lambda content: content["added_tokens"].append(token))
    with pytest.raises(DataError, match="'<far>' has id 450, .* gives it "):
        load_tokenizer(folder)


def test_the_end_of_a_document_may_be_named_elsewhere(tmp_path):
    folder = save_tokenizer("GPT-2", tmp_path / "a", eos_token=None)
    begin = {"eos_token": {"content": "<|begin_of_text|>"}}
    (folder / "config.json").write_text('{"eos_token_id": 5}')
    assert load_tokenizer(folder).eod_id == 5
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert load_tokenizer(folder).eod_id == 7
    (folder / "special_tokens_map.json").write_text(json.dumps(begin))
    assert load_tokenizer(folder).eod_id == 0
    edit(folder, "tokenizer_config.json", lambda c: c.update(eos_token="<|endoftext|>"))
    assert load_tokenizer(folder).eod_id == 1


def word_piece():
    from tokenizers import decoders, models

    tokenizer = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "[EOS]": 1}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def words():
    return tokenizers.Tokenizer(tokenizers.models.WordLevel({"[EOS]": 0, "가": 1}, "[EOS]"))


@pytest.mark.parametrize("make", [word_piece, words])
def test_a_kind_that_loses_bytes_is_refused(make, tmp_path):
    make().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="neither byte-level nor with byte fallback"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "Other"}}', "\xff"])
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="tokenizer.json cannot be read"):
        load_tokenizer(tmp_path)


def test_a_folder_without_an_end_is_refused(tmp_path):
    folder = save_tokenizer("GPT-2", tmp_path / "a", eos_token=None)
    edit(folder, change=lambda c: c["added_tokens"].pop())
    edit(
        folder,
        change=lambda c: c["model"]["vocab"].update(
            {"<|x|>": c["model"]["vocab"].pop("<|endoftext|>")}
        ),
    )
    with pytest.raises(DataError, match="no token ends a document; write `eos_token`"):
        load_tokenizer(folder)
