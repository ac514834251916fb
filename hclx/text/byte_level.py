"""One printable character for each of the 256 bytes, so that byte-level BPE fits into tools made
for characters.

The table is GPT-2's (Radford et al. 2019, section 2.2), which the byte-level decoders of other
libraries expect: printable Latin-1 bytes stand for themselves and the others for the characters
from U+0100 on. No space, control character or sentencepiece's own U+2581 is among them.
"""

import numpy as np

_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]


def _table() -> list[str]:
    moved = iter(range(256, 512))
    return [chr(byte) if byte in _PRINTABLE else chr(next(moved)) for byte in range(256)]


BYTE_TO_CHAR: list[str] = _table()
CHAR_TO_BYTE: dict[str, int] = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}
_CODES = np.array([ord(char) for char in BYTE_TO_CHAR], "<u4")


def to_bytes(text: str) -> bytes:
    """UTF-8; lone surrogates, which UTF-8 has no bytes for, pass in the three bytes that they would
    have.
    """
    return text.encode("utf-8", errors="surrogatepass")


def to_text(data: bytes) -> str:
    """The inverse of `to_bytes`; what is no UTF-8 even so becomes U+FFFD."""
    try:
        return data.decode("utf-8", errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", errors="replace")


def bytes_to_chars(data: bytes) -> str:
    """Each byte as its character."""
    return _CODES[np.frombuffer(data, np.uint8)].tobytes().decode("utf-32-le")


def chars_to_bytes(chars: str) -> bytes:
    """The inverse of `bytes_to_chars`."""
    return bytes(CHAR_TO_BYTE[char] for char in chars)
