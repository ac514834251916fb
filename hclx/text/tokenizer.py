"""The tokenizer in use: lossless byte-level BPE, loaded from its folder and checked.

Its merges were learnt by sentencepiece within morphemes, or within words; `hclx.text.pretokenizers`
lists the three settings. tiktoken applies them, to the same ids as sentencepiece in half the time.
Where text is also split at morphemes when it is encoded, the version of the analyser must
be the one that the tokenizer was trained with.
"""

import codecs
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hclx.errors import DataError
from hclx.text.pretokenizers import MORPHEMES_OF, Pretokenizer, shared_pretokenizer

MODEL_FILE = "tokenizer.model"
METADATA_FILE = "hclx_tokenizer.json"
# Alone, this file is the tokenizer of another model, whose metadata has this mode.
FOREIGN_FILE, FOREIGN_MODE = "tokenizer.json", "foreign"
FORMAT = 1
PAD_ID, EOD_ID, UNK_ID = 0, 1, 2  # unk is never produced: all 256 bytes are tokens
CONTROL_SYMBOLS = ("<pad>", "<|endoftext|>", "<unk>", *(f"<|reserved_{i}|>" for i in range(61)))


class Tokenizer:
    """Encodes text to ids and decodes them again. Every string and every sequence of bytes is
    decoded to itself.

    Attributes:
      vocab_size: tokens, control symbols included.
      morphemes: where morpheme boundaries apply; see `hclx.text.pretokenizers`.
      metadata: the content of the folder's `hclx_tokenizer.json`.
      model: the serialised sentencepiece model.
    """

    pad_id, eod_id = PAD_ID, EOD_ID
    begin_ids = [EOD_ID]  # before every document, and so before a prompt

    def __init__(self, model: bytes, metadata: dict):
        """Takes the content of a folder; `load_tokenizer` reads and checks it."""
        import sentencepiece
        import tiktoken

        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.model, self.metadata = model, metadata
        self.morphemes = MORPHEMES_OF[metadata["mode"]]
        self.vocab_size, first = processor.get_piece_size(), len(CONTROL_SYMBOLS)
        pieces = processor.id_to_piece(range(first, self.vocab_size))
        self._tokens = [*([b""] * first), *map(chars_to_bytes, pieces)]
        self._merges = tiktoken.Encoding(
            "hclx",
            pat_str="(?s).+",
            mergeable_ranks={token: i for i, token in enumerate(self._tokens) if token},
            special_tokens={},  # none, so that no text is encoded to one
        )

    @property
    def splits_text(self) -> bool:
        """Returns whether text is split at morphemes before it is encoded."""
        return self.morphemes == "merges_and_text"

    @property
    def fingerprint(self) -> str:
        """A SHA-256, in hexadecimal, that changes whenever the same text could be encoded to other
        ids.
        """
        pretokenizer = self.metadata["cutter"] if self.splits_text else ""
        return hashlib.sha256(
            f"{self.metadata['model_sha256']} {self.splits_text} {pretokenizer}".encode()
        ).hexdigest()

    @functools.cached_property
    def _pretokenizer(self) -> Pretokenizer:
        pretokenizer = shared_pretokenizer(self.morphemes)
        if pretokenizer.identity != self.metadata["cutter"]:
            raise DataError(
                f"this tokenizer splits text with {self.metadata['cutter']}, but"
                f" {pretokenizer.identity} is installed and may split elsewhere; install the"
                " version that it was trained with"
            )
        return pretokenizer

    def encode(self, text: str) -> list[int]:
        """Encodes a text, and adds no end-of-document token. A text that spells a control symbol is
        encoded as its characters.

        Raises:
          DataError: text is split at morphemes, and another version of the analyser is installed.
        """
        return self._encode_split(text) if self.splits_text else self.encode_bytes(to_bytes(text))

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Encodes each text as `encode` does."""
        return [self.encode(text) for text in texts]

    def encode_bytes(self, data: bytes) -> list[int]:
        """Encodes any bytes, without splitting them first."""
        # Of its methods this one alone takes bytes that are not UTF-8; it panics at no bytes.
        return self._merges._encode_single_piece(data) if data else []

    def _encode_split(self, text: str) -> list[int]:
        ids = []
        for chunk in self._pretokenizer.split(text):
            ids += self.encode_bytes(to_bytes(chunk))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes ids to text. Control symbols have no text, and invalid UTF-8 becomes U+FFFD.

        Args:
          ids: integers, each at least 0 and less than `vocab_size`.
        Raises:
          IndexError: names an id that is not in the vocabulary, and its position.
        """
        return to_text(self.decode_bytes(ids))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decodes ids to bytes, which need not be valid UTF-8. Control symbols give none.

        Args:
          ids: as in `decode`.
        Raises:
          IndexError: names an id that is not in the vocabulary, and its position.
        """
        ids = list(ids)
        if ids and not 0 <= min(ids) <= max(ids) < self.vocab_size:
            position = next(p for p, i in enumerate(ids) if not 0 <= i < self.vocab_size)
            raise IndexError(
                f"id {ids[position]} at position {position} of {len(ids)} is not in the vocabulary"
                f" (0 to {self.vocab_size - 1}); give ids that this tokenizer made"
            )
        return b"".join([self._tokens[i] for i in ids])

    def token_bytes(self) -> np.ndarray:
        """Returns uint8 [vocab]: the length in bytes of each token, 0 for control symbols."""
        return np.array([len(token) for token in self._tokens], np.uint8)


class StreamDecoder:
    """Decodes ids as they arrive and returns whole characters only."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: int | Iterable[int]) -> str:
        """Returns the characters that these ids complete, "" if none; invalid UTF-8 becomes U+FFFD.

        Args:
          ids: the next ids, or one as an `int` of Python.
        """
        return self._decoder.decode(
            self._tokenizer.decode_bytes([ids] if isinstance(ids, int) else ids)
        )

    def flush(self) -> str:
        """Ends the stream; returns U+FFFD if its last character was never completed, else ""."""
        return self._decoder.decode(b"", final=True)


