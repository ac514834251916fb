"""DA and DF1: how well a classifier tells what a model wrote from what people wrote.

NAVER named the measure (HyperCLOVA, AI NOW 2021) and published no definition of it; this protocol
is the project's own. A model continues the beginnings of documents that it was not trained on. The
continuation of the model and that of the document are truncated to one length, and a fixed linear
classifier of character n-grams learns to tell them apart on other documents. DA is its accuracy on
the documents that it has not seen, DF1 its F1 on the class of the model. 0.5 is best: the n-grams
do not give the model away.

The classifier is ridge regression to the labels +1 and -1 in the dual (Rifkin et al. 2003): it has
a closed form, is the same on every machine, and needs one factorisation for as many labellings as
one likes. These serve the interval. Texts that share a training set are not independent, so that
the spread of single texts would give an interval that is too narrow (Bengio and Grandvalet 2004).
Here the two labels of the pairs of each document are swapped at random, many times: then 0.5 is the
truth, and the spread of DA is seen.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse
from scipy.linalg import cho_factor, cho_solve

from hclx.errors import DataError
from hclx.hashing import RangeHash

NGRAMS = range(1, 6)  # characters
RIDGE = 0.1  # added to a diagonal of ones
MARGIN = 8  # characters that are left out at the end of both texts
LEAST_CHARACTERS = 32
LEAST_PAIRS = 20
_SWAPS = 400
_Z = 1.959964  # of 95%


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two continuations of one beginning, of the same length.

    Attributes:
      human: that of the document.
      model: that of the model.
      document: what pairs of one document have in common; they are in one fold.
    """

    human: str
    model: str
    document: str


