"""POST /hclx/v1/gradient: the gradient of the log-probability of a continuation by the input
vectors of its context, so that users optimise prompts without the model (Kim et al. 2021,
HyperCLOVA, section 5.1: the input gradient API).
"""

import asyncio
import base64
import binascii
import concurrent.futures
import functools
from collections.abc import Sequence

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from hclx.errors import ConfigError, shown
from hclx.serve.api_error import ApiError, error_of, invalid
from hclx.serve.backend import Backend
from hclx.serve.caller import Usage
from hclx.serve.json_body import read_body
from hclx.serve.native.native_fields import Filled, Text, UsedTokens, json_answer, read_ids
from hclx.serve.service import Asked, Service
from hclx.serve.special_tokens import token_name
from hclx.tune.continuation_gradient import ContextGradient, ContinuationGradients


class GradientBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request. `slots` are vectors of the client's own, float32 in base64, row after
    row: in a context of ids, those from the size of the vocabulary on stand for them. `vectors`
    asks for the numbers themselves, and not for their norms alone.
    """

    model: str
    context: Text
    continuation: Filled
    slots: str | None = None
    vectors: bool = False


class ContextToken(msgspec.Struct, forbid_unknown_fields=True):
    """A token of the context, and the Euclidean norm of its gradient."""

    token: int
    text: str
    norm: float


class GradientAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The log-probability of the continuation (natural logarithm), the norm for each token of the
    context, and, if asked for, its derivative by the input vectors and these vectors, before
    positions are added: float32 in base64, little-endian, of this shape. `first_slot` is the id
    that stands for the first of `slots`.
    """

    model: str
    logprob: float
    tokens: list[ContextToken]
    first_slot: int
    shape: list[int]
    gradient: str | None
    input_vectors: str | None
    usage: UsedTokens


class NativeGradient:
    """The handler. Gradients are computed one after the other, beside the engine."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body, backend = await read_body(request, GradientBody), self._backend
        if backend.artefact_of(body.model, request.state.caller) is not None:
            names = [name for name, artefact in backend.models.items() if artefact is None]
            text = f"model={body.model!r} is an artefact; gradients are of its base: {names[0]!r}"
            raise ApiError(400, "unsupported", text, "model")
        model = getattr(backend.engine, "loaded_model", None)
        if model is None:
            raise _unsupported("the model is another server's, which computes no gradients")
        gradients, slots_pd = self._gradients, _slots(body.slots, model.config.d_model)
        context = await self._context(body, len(slots_pd))
        continuation = await read_ids(backend, body.continuation, "continuation", begins=False)
        backend.check_read(len(context) + len(continuation) - 1, "continuation")
        n_tokens = len(context) + len(continuation)
        async with self._service.running(Asked.of(request, body.model, n_tokens)) as running:
            compute = functools.partial(_compute, gradients, context, continuation, slots_pd)
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._thread, compute)
            running.add(Usage(n_tokens))
            used = UsedTokens.of(running.usage)
        return await asyncio.to_thread(_written, backend, body, context, answer, used)

    async def _context(self, body: GradientBody, n_slots: int) -> tuple[int, ...]:
        """The ids of the context, of which those beyond the vocabulary are slots."""
        backend, value = self._backend, body.context
        if isinstance(value, str) or not value:
            return await read_ids(backend, value, "context")
        size = backend.engine.loaded_model.config.vocab_size
        end = size + n_slots
        if beyond := [token for token in value if token >= end]:
            slots = f"{n_slots} slots, whose ids are {size} to {end - 1}"
            slots = slots if n_slots else f"no slots, whose ids are from {size} on"
            text = f"context: the token id {shown(beyond[0])} is none: there are {slots}"
            raise invalid(text, "context")
        backend.check_ids((token for token in value if token < size), "context")
        return tuple(value)

    @functools.cached_property
    def _thread(self) -> concurrent.futures.Executor:
        # One, so that the memory of one gradient is enough.
        return concurrent.futures.ThreadPoolExecutor(1, "hclx-gradient")

    @functools.cached_property
    def _gradients(self) -> ContinuationGradients:
        try:
            return ContinuationGradients(self._backend.engine.loaded_model)
        except ConfigError as error:
            raise _unsupported(str(error)) from error


def _compute(gradients, context, continuation, slots_pd: np.ndarray) -> ContextGradient:
    try:
        answer = gradients(context, continuation, slots_pd)
    except ConfigError as error:
        raise error_of(error) from error
    if not (np.isfinite(answer.logprob) and np.isfinite(answer.gradient_nd).all()):
        raise invalid("slots are so large that numbers of the model overflow", "slots")
    return answer


def _unsupported(text: str) -> ApiError:
    return ApiError(501, "unsupported", text)


def _slots(text: str | None, size: int) -> np.ndarray:
    """The rows of `slots`, float32 [p, size]. Raises ApiError (400) if they are none."""
    try:
        data = base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"slots is no base64: {error}", "slots") from error
    if len(data) % (4 * size):
        raise invalid(
            f"slots has {len(data)} bytes: give rows of {size} float32 numbers, {4 * size} bytes"
            " each",
            "slots",
        )
    slots_pd = np.frombuffer(data, "<f4").reshape(-1, size)
    if not np.isfinite(slots_pd).all():
        raise invalid("slots has a number that is not finite", "slots")
    return slots_pd


def _written(
    backend: Backend,
    body: GradientBody,
    context: Sequence[int],
    answer: ContextGradient,
    used: UsedTokens,
) -> Response:
    norms = np.linalg.norm(answer.gradient_nd.astype(np.float64), axis=-1).tolist()
    size = backend.tokenizer.vocab_size
    name = lambda i: token_name(backend.tokenizer, i) if i < size else f"token_id:{i}"
    tokens = [ContextToken(i, name(i), norm) for i, norm in zip(context, norms)]
    arrays = (answer.gradient_nd, answer.vectors_nd) if body.vectors else ()
    texts = [base64.b64encode(np.asarray(a, "<f4").tobytes()).decode() for a in arrays]
    first_slot = backend.engine.loaded_model.config.vocab_size
    facts = body.model, answer.logprob, tokens, first_slot, list(answer.gradient_nd.shape)
    return json_answer(GradientAnswer(*facts, *(texts or (None, None)), used))
