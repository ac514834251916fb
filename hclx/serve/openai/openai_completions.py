"""POST /v1/completions: texts that go on from prompts, with the log-probabilities of both."""

import dataclasses
import functools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.infer import GenerateRequest, Generation, ScoreRequest, TokenLogprob
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Caller, Usage
from hclx.serve.event_stream import event
from hclx.serve.json_body import read_body
from hclx.serve.metrics import FINISH_REASONS
from hclx.serve.openai.openai_errors import error_object
from hclx.serve.openai.openai_fields import (
    Int64,
    SamplingFields,
    check_fields,
    check_logprobs,
    check_token_ids,
    dump,
    prompts_of,
    read_grammar,
    sampling_of,
    tenant_of,
    usage_object,
    with_seeds,
)
from hclx.serve.openai.openai_logprobs import CompletionLogprobs
from hclx.serve.service import Asked, Running, Service

_DEFAULT_TOKENS = 16  # of OpenAI


class CompletionRequest(SamplingFields, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    prompt: str | list[str | int | list[int]]
    max_tokens: Int64 | None = None
    echo: bool | None = None
    logprobs: Int64 | None = None
    return_tokens_as_token_ids: bool | None = None
    add_special_tokens: bool | None = None
    best_of: Int64 | None = None
    suffix: Literal[""] | None = None


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt as the engine reads it.

    Attributes:
      text: of it, as it is echoed.
      ids: with the tokens that begin a document, if it was a text.
      n_begin: the number of these, which are not part of the text.
    """

    text: str
    ids: tuple[int, ...]
    n_begin: int

    @property
    def own_ids(self) -> tuple[int, ...]:
        """The tokens of the text alone."""
        return self.ids[self.n_begin :]


@dataclasses.dataclass(frozen=True)
class Plan:
    """A request as the engine is asked it.

    Attributes:
      body: the request.
      prompts: its prompts.
      requests: `n` for each prompt; none if nothing is to be written.
      scores: one for each prompt whose log-probabilities are asked for and which has some.
      cost: in tokens.
    """

    body: CompletionRequest
    prompts: Sequence[Prompt]
    requests: Sequence[GenerateRequest]
    scores: Sequence[ScoreRequest | None]
    cost: int

    @property
    def n(self) -> int:
        """The number of texts of each prompt."""
        return self.body.n or 1


class Completions:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body = await read_body(request, CompletionRequest)
        plan = await self.plan(body, request.state.caller)
        head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
        }

        async def whole(running: Running) -> Response:
            choices = await self._choices(plan, running)
            return JSONResponse({**head, "choices": choices, "usage": usage_object(running.usage)})

        events = functools.partial(self._events, plan, head) if body.stream else None
        asked = Asked.of(request, body.model, plan.cost, plan.requests)
        return await self._service.answer(asked, whole, events)

    async def plan(self, body: CompletionRequest, caller: Caller) -> Plan:
        """Checks a request, and encodes its prompts. Raises ApiError (400, 404)."""
        config, backend = self._service.config, self._backend
        artefact = backend.artefact_of(body.model, caller)
        inputs = prompts_of(body.prompt, config.prompts)
        check_fields(body, len(inputs), config)
        check_token_ids(body, backend)
        check_logprobs(body.logprobs, "logprobs", config)
        if body.best_of not in (None, body.n or 1):
            raise invalid("best_of: give the same as n, or leave it out", "best_of")
        prompts = [await self._prompt(value, body) for value in inputs]
        longest = max(len(prompt.ids) for prompt in prompts)
        max_tokens = self._max_tokens(body, longest, artefact)
        tenant, requests, n = tenant_of(body, caller), [], body.n or 1
        if max_tokens:
            sampling = sampling_of(body, max_tokens, body.logprobs)
            grammar = await read_grammar(body)
            shared = {"grammar": grammar, "tenant": tenant, "artefact": artefact}
            for prompt in prompts:
                asked = GenerateRequest(prompt.ids, sampling, deadline=config.deadline, **shared)
                requests += with_seeds(asked, n)
        scores = []
        if body.echo and body.logprobs is not None:
            asked = {"top": body.logprobs, "tenant": tenant, "artefact": artefact}
            # The first token of a prompt has no probability: nothing comes before it.
            is_scored = lambda prompt: len(prompt.ids) - prompt.n_begin > 1
            scores = [ScoreRequest(p.ids, **asked) if is_scored(p) else None for p in prompts]
        cost = sum(len(prompt.ids) for prompt in prompts) + max_tokens * n * len(prompts)
        return Plan(body, prompts, requests, scores, cost)

    def _max_tokens(self, body: CompletionRequest, longest: int, artefact: str | None) -> int:
        """The most tokens of each text. The default gives way where there is less room."""
        least = 0 if body.echo else 1
        if body.max_tokens is not None and body.max_tokens < least:
            raise invalid(f"max_tokens={body.max_tokens}: give {least} or more", "max_tokens")
        most = self._backend.check_length(longest, body.max_tokens, "max_tokens", artefact)
        return most if body.max_tokens is not None else min(_DEFAULT_TOKENS, most)

    async def _prompt(self, value: str | list[int], body: CompletionRequest) -> Prompt:
        backend = self._backend
        if isinstance(value, str):
            backend.check_text(value, "prompt")
            begins = body.add_special_tokens is not False
            ids = await backend.encode(value, begins)
            n_begin = len(backend.tokenizer.begin_ids) if begins else 0
            if not ids:
                raise invalid("prompt is empty: give a text, or leave add_special_tokens", "prompt")
            return Prompt(backend.as_read(value), tuple(ids), n_begin)
        backend.check_ids(value, "prompt")
        return Prompt(backend.tokenizer.decode(value) if body.echo else "", tuple(value), 0)

    async def _choices(self, plan: Plan, running: Running) -> list[dict]:
        echoes = await self._echoes(plan)
        results = await running.results()
        count(running, plan, results)
        choices = []
        for index in range(len(plan.prompts) * plan.n):
            result = results[index] if results else None
            choices.append(await self._choice(plan, index, result, echoes))
        return choices

    async def _choice(self, plan: Plan, index: int, result: Generation | None, echoes) -> dict:
        body, prompt = plan.body, plan.prompts[index // plan.n]
        text = (prompt.text if body.echo else "") + (result.text if result else "")
        logprobs, tells = None, result is None or result.logprobs is not None
        if body.logprobs is not None and tells:  # a text that was changed tells none
            tokens, entries = await self._rest(plan, index, result)
            echoed, before = (prompt.own_ids, echoes[index // plan.n]) if body.echo else ((), ())
            logprobs = self._writer(body).written([*echoed, *tokens], [*before, *entries])
        reason = FINISH_REASONS[result.stop_reason] if result else "length"
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}

    def _writer(self, body: CompletionRequest) -> CompletionLogprobs:
        return CompletionLogprobs(self._backend.tokenizer, bool(body.return_tokens_as_token_ids))

    async def _rest(self, plan: Plan, index: int, result: Generation | None, n_sent: int = 0):
        """The tokens of a text behind the first `n_sent`, and their log-probabilities."""
        if result is None or result.logprobs is None:
            return (), ()
        tokens, entries = result.tokens[n_sent:], result.logprobs[n_sent:]
        if plan.body.echo and (end := await self._end(plan, index, result)):
            return (*tokens, end.token), (*entries, end)
        return tokens, entries

    async def _end(self, plan: Plan, index: int, result: Generation) -> TokenLogprob | None:
        """The token that ended a document, which clients that score prompts count on: they leave
        the last entry out.
        """
        request = plan.requests[index]
        ends_otherwise = request.grammar is not None or request.sampling.stop_ids
        if result.stop_reason != "end" or ends_otherwise:
            return None
        asked = dataclasses.replace(
            plan.scores[index // plan.n] or ScoreRequest(request.prompt, top=plan.body.logprobs),
            context=(*request.prompt, *result.tokens),
            continuation=(self._backend.tokenizer.eod_id,),
        )
        ((entry,),) = [score.tokens for score in await self._backend.score([asked])]
        return entry

    async def _echoes(self, plan: Plan) -> list[list[TokenLogprob | None]]:
        """The log-probabilities of the tokens of each prompt, None for the first."""
        asked = [request for request in plan.scores if request is not None]
        scores = iter(await self._backend.score(asked))
        return [
            [None, *(next(scores).tokens[prompt.n_begin :] if request is not None else ())]
            for prompt, request in zip(plan.prompts, plan.scores)
        ]

    async def _events(self, plan: Plan, head: dict, running: Running) -> AsyncIterator[str]:
        """Yields the events of a stream, each with the log-probabilities of its tokens."""
        body, n_texts = plan.body, len(plan.prompts) * plan.n
        with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        more, results = {"usage": None} if with_usage else {}, {}
        writers = [self._writer(body) for _ in range(n_texts)]
        n_sent = [0] * n_texts

        def chunk(index: int, text: str, tokens=(), entries=(), reason: str | None = None) -> str:
            has_entries = body.logprobs is not None and tokens
            logprobs = writers[index].written(tokens, entries) if has_entries else None
            fields = {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
            return event(dump({**head, "choices": [fields], **more}))

        try:
            echoes = await self._echoes(plan)
            for index in range(n_texts if body.echo else 0):
                prompt, entries = plan.prompts[index // plan.n], echoes and echoes[index // plan.n]
                yield chunk(index, prompt.text, prompt.own_ids, entries)
            async for index, part in running.parts():
                if part is not None:
                    n_sent[index] += len(part.tokens)
                    yield chunk(index, part.text, part.tokens, part.logprobs)
                    continue
                results[index] = result = await running.result(index)
                rest = await self._rest(plan, index, result, n_sent[index])
                yield chunk(index, "", *rest, FINISH_REASONS[result.stop_reason])
            for index in range(0 if plan.requests else n_texts):
                yield chunk(index, "", reason="length")
            count(running, plan, [results[index] for index in sorted(results)])
            if with_usage:
                usage = usage_object(running.usage)
                yield event(dump({**head, "choices": [], "usage": usage}))
        except ApiError as error:
            yield event(dump(error_object(error)))
            return
        yield event("[DONE]")


def count(running: Running, plan: Plan, results: Sequence[Generation]) -> None:
    """Counts the tokens of a request that has ended: each prompt once."""
    firsts = results[:: plan.n]
    running.add(
        Usage(
            sum(len(prompt.ids) for prompt in plan.prompts),
            sum(len(result.tokens) for result in results),
            min(sum(r.n_cached for r in firsts), sum(len(p.ids) for p in plan.prompts)),
        )
    )
