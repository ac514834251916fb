"""Evaluation items for tests of decontamination."""

import difflib
import functools
import unicodedata


@functools.cache
def letters(text):
    plain = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize(
        "NFC", "".join(c for c in plain if unicodedata.category(c)[0] in "LMN")
    )


def held(item, text):
    """The share of an item's letters that a text has in runs of four and more, those of each of its
    texts near one place.

    1 or 0 where the item has no letters: whether the text has its marks and nothing else.
    """
    whole, matched, parts = letters(text), 0, [letters(part) for part in item]
    if not any(parts):
        return float("".join(text.split()) == "".join("".join(item).split()))
    for part in parts:
        best = difflib.SequenceMatcher(None, whole, part, autojunk=False).find_longest_match()
        begin, beside = best.a - best.b, len(part) // 4
        near = whole[max(0, begin - beside) : begin + len(part) + beside]
        blocks = difflib.SequenceMatcher(None, near, part, autojunk=False).get_matching_blocks()
        matched += sum(block.size for block in blocks if block.size >= min(4, len(part)))
    return matched / max(1, sum(map(len, parts)))
