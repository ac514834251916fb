"""Segmentation and summarisation, as tools of CLOVA Studio have them, by the served model."""

import asyncio
import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from hclx.infer import GenerateRequest, SamplingConfig
from hclx.prompts import PromptDocument, load_prompt, render
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.caller import Usage
from hclx.serve.clova.clova_answer import written_findings
from hclx.serve.clova.clova_errors import envelope
from hclx.serve.clova.topic_segments import AUTOMATIC, Division, paragraphs_of
from hclx.serve.json_body import read_body
from hclx.serve.safety.output_filter import worst_of
from hclx.serve.service import Asked, Running, Service
from hclx.text.sentences import split_sentences

_PROMPT = Path(__file__).with_name("prompts") / "summary.json"
_MOST_CHARACTERS = {"segmentation": 120_000, "summary": 35_000}
_SUMMARY_TOKENS = 128  # of a paragraph
Size = Annotated[int, Meta(ge=1)]


class SegmentationBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A text that is divided into paragraphs."""

    text: str
    alpha: Annotated[float, Meta(ge=AUTOMATIC, le=1.5)] = 0.0
    seg_cnt: Annotated[int, Meta(ge=-1)] = -1
    post_process: bool = False
    post_process_max_size: Size = 1000
    post_process_min_size: Annotated[int, Meta(ge=-1)] = 300


class SummaryBody(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Texts that are summarised together."""

    texts: Annotated[list[str], Meta(min_length=1)]
    auto_sentence_splitter: bool = True
    seg_count: Annotated[int, Meta(ge=-1)] = -1
    seg_max_size: Annotated[int, Meta(ge=1, le=3000)] = 1000
    seg_min_size: Annotated[int, Meta(ge=-1, le=3000)] = 300
    include_ai_filters: bool = False


@dataclasses.dataclass(frozen=True)
class Read:
    """Sentences as the model reads them.

    Attributes:
      sentences: the sentences.
      lengths: their numbers of tokens.
      n_begin: the tokens that begin each, besides.
    """

    sentences: Sequence[str]
    lengths: Sequence[int]
    n_begin: int

    @property
    def cost(self) -> int:
        """The tokens that are read, one sentence after another."""
        return sum(self.lengths) + self.n_begin * len(self.lengths)


