"""N-grams of the letters of Korean syllables, as numbers of hash buckets."""

import unicodedata

import numpy as np

from hclx.hashing import splitmix64

BITS = 20
LONGEST = 6  # letters; a syllable has two or three
_BASE = np.uint64(0x9E3779B97F4A7C15)


def letters_of(text: str) -> str:
    """Returns a text in small letters with its syllables taken apart (NFKD), between two spaces.

    Letters that stand alone, such as ㅋ, are those of syllables then, and full-width forms ASCII.
    """
    return f" {unicodedata.normalize('NFKD', text.lower())} "


def ngram_counts(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the buckets of all n-grams of 1 to 6 letters, and how often each occurs.

    Args:
      text: a text, which may be empty.
    Returns:
      Ascending bucket numbers below 2^20, int64 [n], and counts, int64 [n].
    """
    data = letters_of(text).encode("utf-32-le", "surrogatepass")
    letters = np.frombuffer(data, np.uint32).astype(np.uint64) + np.uint64(1)
    hashes, rolling = [], np.zeros(len(letters), np.uint64)
    for length in range(1, min(LONGEST, len(letters)) + 1):
        rolling = rolling[: len(letters) - length + 1] * _BASE + letters[length - 1 :]
        hashes.append(splitmix64(rolling + np.uint64(length)))
    buckets = np.concatenate(hashes) >> np.uint64(64 - BITS)
    return np.unique(buckets.astype(np.int64), return_counts=True)
