"""POST /v1/moderations: texts judged by the filter of the server, in the form of OpenAI."""

import asyncio
import uuid

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import ApiError, invalid
from hclx.serve.json_body import read_body
from hclx.serve.safety.output_filter import Finding
from hclx.serve.service import Asked, Service


class ModerationRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    input: str | list[str]
    model: str | None = None


class Moderation(msgspec.Struct):
    """The judgement of a text: by category whether it is of it, and how likely."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[str]]


class ModerationAnswer(msgspec.Struct):
    """The body of an answer, with a result for each text."""

    id: str
    model: str
    results: list[Moderation]


class Moderations:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._rules = service, service.backend.rules

    async def __call__(self, request: Request) -> Response:
        """Answers a request, which counts for the quotas of the key as one of no tokens. Raises
        ApiError if it cannot be served.
        """
        if self._rules.judge is None:
            text = "the server has no filter; it is started with --filter=FILE to have one"
            raise ApiError(400, "unsupported", text)
        body = await read_body(request, ModerationRequest)
        name, most = self._rules.judge.name, self._service.config.prompts
        if body.model not in (None, name):
            backend, caller = self._service.backend, request.state.caller
            backend.artefact_of(body.model, caller)  # the filter is that of all models
        texts = [body.input] if isinstance(body.input, str) else body.input
        if not 1 <= len(texts) <= most:
            raise invalid(f"input has {len(texts)} texts: give 1 to {most}", "input")
        async with self._service.running(Asked.of(request, name, 0)):
            findings = await asyncio.to_thread(lambda: [*map(self._rules.judge_text, texts)])
        for judgement in findings:
            self._service.metrics.count_findings(judgement)
        results = [self._result(judgement) for judgement in findings]
        answer = {"id": f"modr-{uuid.uuid4().hex}", "model": name, "results": results}
        return JSONResponse(answer)

    def _result(self, findings: list[Finding]) -> dict:
        """A text is of a category if the server would end it, or at the worst level if it ends
        none.
        """
        names = [finding.category.name for finding in findings]
        flags = [self._rules.is_flagged([finding]) for finding in findings]
        scores = [finding.probability for finding in findings]
        return {
            "flagged": any(flags),
            "categories": dict(zip(names, flags)),
            "category_scores": dict(zip(names, scores)),
            "category_applied_input_types": {name: ["text"] for name in names},
        }
