"""POST /hclx/v1/score and /hclx/v1/choose: log-probabilities of texts, and the best of choices."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from hclx.evaluate.calibration import calibrated
from hclx.evaluate.scores import AnswerScore
from hclx.infer import Score, ScoreRequest
from hclx.serve.api_error import invalid
from hclx.serve.caller import Usage
from hclx.serve.json_body import read_body
from hclx.serve.native.native_fields import (
    Filled,
    ScoredToken,
    Text,
    UsedTokens,
    Whole,
    check_count,
    json_answer,
    read_ids,
    scored_token,
)
from hclx.serve.openai.openai_fields import check_logprobs
from hclx.serve.service import Asked, Running, Service

# Name -> the kind of contexts that `hclx.evaluate.calibration` estimates a prior from.
_SOURCES = {"contextual": "contextual", "contextual_identity": "contextual"}
_SOURCES["domain_context"] = "domain"


class ScoreItem(msgspec.Struct, forbid_unknown_fields=True):
    """A text to score: a continuation behind its context, or all of a text but its first token."""

    context: Text
    continuation: Filled | None = None


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to score; `top` likeliest alternatives of each token are told."""

    model: str
    items: Annotated[list[ScoreItem], Meta(min_length=1)]
    top: Whole = 0


class ItemScore(msgspec.Struct, forbid_unknown_fields=True):
    """The log-probability of a text, in total (natural logarithm) and of each token, and whether
    each token is the likeliest in its place.
    """

    total: float
    is_greedy: bool
    tokens: list[ScoredToken]


class ScoreAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The scores of all items, in order."""

    model: str
    scores: list[ItemScore]
    usage: UsedTokens


class Calibration(msgspec.Struct, forbid_unknown_fields=True):
    """How the preference of a prompt for some choices is taken out: the same prompt with inputs
    that say nothing ("contextual", or "contextual_identity", which subtracts), or with random words
    of the task ("domain_context").
    """

    method: Literal["contextual", "contextual_identity", "domain_context"]
    contexts: Annotated[list[Text], Meta(min_length=1)]


class ChooseBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to choose. `score` is what a choice is judged by: its log-probability
    in total or by a unit of its length, or "pmi", what it gains over `prior_context`, by default
    the beginning of a document.
    """

    model: str
    context: Text
    choices: Annotated[list[Filled], Meta(min_length=1)]
    score: Literal["total", "per_token", "per_character", "per_byte", "pmi"] = "total"
    prior_context: Text | None = None
    calibration: Calibration | None = None


class ChoiceScore(msgspec.Struct, forbid_unknown_fields=True):
    """A choice: its log-probability in total, behind `prior_context` if the score is "pmi", the
    score that it is judged by (null: calibration leaves it no probability), and the softmax of
    these.
    """

    choice: Text
    total: float
    tokens: int
    prior: float | None
    score: float | None
    probability: float


class ChooseAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The choice with the greatest score, the first of equals, by its index; and all of them."""

    model: str
    index: int
    choice: Text
    choices: list[ChoiceScore]
    usage: UsedTokens


class NativeScores:
    """The handlers."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def score(self, request: Request) -> Response:
        """Scores texts. Raises ApiError if one of them cannot be; then none is."""
        body = await read_body(request, ScoreBody)
        self._backend.artefact_of(body.model, request.state.caller)
        check_count(len(body.items), self._service.config.prompts, "items")
        check_logprobs(body.top, "top", self._service.config)
        texts = [await self._item(item, f"items[{i}]") for i, item in enumerate(body.items)]
        scores, usage = await self._scored(request, body.model, texts, body.top)
        written = [
            ItemScore(
                score.total,
                score.is_greedy,
                [scored_token(self._backend, entry) for entry in score.tokens],
            )
            for score in scores
        ]
        return json_answer(ScoreAnswer(body.model, written, usage))

    async def _item(self, item: ScoreItem, name: str) -> tuple[tuple[int, ...], tuple | None]:
        context = await read_ids(self._backend, item.context, f"{name}.context")
        if item.continuation is not None:
            return context, await self._continuation(
                context, item.continuation, f"{name}.continuation"
            )
        if len(context) < 2:
            raise invalid(f"{name}.context has one token, which nothing comes before", name)
        self._backend.check_read(len(context) - 1, f"{name}.context")
        return context, None

    async def _continuation(self, context: Sequence[int], value: Text, name: str) -> tuple:
        ids = await read_ids(self._backend, value, name, begins=False)
        self._backend.check_read(len(context) + len(ids) - 1, name)  # the last one is not read
        return ids

    async def choose(self, request: Request) -> Response:
        """Chooses among continuations of a context. Raises ApiError as `score` does."""
        body = await read_body(request, ChooseBody)
        self._backend.artefact_of(body.model, request.state.caller)
        contexts = [("context", body.context)]
        if body.prior_context is not None and body.score != "pmi":
            raise invalid("prior_context goes with score=pmi", "prior_context")
        if body.calibration is not None:
            if body.score == "pmi":
                raise invalid("calibration and score=pmi both take a prior out; give one", "score")
            named = enumerate(body.calibration.contexts)
            contexts += [(f"calibration.contexts[{i}]", text) for i, text in named]
        elif body.score == "pmi":
            contexts.append(("prior_context", body.prior_context or self._beginning()))
        most = self._service.config.prompts
        check_count(len(body.choices) * len(contexts), most, "choices, behind all contexts")
        texts = [text for name, value in contexts for text in await self._after(body, name, value)]
        scores, usage = await self._scored(request, body.model, texts)
        totals = np.array([score.total for score in scores]).reshape(len(contexts), -1)
        choices = self._choices(body, totals, [len(ids) for _, ids in texts[: totals.shape[1]]])
        greatest = max(choices, key=lambda c: -math.inf if c.score is None else c.score)
        index = choices.index(greatest)
        return json_answer(ChooseAnswer(body.model, index, body.choices[index], choices, usage))

    def _beginning(self) -> list[int]:
        tokenizer = self._backend.tokenizer
        return list(tokenizer.begin_ids) or [tokenizer.eod_id]

    async def _after(self, body: ChooseBody, name: str, value: Text) -> list[tuple]:
        """The ids of a context with those of each choice behind it."""
        context = await read_ids(self._backend, value, name)
        return [
            (context, await self._continuation(context, choice, f"choices[{i}]"))
            for i, choice in enumerate(body.choices)
        ]

    def _choices(
        self, body: ChooseBody, totals_cl: np.ndarray, n_tokens: Sequence[int]
    ) -> list[ChoiceScore]:
        """The choices, of their log-probabilities behind each context, the own one first."""
        rows_cl = [
            [
                self._answer_score(choice, total, n).by(
                    "total" if body.score == "pmi" else body.score
                )
                for choice, total, n in zip(body.choices, totals_l, n_tokens)
            ]
            for totals_l in totals_cl.tolist()
        ]
        scores_l, others_cl = np.array(rows_cl[0]), np.array(rows_cl[1:])
        priors = [None] * len(scores_l)
        if body.score == "pmi":
            priors = others_cl[0].tolist()
            scores_l = scores_l - others_cl[0]
        elif body.calibration is not None:
            method = body.calibration.method
            sources = {_SOURCES[method]: others_cl}
            scores_l = calibrated(method, scores_l[None], sources)[0]
        weights_l = np.exp(scores_l - scores_l.max())
        shares = (weights_l / weights_l.sum()).tolist()
        values = [score if math.isfinite(score) else None for score in scores_l.tolist()]
        columns = body.choices, totals_cl[0].tolist(), n_tokens, priors, values, shares
        return [ChoiceScore(*fields) for fields in zip(*columns)]

    def _answer_score(self, choice: Text, total: float, n_tokens: int) -> AnswerScore:
        backend, is_text = self._backend, isinstance(choice, str)
        text = backend.as_read(choice) if is_text else backend.tokenizer.decode(choice)
        return AnswerScore(total, n_tokens, len(text), len(text.encode("utf-8", "surrogatepass")))

    async def _scored(
        self, request: Request, model: str, texts: Sequence[tuple], top: int = 0
    ) -> tuple[list[Score], UsedTokens]:
        """The scores of continuations (None: of whole texts) behind contexts, in ids."""
        caller = request.state.caller
        shared = {"tenant": caller.tenant, "artefact": self._backend.artefact_of(model, caller)}
        asked = [ScoreRequest(*ids, top=top, **shared) for ids in texts]
        sizes = [len(context) + len(ids or ()) for context, ids in texts]
        async with self._service.running(Asked.of(request, model, sum(sizes))) as running:
            scores = await self._counted(asked, sizes, running)
            return scores, UsedTokens.of(running.usage)

    async def _counted(
        self, asked: Sequence[ScoreRequest], sizes: Sequence[int], running: Running
    ) -> list[Score]:
        """The scores, each of which counts as soon as it is there, as its client may leave."""
        scores = []
        async for score in self._backend.scores(asked):
            running.add(Usage(sizes[len(scores)], 0, min(score.n_cached, sizes[len(scores)])))
            scores.append(score)
        return scores
