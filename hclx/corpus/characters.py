"""Classifies code points: one table of character kinds for all taggers."""

import functools
import unicodedata

import numpy as np

HANGUL = 1  # a syllable, 가 to 힣
JAMO = 2  # single letters of Hangul: ㅋ, and the conjoining ones
LATIN = 3
HAN = 4
KANA = 5
OTHER_LETTER = 6  # letters of all other scripts, and combining marks
DIGIT = 7
SPACE = 8  # white space and line ends
PUNCTUATION = 9
SYMBOL = 10  # currency, mathematics, emoji
CONTROL = 11  # control characters that are no white space, unassigned, private
FORMAT = 12  # joiners, tags of flags and other characters that only change how others are shown

# From _TABLE_END to _HAN_END there are extensions of Han; then nothing up to the tags, and beyond
# them private use.
_TABLE_END, _HAN_END, _TAGS, _TAGS_END = 0x20000, 0x40000, 0xE0000, 0xE0200
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
    table = np.full(_TAGS_END + 1, CONTROL, np.uint8)
    table[_TABLE_END:_HAN_END] = HAN
    for code in (*range(_TABLE_END), *range(_TAGS, _TAGS_END)):
        char = chr(code)
        category = unicodedata.category(char)
        if char.isspace():
            table[code] = SPACE
        elif category[0] in "LM":
            table[code] = LATIN if "LATIN" in unicodedata.name(char, "") else OTHER_LETTER
        elif category == "Cf":
            table[code] = FORMAT
        else:
            table[code] = _CATEGORIES[category[0]]
    for kind, first, last in _BLOCKS:
        table[first : last + 1] = kind
    return table


def is_one_of(kinds_c: np.ndarray, which: tuple[int, ...]) -> np.ndarray:
    """Returns whether each kind is one of several.

    Args:
      kinds_c: uint8 [c], see `kinds`.
      which: kinds, as the constants of this module.
    Returns:
      bool [c]
    """
    table = np.zeros(FORMAT + 1, bool)
    table[list(which)] = True
    return table[kinds_c]


def kinds(chars_c: np.ndarray) -> np.ndarray:
    """Kind of each code point.

    Args:
      chars_c: uint32 [c], code points.
    Returns:
      uint8 [c]: the constants of this module, HANGUL = 1 to FORMAT = 12.
    """
    return _table()[np.minimum(chars_c, _TAGS_END)]