def has_tokenizer(directory: str | Path) -> bool:
    """Returns whether a folder holds a tokenizer, our own or that of another model."""
    directory = Path(directory)
    return any((directory / name).is_file() for name in (METADATA_FILE, FOREIGN_FILE))


def load_tokenizer(directory: str | Path, fingerprint: str | None = None) -> Tokenizer:
    """Loads a tokenizer from its folder: our own, or else the tokenizer.json of another model, as
    `hclx.text.foreign_tokenizer.ForeignTokenizer`, which has the same methods.

    Args:
      directory: the folder.
      fingerprint: if given, that of the tokenizer that a checkpoint or cache was made with.
    Raises:
      DataError: a file is missing or damaged, was made by a later version of hclx, or the
        fingerprint is another.
    """
    directory = Path(directory)
    if not (directory / METADATA_FILE).is_file() and (directory / FOREIGN_FILE).is_file():
        from hclx.text.foreign_tokenizer import ForeignTokenizer  # its library is an extra

        tokenizer = ForeignTokenizer(directory)
    else:
        tokenizer = _load_own(directory)
    if fingerprint not in (None, tokenizer.fingerprint):
        raise DataError(
            f"{directory} is not the vocabulary that the model was trained with"
            f" ({tokenizer.fingerprint[:12]}, the model's is {fingerprint[:12]}); name the"
            " model's own folder"
        )
    return tokenizer


def _load_own(directory: Path) -> Tokenizer:
    try:
        metadata = json.loads((directory / METADATA_FILE).read_text(encoding="utf-8"))
        model = (directory / MODEL_FILE).read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} does not exist; train a tokenizer with hclx train_tokenizer"
        ) from error
    except ValueError as error:
        raise DataError(f"{directory / METADATA_FILE} is damaged: {error}") from error
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{directory / METADATA_FILE} has format {metadata.get('format')}, not {FORMAT}"
        )
    if hashlib.sha256(model).hexdigest() != metadata.get("model_sha256"):
        raise DataError(
            f"{directory / MODEL_FILE} is not the file that {METADATA_FILE} describes; get the"
            " folder again"
        )
    for name, digest in metadata.get("exports_sha256", {}).items():  # older folders have none
        path = directory / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise DataError(
                f"{path} is not the file that {METADATA_FILE} describes, and could give other ids;"
                " get the folder again, or remove this file, which hclx does not need"
            )
    return Tokenizer(model, metadata)


@functools.lru_cache(maxsize=1)
def shared_tokenizer(directory: str, fingerprint: str | None = None) -> Tokenizer:
    """Loads a tokenizer once a process, for functions that run in worker processes; the process
    keeps it until another one is asked for.

    Args and errors are those of `load_tokenizer`. With the fingerprint, a folder that was replaced
    meanwhile is noticed.
    """
    return load_tokenizer(directory, fingerprint)


# Byte-level alphabet: one printable character for each of the 256 bytes, so that tools made for
# characters can learn byte-level BPE. The table is GPT-2's (Radford et al. 2019, section 2.2),
# which the byte-level decoders of other libraries expect: a printable Latin-1 byte maps to its own
# character, every other byte to a character from U+0100 on. The table holds no space, no control
# character and not U+2581, which sentencepiece keeps for itself.
_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]


def _table() -> list[str]:
    others = iter(range(256, 512))
    return [chr(byte) if byte in _PRINTABLE else chr(next(others)) for byte in range(256)]


BYTE_TO_CHAR: list[str] = _table()
CHAR_TO_BYTE: dict[str, int] = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}
_CODES = np.array([ord(char) for char in BYTE_TO_CHAR], "<u4")


def to_bytes(text: str) -> bytes:
    """Encodes text as UTF-8. A lone surrogate, for which UTF-8 has no bytes, becomes the three
    bytes that its code point would have.
    """
    return text.encode("utf-8", errors="surrogatepass")


def to_text(data: bytes) -> str:
    """Inverts `to_bytes`; bytes that are no such encoding become U+FFFD."""
    try:
        return data.decode("utf-8", errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", errors="replace")


def bytes_to_chars(data: bytes) -> str:
    """Maps each byte to its character in the byte-level alphabet."""
    return _CODES[np.frombuffer(data, np.uint8)].tobytes().decode("utf-32-le")


def chars_to_bytes(chars: str) -> bytes:
    """Inverts `bytes_to_chars`; KeyError for a character that is not in the alphabet."""
    return bytes(CHAR_TO_BYTE[char] for char in chars)
