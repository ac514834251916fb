"""Two small models that users train on text of their own: a classifier of good documents, and a
language model of bytes.

Both work on hashes of byte n-grams, so that a batch of documents is a few array operations, and
each is stored as one `.npz` file.

Legend of the suffixes: d documents, b bytes.
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
CONTEXTS = (0, 1, 2, 3, 5, 8)  # context lengths in bytes; a Hangul syllable has three
_SMOOTHING = 4.0  # weight of the shorter context, in counts of the longer one
_FEATURES = (3, 6, 9)  # lengths of n-grams in bytes: one, two and three syllables


def _bytes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bytes of all texts, uint8 [b], and where each text begins, int64 [d + 1]."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(data) for data in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def _ngram_hashes(
    data: np.ndarray, position: np.ndarray, lengths: Sequence[int]
) -> dict[int, np.ndarray]:
    """Hashes of the bytes before each position.

    Args:
      data: uint8 [b]
      position: int64 [b], of each byte within its document.
      lengths: numbers of bytes.
    Returns:
      length -> uint64 [b]: the hash of `length` bytes, or of all if the document has fewer.
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
    """Document of each byte, and its position within the document, int64 [b]."""
    document = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return document, np.arange(offsets[-1]) - offsets[document]


class QualityModel:
    """Logistic regression on hashed byte n-grams: the probability that a document is good."""

    def __init__(self, weights: np.ndarray, bias: float):
        """weights: float32 [2^18]."""
        self.weights, self.bias = weights, bias

    @staticmethod
    def _features(texts: Sequence[str]) -> sparse.csr_array:
        """Percentage of each bucket among the n-grams of a document, float32 [d, 2^18]."""
        data, offsets = _bytes(texts)
        rows, columns = [], []
        document, position = _positions(offsets)
        hashes = _ngram_hashes(data, position, _FEATURES)
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
        """Trains a model by L-BFGS; both classes have the same total weight.

        Args:
          good: texts of good documents.
          others: texts of documents that are not good.
          penalty: coefficient of the squared weights.
        Raises:
          DataError: one of the two is empty.
        """
        if not good or not others:
            raise DataError(
                f"a quality model needs good documents and others, and has {len(good)} and"
                f" {len(others)}"
            )
        features = cls._features([*good, *others])
        used = np.unique(features.indices)  # weights of buckets that do not occur stay 0
        x = features[:, used]
        y = np.concatenate([np.ones(len(good)), np.zeros(len(others))])
        weight_d = np.where(y == 1, 0.5 / len(good), 0.5 / len(others))

        def loss(parameters):
            weights, bias = parameters[:-1], parameters[-1]
            logits = x @ weights + bias
            error = weight_d * (1 / (1 + np.exp(-np.clip(logits, -500, 500))) - y)
            value = (
                weight_d * (np.logaddexp(0, logits) - y * logits)
            ).sum() + penalty * weights @ weights
            return value, np.append(x.T @ error + 2 * penalty * weights, error.sum())

        result = optimize.minimize(
            loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 100}
        )
        weights = np.zeros(1 << QUALITY_BITS, np.float32)
        weights[used] = result.x[:-1]
        return cls(weights, float(result.x[-1]))

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Probability that each document is good, float32 [d]; one of fewer than four bytes, which
        has no n-gram, has that of the bias alone.
        """
        logits = self._features(texts) @ self.weights.astype(np.float64) + self.bias
        return (1 / (1 + np.exp(-np.clip(logits, -500, 500)))).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the model to the file `path`, whatever its suffix; makes its folder."""
        _save(path, kind=np.array("quality"), weights=self.weights, bias=np.array(self.bias))


