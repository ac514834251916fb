"""POST /v1/completions/{model} of CLOVA Studio: a text, and what a model writes behind it."""

import math

from starlette.requests import Request
from starlette.responses import Response

from hclx.infer import GenerateRequest, Generation
from hclx.infer.engine import UNKNOWN_TOKEN
from hclx.serve.api_error import ApiError
from hclx.serve.clova.clova_answer import Form, answer
from hclx.serve.clova.clova_fields import CompletionBody, sampling_of, tokens_to_write
from hclx.serve.json_body import read_body
from hclx.serve.service import Service
from hclx.serve.special_tokens import token_name

STOP_REASONS = {
    "end": "end_token",
    "stop": "stop_before",
    "length": "length",
    "deadline": "length",
    "content_filter": "content_filter",
}


class ClovaCompletions:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        backend, config = self._backend, self._service.config
        artefact = backend.artefact_of(request.path_params["model"], request.state.caller)
        body = await read_body(request, CompletionBody)
        if not body.text + body.start:
            raise ApiError(400, "empty_text", "text is empty: give a text, or start", "text")
        backend.check_text(body.text, "text")
        backend.check_text(body.start, "start")
        ids = await backend.encode(body.text + body.start)
        max_tokens = tokens_to_write(backend, len(ids), body.max_tokens, artefact)
        logprobs = 0 if body.include_probs else None
        asked = GenerateRequest(
            tuple(ids),
            sampling_of(body, max_tokens, config, logprobs=logprobs),
            tenant=request.state.caller.tenant,
            deadline=config.deadline,
            artefact=artefact,
        )
        form = Form(
            part=lambda index, part: {"index": index, "text": part},
            result=lambda result: self._result(body, asked, result),
            has_filters=body.include_ai_filters,
        )
        return await answer(self._service, request, asked, form)

    def _result(self, body: CompletionBody, asked: GenerateRequest, result: Generation) -> dict:
        tokenizer = self._backend.tokenizer
        input_text, input_ids = body.text + body.start, asked.prompt[len(tokenizer.begin_ids) :]
        fields = {
            "text": input_text + result.text + body.restart,
            "stopReason": STOP_REASONS[result.stop_reason],
            "inputText": input_text,
            "inputLength": len(input_ids),
            "outputText": result.text,
            "outputLength": len(result.tokens),
            "seed": asked.sampling.seed,
            "ok": result.stop_reason != "content_filter",
        }
        if body.include_tokens:
            fields["inputTokens"] = [token_name(tokenizer, token) for token in input_ids]
            if UNKNOWN_TOKEN not in result.tokens:  # as in a text that was changed
                fields["outputTokens"] = [token_name(tokenizer, token) for token in result.tokens]
        if body.include_probs and result.logprobs is not None:
            fields["outputProbs"] = [math.exp(entry.logprob) for entry in result.logprobs]
        return fields
