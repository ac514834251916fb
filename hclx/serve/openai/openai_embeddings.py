"""POST /v1/embeddings: vectors of texts, as numbers or as base64 of float32."""

import base64
from typing import Literal

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hclx.serve.api_error import invalid
from hclx.serve.caller import Usage
from hclx.serve.json_body import read_body
from hclx.serve.openai.openai_fields import Int64, prompts_of
from hclx.serve.service import Asked, Service


class EmbeddingRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Int64 | None = None
    user: str | None = None


class Embeddings:
    """The handler."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def __call__(self, request: Request) -> Response:
        """Answers a request. Raises ApiError if it cannot be served."""
        body = await read_body(request, EmbeddingRequest)
        backend = self._backend
        artefact = backend.artefact_of(body.model, request.state.caller)
        texts, n_tokens = [], []
        for value in prompts_of(body.input, self._service.config.prompts, "input"):
            check = backend.check_text if isinstance(value, str) else backend.check_ids
            check(value, "input")
            ids = await backend.encode(value) if isinstance(value, str) else value
            backend.check_read(len(ids), "input")
            texts.append(value if isinstance(value, str) else tuple(value))
            n_tokens.append(len(ids))
        asked = Asked.of(request, body.model, sum(n_tokens))
        async with self._service.running(asked) as running:
            vectors = await backend.embed(texts, artefact)
            running.add(Usage(sum(n_tokens)))
        if body.dimensions not in (None, len(vectors[0])):
            width = f"the vectors of this model have {len(vectors[0])}; leave it out"
            raise invalid(f"dimensions={body.dimensions}: {width}", "dimensions")
        data = [
            {"object": "embedding", "index": index, "embedding": _written(vector, body)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": sum(n_tokens), "total_tokens": sum(n_tokens)}
        answer = {"object": "list", "data": data, "model": body.model, "usage": usage}
        return JSONResponse(answer)


def _written(vector, body: EmbeddingRequest) -> list[float] | str:
    numbers = np.asarray(vector, "<f4")
    if body.encoding_format == "base64":
        return base64.b64encode(numbers.tobytes()).decode()
    return numbers.tolist()
