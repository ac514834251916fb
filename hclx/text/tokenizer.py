"""The tokenizer in use: lossless byte-level BPE in one of two modes, loaded from its folder and
checked.

  train   morphemes decided which merges were learnt; text is encoded plainly (exports give the same
  ids) encode  text is also cut at morphemes when it is encoded, by the very version of the analyser
  that trained it plain   no morphemes at all, for comparison
"""

import codecs
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import sentencepiece

from hclx.errors import DataError
from hclx.text.byte_level import bytes_to_chars, chars_to_bytes, to_bytes, to_text
from hclx.text.pretokenizers import Cutter, make_cutter

MODEL_FILE = "tokenizer.model"
METADATA_FILE = "hclx_tokenizer.json"
FORMAT = 1
PAD_ID, EOD_ID, UNK_ID = 0, 1, 2  # unk is never produced: all 256 bytes are pieces
CONTROL_SYMBOLS = ("<pad>", "<|endoftext|>", "<unk>", *(f"<|reserved_{i}|>" for i in range(61)))
_CACHE_LIMIT = 500_000  # chunks


class Tokenizer:
    """Encodes text to ids and back; every string, and every sequence of bytes, survives the way
    there and back.
    """

    pad_id, eod_id = PAD_ID, EOD_ID

    def __init__(self, model: bytes, metadata: dict):
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.model, self.metadata, self.mode = model, metadata, metadata["mode"]
        self.vocab_size = self._processor.get_piece_size()
        self._pieces = [self._piece(i) for i in range(self.vocab_size)]
        self._cache: dict[str, list[int]] = {}

    def _piece(self, i: int) -> bytes:
        return b"" if i < len(CONTROL_SYMBOLS) else chars_to_bytes(self._processor.id_to_piece(i))

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same text could become other ids."""
        cutter = self.metadata["cutter"] if self.mode == "encode" else ""
        return hashlib.sha256(
            f"{self.metadata['model_sha256']} {self.mode == 'encode'} {cutter}".encode()
        ).hexdigest()

    @functools.cached_property
    def _cutter(self) -> Cutter:
        cutter = make_cutter(self.mode)
        if cutter.identity != self.metadata["cutter"]:
            raise DataError(
                f"this tokenizer cuts text with {self.metadata['cutter']}, but {cutter.identity} is"
                " installed and may cut elsewhere; install the version that it was trained with"
            )
        return cutter

    def encode(self, text: str) -> list[int]:
        """Ids of a text; never a control symbol, whatever the text spells."""
        return (
            self._encode_cut(text) if self.mode == "encode" else self.encode_bytes(to_bytes(text))
        )

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` of each text; many short ones in less time."""
        if self.mode == "encode":
            return [self._encode_cut(text) for text in texts]
        return self._processor.encode(
            [bytes_to_chars(to_bytes(text)) for text in texts], out_type=int, num_threads=1
        )

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes, without cutting."""
        return self._processor.encode(bytes_to_chars(data), out_type=int)

    def _encode_cut(self, text: str) -> list[int]:
        if len(self._cache) > _CACHE_LIMIT:
            self._cache.clear()
        ids = []
        for chunk in self._cutter.cut(text):
            known = self._cache.get(chunk)
            if known is None:
                known = self._cache[chunk] = self.encode_bytes(to_bytes(chunk))
            ids += known
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; control symbols have none, and bytes that are no UTF-8 become U+FFFD."""
        return to_text(self.decode_bytes(ids))

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of ids."""
        return b"".join(self._pieces[i] for i in ids)

    def token_bytes(self) -> np.ndarray:
        """uint8 [vocab]: bytes of text of each id, 0 for control symbols."""
        return np.array([len(piece) for piece in self._pieces], np.uint8)


class StreamDecoder:
    """Decodes ids as they come, into whole characters only."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: int | Iterable[int]) -> str:
        """The characters that these ids complete."""
        return self._decoder.decode(
            self._tokenizer.decode_bytes([ids] if isinstance(ids, int) else ids)
        )

    def flush(self) -> str:
        """What is left: U+FFFD for a character that was never completed."""
        return self._decoder.decode(b"", final=True)


def load_tokenizer(directory: str | Path, fingerprint: str | None = None) -> Tokenizer:
    """Loads a tokenizer's folder.

    Args:
      directory: of the tokenizer.
      fingerprint: of the tokenizer that a checkpoint or cache was made with, where there is one.
    Raises:
      DataError: it is missing or damaged, was made by a later version of hclx, or is another one.
    """
    directory = Path(directory)
    try:
        metadata = json.loads((directory / METADATA_FILE).read_text(encoding="utf-8"))
        model = (directory / MODEL_FILE).read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} does not exist; train a tokenizer with launch/train_tokenizer.py"
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
    tokenizer = Tokenizer(model, metadata)
    if fingerprint not in (None, tokenizer.fingerprint):
        raise DataError(
            f"{directory} is not the vocabulary that the model was trained with"
            f" ({tokenizer.fingerprint[:12]}, the model's is {fingerprint[:12]}); give the"
            " model's own"
        )
    return tokenizer
