"""Byte-level alphabet: one printable character for each of the 256 bytes, so that tools made for
characters can learn byte-level BPE.

The table is GPT-2's (Radford et al. 2019, section 2.2), which the byte-level decoders of other
libraries expect: a printable Latin-1 byte maps to its own character, every other byte to a
character from U+0100 on. The table holds no space, no control character and not U+2581, which
sentencepiece keeps for itself.
"""

import numpy as np

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
    """Inverts `bytes_to_chars`."""
    return bytes(CHAR_TO_BYTE[char] for char in chars)
