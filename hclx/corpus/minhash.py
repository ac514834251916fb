"""MinHash signatures: estimates of how similar documents are, from a few bytes of each.

Signatures are of the runs of characters of a text without spaces (Broder 1997). Their bands find
candidates (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4); one byte of
each hash is kept to compare signatures (Li and König 2010). All are array operations over many
documents: a set of shingles in Python for each document would take most of the time.
"""

from collections.abc import Iterator

import numpy as np

from hclx.corpus import characters
from hclx.corpus.text_batch import TextBatch
from hclx.hashing import RangeHash, splitmix64

_BLOCK = 1 << 14  # shingles that are hashed together: they stay in the processor's nearest cache


def shingle_hashes(batch: TextBatch, shingle: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes every run of `shingle` characters that are no white space.

    A text that is shorter than a shingle is one shingle as a whole; one without characters has
    none.

    Args:
      batch: d texts.
      shingle: the number of characters of a shingle.
    Returns:
      Hashes of the s shingles of all texts, uint32 [s]; and offsets, int64 [d + 1]: the shingles of
      text i are hashes[offsets[i] : offsets[i + 1]].
    """
    kept = np.flatnonzero(batch.kinds != characters.SPACE)
    starts = np.arange(len(kept))
    offsets = np.searchsorted(kept, batch.offsets)
    ends = np.repeat(offsets[1:], np.diff(offsets))
    is_whole = (starts + shingle <= ends) | np.isin(starts, offsets[:-1])
    starts, ends = starts[is_whole], np.minimum(starts + shingle, ends)[is_whole]
    hashes = RangeHash(batch.chars[kept]).of(starts, ends)
    return (hashes >> np.uint64(32)).astype(np.uint32), np.searchsorted(starts, offsets)


def signatures(batch: TextBatch, shingle: int, n_hashes: int, seed: int) -> np.ndarray:
    """Computes the MinHash signature of each text: the smallest value of each hash function over
    its shingles.

    Two documents agree in a column with the probability of their shingles' Jaccard similarity.
    Documents without shingles have the largest value in every column.

    Args:
      batch: d texts.
      shingle: the number of characters of a shingle.
      n_hashes: the number of hash functions.
      seed: of the hash functions.
    Returns:
      uint32 [d, n_hashes].
    """
    hashes, offsets = shingle_hashes(batch, shingle)
    draws = splitmix64(np.arange(2 * n_hashes, dtype=np.uint64) + np.uint64(seed << 32))
    draws = draws.astype(np.uint32)
    factors, shifts = draws[:n_hashes] | np.uint32(1), draws[n_hashes:]
    result = np.full((len(batch), n_hashes), np.iinfo(np.uint32).max, np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    begins = offsets[:-1][filled]
    for first, last in _blocks(begins):
        block = hashes[begins[first] : begins[last] if last < len(begins) else len(hashes)]
        edges, values = begins[first:last] - begins[first], np.empty_like(block)
        for column in range(n_hashes):
            np.multiply(block, factors[column], out=values)
            np.add(values, shifts[column], out=values)
            result[filled[first:last], column] = np.minimum.reduceat(values, edges)
    return result


def _blocks(begins: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, last) documents whose shingles fill about a block; a long document is one by
    itself.
    """
    first = 0
    while first < len(begins):
        last = max(first + 1, int(np.searchsorted(begins, begins[first] + _BLOCK, "right")) - 1)
        yield first, min(last, len(begins))
        first = last


def band_hashes(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Hashes each band of a signature; documents with an equal hash are candidates.

    Args:
      signature: uint32 [d, bands * rows], see `signatures`.
      bands: the number of bands.
      rows: the number of columns of a band.
    Returns:
      uint64 [d, bands].
    """
    result = np.zeros((len(signature), bands), np.uint64)
    for row in range(rows):
        column = signature[:, row : bands * rows : rows].astype(np.uint64)
        result = splitmix64(result * np.uint64(31) + column)
    return splitmix64(result + np.arange(bands, dtype=np.uint64))


def compact(signature: np.ndarray) -> np.ndarray:
    """Reduces each hash of signatures to one byte: of the hash mixed again, as the smallest values
    begin with zeros.

    Args:
      signature: uint32 [d, n_hashes], see `signatures`.
    Returns:
      uint8 [d, n_hashes].
    """
    return splitmix64(signature).astype(np.uint8)


def similarity(signature: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Estimates the Jaccard similarity of a document to others.

    Unequal hashes share a byte once in 256 times, which is subtracted (Li and König 2010, theorem
    1).

    Args:
      signature: of the document, uint8 [n_hashes], see `compact`.
      others: of the others, uint8 [m, n_hashes].
    Returns:
      float64 [m], at most 1; it may be just below 0.
    """
    agree = (others == signature).mean(1)
    return (agree - 1 / 256) / (1 - 1 / 256)
