"""Tokenizers whose text is the ids themselves, for models with random weights."""

import numpy as np

from hclx.text.tokenizer import to_bytes


class IdTokenizer:
    """Has what an engine reads of a tokenizer. Each token is the text "<id>"."""

    pad_id, eod_id, begin_ids = 0, 1, [1]

    def __init__(self, vocab_size: int):
        """Takes the number of tokens."""
        self.vocab_size = vocab_size

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text such as "<7><12>"."""
        return [int(token) for token in text.strip("<>").split("><") if token]

    def decode_bytes(self, ids) -> bytes:
        """Returns the text of ids, in bytes."""
        return b"".join(b"<%d>" % token if token > 1 else b"" for token in ids)

    def token_bytes(self) -> np.ndarray:
        """Returns the number of bytes of each token."""
        return np.array([len(self.decode_bytes([i])) for i in range(self.vocab_size)], np.uint8)


class ByteTokenizer(IdTokenizer):
    """Each token is one byte, so that grammars can be followed: those allow parts of a text byte by
    byte.
    """

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        return list(to_bytes(text))

    def decode_bytes(self, ids) -> bytes:
        """Returns the text of ids, in bytes."""
        return bytes(token for token in ids if token > 1)
