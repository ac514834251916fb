"""Requests to a server of models, each from its checks to its result."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from hclx.errors import shown
from hclx.infer.engine import (
    GenerateRequest,
    Generation,
    RequestError,
    Score,
    ScoreRequest,
    StopReason,
)
from hclx.infer.intake import check_request, check_score_request, within_room
from hclx.infer.remote_answers import TextAnswer, score_of_ids, score_of_text
from hclx.infer.remote_http import Http, Interruption, ServerError
from hclx.infer.remote_servers import (
    Server,
    check_alternatives,
    check_prompt,
    model_of,
    request_fields,
    tenant_fields,
)
from hclx.infer.ticket import Ticket
from hclx.text import Tokenizer

_COMPLETIONS = "v1/completions"
_LONGEST = 1e9  # seconds of a deadline
_MOST_TOKENS = 2**31 - 1  # of a text
_MOST_KEPT = 1000  # texts whose tokens are remembered: those of a prompt are asked for once


class Remote:
    """A model that a server serves, and the way from text to its tokens.

    Attributes:
      http: of the server.
      server: the model.
      streams: whether texts are asked for in parts.
      eod_id: the end of a document, if the tokenizer is known here.
    """

    def __init__(self, http: Http, server: Server, tokenizer: Tokenizer | None, streams: bool):
        """Keeps what all requests share; without a tokenizer the server is asked for tokens."""
        self.http, self.server, self.streams, self._tokenizer = http, server, streams, tokenizer
        self.eod_id = None if tokenizer is None else tokenizer.eod_id
        self._ids: dict[tuple[str, bool], list[int]] = {}

    async def encode(self, text: str | Sequence[int], name: str, begins: bool) -> list[int] | None:
        """Returns the ids of a text; None if the server has to be sent the text itself.

        Args:
          text: text or ids.
          name: of it, for messages.
          begins: whether it gets the tokens that begin a document.
        Raises:
          RequestError: it has no tokens although something has to come first.
        """
        kind = self.server.kind
        if not isinstance(text, str):
            ids = [int(token) for token in text]
        elif self._tokenizer is not None and kind.takes_ids:
            ids = [*(self._tokenizer.begin_ids if begins else ()), *self._tokenizer.encode(text)]
        elif kind.tokenize is not None:
            ids = await self._ask_ids(text, begins)
        else:
            return None
        if begins and not ids:
            raise RequestError(f"the {name} has no tokens; give the end-of-document token at least")
        return ids

    def taken(self, prompt: str | Sequence[int], name: str) -> str | Sequence[int]:
        """Returns a prompt as the server takes it: ids become the text that they are the tokens of,
        without those that begin a document, where the server takes text alone.

        Args:
          prompt: text or ids.
          name: of it, for messages.
        Raises:
          RequestError: it is neither, or the ids are not those of a text.
        """
        check_prompt(prompt, name)
        kind, tokenizer = self.server.kind, self._tokenizer
        if isinstance(prompt, str) or kind.takes_ids:
            return prompt
        if tokenizer is None:
            raise RequestError(f"{kind.name} takes no token ids; give the {name} as text")
        ids, begins = list(map(int, prompt)), list(tokenizer.begin_ids)
        rest = ids[len(begins) :] if ids[: len(begins)] == begins else ids
        is_known = all(token < tokenizer.vocab_size for token in rest)
        text = tokenizer.decode(rest) if is_known else ""
        if tokenizer.encode(text) != rest:
            raise RequestError(
                f"{kind.name} takes no token ids, and those of the {name} are not how a text is"
                " encoded; give it as text"
            )
        return text

    async def _ask_ids(self, text: str, begins: bool) -> list[int]:
        if (text, begins) not in self._ids:
            path, fields = self.server.kind.tokenize
            body = {"model": self.server.model, **fields(text, begins)}
            if len(self._ids) >= _MOST_KEPT:
                self._ids.clear()
            self._ids[text, begins] = _tokens(await self.http.post(path, body))
        return self._ids[text, begins]


class TextWork:
    """One continuation of a prompt."""

    def __init__(self, remote: Remote, request: GenerateRequest, index: int, ticket: Ticket):
        """Checks a request, of which this is the continuation number `index`.

        Raises:
          RequestError: the server cannot serve it.
        """
        check_request(request)
        kind = remote.server.kind
        request = dataclasses.replace(request, prompt=remote.taken(request.prompt, "prompt"))
        no_stream = kind.has_poor_streams and request.sampling.logprobs is not None
        self._is_streamed = remote.streams and not no_stream
        seed = request.sampling.seed + index
        self._fields = request_fields(kind, request, seed, remote.eod_id, self._is_streamed)
        self._model = model_of(remote.server, request.artefact)
        self._remote, self._request = remote, request
        self._answer = TextAnswer(kind, request, self._is_streamed, ticket.add_parts)
        self.end = None
        if request.deadline is not None:
            self.end = time.monotonic() + float(min(request.deadline, _LONGEST))

    async def run(self) -> Generation:
        """Awaits the whole text."""
        remote, request, kind = self._remote, self._request, self._remote.server.kind
        ids = await remote.encode(request.prompt, "prompt", begins=True)
        sampling = request.sampling
        if ids is not None and remote.server.max_length:
            sampling = within_room(sampling, len(ids), remote.server.max_length)
        body = {
            "model": self._model,
            "prompt": request.prompt if ids is None else ids,
            **self._fields,
            "max_tokens": min(sampling.max_tokens, _MOST_TOKENS),
        }
        if "min_tokens" in kind.fields:
            body["min_tokens"] = min(sampling.min_tokens, _MOST_TOKENS)
        self._answer.n_prompt = len(ids or ())
        await remote.http.retry(lambda: self._attempt(body))
        return self._answer.result()

    async def _attempt(self, body: dict) -> None:
        answer, http, kind = self._answer, self._remote.http, self._remote.server.kind
        answer.restart()
        if not self._is_streamed:
            answer.take(await http.attempt(_COMPLETIONS, body))
            answer.check_whole()
            return
        try:
            # Where it ends a stream by an error, it ends the connection a little later.
            keeps_alive = not kind.has_poor_streams
            async with http.events(_COMPLETIONS, body, keeps_alive) as events:
                async for event in events:
                    answer.take(event)
                    if answer.is_stopped:
                        break
            answer.check_whole()
        except Interruption:
            if kind.has_poor_streams and not answer.text:
                # It tells what is wrong where there is no stream.
                await http.attempt(_COMPLETIONS, {**body, "max_tokens": 1, "stream": False})
            raise

    def ended(self, reason: StopReason) -> Generation:
        """Returns what there is of the text."""
        return self._answer.result(reason)


class ScoreWork:
    """The log-probabilities of one text."""

    end = None

    def __init__(self, remote: Remote, request: ScoreRequest):
        """Checks a request.

        Raises:
          RequestError: the server cannot serve it.
        """
        check_score_request(request)
        kind = remote.server.kind
        if kind.echo_tokens is None:
            raise RequestError(
                f"{kind.name} gives no log-probabilities of the tokens of a prompt (it refuses"
                " `echo`); score by a server that does, such as vLLM"
            )
        check_alternatives(kind, request.top, "top")
        context, rest = remote.taken(request.context, "context"), request.continuation
        if rest is not None:
            rest = remote.taken(rest, "continuation")
        request = dataclasses.replace(request, context=context, continuation=rest)
        if request.continuation is not None and not len(request.continuation):
            raise RequestError("there is no token to score: the continuation is empty")
        self._remote, self._request = remote, request
        self._body = {
            "model": model_of(remote.server, request.artefact),
            "echo": True,
            "logprobs": max(1, request.top),
            "max_tokens": kind.echo_tokens,
            "temperature": 0,
            **kind.always,
            **tenant_fields(kind, request.tenant),
        }

    async def run(self) -> Score:
        """Awaits the log-probabilities."""
        request, remote = self._request, self._remote
        context = await remote.encode(request.context, "context", begins=True)
        rest: list[int] | None = []
        if request.continuation is not None:
            rest = await remote.encode(request.continuation, "continuation", begins=False)
        if context is None or rest is None:
            return await self._score_text()
        ids, first = [*context, *rest], len(context)
        first = 1 if request.continuation is None else first
        if len(ids) <= first:
            raise RequestError("there is no token to score: the context has one token alone")
        most = remote.server.max_length
        if most and len(ids) > most:
            raise RequestError(
                f"the text has {len(ids)} tokens and the model reads {most}; shorten it"
            )
        choice, _ = await self._ask(ids)
        return score_of_ids(choice, ids, first, request.top)

    async def _score_text(self) -> Score:
        request, kind = self._request, self._remote.server.kind
        context, text = request.context, request.continuation
        if not isinstance(context, str) or not isinstance(text, str):
            raise RequestError(
                f"{kind.name} encodes texts itself: give context and continuation, both as text, or"
                " give the engine the model's tokenizer"
            )
        choice, usage = await self._ask(context + text)
        return score_of_text(choice, usage, context, text, kind)

    async def _ask(self, prompt: str | list[int]) -> tuple[dict, dict]:
        answer = await self._remote.http.post(_COMPLETIONS, {**self._body, "prompt": prompt})
        try:
            (choice,) = answer["choices"]
            return choice, answer.get("usage") or {}
        except (KeyError, TypeError, ValueError) as error:
            raise ServerError(f"an answer is no completion: {answer}"[:500]) from error

    def ended(self, reason: StopReason) -> RequestError:
        """Returns the error of a request that has no result."""
        return RequestError(f"the request ended before it was served: {reason}")


class EmbedWork:
    """The vector of one text."""

    end = None

    def __init__(self, remote: Remote, text: str, artefact: str | None = None):
        """Starts with a text. Raises RequestError if it is none, or the server has no artefacts."""
        if not isinstance(text, str):
            raise RequestError(f"the text is {shown(text)}: give a text")
        self._remote, self._text = remote, text
        self._model = model_of(remote.server, artefact)

    async def run(self) -> np.ndarray:
        """Awaits the vector."""
        body = {"model": self._model, "input": self._text, "encoding_format": "float"}
        try:
            answer = await self._remote.http.post("v1/embeddings", body)
        except RequestError as error:
            raise RequestError(f"the server gives no vectors of this model: {error}") from error
        try:
            vector_d = np.asarray(answer["data"][0]["embedding"], np.float32)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ServerError(f"an answer is no vector: {answer}"[:500]) from error
        return vector_d if vector_d.ndim == 1 else vector_d.mean(axis=0)  # one for each token

    def ended(self, reason: StopReason) -> RequestError:
        """Returns the error of a request that has no result."""
        return RequestError(f"the request ended before it was served: {reason}")


def _tokens(answer: dict) -> list[int]:
    try:
        return [int(token) for token in answer["tokens"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(f"an answer has no tokens: {answer}"[:500]) from error
