"""A tokenizer whose tokens are bytes, for models with random weights that follow grammars."""

from hclx.infer.random_model import NumberTokenizer
from hclx.text.tokenizer import to_bytes


class ByteTokenizer(NumberTokenizer):
    """Each token is one byte, so that grammars can be followed: those allow parts of a text byte by
    byte.
    """

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text."""
        return list(to_bytes(text))

    def decode_bytes(self, ids) -> bytes:
        """Returns the text of ids, in bytes."""
        return bytes(token for token in ids if token > 1)
