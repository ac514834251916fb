"""Diversity and repetition of texts, each of which is a sequence of tokens such as its words."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from hclx.errors import require

Tokens = Sequence[Hashable]


def ngrams(tokens: Tokens, n: int) -> Iterator[tuple]:
    """Returns the runs of n tokens of a text, in order."""
    return zip(*(tokens[i:] for i in range(n)))


def distinct(texts: Sequence[Tokens], n: int) -> float:
    """Computes distinct-n (Li et al. 2016): distinct n-grams of all texts together, as
    a share of all their n-grams. Longer texts have lower values. NaN if there is no n-gram.
    """
    counts = Counter(gram for text in texts for gram in ngrams(text, n))
    return len(counts) / counts.total() if counts else float("nan")


def repeated_ngrams(texts: Sequence[Tokens], n: int = 4) -> float:
    """Computes seq-rep-n (Welleck et al. 2020): the share of the n-grams of a text that
    occurred in it before, as the mean over texts; those without an n-gram do not count.
    """
    shares = [1 - len(set(grams)) / len(grams) for text in texts if (grams := [*ngrams(text, n)])]
    return float(np.mean(shares)) if shares else float("nan")


def repeated_words(texts: Sequence[Tokens], window: int = 16) -> float:
    """Computes rep-w (Fu et al. 2021): the share of the tokens of a text that are among
    the `window` tokens before them, as the mean over texts; those without a token do not count.
    """
    shares = [
        np.mean([token in text[max(0, i - window) : i] for i, token in enumerate(text)])
        for text in texts
        if len(text)
    ]
    return float(np.mean(shares)) if shares else float("nan")


def self_bleu(texts: Sequence[Tokens], most: int = 4) -> float:
    """Computes self-BLEU (Zhu et al. 2018): the BLEU of a text against all others as
    its references, as the mean over texts; 0 to 100, less is more diverse.

    The BLEU of a sentence is that of sacrebleu with its exponential smoothing and effective order.
    The counts are taken of all texts at once, where sacrebleu would count all others for each.

    Args:
      texts: at least two.
      most: the longest n-grams that count.
    """
    require("sacrebleu")
    from sacrebleu.metrics import BLEU

    if len(texts) < 2:
        return float("nan")
    grams = [[Counter(ngrams(text, n)) for n in range(1, most + 1)] for text in texts]
    greatest = [_two_greatest(column) for column in zip(*grams)]
    lengths = sorted(map(len, texts))
    bleus = []
    for text, counts in zip(texts, grams):
        bleu = BLEU.compute_bleu(
            correct=[_clipped(*of_n) for of_n in zip(counts, greatest)],
            total=[max(0, len(text) - n) for n in range(most)],
            sys_len=len(text),
            ref_len=_closest(lengths, len(text)),
            smooth_method="exp",
            effective_order=True,
            max_ngram_order=most,
        )
        bleus.append(bleu.score)
    return float(np.mean(bleus))


def _two_greatest(counts: Sequence[Counter]) -> dict[tuple, tuple[int, int]]:
    """Each n-gram -> how often the text has it that has it most often, and the next one."""
    greatest: dict[tuple, tuple[int, int]] = {}
    for counter in counts:
        for gram, count in counter.items():
            first, second = greatest.get(gram, (0, 0))
            greatest[gram] = (max(first, count), max(second, min(first, count)))
    return greatest


def _clipped(counts: Counter, greatest: dict[tuple, tuple[int, int]]) -> int:
    """The n-grams of a text, each as often as one of the others has it at most."""
    return sum(
        min(count, greatest[gram][1] if count == greatest[gram][0] else greatest[gram][0])
        for gram, count in counts.items()
    )


def _closest(lengths: Sequence[int], length: int) -> int:
    """The length of another text that is closest to one, the shorter of equals."""
    others = list(lengths)
    others.remove(length)
    return min(others, key=lambda other: (abs(other - length), other))
