"""Signs of spam and of rough talk in Korean: laughter, lone letters, runs, word lists."""

import re

import numpy as np

from hclx.corpus import characters, lexicon
from hclx.corpus.batch import TextBatch, ratio, sums

_LAUGHTER = np.array([ord(c) for c in "ㅋㅎㅠㅜㅇㄷㄱㅡ"], np.uint32)  # ㅋㅋ, ㅎㅎ, ㅠㅠ, and short answers: ㅇㅇ, ㄷㄷ, ㄱㄱ, ㅡㅡ
_URL = re.compile(r"https?://(?:www\.)?|www\.")
_LONG_RUN = 4  # a character this often in a row


def spam(batch: TextBatch) -> dict[str, np.ndarray]:
    """Lone jamo, laughter and runs of one character as shares of the visible characters; word lists and links by count."""
    visible = batch.n_chars - batch.count(batch.kinds == characters.SPACE)
    jamo = batch.kinds == characters.JAMO
    runs = _run_lengths(batch)
    laughing = np.isin(batch.chars, _LAUGHTER) & (runs >= 2)
    n_words = np.diff(batch.words.offsets)
    counts = lexicon.shipped().count(batch)
    return {
        "jamo": ratio(batch.count(jamo & ~laughing), visible),
        "laughter": ratio(batch.count(laughing), visible),
        "runs": ratio(batch.count((runs >= _LONG_RUN) & (batch.kinds != characters.SPACE) & (batch.kinds != characters.DIGIT)), visible),
        "longest_run": _maximum(np.where(batch.kinds == characters.SPACE, 0, runs), batch),
        "links": np.array([len(_URL.findall(text)) if "http" in text or "www" in text else 0 for text in batch.texts], np.int32),
        **{name: count.astype(np.int32) for name, count in counts.items()},
        "profane_words": ratio(counts["profanity"], n_words),
        "boilerplate_words": ratio(counts["boilerplate"], n_words),
        "spam_words": ratio(counts["gambling"] + counts["adult"] + counts["advertising"], n_words),
    }


def _run_lengths(batch: TextBatch) -> np.ndarray:
    """int64 [c]: the length of the run of equal characters that each stands in."""
    chars = batch.chars
    new = np.ones(len(chars), bool)
    new[1:] = chars[1:] != chars[:-1]
    new[batch.offsets[:-1][batch.n_chars > 0]] = True
    starts = np.flatnonzero(new)
    lengths = np.diff(np.append(starts, len(chars)))
    return np.repeat(lengths, lengths)


def _maximum(values: np.ndarray, batch: TextBatch) -> np.ndarray:
    result = np.zeros(len(batch), np.int32)
    filled = batch.n_chars > 0
    if filled.any():
        result[filled] = np.maximum.reduceat(values, batch.offsets[:-1][filled])
    return result


def title(batch: TextBatch) -> dict[str, np.ndarray]:
    """Lines that say the title again: how many, and which share of the lines they are."""
    n_lines = np.diff(batch.lines.offsets)
    titles = TextBatch.of([" ".join(title.split()) for title in batch.titles])
    with_title = titles.n_chars > 0
    wanted = titles.hashes.of(titles.offsets[:-1], titles.offsets[1:])
    lines = batch.lines
    again = with_title[lines.documents] & (batch.hashes.of(lines.starts, lines.ends) == wanted[lines.documents])
    count = sums(again, lines.offsets)
    return {"repeats": count.astype(np.int32), "share": ratio(count, n_lines)}
