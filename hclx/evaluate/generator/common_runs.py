"""The longest run of symbols that each of some sequences shares with a stream of others.

Runs of n symbols (n-grams) of the sequences are hashed once. The stream is hashed in batches and
looked up; where an n-gram occurs, the length of the run is searched for by halves, with hashes of
ranges. Memory is that of the sequences and of one batch, however long the stream is. The longest
run is then compared symbol by symbol, so that a collision of hashes changes no result.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from hclx.hashing import RangeHash

OTHER = np.uint32(2**32 - 1)  # a symbol of the stream that no sequence has
_BREAK = np.uint32(2**32 - 2)  # between sequences
_STREAM_BREAK = np.uint32(2**32 - 3)  # between sequences of the stream
_SIEVE_BITS = 22
_PAIRS_AT_ONCE = 2**20


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that a sequence shares with the stream.

    Attributes:
      length: in symbols.
      start: where it begins in the sequence.
      source: the number of the sequence of the stream that has it, the first of several.
    """

    length: int
    start: int
    source: int


class RunIndex:
    """Sequences, and the longest run of each that the stream had so far.

    Attributes:
      longest: a `Run` or None for each sequence, None if no run of n symbols is shared.
    """

    def __init__(self, sequences: Sequence[np.ndarray], n: int):
        """Indexes sequences.

        Args:
          sequences: uint32 [symbols] each; symbols are below 2^32 - 3.
          n: the length of the shortest run that is looked for, at least 1.
        """
        self.longest: list[Run | None] = [None] * len(sequences)
        self._n, self._n_read = n, 0
        self._symbols, self._owner = _joined(sequences, _BREAK)
        self._starts = np.cumsum([0, *(len(sequence) + 1 for sequence in sequences)])[:-1] + 1
        self._hashes = RangeHash(self._symbols)
        places, hashes = _ngrams(self._hashes, self._owner, n)
        self._keys, rank = np.unique(hashes, return_inverse=True)
        # Of one n-gram, the places that follow the same symbol stand together.
        ranked = _with_before(rank, self._symbols, places)
        order = np.argsort(ranked, kind="stable")
        self._ranked, self._places = ranked[order], places[order]
        self._sieve = np.zeros(1 << _SIEVE_BITS, bool)
        self._sieve[self._keys >> np.uint64(64 - _SIEVE_BITS)] = True

    def read(self, batch: Sequence[np.ndarray]) -> None:
        """Reads the next sequences of the stream, uint32 [symbols] each; `OTHER` may be among their
        symbols.
        """
        symbols, owner = _joined(batch, _STREAM_BREAK)
        hashes = RangeHash(symbols)
        stream = _Stream(symbols, owner, hashes)
        for places, low, high in self._candidates(stream):
            counts = high - low
            theirs = np.repeat(places, counts)
            ours = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - low, counts)
            self._extend(stream, theirs, self._places[ours])
        self._n_read += len(batch)

    def _candidates(self, stream: "_Stream") -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yields some places of the stream whose n-grams are indexed, and for each the range of
        `_places` to compare it with: those that do not follow the same symbol, as the run begins
        earlier there.
        """
        places, keys = _ngrams(stream.hashes, stream.owner, self._n)
        chosen = self._sieve[keys >> np.uint64(64 - _SIEVE_BITS)]
        places, keys = places[chosen], keys[chosen]
        rank = np.searchsorted(self._keys, keys)
        known = np.flatnonzero(rank < len(self._keys))
        known = known[self._keys[rank[known]] == keys[known]]
        places, rank = places[known], rank[known]
        of_rank, after = _key(rank), _key(rank + 1)
        same = _with_before(rank, stream.symbols, places)
        search = lambda values, side="left": np.searchsorted(self._ranked, values, side)
        low = np.stack([search(of_rank), search(same, "right")], 1).ravel()
        high = np.stack([search(same), search(after)], 1).ravel()
        places = np.repeat(places, 2)
        for part in _parts(high - low):
            yield places[part], low[part], high[part]

    def _extend(self, stream: "_Stream", theirs: np.ndarray, ours: np.ndarray) -> None:
        """Compares what follows places of the stream with what follows places of the sequences."""
        lengths = self._common(stream, theirs, ours)
        if not self._are_equal(stream, theirs, ours, lengths):  # hashes of two runs collide
            pairs = zip(theirs.tolist(), ours.tolist())
            lengths = np.array([self._compared(stream, *pair) for pair in pairs], np.int64)
        texts, chosen = self._longest_of_each(theirs, ours, lengths)
        for text, i in zip(texts.tolist(), chosen.tolist()):
            best = self.longest[text]
            if lengths[i] >= self._n and (best is None or lengths[i] > best.length):
                start = int(ours[i] - self._starts[text])
                source = self._n_read + int(stream.owner[theirs[i]])
                self.longest[text] = Run(int(lengths[i]), start, source)

    def _longest_of_each(self, theirs, ours, lengths) -> tuple[np.ndarray, np.ndarray]:
        """The sequences, and of each the pair of places with the longest run; of equals, the one
        that is first in the stream, and then in the sequence.
        """
        order = np.lexsort((ours, theirs, -lengths))
        texts, first = np.unique(self._owner[ours[order]], return_index=True)
        return texts, order[first]

    def _common(self, stream: "_Stream", theirs, ours) -> np.ndarray:
        """The number of equal symbols from each place of the stream and its place of ours on, int64
        [p]; it may be too large where hashes collide. The marks that end sequences are not equal,
        so that no run goes beyond them.
        """
        low = np.zeros(len(theirs), np.int64)  # symbols that are equal; so many are not:
        high = np.minimum(len(stream.symbols) - theirs, len(self._symbols) - ours)
        while (is_open := high - low > 1).any():
            middle = np.where(is_open, (low + high) // 2, low)
            is_equal = stream.hashes.of(theirs, theirs + middle) == self._hashes.of(
                ours, ours + middle
            )
            low, high = np.where(is_equal, middle, low), np.where(is_equal, high, middle)
        return low

    def _are_equal(self, stream: "_Stream", theirs, ours, lengths) -> bool:
        """Whether the longest run of each sequence is equal, symbol by symbol."""
        _, chosen = self._longest_of_each(theirs, ours, lengths)
        return all(
            np.array_equal(stream.symbols[a : a + n], self._symbols[b : b + n])
            for a, b, n in zip(theirs[chosen], ours[chosen], lengths[chosen])
        )

    def _compared(self, stream: "_Stream", theirs: int, ours: int) -> int:
        """The number of equal symbols from two places on."""
        n = min(len(stream.symbols) - theirs, len(self._symbols) - ours)
        differ = stream.symbols[theirs : theirs + n] != self._symbols[ours : ours + n]
        return int(differ.argmax())  # marks differ


class _Stream(NamedTuple):
    """A batch of the stream.

    Attributes:
      symbols: uint32 [s], with marks around the sequences.
      owner: the number of the sequence of each, int64 [s]; -1 for marks.
      hashes: of their ranges.
    """

    symbols: np.ndarray
    owner: np.ndarray
    hashes: RangeHash


def _joined(sequences: Sequence[np.ndarray], mark: np.uint32) -> tuple[np.ndarray, np.ndarray]:
    """All symbols with a mark before each sequence and at the end, and the number of the sequence
    of each; -1 for marks.
    """
    parts, owners = [], []
    for number, sequence in enumerate(sequences):
        parts += [[mark], sequence]
        owners += [[-1], np.full(len(sequence), number)]
    parts, owners = [*parts, [mark]], [*owners, [-1]]
    return (
        np.concatenate([np.asarray(part, np.uint32) for part in parts]),
        np.concatenate([np.asarray(part, np.int64) for part in owners]),
    )


def _key(rank: np.ndarray) -> np.ndarray:
    return rank.astype(np.uint64) << np.uint64(32)


def _with_before(rank: np.ndarray, symbols: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The rank of the n-gram at each place, and then the symbol before the place, as one number."""
    return _key(rank) | symbols[places - 1].astype(np.uint64)


def _ngrams(hashes: RangeHash, owner: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The places where runs of n symbols of one sequence begin, and their hashes."""
    places = np.arange(max(0, len(owner) - n + 1))
    places = places[(owner[places] >= 0) & (owner[places] == owner[places + n - 1])]
    return places, hashes.of(places, places + n)


def _parts(counts: np.ndarray) -> list[np.ndarray]:
    """Divides places by the number of their pairs, so that those of a part fit in memory."""
    part = np.cumsum(counts) // _PAIRS_AT_ONCE
    chosen = np.flatnonzero(counts)
    return np.split(chosen, np.flatnonzero(np.diff(part[chosen])) + 1) if len(chosen) else []
