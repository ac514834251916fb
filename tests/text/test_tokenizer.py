"""The tokenizer in use: lossless whatever the text, checked when it is loaded."""

import json
import random
import shutil

import numpy as np
import pytest
import sentencepiece

from hclx.errors import DataError
from hclx.text import StreamDecoder, load_tokenizer
from hclx.text.tokenizer import (
    BYTE_TO_CHAR,
    CONTROL_SYMBOLS,
    bytes_to_chars,
    chars_to_bytes,
    to_bytes,
    to_text,
)
from tests.helpers.unicode_samples import STRANGE, random_texts

MODES = ("train", "encode", "plain")


@pytest.mark.parametrize("mode", MODES)
def test_every_string_survives(tokenizers, sample_texts, mode):
    tokenizer = tokenizers[mode]
    for text in [*STRANGE, *sample_texts[:20], *random_texts(400, seed=1)]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("mode", MODES)
def test_every_byte_sequence_survives(tokenizers, mode):
    draw = random.Random(2)
    for data in [bytes(range(256)), *(draw.randbytes(draw.randint(0, 80)) for _ in range(300))]:
        assert tokenizers[mode].decode_bytes(tokenizers[mode].encode_bytes(data)) == data


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_its_texts_one_by_one(tokenizers, sample_texts, mode):
    texts = [*sample_texts[:50], "", "\ud800", "한"]
    assert tokenizers[mode].encode_batch(texts) == [tokenizers[mode].encode(text) for text in texts]


@pytest.mark.parametrize("mode", MODES)
def test_all_256_bytes_are_tokens_and_the_vocabulary_is_as_asked(tokenizers, mode):
    tokenizer = tokenizers[mode]
    single = {tokenizer.decode_bytes([i]) for i in range(tokenizer.vocab_size)}
    assert {bytes([b]) for b in range(256)} <= single
    assert tokenizer.vocab_size == 1024 and tokenizer.vocab_size % 128 == 0


def test_control_symbols_are_never_produced_by_text(tokenizers):
    for mode in MODES:
        for symbol in CONTROL_SYMBOLS:
            assert min(tokenizers[mode].encode(f"가{symbol}나{symbol}")) >= len(CONTROL_SYMBOLS)
        assert tokenizers[mode].decode([tokenizers[mode].eod_id]) == ""


@pytest.mark.parametrize("mode", MODES)
def test_ids_are_those_of_sentencepiece(tokenizers, sample_texts, mode):
    """The model belongs to sentencepiece, whose op encodes in TensorFlow's graph."""
    tokenizer = tokenizers[mode]
    oracle = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    draw = random.Random(4)
    tokens = [tokenizer.decode_bytes([i]) for i in range(len(CONTROL_SYMBOLS), 1024)]
    data = [
        *map(to_bytes, [*STRANGE, *sample_texts, *random_texts(300, seed=6)]),
        *tokens,  # each, which tiktoken looks up in one step, is also what its merges make
        *(b"".join(draw.choices(tokens, k=draw.randint(1, 300))) for _ in range(300)),
        *(draw.randbytes(draw.randint(0, 2000)) for _ in range(100)),
    ]
    for some in data:
        assert tokenizer.encode_bytes(some) == oracle.encode(bytes_to_chars(some), out_type=int)


@pytest.mark.parametrize("wrong", [-1, -1024, 1024, 10**9])
def test_ids_out_of_the_vocabulary_are_refused_with_their_position(tokenizers, wrong):
    tokenizer = tokenizers["train"]
    ids = tokenizer.encode("가나다")
    message = rf"id {wrong} at position {len(ids)} of {len(ids) + 1} .*0 to 1023"
    for decode in (tokenizer.decode, tokenizer.decode_bytes, StreamDecoder(tokenizer).feed):
        with pytest.raises(IndexError, match=message):
            decode(iter([*ids, wrong]))
        with pytest.raises(IndexError, match=message):
            decode(np.array([*ids, wrong]))
    assert (
        tokenizer.decode([]) == tokenizer.decode(iter(())) == tokenizer.decode(np.array([])) == ""
    )


def test_alphabet_is_a_bijection_without_characters_that_tools_treat_specially():
    assert len(set(BYTE_TO_CHAR)) == 256
    assert chars_to_bytes(bytes_to_chars(bytes(range(256)))) == bytes(range(256))
    assert all(c.isprintable() and not c.isspace() and c != "\u2581" for c in BYTE_TO_CHAR)


def test_text_and_bytes():
    assert to_bytes("가\ud800") == "가".encode() + b"\xed\xa0\x80"
    assert to_text(to_bytes("가\ud800나")) == "가\ud800나"
    assert to_text(b"\xea\xb0") == "\ufffd"


def test_piece_bytes_add_up_to_the_text(tokenizers, sample_texts):
    for mode in MODES:
        sizes = tokenizers[mode].token_bytes()
        for text in sample_texts[:5]:
            assert sizes[tokenizers[mode].encode(text)].sum() == len(text.encode())


def test_stream_decoder_gives_whole_characters_only(tokenizers):
    tokenizer = tokenizers["train"]
    text = "훈민정음 👨‍👩‍👧 ᄊᆞᆷ"
    for ids in (
        [tokenizer.encode_bytes(bytes([b]))[0] for b in text.encode()],
        tokenizer.encode(text),
    ):
        decoder, characters = StreamDecoder(tokenizer), []
        for token in ids:
            characters.append(decoder.feed(token))
            assert "\ufffd" not in characters[-1]
        assert "".join(characters) + decoder.flush() == text
    decoder = StreamDecoder(tokenizer)
    assert decoder.feed(tokenizer.encode_bytes(b"\xea\xb0")) == "" and decoder.flush() == "\ufffd"


def test_modes_differ_where_they_should(tokenizers, sample_texts):
    assert len({t.fingerprint for t in tokenizers.values()}) == 3
    assert any(
        tokenizers["train"].encode(t) != tokenizers["encode"].encode(t) for t in sample_texts
    )


class TestLoading:
    @pytest.fixture()
    def folder(self, tokenizer_dirs, tmp_path):
        return shutil.copytree(tokenizer_dirs["encode"], tmp_path / "tokenizer")

    def edit(self, folder, **changes):
        path = folder / "hclx_tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match="does not exist.*train_tokenizer"):
            load_tokenizer(tmp_path / "nothing")

    def test_one_flipped_bit_in_the_model(self, folder):
        data = bytearray((folder / "tokenizer.model").read_bytes())
        data[len(data) // 2] ^= 1
        (folder / "tokenizer.model").write_bytes(data)
        with pytest.raises(DataError, match="is not the file"):
            load_tokenizer(folder)

    def test_damaged_metadata(self, folder):
        (folder / "hclx_tokenizer.json").write_text("{")
        with pytest.raises(DataError, match="damaged"):
            load_tokenizer(folder)

    def test_format_of_a_later_version(self, folder):
        self.edit(folder, format=99)
        with pytest.raises(DataError, match="format 99"):
            load_tokenizer(folder)

    def test_another_version_of_the_analyser_is_refused_where_it_would_change_ids(self, folder):
        self.edit(folder, cutter="kiwi 0.0.1")
        with pytest.raises(DataError, match="kiwi 0.0.1.*install the version"):
            load_tokenizer(folder).encode("아버지가")

    def test_another_vocabulary_than_the_model_was_trained_with(self, folder, tokenizers):
        with pytest.raises(DataError, match="not the vocabulary"):
            load_tokenizer(folder, fingerprint=tokenizers["train"].fingerprint)
        assert load_tokenizer(folder, fingerprint=tokenizers["encode"].fingerprint)
