"""Shows texts in plain characters, so that rules know one hyphen, one space, one middle dot, one
slash and one form of each digit and letter, and nothing that cannot be seen.
"""

import re
import unicodedata
from collections.abc import Sequence

from hclx.text.decoding import JOINERS, UNSEEN

HYPHENS = "-‐‑‒–—―−⁃﹘﹣ㅡ─━ーｰ一"
SPACES = " \xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
MIDDLE_DOTS = "·ㆍ•‧∙⋅・･"
SLASHES = "/∕⁄"

# Full-width forms of ASCII, from ！ to ～.
_PLAIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    ord(char): ord(forms[0])
    for forms in (HYPHENS, SPACES, MIDDLE_DOTS, SLASHES)
    for char in forms[1:]
}
_UNUSUAL = re.compile(f"[{''.join(map(chr, _PLAIN))}]")
_INVISIBLE = f"{UNSEEN}{JOINERS}"
_SIGN = re.compile(f"[{_INVISIBLE}\u1100-\u1112]")  # most texts have none
_HIDDEN = re.compile(f"[{_INVISIBLE}]+|[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?")


def plain(text: str) -> str:
    """Returns a text of the same length with the plain form of each character: ASCII for full-width
    forms, hyphens, spaces and slashes, and · for middle dots.
    """
    return text.translate(_PLAIN) if _UNUSUAL.search(text) else text


def visible(text: str) -> tuple[str, Sequence[int], Sequence[int]]:
    """Leaves out what cannot be seen, such as zero-width spaces and soft hyphens, and composes the
    letters of Hangul syllables (NFD).

    Returns:
      The text that is seen; and for each of its n characters its start and its end in the given
      text, [n] each.
    """
    if not _SIGN.search(text):
        return text, range(len(text)), range(1, len(text) + 1)
    parts, starts, ends, position = [], [], [], 0
    for match in _HIDDEN.finditer(text):
        first, last = match.span()
        parts.append(text[position:first])
        starts += range(position, first)
        ends += range(position + 1, first + 1)
        if "\u1100" <= text[first] <= "\u1112":
            parts.append(unicodedata.normalize("NFC", match[0]))
            starts.append(first)
            ends.append(last)
        position = last
    seen = "".join([*parts, text[position:]])
    rest = range(position, len(text) + 1)
    return seen, [*starts, *rest[:-1]], [*ends, *rest[1:]]