@dataclasses.dataclass(frozen=True)
class Discrimination:
    """The result of a discriminator.

    Attributes:
      accuracy: DA, the mean over seeds.
      accuracy_interval: of 95%.
      f1: DF1, the mean over seeds.
      f1_interval: of 95%.
      accuracies: DA of each seed.
      p_value: the share of such random labellings for which DA is at least as great.
      independent_texts: the number of independent texts whose accuracy would spread as much as DA.
      pairs: their number.
      characters: the mean length of a text.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    f1: float
    f1_interval: tuple[float, float]
    accuracies: tuple[float, ...]
    p_value: float
    independent_texts: float
    pairs: int
    characters: float


def matched_pair(human: str, model: str, document: str) -> Pair | None:
    """Returns two continuations truncated to one length: that of the shorter, less `MARGIN`
    characters. Neither then shows how it ends: a text that `max_tokens` ends stops within a word or
    a character, and a document does not. None if fewer than `LEAST_CHARACTERS` are left.
    """
    length = min(len(human), len(model)) - MARGIN
    return Pair(human[:length], model[:length], document) if length >= LEAST_CHARACTERS else None


def discriminate(pairs: Sequence[Pair], seeds: int = 5, folds: int = 5) -> Discrimination:
    """Measures DA and DF1.

    Args:
      pairs: of equal lengths each, see `matched_pair`.
      seeds: how often the documents are divided into folds anew.
      folds: of a cross-validation by document.
    Raises:
      DataError: there are fewer than `LEAST_PAIRS` documents.
    """
    groups = np.unique([pair.document for pair in pairs], return_inverse=True)[1]
    n_documents = int(groups.max(initial=-1)) + 1
    if n_documents < max(LEAST_PAIRS, folds):
        raise DataError(
            f"there are pairs of {n_documents} documents; give {LEAST_PAIRS} or more, with"
            f" continuations of {LEAST_CHARACTERS + MARGIN} characters or more each"
        )
    n = len(pairs)
    kernel_ii = similarities([pair.human for pair in pairs] + [pair.model for pair in pairs])
    # The labels of the model's texts: the first column is the truth, the others are swapped pairs.
    # Pairs of one document are swapped together: they may have texts in common.
    signs_ps = np.random.default_rng(0).choice([-1.0, 1.0], (n_documents, 1 + _SWAPS))[groups]
    signs_ps[:, 0] = 1
    labels_is = np.concatenate([-signs_ps, signs_ps])
    rights, f1s = [], []
    for seed in range(seeds):
        fold_p = np.random.default_rng(seed).permutation(n_documents)[groups] % folds
        guesses_is = _guesses(kernel_ii, labels_is, np.tile(fold_p, 2), folds)
        rights.append((guesses_is == (labels_is > 0)).mean(0))
        f1s.append(_f1(guesses_is, labels_is > 0))
    accuracy_s, f1_s = np.mean(rights, 0), np.mean(f1s, 0)
    size = independent(accuracy_s[1:])
    return Discrimination(
        accuracy=float(accuracy_s[0]),
        accuracy_interval=wilson(accuracy_s[0], size),
        f1=float(f1_s[0]),
        f1_interval=wilson(f1_s[0], independent(f1_s[1:])),
        accuracies=tuple(float(right[0]) for right in rights),
        p_value=float((1 + (accuracy_s[1:] >= accuracy_s[0]).sum()) / (1 + _SWAPS)),
        independent_texts=size,
        pairs=n,
        characters=float(np.mean([len(pair.human) for pair in pairs])),
    )


def similarities(texts: Sequence[str]) -> np.ndarray:
    """Computes the similarity of texts, float64 [t, t]: the cosine between the sets of their
    character n-grams, of all lengths of `NGRAMS` together; 1 on the diagonal.
    """
    lengths = [len(text) for text in texts]
    chars = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes, position = RangeHash(chars), np.arange(len(chars))
    text_of = np.repeat(np.arange(len(texts)), lengths)
    end_of = np.repeat(np.cumsum(lengths), lengths)
    rows, keys = [], []
    for n in NGRAMS:
        starts = position[position + n <= end_of]
        rows.append(text_of[starts])
        keys.append(hashes.of(starts, starts + n))
    column = np.unique(np.concatenate(keys), return_inverse=True)[1]
    row = np.concatenate(rows)
    counts = scipy.sparse.csr_array((np.ones(len(row)), (row, column)))  # sums what occurs twice
    counts.data[:] = 1
    sizes = np.sqrt(np.maximum(counts.sum(1), 1))
    return (counts @ counts.T).toarray() / np.outer(sizes, sizes)


def _guesses(kernel_ii, labels_is, fold_i, folds: int) -> np.ndarray:
    """Whether each text is taken for the model's by the classifier that has not seen its fold, for
    each labelling, bool [i, s].
    """
    guesses_is = np.empty(labels_is.shape, bool)
    for fold in range(folds):
        test, train = np.flatnonzero(fold_i == fold), np.flatnonzero(fold_i != fold)
        factor = cho_factor(kernel_ii[np.ix_(train, train)] + RIDGE * np.eye(len(train)))
        weights = cho_solve(factor, labels_is[train])
        guesses_is[test] = kernel_ii[np.ix_(test, train)] @ weights > 0
    return guesses_is


def _f1(guesses_is: np.ndarray, labels_is: np.ndarray) -> np.ndarray:
    """F1 of the class True of each column, float64 [s]; 0 where nothing is guessed right."""
    right = (guesses_is & labels_is).sum(0)
    return 2 * right / (guesses_is.sum(0) + labels_is.sum(0))


def independent(values: Iterable[float]) -> float:
    """Returns the number of independent tosses of a coin whose share of heads spreads as some
    values do whose expectation is 0.5.
    """
    return float(0.25 / np.mean((np.asarray(values) - 0.5) ** 2))


def wilson(share: float, n: float) -> tuple[float, float]:
    """Computes the interval of 95% of a share (Wilson 1927).

    Args:
      share: 0 to 1.
      n: the number of independent cases that it is of.
    """
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(share * (1 - share) / n + (_Z / (2 * n)) ** 2)
    return float(centre - half), float(centre + half)
