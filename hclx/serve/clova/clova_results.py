"""Answers of CLOVA Studio, for the document of the server."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

StopReason = Literal["end_token", "stop_before", "length", "content_filter"]


class FilterScore(msgspec.Struct, rename="camel"):
    """The judgement of a text in a category: "0" is the worst, and "2" is safe."""

    group_name: str
    name: str
    score: Literal["0", "1", "2"]
    result: Literal["OK"]


class StatusFields(msgspec.Struct):
    """A code of five digits, and a text for people."""

    code: str
    message: str


class RefusedEnvelope(msgspec.Struct):
    """The answer to a request that is refused or has failed."""

    status: StatusFields
    result: None


class CompletionResult(msgspec.Struct, rename="camel"):
    """A text, and what the model has written behind it."""

    text: str
    stop_reason: StopReason
    input_text: str
    input_length: int
    output_text: str
    output_length: int
    seed: int
    ok: bool
    input_tokens: list[str] | UnsetType = UNSET
    output_tokens: list[str] | UnsetType = UNSET
    output_probs: list[float] | UnsetType = UNSET
    ai_filter: list[FilterScore] | UnsetType = UNSET


class CompletionEnvelope(msgspec.Struct):
    """The answer to a completion."""

    status: StatusFields
    result: CompletionResult


class AnswerMessage(msgspec.Struct, rename="camel"):
    """The answer of the assistant; in v3 it may call tools."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: list[dict] | UnsetType = UNSET


class ChatResultV1(msgspec.Struct, rename="camel"):
    """An answer in a chat of v1."""

    message: AnswerMessage
    stop_reason: StopReason
    input_length: int
    output_length: int
    seed: int
    ai_filter: list[FilterScore] | UnsetType = UNSET


class ChatEnvelopeV1(msgspec.Struct):
    """The answer to a chat of v1."""

    status: StatusFields
    result: ChatResultV1


class ChatUsage(msgspec.Struct, rename="camel"):
    """The tokens of a chat."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatResultV3(msgspec.Struct, rename="camel"):
    """An answer in a chat of v3."""

    message: AnswerMessage
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    created: int
    seed: int
    usage: ChatUsage
    ai_filter: list[FilterScore] | UnsetType = UNSET


class ChatEnvelopeV3(msgspec.Struct):
    """The answer to a chat of v3."""

    status: StatusFields
    result: ChatResultV3


class WrittenMessage(msgspec.Struct):
    """A message, with the number of its tokens if these are counted."""

    role: str
    content: str
    count: int | UnsetType = UNSET


class TokenCount(msgspec.Struct, rename="camel"):
    """The number of tokens of a text, or messages with theirs."""

    num_tokens: int | UnsetType = UNSET
    messages: list[WrittenMessage] | UnsetType = UNSET


class TokenCountEnvelope(msgspec.Struct):
    """The answer to a request to count tokens."""

    status: StatusFields
    result: TokenCount


class LeftMessages(msgspec.Struct):
    """The messages that are left of a chat."""

    messages: list[WrittenMessage]


class SlidingEnvelope(msgspec.Struct):
    """The answer to a request to shorten a chat."""

    status: StatusFields
    result: LeftMessages


class Vector(msgspec.Struct, rename="camel"):
    """The vector of a text."""

    embedding: list[float]
    input_tokens: int


class EmbeddingEnvelope(msgspec.Struct):
    """The answer to a text to embed."""

    status: StatusFields
    result: Vector


class Segmentation(msgspec.Struct, rename="camel"):
    """The sentences of each paragraph, and their indices."""

    topic_seg: list[list[str]]
    span: list[list[int]]
    input_tokens: int


class SegmentationEnvelope(msgspec.Struct):
    """The answer to a text to divide."""

    status: StatusFields
    result: Segmentation


class Summary(msgspec.Struct, rename="camel"):
    """The gist of texts."""

    text: str
    input_tokens: int
    ai_filter: list[FilterScore] | UnsetType = UNSET


class SummaryEnvelope(msgspec.Struct):
    """The answer to texts to summarise."""

    status: StatusFields
    result: Summary
