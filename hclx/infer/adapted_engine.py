"""An engine all of whose requests have one artefact, if they name no other."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from hclx.infer.engine import (
    Choice,
    Engine,
    GenerateRequest,
    Generation,
    Score,
    ScoreRequest,
    Ticket,
    as_list,
)

Request = TypeVar("Request", GenerateRequest, ScoreRequest)


class AdaptedEngine(contextlib.AbstractContextManager):
    """An `hclx.infer.engine.Engine` over another, which it closes in a `with` block."""

    def __init__(self, engine: Engine, artefact: str):
        """Takes an engine and the name of one of its artefacts."""
        self._engine, self._artefact = engine, artefact

    def check(self, request: GenerateRequest) -> None:
        """See `hclx.infer.engine.Engine`."""
        self._engine.check(self._with_artefact(request))

    def submit(self, request: GenerateRequest | ScoreRequest) -> Ticket:
        """See `hclx.infer.engine.Engine`."""
        return self._engine.submit(self._with_artefact(request))

    def generate(self, requests: Sequence[GenerateRequest]) -> list[list[Generation]]:
        """See `hclx.infer.engine.Engine`."""
        requests = as_list(requests, "requests")
        return self._engine.generate([self._with_artefact(request) for request in requests])

    def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """See `hclx.infer.engine.Engine`."""
        requests = as_list(requests, "requests")
        return self._engine.score([self._with_artefact(request) for request in requests])

    def choose(self, context: str, labels: Sequence[str], artefact: str | None = None) -> Choice:
        """See `hclx.infer.engine.Engine`."""
        return self._engine.choose(context, labels, artefact or self._artefact)

    def embed(self, texts: Sequence[str], artefact: str | None = None) -> list[Sequence[float]]:
        """See `hclx.infer.engine.Engine`."""
        return self._engine.embed(texts, artefact or self._artefact)

    def __exit__(self, *error) -> None:
        self._engine.__exit__(*error)

    def _with_artefact(self, request: Request) -> Request:
        if getattr(request, "artefact", "") is not None:  # what is no request is refused there
            return request
        return dataclasses.replace(request, artefact=self._artefact)
