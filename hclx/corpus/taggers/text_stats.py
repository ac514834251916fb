"""How a text is written: its scripts, its lengths, how its lines end."""

import unicodedata

import numpy as np

from hclx.corpus import characters
from hclx.corpus.taggers.language import languages
from hclx.corpus.text_batch import TextBatch, ratio, sums

_ENDS = tuple(".?!…。？！\"'”’」』)]】")  # what a sentence's line may end in
_BULLETS = tuple("-*•·ㆍ∙◦‣▪■□◆◇●○▶▷★☆※")
_ELLIPSES = ("...", "…", "‥", "···")
_MOJIBAKE = ("\ufffd", "Ã", "ì\u009d", "ë\u008b", "ê°", "í\u0095", "â€", "°¡", "À»", "Àº")
_LETTERS = {
    "hangul": (characters.HANGUL, characters.JAMO),
    "latin": (characters.LATIN,),
    "han": (characters.HAN,),
    "kana": (characters.KANA,),
    "other": (characters.OTHER_LETTER,),
}


def script(batch: TextBatch) -> dict[str, np.ndarray]:
    """Share of each script in the letters, of letters, digits, symbols and control characters in
    the characters, and the language.

    language: ISO 639-1, or "und" where it cannot be told; see `hclx.corpus.taggers.language`.
    """
    kinds = np.bincount(
        batch.kinds + 16 * np.repeat(np.arange(len(batch)), batch.n_chars),
        minlength=16 * len(batch),
    ).reshape(len(batch), 16)
    counts = {name: kinds[:, list(which)].sum(1) for name, which in _LETTERS.items()}
    letters = sum(counts.values())
    shares = {name: ratio(count, letters) for name, count in counts.items()}
    visible = batch.n_chars - kinds[:, characters.SPACE]
    return shares | {
        "letters": ratio(letters, visible),
        "digits": ratio(kinds[:, characters.DIGIT], visible),
        "symbols": ratio(kinds[:, characters.SYMBOL] + kinds[:, characters.PUNCTUATION], visible),
        "control": ratio(kinds[:, characters.CONTROL], visible),
        "language": languages(batch.texts, shares, letters),
    }


def length(batch: TextBatch) -> dict[str, np.ndarray]:
    """Characters, eojeol and lines, and their mean lengths in characters."""
    words, lines = batch.words, batch.lines
    n_words, n_lines = np.diff(words.offsets), np.diff(lines.offsets)
    return {
        "chars": batch.n_chars.astype(np.int32),
        "words": n_words.astype(np.int32),
        "lines": n_lines.astype(np.int32),
        "mean_word": ratio(sums(words.lengths, words.offsets), n_words),
        "mean_line": ratio(sums(lines.lengths, lines.offsets), n_lines),
        "short_lines": ratio(sums(lines.lengths < 20, lines.offsets), n_lines),
    }


def punctuation(batch: TextBatch) -> dict[str, np.ndarray]:
    """Share of the lines that end as sentences do, that end in an ellipsis, and that begin with a
    bullet.
    """
    lines = batch.lines
    n = np.diff(lines.offsets)
    last = batch.chars[lines.ends - 1]
    first = batch.chars[lines.starts]
    before = batch.chars[np.maximum(lines.ends[:, None] + np.arange(-3, 0), lines.starts[:, None])]
    ellipsis = np.isin(last, _codes(_ELLIPSES)) | (
        (lines.lengths >= 3) & _equal(before, ("...", "···"))
    )
    return {
        "line_end": ratio(sums(np.isin(last, _codes(_ENDS)), lines.offsets), n),
        "ellipsis": ratio(sums(ellipsis, lines.offsets), n),
        "bullet": ratio(sums(np.isin(first, _codes(_BULLETS)), lines.offsets), n),
    }


def _codes(strings) -> np.ndarray:
    return np.array([ord(s) for s in strings if len(s) == 1], np.uint32)


def _equal(triples: np.ndarray, strings) -> np.ndarray:
    """bool [l]: which rows of uint32 [l, 3] spell one of the strings of three characters."""
    return np.any([np.all(triples == [ord(c) for c in s], 1) for s in strings], 0)


def normalisation(batch: TextBatch) -> dict[str, np.ndarray]:
    """Whether the text is not in NFC, and how many signs it has of having been decoded wrongly
    (mojibake).
    """
    return {
        "not_nfc": np.array(
            [not unicodedata.is_normalized("NFC", text) for text in batch.texts], bool
        ),
        "mojibake": np.array([sum(map(text.count, _MOJIBAKE)) for text in batch.texts], np.int32),
    }
