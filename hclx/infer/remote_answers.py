"""Reads what servers answer: texts, part by part, and log-probabilities."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from hclx.infer.engine import (
    UNKNOWN_TOKEN,
    GenerateRequest,
    Generation,
    Part,
    RequestError,
    Score,
    StopReason,
    TokenLogprob,
)
from hclx.infer.remote_http import Interruption, ServerError, reason_of
from hclx.infer.remote_servers import ServerKind, finds_stops
from hclx.infer.text_collector import StopCollector

_ID = "token_id:"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class TextAnswer:
    """Collects one continuation. After an interruption it begins again, and nothing of what its
    owner has seen is shown a second time.

    Attributes:
      n_prompt: the tokens of the prompt, once they are known.
      tokens: ids that came; where the server tells none, `UNKNOWN_TOKEN` for each part.
    """

    def __init__(
        self,
        kind: ServerKind,
        request: GenerateRequest,
        is_streamed: bool,
        on_parts: Callable[[Sequence[Part]], None],
    ):
        """Starts an answer of a server of this kind; `on_parts` takes the parts of the text."""
        self._kind, self._request, self._on_parts = kind, request, on_parts
        self._finds_stops = finds_stops(kind, is_streamed)
        self._shown, self._n_shown_tokens, self.n_prompt = "", 0, 0
        self.restart()

    def restart(self) -> None:
        """Forgets what came, but what was shown."""
        stop = () if self._finds_stops else self._request.sampling.stop
        self._collector, self._emitted = StopCollector(stop, self._show), ""
        self.tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._reason: StopReason | None = None
        self._ended_by_id = False
        self._usage: dict[str, Any] = {}

    @property
    def is_stopped(self) -> bool:
        """Returns whether a stop text was found here: the rest of the answer is of no use."""
        return self._collector.is_stopped

    @property
    def text(self) -> str:
        """Returns the text so far."""
        return self._collector.text

    def take(self, event: dict) -> None:
        """Takes an object of the answer.

        Raises:
          RequestError, Interruption: it is an error.
          ServerError: it is no part of a completion, or a second attempt gives another text.
        """
        if event.get("error"):
            _raise_error(event["error"])
        try:
            self._usage = event.get("usage") or self._usage
            for choice in event["choices"] if "usage" not in event else event.get("choices", ()):
                self._take_choice(choice)
        except _MALFORMED as error:
            raise ServerError(f"an answer is no part of a completion: {event}"[:500]) from error
        self._collector.show()

    def _take_choice(self, choice: dict) -> None:
        self._collector.add_text(choice["text"])
        ids = choice.get("token_ids")
        if logprobs := choice.get("logprobs"):
            self._logprobs += read_logprobs(logprobs, self._request.sampling.logprobs or 0)
            if ids is None:
                ids = [token.token for token in self._logprobs[len(self.tokens) :]]
        elif ids is None and choice["text"]:
            ids = [UNKNOWN_TOKEN]
        self.tokens += map(int, ids or ())
        if choice.get("finish_reason"):
            self._finish(choice)

    def _finish(self, choice: dict) -> None:
        if choice["finish_reason"] == "length":
            self._reason = "length"
        elif choice["finish_reason"] == "stop":
            field = self._kind.stop_field
            stop = choice.get(field) if field else None
            may_be_text = self._finds_stops and bool(self._request.sampling.stop)
            is_text = isinstance(stop, str) if field else may_be_text
            self._reason = "stop" if is_text else "end"
            self._ended_by_id = bool(field) and not is_text
        else:
            # The server was told to end it, or did so for a reason of its own.
            raise Interruption(f"the server ended a text early: {choice['finish_reason']}")

    def check_whole(self) -> None:
        """Raises Interruption if the answer ended before the text did."""
        if self._reason is None and not self.is_stopped:
            hint = "; another request may have ended this one" if self._kind.is_serial else ""
            raise Interruption(f"the server ended a text before its end{hint}")

    def result(self, reason: StopReason | None = None) -> Generation:
        """Returns the text; `reason` is why it ends, if its owner or the time ended it."""
        text = self._collector.finish()
        if reason is not None and len(self._shown) > len(text):
            text = self._shown  # in the midst of a second attempt
        tokens, logprobs = self.tokens, self._logprobs
        if self._ended_by_id and self._kind.tells_ids:
            tokens, logprobs = tokens[:-1], logprobs[: len(tokens) - 1]
        n_new = self._usage.get("completion_tokens")
        if isinstance(n_new, int) and set(tokens) <= {UNKNOWN_TOKEN}:
            tokens = [UNKNOWN_TOKEN] * n_new
        if self.is_stopped:
            self._reason = "stop"
        details = self._usage.get("prompt_tokens_details") or {}
        return Generation(
            text,
            tuple(tokens),
            reason or self._reason,
            self._usage.get("prompt_tokens") or self.n_prompt,
            details.get("cached_tokens") or 0,
            None if self._request.sampling.logprobs is None else tuple(logprobs),
        )

    def _show(self, text: str) -> None:
        self._emitted += text
        if not (self._shown.startswith(self._emitted) or self._emitted.startswith(self._shown)):
            raise ServerError(
                "the server ended a text before its end, and began otherwise at the next attempt;"
                " run the same command again"
            )
        if len(self._emitted) > len(self._shown):
            new = self._emitted[len(self._shown) :]
            self._shown = self._emitted
            self._on_parts([self._part(new)])

    def _part(self, text: str) -> Part:
        """The part of a text, with the tokens that came since the last one."""
        first = self._n_shown_tokens  # of the first attempt, if this is another
        self._n_shown_tokens = max(first, len(self.tokens))
        has_logprobs = self._request.sampling.logprobs is not None
        logprobs = tuple(self._logprobs[first:]) if has_logprobs else None
        return Part(text, tuple(self.tokens[first:]), logprobs)


def read_logprobs(logprobs: dict, n_top: int) -> list[TokenLogprob]:
    """Reads log-probabilities of tokens, in the form of completions or of chats.

    Args:
      logprobs: of a choice.
      n_top: the number of alternatives that each gets.
    """
    if "content" in logprobs:
        rows = [
            (entry, entry.get("logprob"), entry.get("top_logprobs") or ())
            for entry in logprobs["content"]
        ]
        name = lambda entry: entry.get("id", UNKNOWN_TOKEN)
        return [
            TokenLogprob(
                name(entry),
                _number(value),
                tuple((name(e), _number(e["logprob"])) for e in top)[:n_top],
            )
            for entry, value, top in rows
        ]
    tops = logprobs.get("top_logprobs") or [None] * len(logprobs["tokens"])
    return [
        TokenLogprob(token_id(token), _number(value), _top(top)[:n_top])
        for token, value, top in zip(
            logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True
        )
    ]


def score_of_ids(choice: dict, ids: Sequence[int], first: int, n_top: int) -> Score:
    """Reads the log-probabilities of a prompt that was sent as ids.

    Args:
      choice: of the answer, with the prompt in it.
      ids: the prompt.
      first: the first of them that is scored.
      n_top: the number of alternatives of each.
    Raises:
      RequestError: the server gave no log-probabilities of the prompt, or those of other tokens.
    """
    tokens, values, tops = _echo(choice)
    told = [token_id(token) for token in tokens[: len(ids)]]
    is_other = any(a not in (UNKNOWN_TOKEN, b) for a, b in zip(told, ids))
    if len(tokens) < len(ids) or is_other or not _are_numbers(values[first : len(ids)]):
        raise _no_echo()
    scored = range(first, len(ids))
    return _score(ids, scored, values, tops, n_top)


def score_of_text(choice: dict, usage: dict, context: str, text: str, kind: ServerKind) -> Score:
    """Reads the log-probabilities of the tokens that lie behind a context, by where they begin.

    Args:
      choice: of the answer, with context and text in it.
      usage: of the answer.
      context, text: what was sent is `context + text`.
      kind: of the server.
    Raises:
      RequestError: the server gave no such log-probabilities, or a token belongs to both.
    """
    tokens, values, tops = _echo(choice)
    begins = choice["logprobs"].get("text_offset") or []
    end = len(context) + len(text)
    if len(begins) != len(tokens) or not str(choice["text"]).startswith(context + text):
        raise _no_echo()
    if not begins or begins[0] != 0 or list(begins) != sorted(begins):
        raise RequestError(
            f"{kind.name} does not tell where tokens begin in the text; give the engine the model's"
            " tokenizer, so that it sends ids"
        )
    n_echoed = sum(begin < end for begin in begins)
    if kind.needs_begin and usage.get("prompt_tokens") != n_echoed + 1:
        # Without a token that begins documents its values are those of the tokens before.
        raise RequestError(
            f"{kind.name} gives each token of this text the log-probability of another; it is right"
            " only for models whose documents begin with a token"
        )
    scored = [i for i in range(n_echoed) if begins[i] >= len(context)]
    first = scored[0] if scored else n_echoed
    if first and begins[first - 1] + len(tokens[first - 1]) > len(context):
        raise RequestError(
            f"the token {tokens[first - 1]!r} belongs to the context and to the text that is"
            f" scored, and {kind.name} takes no ids; part them elsewhere, such as before a blank"
        )
    if not scored or not _are_numbers([values[i] for i in scored]):
        raise RequestError(
            f"{kind.name} gives no log-probability of the first token of a text; give a context"
            " before what is scored"
        )
    score = _score([UNKNOWN_TOKEN] * n_echoed, scored, values, tops, 0)
    return dataclasses.replace(score, n_prompt=usage.get("prompt_tokens") or n_echoed)


def token_id(token: str) -> int:
    """Returns the id that a token is named by, or `UNKNOWN_TOKEN` if it is named by its text."""
    number = token.removeprefix(_ID)
    return int(number) if token.startswith(_ID) and number.isdigit() else UNKNOWN_TOKEN


def _raise_error(error: Any) -> None:
    """Raises what an error in the midst of an answer means."""
    code = error.get("code") if isinstance(error, dict) else None
    is_refused = isinstance(code, int) and 400 <= code < 500 and code != 429
    if is_refused:
        raise RequestError(f"the server refuses this: {reason_of(error)}")
    raise Interruption(f"the server ended a text by an error: {reason_of(error)}")


def _echo(choice: dict) -> tuple[list[str], list, list]:
    try:
        logprobs = choice["logprobs"]
        tokens, values = list(logprobs["tokens"]), list(logprobs["token_logprobs"])
        tops = list(logprobs.get("top_logprobs") or ())
    except _MALFORMED:
        raise _no_echo() from None
    return tokens, values, tops


def _no_echo() -> RequestError:
    return RequestError(
        "the server gives no log-probabilities of the tokens of a prompt (`echo` with `logprobs`);"
        " score by a server that does, such as vLLM"
    )


def _score(
    ids: Sequence[int], scored: Sequence[int], values: list, tops: list, n_top: int
) -> Score:
    try:
        greedy = all(values[i] >= max(tops[i].values()) for i in scored)
        entries = tuple(
            TokenLogprob(ids[i], float(values[i]), _top(tops[i])[:n_top]) for i in scored
        )
    except _MALFORMED as error:
        raise _no_echo() from error
    return Score(sum(entry.logprob for entry in entries), greedy, entries, len(ids))


def _top(top: dict[str, float] | None) -> tuple[tuple[int, float], ...]:
    pairs = sorted((top or {}).items(), key=lambda pair: -pair[1])
    return tuple((token_id(token), float(value)) for token, value in pairs)


def _are_numbers(values: Sequence) -> bool:
    return bool(values) and all(isinstance(v, int | float) and math.isfinite(v) for v in values)


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no log-probability")
    return float(value)
