"""The one interface by which evaluation, serving and services read a model: requests, results, and
what an engine does with them.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from hclx.errors import ConfigError, shown
from hclx.infer.sampling import SamplingConfig

if TYPE_CHECKING:
    from hclx.infer.grammar import Grammar

UNKNOWN_TOKEN = -1  # in place of the id of a token that a server does not tell
T = TypeVar("T")
StopReason = Literal["end", "stop", "length", "cancelled", "deadline"]


class RequestError(ConfigError):
    """A request cannot be served: what is wrong with it, and what to change. Others go on."""


@dataclasses.dataclass(frozen=True)
class GenerateRequest:
    """A text to continue.

    Attributes:
      prompt: the beginning of a document, which may be empty; or its token ids, to which nothing
        is added.
      sampling: the settings. `max_tokens` is limited to the room that the prompt leaves.
      n: the number of continuations, at most 1,024; the i-th has the seed `sampling.seed + i`.
      grammar: what the text has to follow; see `hclx.infer.grammar`.
      tenant: requests of different tenants share no prefix.
      deadline: seconds from submission after which the text ends as it is; None: never.
      artefact: the name of what tuning has made, to be used with the model; None: the model alone.
        Its soft slots are the token ids from the size of the vocabulary on; where the prompt has
        none, they stand before everything else.
    """

    prompt: str | tuple[int, ...]
    sampling: SamplingConfig = SamplingConfig()
    n: int = 1
    grammar: "Grammar | None" = None
    tenant: str = ""
    deadline: float | None = None
    artefact: str | None = None


@dataclasses.dataclass(frozen=True)
class TokenLogprob:
    """A token and its log-probability by the model itself, before every setting of sampling.

    Attributes:
      token: its id.
      logprob: natural logarithm.
      top: the likeliest tokens in its place with their log-probabilities, likeliest first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """The next part of a text on its way, in whole characters: that of one token, where characters
    and stop texts allow it and the server behind a remote engine tells tokens apart.

    Attributes:
      text: is not empty.
      tokens: the ids that made it, and those before it that have no text of their own; each is in
        one part. What follows the last part, such as a stop text, is in the `Generation` alone.
      logprobs: one for each of `tokens`, if the request asked for them.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Generation:
    """The continuation of one prompt.

    Attributes:
      text: the continuation, without the prompt and without the stop text.
      tokens: the ids that were sampled, with those of a stop text, but without the token that ended
        the text.
      stop_reason: "end" of the document, of `stop_ids` or of what the grammar allows, "stop" for a
        stop text, "length" if `max_tokens` or the model's length is reached, "cancelled", or
        "deadline".
      n_prompt: the number of tokens of the prompt.
      n_cached: how many of these were not computed, because an earlier request had begun alike.
      logprobs: one for each of `tokens`, if the request asked for them.
    """

    text: str
    tokens: tuple[int, ...]
    stop_reason: StopReason
    n_prompt: int = 0
    n_cached: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclasses.dataclass(frozen=True)
class ScoreRequest:
    """A text whose log-probability is asked for. It may have one token more than the model reads,
    as the last one is not read.

    Attributes:
      context: what comes before, text or token ids; it is computed once for requests that share it.
      continuation: the text or ids that are scored. Text is encoded on its own, and follows the
        tokens of the context. None: all tokens of the context but the first are scored.
      top: the number of likeliest alternatives for each token, at most 20.
      tenant, artefact: as in `GenerateRequest`.
    """

    context: str | tuple[int, ...]
    continuation: str | tuple[int, ...] | None = None
    top: int = 0
    tenant: str = ""
    artefact: str | None = None


@dataclasses.dataclass(frozen=True)
class Score:
    """The log-probability of a text.

    Attributes:
      total: the sum over its tokens, natural logarithm.
      is_greedy: whether each token is the likeliest in its place.
      tokens: each with its log-probability.
      n_prompt, n_cached: as in `Generation`, of context and continuation.
    """

    total: float
    is_greedy: bool
    tokens: tuple[TokenLogprob, ...]
    n_prompt: int = 0
    n_cached: int = 0


@dataclasses.dataclass(frozen=True)
class Choice:
    """The label that a model prefers after a context.

    Attributes:
      index: of the label with the greatest score, the first of equals.
      label: that label.
      probabilities: of all labels, softmax of their scores.
      scores: of all labels.
    """

    index: int
    label: str
    probabilities: tuple[float, ...]
    scores: tuple[Score, ...]


def list_of_labels(labels: Iterable[str]) -> list[str]:
    """Returns the labels to choose among. Raises RequestError if there are none."""
    listed = as_list(labels, "labels", "texts")
    if not listed:
        raise RequestError("there are no labels to choose among; give one or more")
    return listed


def list_of_texts(texts: str | Iterable[str]) -> list[str]:
    """Returns texts to embed as a list; a text alone is a list of one. Raises RequestError for
    what is neither.
    """
    return [texts] if isinstance(texts, str) else as_list(texts, "texts", "texts")


def as_list(values: Iterable[T], name: str, kind: str = "requests") -> list[T]:
    """Returns the values of an argument as a list.

    Args:
      values: of a method that takes several.
      name: of the argument.
      kind: of the values, for messages.
    Raises:
      RequestError: it is a single value.
    """
    is_single = isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable)
    if is_single:
        raise RequestError(f"{name}={shown(values)}: give a list of {kind}")
    return list(values)


def label_requests(context: str, labels: Sequence[str], artefact: str | None) -> list[ScoreRequest]:
    """Returns the requests whose scores choose among labels."""
    return [ScoreRequest(context, label, artefact=artefact) for label in labels]


def choice_of(labels: Sequence[str], scores: Sequence[Score]) -> Choice:
    """Returns the choice among labels that have these scores."""
    totals = [score.total for score in scores]
    weights = [math.exp(total - max(totals)) for total in totals]
    index = totals.index(max(totals))
    shares = tuple(weight / sum(weights) for weight in weights)
    return Choice(index, labels[index], shares, tuple(scores))


class Ticket(Protocol):
    """A request on its way."""

    def result(self, timeout: float | None = None) -> Generation | Score:
        """Waits for the result. Raises RequestError if the request cannot be served."""

    def cancel(self) -> None:
        """Ends the request: a text ends as it is."""

    def __iter__(self) -> Iterator[str]:
        """Yields the next parts of the text, in whole characters, until it ends."""


class Engine(Protocol):
    """The methods of every engine. All of them may be called from several threads."""

    def check(self, request: GenerateRequest) -> None:
        """Raises RequestError if `submit` would not take a request; nothing runs."""

    def submit(self, request: GenerateRequest | ScoreRequest) -> Ticket:
        """Takes a request with n=1, and returns at once."""

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Generation]]:
        """Continues texts: for each request its `n` continuations."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Computes the log-probabilities of texts."""

    def choose(self, context: str, labels: Sequence[str], artefact: str | None = None) -> Choice:
        """Chooses among labels by their log-probabilities after a context."""

    def embed(self, texts: Sequence[str], artefact: str | None = None) -> "list[Sequence[float]]":
        """Computes a vector for each text."""