class ClovaTexts:
    """The handlers."""

    def __init__(self, service: Service):
        """Takes the parts of the server."""
        self._service, self._backend = service, service.backend

    async def segment(self, request: Request) -> Response:
        """Divides a text into paragraphs where its topic changes."""
        name, artefact = self._model_of(request)
        body = await read_body(request, SegmentationBody)
        _check_text([body.text], "text", "segmentation")
        _check_count(body.seg_cnt, "segCnt")
        if AUTOMATIC < body.alpha < -1.5:
            raise invalid(f"alpha={body.alpha}: give -1.5 to 1.5, or -100", "alpha")
        sizes = body.post_process_min_size, body.post_process_max_size
        division = _division(body.alpha, body.seg_cnt, *(sizes if body.post_process else ()))
        read = await self._read(await asyncio.to_thread(split_sentences, body.text), "text")
        paragraphs = await self._paragraphs(request, name, artefact, read, division)
        segments = [[read.sentences[i] for i in own] for own in paragraphs]
        spans = [list(own) for own in paragraphs]
        answer = {"topicSeg": segments, "span": spans, "inputTokens": sum(read.lengths)}
        return envelope(answer)

    async def summarise(self, request: Request) -> Response:
        """Divides texts into paragraphs, and writes the gist of each on a line."""
        name, artefact = self._model_of(request)
        body = await read_body(request, SummaryBody)
        _check_text(body.texts, "texts", "summary")
        _check_count(body.seg_count, "segCount")
        division = _division(0.0, body.seg_count, body.seg_min_size, body.seg_max_size)
        split = split_sentences if body.auto_sentence_splitter else lambda text: [text.strip()]
        sentences = [sentence for text in body.texts for sentence in split(text) if sentence]
        read = await self._read(sentences, "texts")
        paragraphs = await self._paragraphs(request, name, artefact, read, division)
        texts = [" ".join(read.sentences[i] for i in own) for own in paragraphs]
        asked = [await self._asked(request, text, artefact) for text in texts]

        async def whole(running: Running) -> Response:
            results = await running.results()
            n_new = sum(len(result.tokens) for result in results)
            n_cached = sum(result.n_cached for result in results)
            running.add(Usage(sum(len(each.prompt) for each in asked), n_new, n_cached))
            answer = {"text": "\n".join(_first_line(result.text) for result in results).strip()}
            if body.include_ai_filters:
                findings = [await running.findings(index) for index in range(len(asked))]
                answer["aiFilter"] = written_findings(worst_of(findings))
            return envelope({**answer, "inputTokens": sum(read.lengths)})

        cost = sum(len(each.prompt) + each.sampling.max_tokens for each in asked)
        return await self._service.answer(Asked.of(request, name, cost, asked), whole)

    def _model_of(self, request: Request) -> tuple[str, str | None]:
        request.state.caller.check_scope("inference")
        name = request.path_params.get("model", next(iter(self._backend.models)))
        return name, self._backend.artefact_of(name, request.state.caller)

    async def _read(self, sentences: Sequence[str], name: str) -> Read:
        lengths = await asyncio.to_thread(self._backend.count_tokens, sentences)
        n_begin = len(self._backend.tokenizer.begin_ids)
        self._backend.check_read(max(lengths) + n_begin, f"{name}: a sentence of it")
        return Read(sentences, lengths, n_begin)

    async def _paragraphs(
        self, request: Request, name: str, artefact: str | None, read: Read, division: Division
    ) -> list[range]:
        """Divides sentences by their vectors, which are a request of their own to the engine."""
        if len(read.sentences) == 1:
            return [range(1)]
        async with self._service.running(Asked.of(request, name, read.cost)) as running:
            vectors = await self._backend.embed(read.sentences, artefact)
            running.add(Usage(read.cost))
        return await asyncio.to_thread(paragraphs_of, read.sentences, vectors, division)

    async def _asked(self, request: Request, text: str, artefact: str | None) -> GenerateRequest:
        """The request for the gist of a paragraph. Raises ApiError (400) if it has no room."""
        document, backend = _summary_prompt(), self._backend
        ids = await backend.encode(render(document, {"text": text}).text)
        max_tokens = min(_SUMMARY_TOKENS, backend.max_length // 4)
        if len(ids) + max_tokens > backend.max_length:
            raise ApiError(
                400,
                "context_length_exceeded",
                f"segMaxSize: a paragraph of {len(text)} characters has {len(ids)} tokens with its"
                f" instructions, and {max_tokens} are for the summary; the model reads"
                f" {backend.max_length}: give a smaller segMaxSize",
                "segMaxSize",
            )
        sampling = SamplingConfig(
            max_tokens=max_tokens, stop=document.stop, **dict(document.sampling)
        )
        return GenerateRequest(
            tuple(ids),
            sampling,
            tenant=request.state.caller.tenant,
            deadline=self._service.config.deadline,
            artefact=artefact,
        )


@functools.cache
def _summary_prompt() -> PromptDocument:
    return load_prompt(_PROMPT)


def _first_line(text: str) -> str:
    """The first line that is not blank: some models begin below the prompt, or go on behind it."""
    return text.strip().split("\n")[0].strip()


def _division(
    alpha: float, count: int, least: int | None = None, most: int | None = None
) -> Division:
    least = None if least == -1 else least
    return Division(alpha, None if count == -1 else count, least, most)


def _check_text(texts: Sequence[str], name: str, tool: str) -> None:
    total, most = sum(map(len, texts)), _MOST_CHARACTERS[tool]
    if not any(text.strip() for text in texts):
        raise ApiError(400, "empty_text", f"{name} is empty: give a text", name)
    if total > most:
        text = f"{name} has {total:,} characters: give at most {most:,}"
        raise ApiError(400, "context_length_exceeded", text, name)


def _check_count(count: int, name: str) -> None:
    if count == 0:
        raise invalid(f"{name}=0: give 1 or more, or -1 for as many as there are topics", name)
