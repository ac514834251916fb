"""What kind of character a code point is: one table for all taggers."""

import functools
import unicodedata

import numpy as np

HANGUL = 1  # a syllable, 가 to 힣
JAMO = 2  # a letter of Hangul by itself: ㅋ, and the conjoining ones
LATIN = 3
HAN = 4
KANA = 5
OTHER_LETTER = 6  # of any other script, and marks
DIGIT = 7
SPACE = 8  # white space and line ends
PUNCTUATION = 9
SYMBOL = 10  # currency, mathematics, emoji
CONTROL = 11  # control and format characters, unassigned, private

_KNOWN, _HAN_END = 0x20000, 0x40000  # between them lie Han extensions, beyond tags and private use
_BLOCKS = (
    (HANGUL, 0xAC00, 0xD7A3),
    (JAMO, 0x1100, 0x11FF),
    (JAMO, 0x3131, 0x318E),
    (JAMO, 0xA960, 0xA97C),
    (JAMO, 0xD7B0, 0xD7FB),
    (JAMO, 0xFFA0, 0xFFDC),
    (HAN, 0x3400, 0x4DBF),
    (HAN, 0x4E00, 0x9FFF),
    (HAN, 0xF900, 0xFAFF),
    (KANA, 0x3041, 0x309F),
    (KANA, 0x30A1, 0x30FA),
    (KANA, 0x30FC, 0x30FF),
    (KANA, 0x31F0, 0x31FF),
    (KANA, 0xFF66, 0xFF9D),
)
_CATEGORIES = {"N": DIGIT, "Z": SPACE, "P": PUNCTUATION, "S": SYMBOL, "C": CONTROL}


@functools.cache
def _table() -> np.ndarray:
    table = np.full(_HAN_END + 1, CONTROL, np.uint8)
    table[_KNOWN:_HAN_END] = HAN
    for code in range(_KNOWN):
        char = chr(code)
        category = unicodedata.category(char)
        if char.isspace():
            table[code] = SPACE
        elif category[0] in "LM":
            table[code] = LATIN if "LATIN" in unicodedata.name(char, "") else OTHER_LETTER
        else:
            table[code] = _CATEGORIES[category[0]]
    for kind, first, last in _BLOCKS:
        table[first : last + 1] = kind
    return table


def is_one_of(kinds_c: np.ndarray, which: tuple[int, ...]) -> np.ndarray:
    """bool [c]: whether a kind, uint8 [c], is one of these."""
    table = np.zeros(CONTROL + 1, bool)
    table[list(which)] = True
    return table[kinds_c]


def kinds(chars_c: np.ndarray) -> np.ndarray:
    """uint8 [c]: the kind of each code point, uint32 [c]."""
    return _table()[np.minimum(chars_c, _HAN_END)]
