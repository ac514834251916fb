"""MinHash signatures of texts by their characters without spaces, and the bands that find similar
ones.

Broder 1997; bands as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, section 3.4;
one byte of each hash is kept to compare signatures (Li and König 2010). Array operations over many
documents: a set of shingles in Python for each document would take most of the time.
"""

import numpy as np

from hclx.corpus import characters
from hclx.corpus.hashing import RangeHash, mix
from hclx.corpus.text_batch import TextBatch

_BLOCK = 1 << 14  # shingles that are hashed together: they stay in the processor's nearest cache


def shingle_hashes(batch: TextBatch, shingle: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of every run of `shingle` characters that are no white space, uint32 [s], and offsets,
    int64 [d + 1].

    A text that is shorter than a shingle is one shingle as a whole; one without characters has
    none.
    """
    keep = batch.kinds != characters.SPACE
    position = np.concatenate([[0], np.cumsum(keep)])
    starts = np.arange(position[-1])
    offsets = position[batch.offsets]
    ends = np.repeat(offsets[1:], np.diff(offsets))
    whole = (starts + shingle <= ends) | np.isin(starts, offsets[:-1])
    starts, ends = starts[whole], np.minimum(starts + shingle, ends)[whole]
    hashes = RangeHash(batch.chars[keep]).of(starts, ends)
    return (hashes >> np.uint64(32)).astype(np.uint32), np.searchsorted(starts, offsets)


def signatures(batch: TextBatch, shingle: int, n_hashes: int, seed: int) -> np.ndarray:
    """uint32 [d, n_hashes]: for each hash function its least value over a document's shingles.

    Two documents agree in a column with the probability of their shingles' Jaccard similarity.
    Documents without shingles have the largest value in every column.
    """
    hashes, offsets = shingle_hashes(batch, shingle)
    draws = mix(np.arange(2 * n_hashes, dtype=np.uint64) + np.uint64(seed << 32)).astype(np.uint32)
    factors, shifts = draws[:n_hashes] | np.uint32(1), draws[n_hashes:]
    result = np.full((len(batch), n_hashes), np.iinfo(np.uint32).max, np.uint32)
    filled = np.flatnonzero(np.diff(offsets))
    begins = offsets[:-1][filled]
    for first, last in _blocks(begins, len(hashes)):
        part = hashes[begins[first] : begins[last] if last < len(begins) else len(hashes)]
        edges, values = begins[first:last] - begins[first], np.empty_like(part)
        for column in range(n_hashes):
            np.multiply(part, factors[column], out=values)
            np.add(values, shifts[column], out=values)
            result[filled[first:last], column] = np.minimum.reduceat(values, edges)
    return result


def _blocks(begins: np.ndarray, total: int):
    """(first, last) documents whose shingles are about a block; a long document is one by
    itself.
    """
    first = 0
    while first < len(begins):
        last = max(first + 1, int(np.searchsorted(begins, begins[first] + _BLOCK, "right")) - 1)
        yield first, min(last, len(begins))
        first = last


def band_hashes(signature: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """uint64 [d, bands]: one hash of each band's `rows` columns; equal ones make two documents
    candidates.
    """
    result = np.zeros((len(signature), bands), np.uint64)
    for row in range(rows):
        column = signature[:, row : bands * rows : rows].astype(np.uint64)
        result = mix(result * np.uint64(31) + column)
    return mix(result + np.arange(bands, dtype=np.uint64))


def compact(signature: np.ndarray) -> np.ndarray:
    """uint8 [d, n_hashes]: the byte of each hash that is kept; of the hash mixed, as least values
    begin with zeros.
    """
    return mix(signature).astype(np.uint8)


def similarity(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """float64 [m]: estimated Jaccard similarity of a compact signature, [n_hashes], to others, [m,
    n_hashes].

    Unequal hashes share a byte once in 256 times, which is taken off (Li and König 2010, theorem
    1).
    """
    agree = (others == one).mean(1)
    return (agree - 1 / 256) / (1 - 1 / 256)
