"""What is there twice: whole documents, paragraphs, near-duplicates. What meets at a key, without
the machinery.

A document's number is (part << 32) + row, parts in the order of sources and files: of several equal
documents the one with the least number stays, whatever the order in which they met.
"""

import hashlib
import unicodedata

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hclx.corpus.minhash import similarity
from hclx.corpus.text_batch import TextBatch

_ALL_PAIRS = 64  # documents of a bucket that are compared with all of it


def number(part: int, rows: np.ndarray) -> np.ndarray:
    """int64: the numbers of rows of a part."""
    return (np.int64(part) << 32) + rows.astype(np.int64)


def exact_hash(text: str) -> bytes:
    """16 bytes that are equal where texts are, apart from white space and compatibility forms
    (NFKC).
    """
    squeezed = "".join(unicodedata.normalize("NFKC", text).split())
    return hashlib.sha256(squeezed.encode()).digest()[:16]


def exact_hashes(texts) -> np.ndarray:
    """uint64 [d, 2]"""
    return np.frombuffer(b"".join(map(exact_hash, texts)), np.uint64).reshape(-1, 2)


def paragraphs(batch: TextBatch, min_chars: int) -> dict[str, np.ndarray]:
    """Lines of at least `min_chars` characters: `document` [p], `start` and `end` [p] in it, and
    `hash`, uint64 [p].
    """
    lines = batch.lines
    long = np.flatnonzero(lines.lengths >= min_chars)
    starts, ends, document = lines.starts[long], lines.ends[long], lines.documents[long]
    begin = batch.offsets[document]
    return {
        "document": document,
        "start": starts - begin,
        "end": ends - begin,
        "hash": batch.hashes.of(starts, ends),
    }


def first_of_each(
    keys: list[np.ndarray], numbers: np.ndarray, position: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Of equal keys, which came first.

    Args:
      keys: columns, [n] each, of the key.
      numbers: int64 [n], of the documents.
      position: int64 [n], within a document.
    Returns:
      the index of the first one with the same key, int64 [n], and how many there are, int64 [n].
    """
    order = np.lexsort(([position] if position is not None else []) + [numbers] + keys)
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in keys:
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    group = np.cumsum(new) - 1
    first, size = np.empty_like(order), np.empty_like(order)
    first[order] = order[np.flatnonzero(new)][group]
    size[order] = np.bincount(group)[group] if len(group) else group
    return first, size


def similar_pairs(
    hashes: np.ndarray, numbers: np.ndarray, signatures: np.ndarray, threshold: float
) -> np.ndarray:
    """int64 [p, 2]: documents that share a bucket and whose signatures agree; the lesser number
    first.

    Args:
      hashes: uint64 [n], of the bucket.
      numbers: int64 [n]; signatures: uint8 [n, n_hashes].
      threshold: estimated similarity of a pair.
    A bucket's first 64 documents are compared with all of it, so that one in which millions meet
    costs no square.
    """
    order = np.lexsort((numbers, hashes))
    hashes, numbers, signatures = hashes[order], numbers[order], signatures[order]
    edges = (
        np.append(np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1])), len(hashes))
        if len(hashes)
        else [0]
    )
    pairs = [np.zeros((0, 2), np.int64)]
    for start, end in zip(edges[:-1], edges[1:]):
        for one in range(start, min(end - 1, start + _ALL_PAIRS)):
            similar = (
                np.flatnonzero(similarity(signatures[one], signatures[one + 1 : end]) >= threshold)
                + one
                + 1
            )
            similar = similar[numbers[similar] != numbers[one]]
            pairs.append(np.stack([np.full(len(similar), numbers[one]), numbers[similar]], 1))
    return np.concatenate(pairs)


def clusters(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected documents: number, the least number of its cluster, and the cluster's size, int64
    [n] each, by number.

    Args:
      pairs: int64 [p, 2].
    """
    numbers, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(index), bool), (index[:, 0], index[:, 1])), shape=(len(numbers),) * 2
    )
    _, label = connected_components(graph, directed=False)
    least = np.full(label.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, label, numbers)
    return numbers, least[label], np.bincount(label)[label] if len(label) else label