class ByteModel:
    """An interpolated n-gram language model of bytes, with contexts of 0 to 8 bytes (Jelinek and
    Mercer 1980).

    The counts are in hash tables of fixed size. If two n-grams share a slot, the rarer one is
    dropped; a check value tells which n-gram the count belongs to. So the probabilities after a
    context never sum to more than 1, and collisions can only make a text seem less likely.
    """

    def __init__(self, marks: np.ndarray, counts: np.ndarray):
        """Takes the tables of a trained model.

        Args:
          marks: check values, uint32 [len(CONTEXTS), 2, 2^bits], of contexts with the next byte (0)
            and without it (1).
          counts: how often each occurred, of the same shape.
        """
        self.marks, self.counts = marks, counts
        self._shift = np.uint64(65 - marks.shape[-1].bit_length())

    @staticmethod
    def _hashes(data: np.ndarray, offsets: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Hashes of each context with the next byte and without it, uint64 [b], by length."""
        hashes = _ngram_hashes(data, _positions(offsets)[1], CONTEXTS)
        next_byte = data.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return [(splitmix64(hashes[n] + next_byte), hashes[n]) for n in CONTEXTS]

    @classmethod
    def train(cls, texts: Sequence[str], bits: int = LM_BITS) -> "ByteModel":
        """Counts the n-grams of texts. Takes about 30 times the memory of the texts.

        Args:
          texts: a document each.
          bits: each table has 2^bits slots.
        Raises:
          DataError: there is no text.
        """
        if not any(texts):
            raise DataError("a language model needs text, and has none")
        model = cls(*(np.zeros((len(CONTEXTS), 2, 1 << bits), np.uint32) for _ in range(2)))
        for i, pair in enumerate(cls._hashes(*_bytes([text + "\n" for text in texts]))):
            for j, hashes in enumerate(pair):
                values, counts = np.unique(hashes, return_counts=True)
                # Of the n-grams that share a slot, the last one stays: the most frequent one.
                order = np.argsort(counts, kind="stable")
                slot = (values[order] >> model._shift).astype(np.int64)
                model.marks[i, j, slot], model.counts[i, j, slot] = (
                    values[order].astype(np.uint32),
                    counts[order],
                )
        return model

    def _count(self, order: int, kind: int, hashes: np.ndarray) -> np.ndarray:
        """Count of each hash, uint64 [b], in one of the tables: int64 [b]."""
        slot = (hashes >> self._shift).astype(np.int64)
        is_own = self.marks[order, kind, slot] == hashes.astype(np.uint32)
        return np.where(is_own, self.counts[order, kind, slot], 0)

    def probabilities(self, data: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Probability of each byte after those before it in its document.

        Args:
          data: UTF-8 of all documents, one after another, uint8 [b]. Texts end in a line feed if
            the end of a document shall have a probability too, as `bits_per_byte` adds it.
          offsets: int64 [d + 1], where each document begins, and then the length of `data`.
        Returns:
          float64 [b]
        """
        result = np.full(len(data), 1 / 256)
        for i, (with_byte, context) in enumerate(self._hashes(data, offsets)):
            seen = self._count(i, 1, context)
            # A dropped context predicts nothing, even if its n-gram was not dropped.
            pair = np.minimum(self._count(i, 0, with_byte), seen)
            result = (pair + _SMOOTHING * result) / (seen + _SMOOTHING)
        return result

    def bits_per_byte(self, texts: Sequence[str]) -> np.ndarray:
        """Cross-entropy of each text, with its end, a line feed that is added, in bits per byte:
        float32 [d]; 0 if it is empty.
        """
        if not len(texts):
            return np.zeros(0, np.float32)
        data, offsets = _bytes([text + "\n" for text in texts])
        bits = np.concatenate([[0], np.cumsum(-np.log2(self.probabilities(data, offsets)))])
        n = np.diff(offsets)
        return np.where(n > 1, (bits[offsets[1:]] - bits[offsets[:-1]]) / n, 0).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Writes the model to the file `path`, whatever its suffix; makes its folder."""
        _save(path, kind=np.array("perplexity"), marks=self.marks, counts=self.counts)


def _save(path: str | Path, **arrays) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content.getvalue())


def load(path: str | Path, kind: str) -> QualityModel | ByteModel:
    """Reads a model from its file.

    Args:
      path: the file that `save` of the model wrote.
      kind: "quality" gives a `QualityModel`, "perplexity" a `ByteModel`.
    Raises:
      DataError: the file is missing, damaged, or holds a model of the other kind.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as a {kind} model ({error}); train one with hclx train_filter"
        ) from error
    if str(arrays.get("kind")) != kind:
        raise DataError(f"{path} is no {kind} model but {str(arrays.get('kind'))!r}")
    return (
        QualityModel(arrays["weights"], float(arrays["bias"]))
        if kind == "quality"
        else ByteModel(arrays["marks"], arrays["counts"])
    )


def fingerprint(path: str | Path) -> str:
    """SHA-256 of the file of a model, 64 hexadecimal digits.

    Raises:
      DataError: the file is missing.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read; train a model with hclx train_filter") from error
