"""Two small models that a user trains on text of their own: which documents are good ones, and how
strange a text is.

Both work on hashes of bytes, so that a batch of documents is a few array operations, and are one
`.npz` file each.
"""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import optimize, sparse

from hclx.errors import DataError
from hclx.hashing import splitmix64

QUALITY_BITS = 18
LM_BITS = 20
CONTEXTS = (0, 1, 2, 3, 5, 8)  # bytes before the one that is foretold; a Hangul syllable has three
_SMOOTHING = 4.0  # how many counts of a context the shorter one is worth
_FEATURES = (3, 6, 9)  # bytes: one, two and three syllables


def _bytes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [b] and offsets, int64 [d + 1]."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(data) for data in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def _run_hashes(
    data: np.ndarray, position: np.ndarray, lengths: Sequence[int]
) -> dict[int, np.ndarray]:
    """Length -> uint64 [b]: a hash of the `length` bytes before each place; nothing stands before a
    document's first.

    Args:
      position: int64 [b], of each byte in its document.
    """
    result, running = {}, np.zeros(len(data), np.uint64)
    for length in range(max(lengths) + 1):
        if length in lengths:
            result[length] = splitmix64(running + np.uint64(length + 1))
        before = np.roll(data, length + 1).astype(np.uint64) + np.uint64(1)
        before[position <= length] = 0
        running = running * np.uint64(259) + before
    return result


def _positions(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Document and place in it of each byte, int64 [b]."""
    document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return document, np.arange(offsets[-1]) - offsets[document]


class QualityModel:
    """Logistic regression on hashed runs of bytes: the probability that a document is of the good
    ones.
    """

    def __init__(self, weights: np.ndarray, bias: float):
        """weights: float32 [2^18]."""
        self.weights, self.bias = weights, bias

    @staticmethod
    def _features(texts: Sequence[str]) -> sparse.csr_array:
        """Share of each bucket in a document's runs, float32 [d, 2^18]."""
        data, offsets = _bytes(texts)
        rows, columns = [], []
        document, position = _positions(offsets)
        hashes = _run_hashes(data, position, _FEATURES)
        for length in _FEATURES:
            whole = position >= length
            rows.append(document[whole])
            columns.append((hashes[length][whole] >> np.uint64(64 - QUALITY_BITS)).astype(np.int32))
        row, column = np.concatenate(rows), np.concatenate(columns)
        n = np.maximum(np.bincount(row, minlength=len(texts)), 1)
        values = (100 / n[row]).astype(np.float32)
        return sparse.csr_array((values, (row, column)), shape=(len(texts), 1 << QUALITY_BITS))

    @classmethod
    def train(
        cls, good: Sequence[str], others: Sequence[str], penalty: float = 1e-4
    ) -> "QualityModel":
        """Trains on documents that are good and on others.

        Args:
          penalty: of the squared weights.
        Raises:
          DataError: one of the two is empty.
        """
        if not good or not others:
            raise DataError(
                f"a quality model needs good documents and others, and has {len(good)} and"
                f" {len(others)}"
            )
        features = cls._features([*good, *others])
        used = np.unique(features.indices)  # a weight that no document has stays 0
        x = features[:, used]
        y = np.concatenate([np.ones(len(good)), np.zeros(len(others))])
        share = np.where(y == 1, 0.5 / len(good), 0.5 / len(others))  # both kinds count the same

        def loss(parameters):
            weights, bias = parameters[:-1], parameters[-1]
            logits = x @ weights + bias
            error = share * (1 / (1 + np.exp(-np.clip(logits, -500, 500))) - y)
            value = (
                share * (np.logaddexp(0, logits) - y * logits)
            ).sum() + penalty * weights @ weights
            return value, np.append(x.T @ error + 2 * penalty * weights, error.sum())

        found = optimize.minimize(
            loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 100}
        )
        weights = np.zeros(1 << QUALITY_BITS, np.float32)
        weights[used] = found.x[:-1]
        return cls(weights, float(found.x[-1]))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [d], 0 to 1."""
        logits = self._features(texts) @ self.weights.astype(np.float64) + self.bias
        return (1 / (1 + np.exp(-np.clip(logits, -500, 500)))).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the model."""
        _save(path, kind=np.array("quality"), weights=self.weights, bias=np.array(self.bias))


