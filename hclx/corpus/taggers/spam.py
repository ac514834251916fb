"""Measures signs of spam and of rough language in Korean: laughter, jamo, runs, word lists."""

import re

import numpy as np

from hclx.corpus import characters, lexicon
from hclx.corpus.text_batch import TextBatch, ratio, sums

# ㅋㅋ, ㅎㅎ, ㅠㅠ, and short answers: ㅇㅇ, ㄷㄷ, ㄱㄱ, ㅡㅡ
_LAUGHTER = np.array([ord(c) for c in "ㅋㅎㅠㅜㅇㄷㄱㅡ"], np.uint32)
_URL = re.compile(r"https?://(?:www\.)?|www\.")
_LONG_RUN = 4  # equal characters in a row


def spam(batch: TextBatch) -> dict[str, np.ndarray]:
    """Computes signs of spam.

    A run is a character several times in a row; runs of white space do not count.

    Returns:
      laughter: characters in runs of two or more of ㅋㅎㅠㅜㅇㄷㄱㅡ, or of four or more of any
        single jamo, which draw out a sound.
      jamo: single jamo outside of these runs.
      runs: characters in runs of four or more, except of digits. These three are shares of the
        characters that are no white space, from 0 to 1, float32 [d]; 0 if there is none.
      longest_run: characters of the longest run, int32 [d]; 1 if no character is repeated, 0 if
        there is none.
      links: how often http://, https:// or www. occurs, int32 [d].
      profanity, gambling, adult, advertising, boilerplate: number of matches of that list, see
        `hclx.corpus.lexicon`, int32 [d].
      spam_hits: matches of the lists gambling, adult and advertising, int32 [d].
      profane_words, boilerplate_words, spam_words: matches per eojeol, float32 [d], 0 if there is
        none; spam_words are spam_hits per eojeol.
    """
    visible = batch.n_chars - batch.count(batch.kinds == characters.SPACE)
    starts, lengths, documents = _runs(batch)
    kinds = batch.kinds[starts]
    total = lambda chosen: np.bincount(documents[chosen], lengths[chosen], len(batch)).astype(
        np.int64
    )
    is_drawn_out = (lengths >= _LONG_RUN) & (kinds == characters.JAMO)
    laughter = total(np.isin(batch.chars[starts], _LAUGHTER) | is_drawn_out)
    longest = np.minimum(visible, 1).astype(np.int32)
    np.maximum.at(longest, documents[kinds != characters.SPACE], lengths[kinds != characters.SPACE])
    n_words = np.diff(batch.words.offsets)
    counts = lexicon.shipped().count(batch)
    spam_hits = counts["gambling"] + counts["adult"] + counts["advertising"]
    return {
        "jamo": ratio(batch.count(batch.kinds == characters.JAMO) - laughter, visible),
        "laughter": ratio(laughter, visible),
        "runs": ratio(
            total(
                (lengths >= _LONG_RUN)
                & ~characters.is_one_of(kinds, (characters.SPACE, characters.DIGIT))
            ),
            visible,
        ),
        "longest_run": longest,
        "links": np.array(
            [
                len(_URL.findall(text)) if "http" in text or "www" in text else 0
                for text in batch.texts
            ],
            np.int32,
        ),
        **{name: count.astype(np.int32) for name, count in counts.items()},
        "spam_hits": spam_hits.astype(np.int32),
        "profane_words": ratio(counts["profanity"], n_words),
        "boilerplate_words": ratio(counts["boilerplate"], n_words),
        "spam_words": ratio(spam_hits, n_words),
    }


def _runs(batch: TextBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, length and document of every run of at least two equal characters, int64 [r] each."""
    repeated = np.zeros(len(batch.chars), bool)
    repeated[1:] = batch.chars[1:] == batch.chars[:-1]
    repeated[batch.offsets[:-1][batch.n_chars > 0]] = False
    places = np.flatnonzero(repeated)
    first = np.flatnonzero(np.diff(places, prepend=-2) > 1)
    starts = places[first] - 1
    return (
        starts,
        np.diff(first, append=len(places)) + 1,
        np.searchsorted(batch.offsets, starts, "right") - 1,
    )


def title(batch: TextBatch) -> dict[str, np.ndarray]:
    """Counts the lines that repeat the title of their document, `TextBatch.titles`.

    White space around a line does not count, and runs of it in a title count as one space. Blank
    lines are no lines.

    Returns:
      repeats: number of lines that equal the title, int32 [d]; 0 without a title.
      share: their share of the lines, from 0 to 1, float32 [d].
    """
    n_lines = np.diff(batch.lines.offsets)
    titles = TextBatch.of([" ".join(title.split()) for title in batch.titles])
    with_title = titles.n_chars > 0
    title_hashes = titles.hashes.of(titles.offsets[:-1], titles.offsets[1:])
    lines = batch.lines
    is_title = with_title[lines.documents] & (
        batch.hashes.of(lines.starts, lines.ends) == title_hashes[lines.documents]
    )
    count = sums(is_title, lines.offsets)
    return {"repeats": count.astype(np.int32), "share": ratio(count, n_lines)}
