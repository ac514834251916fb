"""Calibration of a prompted model: the prior that a prompt gives its labels is taken out.

A prior is estimated from inputs that say nothing, from words of the task, or from the unlabelled
items themselves, and divided out. All functions are pure, on log-probabilities [rows, labels].

A probability of 0 (-inf) stays 0. A prior is never below SMALLEST, so that a label which the model
thinks impossible does not win because of that. Rows in which every label has 0 are uniform. Where
labels tie, the first is the answer.
"""

from collections.abc import Callable, Mapping

import numpy as np

from hclx.errors import ConfigError

SMALLEST = 1e-12


def normalised(log_p_nl: np.ndarray) -> np.ndarray:
    """Returns log-probabilities of which each row sums to 1; uniform where all are -inf."""
    log_p_nl = np.asarray(log_p_nl, np.float64)
    if np.isnan(log_p_nl).any() or (log_p_nl == np.inf).any():
        raise ConfigError("a log-probability is NaN or infinite; it cannot be calibrated")
    highest = log_p_nl.max(-1, keepdims=True)
    shifted = np.where(
        np.isneginf(highest), 0.0, log_p_nl - np.where(np.isinf(highest), 0, highest)
    )
    with np.errstate(divide="ignore"):
        return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def content_free_prior(log_p_ml: np.ndarray) -> np.ndarray:
    """Returns the log-prior [labels] of inputs without content: the mean of the labels'
    probabilities as they are, which is normalised then (Zhao et al., 2021, section 5).

    Args:
      log_p_ml: log-probabilities of the labels after each such input, not normalised.
    """
    log_p_ml = np.asarray(log_p_ml, np.float64)
    highest = log_p_ml.max()
    if np.isneginf(highest):
        return _floored(np.zeros(log_p_ml.shape[-1]))
    with np.errstate(divide="ignore"):
        return _floored(np.log(np.exp(log_p_ml - highest).mean(0)))


def domain_prior(log_p_ml: np.ndarray) -> np.ndarray:
    """Returns the log-prior [labels] of random words of the task: the mean of normalised
    probabilities (Fei et al., 2023, section 4).

    Args:
      log_p_ml: log-probabilities of the labels after each such text.
    """
    with np.errstate(divide="ignore"):
        return _floored(np.log(np.exp(normalised(log_p_ml)).mean(0)))


def batch_prior(log_p_nl: np.ndarray) -> np.ndarray:
    """Returns the log-prior [labels] of the unlabelled items: the mean of their normalised
    probabilities (batch calibration: Zhou et al., 2023, section 4).

    Args:
      log_p_nl: log-probabilities of the items that are predicted.
    """
    return domain_prior(log_p_nl)


def median_prior(log_p_nl: np.ndarray) -> np.ndarray:
    """Returns the log-prior [labels] that puts the threshold at the median: the median over the
    unlabelled items of each label's normalised log-probability.

    Of two labels, each is the answer of half of the items. This project's own choice; it fits sets
    whose labels are balanced.

    Args:
      log_p_nl: log-probabilities of the items that are predicted.
    """
    return _floored(np.median(np.maximum(normalised(log_p_nl), np.log(SMALLEST)), axis=0))


def without_prior(log_p_nl: np.ndarray, log_prior_l: np.ndarray) -> np.ndarray:
    """Returns normalised log-probabilities [n, labels] with the prior divided out: W is the inverse
    of diag(prior), and b is 0 (Zhao et al., 2021, section 5).
    """
    return normalised(np.asarray(log_p_nl, np.float64) - log_prior_l)


def less_prior(log_p_nl: np.ndarray, log_prior_l: np.ndarray) -> np.ndarray:
    """Returns normalised log-probabilities [n, labels] with the prior subtracted: W is the
    identity, b is -prior, then softmax (Zhao et al., 2021, section 5, for open generation).
    """
    impossible_n1 = np.isneginf(log_p_nl).all(-1, keepdims=True)
    left_nl = np.exp(normalised(log_p_nl)) - np.exp(log_prior_l)
    return normalised(np.where(impossible_n1, 0.0, left_nl))


# Name -> the prior, given log-probabilities after inputs without content, after words of the task,
# or of the items themselves; and how it is taken out.
Method = tuple[str, Callable[[np.ndarray], np.ndarray], Callable[..., np.ndarray]]
CALIBRATIONS: dict[str, Method] = {
    "contextual": ("contextual", content_free_prior, without_prior),
    "contextual_identity": ("contextual", content_free_prior, less_prior),
    "domain_context": ("domain", domain_prior, without_prior),
    "batch": ("items", batch_prior, without_prior),
    "median": ("items", median_prior, without_prior),
}


def calibrated(
    method: str, log_p_nl: np.ndarray, sources: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    """Returns calibrated log-probabilities [n, labels]; None if the method's source is missing.

    Args:
      method: a key of `CALIBRATIONS`.
      log_p_nl: log-probabilities of the labels for each item.
      sources: "contextual" and "domain" -> log-probabilities [inputs, labels] after inputs without
        content and after words of the task, under the same examples: the kinds of
        `content_free.calibration_prompts`.
    """
    if method not in CALIBRATIONS:
        raise ConfigError(f"no calibration {method!r}; known are {', '.join(CALIBRATIONS)}")
    source, prior, apply = CALIBRATIONS[method]
    log_p_ml = {**sources, "items": log_p_nl}.get(source)
    return None if log_p_ml is None else apply(log_p_nl, prior(log_p_ml))


def _floored(log_prior_l: np.ndarray) -> np.ndarray:
    """Returns a log-prior that is normalised, and nowhere below SMALLEST."""
    return np.maximum(normalised(log_prior_l[None])[0], np.log(SMALLEST))
