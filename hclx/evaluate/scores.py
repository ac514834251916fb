"""Scores of choices: the log-probability of an answer, in total or per unit of its length."""

import dataclasses
import math
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class AnswerScore:
    """The log-probability of an answer, and what it can be divided by.

    Attributes:
      total: the sum over its tokens, natural logarithm.
      tokens: the number of its tokens.
      characters, bytes: of the choice alone, without what the prompt puts around it; as
        lm-evaluation-harness counts for acc_norm and acc_bytes.
      prior: the log-probability of the same tokens behind no prompt; None: was not computed.
    """

    total: float
    tokens: int
    characters: int
    bytes: int
    prior: float | None = None

    def by(self, score: str) -> float:
        """Returns a score by its name: "total", "per_token", "per_character", "per_byte", or "pmi",
        the pointwise mutual information of prompt and answer (Holtzman et al. 2021, with an empty
        prompt as the domain), which lm-evaluation-harness calls acc_mutual_info.
        """
        if score == "pmi":
            return self.total - self.prior
        lengths = {
            "total": 1,
            "per_token": self.tokens,
            "per_character": self.characters,
            "per_byte": self.bytes,
        }
        return self.total / max(1, lengths[score])


def best(scores: Mapping[str, AnswerScore], by: str) -> str:
    """Returns the key of the greatest score, the first of equals."""
    return max(scores, key=lambda key: scores[key].by(by))


def probabilities(scores: Mapping[str, AnswerScore], by: str) -> dict[str, float]:
    """Returns key -> probability: the softmax of the scores."""
    values = {key: score.by(by) for key, score in scores.items()}
    greatest = max(values.values())
    weights = {key: math.exp(value - greatest) for key, value in values.items()}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}
