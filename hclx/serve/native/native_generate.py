"""POST /hclx/v1/generate: many prompts at once, each with settings and a grammar of its own."""

import dataclasses
import secrets
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from hclx.errors import ConfigError
from hclx.infer import GenerateRequest, Generation, SamplingConfig
from hclx.infer.grammar import Grammar, from_definition
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Usage
from hclx.serve.json_body import read_body
from hclx.serve.native.native_fields import (
    ScoredToken,
    Text,
    UsedTokens,
    Whole,
    check_count,
    json_answer,
    read_ids,
    scored_token,
)
from hclx.serve.openai.openai_fields import check_logprobs, check_stops, with_seeds
from hclx.serve.service import Asked, Running, Service

_DEFAULTS = SamplingConfig()
Penalty = Annotated[float, Meta(ge=-100, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]
Ids = list[Whole]


class Rule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A rule for the text; exactly one field is set."""

    choices: list[str] | UnsetType = UNSET
    regex: str | UnsetType = UNSET
    json_schema: dict | bool | UnsetType = UNSET
    lark: str | UnsetType = UNSET


class Prompt(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A prompt with its settings, which have the names and defaults of a line of `hclx generate`.
    By default, `max_tokens` gives way where there is less room, and the seed is random.
    """

    prompt: Text
    n: Annotated[int, Meta(ge=1, le=1024)] = 1
    max_tokens: Annotated[int, Meta(ge=1, lt=2**31)] | UnsetType = UNSET
    min_tokens: Whole = 0
    temperature: Annotated[float, Meta(ge=0, le=1e5)] = _DEFAULTS.temperature
    top_k: Whole = 0
    top_p: Annotated[float, Meta(ge=1e-30, le=1)] = _DEFAULTS.top_p
    min_p: Share = 0.0
    repetition_penalty: Annotated[float, Meta(ge=1e-3, le=1e3)] = 1.0
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    logit_bias: dict[int, Penalty] = {}
    allowed_tokens: Ids = []
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | UnsetType = UNSET
    stop: list[str] = []
    stop_ids: Ids = []
    logprobs: Whole | None = None
    grammar: Rule | None = None


class GenerateBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request."""

    model: str
    prompts: Annotated[list[Prompt], Meta(min_length=1)]


class WrittenText(msgspec.Struct, forbid_unknown_fields=True):
    """A text behind a prompt: why it ended, the seed that writes it again, and its tokens with
    their log-probabilities if the prompt asks for `logprobs`.
    """

    text: str
    stop_reason: str
    seed: int
    completion_tokens: int
    logprobs: list[ScoredToken] | None


class PromptTexts(msgspec.Struct, forbid_unknown_fields=True):
    """The `n` texts of a prompt."""

    prompt_tokens: int
    texts: list[WrittenText]


class GenerateAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The texts of all prompts, in order."""

    model: str
    results: list[PromptTexts]
    usage: UsedTokens


class NativeGenerate:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Continues all prompts. Raises ApiError, which names the prompt, if one cannot be
        continued; then none is.
        """
        body, config = await read_body(request, GenerateBody), self._service.config
        artefact = self._backend.artefact_of(body.model, request.state.caller)
        check_count(len(body.prompts), config.prompts, "prompts")
        counts = [prompt.n for prompt in body.prompts]
        if sum(counts) > config.n:
            raise invalid(f"n: all prompts have {sum(counts)} texts: give at most {config.n}", "n")
        shared = {"tenant": request.state.caller.tenant, "deadline": config.deadline}
        firsts = [
            await self._request(prompt, f"prompts[{index}]", {**shared, "artefact": artefact})
            for index, prompt in enumerate(body.prompts)
        ]
        requests = [each for asked, n in zip(firsts, counts) for each in with_seeds(asked, n)]
        cost = sum(len(asked.prompt) for asked in firsts)
        cost += sum(asked.sampling.max_tokens for asked in requests)

        async def whole(running: Running) -> Response:
            results = list(zip(requests, await running.results()))
            return json_answer(self._answer(body, firsts, results, running))

        return await self._service.answer(Asked.of(request, body.model, cost, requests), whole)

    def _answer(
        self,
        body: GenerateBody,
        firsts: Sequence[GenerateRequest],
        results: Sequence[tuple[GenerateRequest, Generation]],
        running: Running,
    ) -> GenerateAnswer:
        answers, left = [], iter(results)
        for prompt, asked in zip(body.prompts, firsts):
            own = [next(left) for _ in range(prompt.n)]
            n_prompt, n_new = len(asked.prompt), sum(len(result.tokens) for _, result in own)
            running.add(Usage(n_prompt, n_new, min(n_prompt, own[0][1].n_cached)))
            answers.append(PromptTexts(n_prompt, [self._written(*pair) for pair in own]))
        return GenerateAnswer(body.model, answers, UsedTokens.of(running.usage))

    def _written(self, asked: GenerateRequest, result: Generation) -> WrittenText:
        logprobs = result.logprobs
        if logprobs is not None:
            logprobs = [scored_token(self._backend, entry) for entry in logprobs]
        facts = result.text, result.stop_reason, asked.sampling.seed, len(result.tokens)
        return WrittenText(*facts, logprobs)

    async def _request(self, prompt: Prompt, name: str, shared: dict) -> GenerateRequest:
        """The request to the engine for a prompt, with n=1, which the engine takes."""
        try:
            ids = await read_ids(self._backend, prompt.prompt, "prompt")
            sampling = self._sampling(prompt, len(ids), shared["artefact"])
            grammar = None if prompt.grammar is None else _grammar(prompt.grammar)
            asked = GenerateRequest(ids, sampling, grammar=grammar, **shared)
            await self._backend.check(asked)
            return asked
        except ApiError as error:
            param = f"{name}.{error.param}" if error.param else name
            raise ApiError(error.status, error.code, f"{name}: {error.message}", param) from error

    def _sampling(self, prompt: Prompt, n_prompt: int, artefact: str | None) -> SamplingConfig:
        config, backend = self._service.config, self._backend
        check_logprobs(prompt.logprobs, "logprobs", config)
        check_stops(prompt.stop, "stop", config)
        for field in ("logit_bias", "allowed_tokens", "stop_ids"):
            backend.check_ids(getattr(prompt, field), field)
        is_free = prompt.max_tokens is UNSET
        asked = None if is_free else prompt.max_tokens
        room = backend.check_length(n_prompt, asked, "max_tokens", artefact)
        max_tokens = min(_DEFAULTS.max_tokens, room) if is_free else room
        seed = secrets.randbits(32) if prompt.seed is UNSET else prompt.seed
        names = {field.name for field in dataclasses.fields(SamplingConfig)}
        values = {field: getattr(prompt, field) for field in names}
        values |= {"max_tokens": max_tokens, "seed": seed}
        try:
            return SamplingConfig(
                **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            )
        except ConfigError as error:
            field = str(error).partition("=")[0]
            raise invalid(str(error), field if field in names else None) from error


def _grammar(rule: Rule) -> Grammar:
    try:
        return from_definition(msgspec.to_builtins(rule))
    except ConfigError as error:
        raise invalid(str(error), "grammar") from error
