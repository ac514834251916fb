"""Measures the form of a text: its scripts, its lengths, the ends of its lines."""

import re

import numpy as np

from hclx.corpus import characters
from hclx.corpus.normalize import count_html, count_mojibake, is_html_page
from hclx.corpus.taggers.language import languages
from hclx.corpus.text_batch import TextBatch, ratio, sums

_ENDS = tuple(".?!…。？！\"'”’」』)]】")  # ends of a line that ends a sentence
_FINAL_SYLLABLES = tuple("다요까죠네라자함음임됨")
_BULLETS = tuple("-*•·ㆍ∙◦‣▪■□◆◇●○▶▷★☆※")
_ELLIPSES = ("...", "…", "‥", "···")
_LETTERS = {
    "hangul": (characters.HANGUL, characters.JAMO),
    "latin": (characters.LATIN,),
    "han": (characters.HAN,),
    "kana": (characters.KANA,),
    "other": (characters.OTHER_LETTER,),
}

_LINK = re.compile("(?:https?://|www[.])[!-~]+")  # ASCII, which particles of Hangul end
_READ = tuple(kind for kinds in _LETTERS.values() for kind in kinds if kind != characters.JAMO)
_OF_WORDS = (*(kind for kinds in _LETTERS.values() for kind in kinds), characters.DIGIT)


def script(batch: TextBatch) -> dict[str, np.ndarray]:
    """Computes shares of scripts and of kinds of characters, and the language. Shares are from 0 to
    1; of nothing they are 0.

    Returns:
      hangul, latin, han, kana, other: shares of the letters, float32 [d]; hangul includes single
        jamo.
      korean: share of the letters that are Hangul, or Han in text that mixes both, as Korean did
        until the 1980s: there particles in Hangul follow Han without a space; the letters of links
        do not count; float32 [d].
      letters, digits, symbols, control: shares of the characters that are no white space,
        float32 [d]; symbols include punctuation.
      language: ISO 639-1, or "und" if it is unknown, object [d]; see
        `hclx.corpus.taggers.language.languages`.
    """
    kinds = np.bincount(
        batch.kinds + 16 * np.repeat(np.arange(len(batch)), batch.n_chars),
        minlength=16 * len(batch),
    ).reshape(len(batch), 16)
    counts = {name: kinds[:, list(which)].sum(1) for name, which in _LETTERS.items()}
    letters = sum(counts.values())
    shares = {name: ratio(count, letters) for name, count in counts.items()}
    visible = batch.n_chars - kinds[:, characters.SPACE]
    is_mixed = _is_mixed(batch) & (counts["hangul"] >= 0.05 * letters)
    korean = counts["hangul"] + np.where(is_mixed, counts["han"], 0)
    shares["korean"] = ratio(korean, letters - _letters_of_links(batch))
    return shares | {
        "letters": ratio(letters, visible),
        "digits": ratio(kinds[:, characters.DIGIT], visible),
        "symbols": ratio(kinds[:, characters.SYMBOL] + kinds[:, characters.PUNCTUATION], visible),
        "control": ratio(kinds[:, characters.CONTROL], visible),
        "language": languages(batch.texts, shares, letters),
    }


def _letters_of_links(batch: TextBatch) -> np.ndarray:
    """The ASCII letters of the addresses of pages in each document, int64 [d]."""
    counts = np.zeros(len(batch), np.int64)
    for i, text in enumerate(batch.texts):
        if "://" in text or "www." in text:
            links = "".join(_LINK.findall(text))
            counts[i] = sum(map(str.isalpha, links))
    return counts


def _is_mixed(batch: TextBatch) -> np.ndarray:
    """Returns whether Hangul follows at least a quarter of the runs of Han directly, bool [d]."""
    han = np.flatnonzero(batch.kinds == characters.HAN)
    behind = han[np.diff(han, append=-1) != 1] + 1  # the characters behind a run
    document = np.searchsorted(batch.offsets, behind - 1, "right") - 1
    inside = behind < batch.offsets[document + 1]
    behind, document = behind[inside], document[inside]
    n = np.bincount(document, minlength=len(batch))
    followed = np.bincount(document[batch.kinds[behind] == characters.HANGUL], minlength=len(batch))
    return 4 * followed >= np.maximum(n, 1)


def length(batch: TextBatch) -> dict[str, np.ndarray]:
    """Computes lengths in characters. Those of `chars` include white space; lines have none around
    them. Means and shares of nothing are 0.

    Returns:
      chars, words, lines: number of characters, eojeol and lines that are not blank, int32 [d].
      letters: letters (and no single jamo), of which two of a run count, as in 찜찜하다: what is
        read of "와ㅋㅋㅋ 최고오오오오!!!!"; int32 [d].
      alphanumerics: the same with digits, which say as much in "007의 첫걸음"; int32 [d].
      mean_word: mean length of those eojeol that hold a letter or digit (a lone "~" or "?" is no
        word), float32 [d].
      mean_line: mean length of a line that is not blank, float32 [d].
      short_lines: share of these lines with less than 20 characters, from 0 to 1, float32 [d].
    """
    words, lines = batch.words, batch.lines
    n_words, n_lines = np.diff(words.offsets), np.diff(lines.offsets)
    is_word = _holds_letters(batch)
    return {
        "chars": batch.n_chars.astype(np.int32),
        "words": n_words.astype(np.int32),
        "lines": n_lines.astype(np.int32),
        "letters": batch.count(_is_read(batch, _READ)).astype(np.int32),
        "alphanumerics": batch.count(_is_read(batch, (*_READ, characters.DIGIT))).astype(np.int32),
        "mean_word": ratio(
            sums(words.lengths * is_word, words.offsets), sums(is_word, words.offsets)
        ),
        "mean_line": ratio(sums(lines.lengths, lines.offsets), n_lines),
        "short_lines": ratio(sums(lines.lengths < 20, lines.offsets), n_lines),
    }