class ByteModel:
    """An interpolated n-gram model of bytes, of none to eight bytes before one (Jelinek and Mercer
    1980).

    Counts are in tables of fixed size. Where two share a place the rarer one is forgotten, and a
    mark tells whose count
    it is: so what the model foretells never sums to more than 1, and a text costs no less than it
      should.
    """

    def __init__(self, marks: np.ndarray, counts: np.ndarray):
        """marks, counts: uint32 [len(CONTEXTS), 2, 2^bits], of contexts with the next byte (0) and
        without it (1).
        """
        self.marks, self.counts = marks, counts
        self._shift = np.uint64(65 - marks.shape[-1].bit_length())

    @staticmethod
    def _hashes(data: np.ndarray, offsets: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """uint64 [b] of each context, with the byte itself and without."""
        found = _run_hashes(data, _positions(offsets)[1], CONTEXTS)
        return [
            (
                splitmix64(found[n] + data.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)),
                found[n],
            )
            for n in CONTEXTS
        ]

    @classmethod
    def train(cls, texts: Sequence[str], bits: int = LM_BITS) -> "ByteModel":
        """Counts the bytes of texts; all of them are held in memory, with about 30 bytes for each.

        Args:
          bits: a table has 2^bits places.
        Raises:
          DataError: there is no text.
        """
        if not any(texts):
            raise DataError("a language model needs text, and has none")
        model = cls(*(np.zeros((len(CONTEXTS), 2, 1 << bits), np.uint32) for _ in range(2)))
        for i, pair in enumerate(cls._hashes(*_bytes([text + "\n" for text in texts]))):
            for j, hashes in enumerate(pair):
                values, counts = np.unique(hashes, return_counts=True)
                # of those that share a place the last, most frequent one stays
                order = np.argsort(counts, kind="stable")
                place = (values[order] >> model._shift).astype(np.int64)
                model.marks[i, j, place], model.counts[i, j, place] = (
                    values[order].astype(np.uint32),
                    counts[order],
                )
        return model

    def _count(self, order: int, kind: int, hashes: np.ndarray) -> np.ndarray:
        place = (hashes >> self._shift).astype(np.int64)
        return np.where(
            self.marks[order, kind, place] == hashes.astype(np.uint32),
            self.counts[order, kind, place],
            0,
        )

    def probabilities(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """float64 [b]: of each byte, uint8 [b], after those before it in its document."""
        result = np.full(len(data), 1 / 256)
        for i, (with_byte, context) in enumerate(self._hashes(data, offsets)):
            seen = self._count(i, 1, context)
            # a context that was forgotten foretells nothing
            pair = np.minimum(self._count(i, 0, with_byte), seen)
            result = (pair + _SMOOTHING * result) / (seen + _SMOOTHING)
        return result

    def bits_per_byte(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [d]: bits that a byte of each text costs, with the end of it; 0 for an empty
        one.
        """
        if not len(texts):
            return np.zeros(0, np.float32)
        data, offsets = _bytes([text + "\n" for text in texts])
        bits = np.concatenate([[0], np.cumsum(-np.log2(self.probabilities(data, offsets)))])
        n = np.diff(offsets)
        return np.where(n > 1, (bits[offsets[1:]] - bits[offsets[:-1]]) / n, 0).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the model."""
        _save(path, kind=np.array("perplexity"), marks=self.marks, counts=self.counts)


def _save(path: str | Path, **arrays) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content.getvalue())


def load(path: str | Path, kind: str) -> QualityModel | ByteModel:
    """Reads a model, `quality` or `perplexity`.

    Raises:
      DataError: the file is missing, damaged, or of the other kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as a {kind} model ({error}); train one with"
            " launch/train_filter.py"
        ) from error
    if str(arrays.get("kind")) != kind:
        raise DataError(f"{path} is no {kind} model but {str(arrays.get('kind'))!r}")
    return (
        QualityModel(arrays["weights"], float(arrays["bias"]))
        if kind == "quality"
        else ByteModel(arrays["marks"], arrays["counts"])
    )


def fingerprint(path: str | Path) -> str:
    """sha256 of a model's file.

    Raises:
      DataError: it is missing.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read; train a model with launch/train_filter.py"
        ) from error