def _is_read(batch: TextBatch, kinds: tuple[int, ...]) -> np.ndarray:
    """Returns which characters are of some kinds, and not the third or a later one of a run,
    bool [c].
    """
    is_read = characters.is_one_of(batch.kinds, kinds)
    first = batch.offsets[:-1][batch.n_chars > 0]
    at_start = np.concatenate([first, first[batch.n_chars[batch.n_chars > 0] > 1] + 1])
    begins = is_read[at_start]  # before these stand fewer than two characters
    is_same = batch.chars[1:] == batch.chars[:-1]
    is_read[2:] &= ~(is_same[1:] & is_same[:-1])
    is_read[at_start] = begins
    return is_read


def _holds_letters(batch: TextBatch) -> np.ndarray:
    """Returns whether each eojeol holds a letter or digit, bool [w]."""
    words = batch.words
    is_letter = lambda places: characters.is_one_of(batch.kinds[places], _OF_WORDS)
    result = is_letter(words.starts) | is_letter(words.ends - 1)
    rest = np.flatnonzero(~result)  # few
    if len(rest):
        lengths = words.lengths[rest]
        first = np.cumsum(lengths) - lengths
        places = np.arange(lengths.sum()) + np.repeat(words.starts[rest] - first, lengths)
        result[rest] = np.logical_or.reduceat(is_letter(places), first)
    return result


def punctuation(batch: TextBatch) -> dict[str, np.ndarray]:
    """Computes shares of lines, from 0 to 1, by how they end and begin.

    Blank lines do not count, nor does white space around a line; a document without lines has 0.

    Returns:
      line_end: lines that end like a sentence, with a full stop, a question mark, an exclamation
        mark, an ellipsis, a closing quotation mark or a closing bracket.
      sentence_end: lines that end like a sentence, or in a syllable that ends Korean sentences
        (다, 요, 까, 죠, 네, 라, 자, 함, 음, 임, 됨): in letters, poems and comments full stops are
        often left out.
      ellipsis: lines that end in an ellipsis.
      bullet: lines that begin with a bullet or a hyphen.
      All are float32 [d].
    """
    lines = batch.lines
    n = np.diff(lines.offsets)
    last = batch.chars[lines.ends - 1]
    first = batch.chars[lines.starts]
    before = batch.chars[np.maximum(lines.ends[:, None] + np.arange(-3, 0), lines.starts[:, None])]
    line_end = np.isin(last, _codes(_ENDS))
    ellipsis = np.isin(last, _codes(_ELLIPSES)) | (
        (lines.lengths >= 3) & _equal(before, ("...", "···"))
    )
    return {
        "line_end": ratio(sums(line_end, lines.offsets), n),
        "sentence_end": ratio(
            sums(line_end | np.isin(last, _codes(_FINAL_SYLLABLES)), lines.offsets), n
        ),
        "ellipsis": ratio(sums(ellipsis, lines.offsets), n),
        "bullet": ratio(sums(np.isin(first, _codes(_BULLETS)), lines.offsets), n),
    }


def _codes(strings) -> np.ndarray:
    """Code points of the strings of one character, uint32 [n]."""
    return np.array([ord(s) for s in strings if len(s) == 1], np.uint32)


def _equal(triples: np.ndarray, strings) -> np.ndarray:
    """Returns whether each row of uint32 [l, 3] spells one of the strings of three characters,
    bool [l].
    """
    return np.any([np.all(triples == [ord(c) for c in s], 1) for s in strings], 0)


def normalisation(batch: TextBatch) -> dict[str, np.ndarray]:
    """Counts what the normalisation of texts left: see `hclx.corpus.normalize`.

    Returns:
      mojibake: places that show that the text was decoded wrongly: U+FFFD, and sequences that UTF-8
        or EUC-KR read as Latin-1 leaves; int32 [d].
      html_tags, html_entities: tags (and comments, scripts, styles) and entities of HTML, int32
        [d].
      html: share of the characters of these among all characters, from 0 to 1, float32 [d].
      html_page: 1 for a whole page of HTML, else 0, int32 [d].
    """
    counts = np.array([count_html(text) for text in batch.texts], np.int64).reshape(-1, 3)
    return {
        "mojibake": np.array([count_mojibake(text) for text in batch.texts], np.int32),
        "html_tags": counts[:, 0].astype(np.int32),
        "html_entities": counts[:, 1].astype(np.int32),
        "html": ratio(counts[:, 2], batch.n_chars),
        "html_page": np.array([is_html_page(text) for text in batch.texts], np.int32),
    }
