"""Answers of the OpenAI dialect, for the document of the server."""

from typing import Literal

import msgspec

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class ErrorFields(msgspec.Struct):
    """Why a request is refused."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(msgspec.Struct):
    """The answer to a request that is refused or has failed."""

    error: ErrorFields


class CachedTokens(msgspec.Struct):
    """The tokens that came from the prefix cache."""

    cached_tokens: int


class UsageFields(msgspec.Struct):
    """The tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class CompletionLogprobs(msgspec.Struct):
    """The log-probabilities of the tokens of a completion."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct):
    """A text."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class CompletionAnswer(msgspec.Struct):
    """The texts behind prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageFields


class TokenAlternative(msgspec.Struct):
    """A token that might stand in a place."""

    token: str
    logprob: float
    bytes: list[int]


class ChatToken(TokenAlternative):
    """A token of an answer."""

    top_logprobs: list[TokenAlternative]


class ChatLogprobs(msgspec.Struct):
    """The log-probabilities of the tokens of an answer."""

    content: list[ChatToken]


class FunctionCall(msgspec.Struct):
    """A function that the model calls, and its arguments: JSON as a text."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct):
    """A call of a tool."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class ChatMessage(msgspec.Struct):
    """The answer of the assistant: a text, calls of tools, or both."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] = []


class ChatChoice(msgspec.Struct):
    """An answer in a chat."""

    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatAnswer(msgspec.Struct):
    """The answers in a chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageFields


class InputDetails(msgspec.Struct):
    """Tokens that were read from the prefix cache, and written to it."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct):
    """Tokens of what is thought before an answer: there are none."""

    reasoning_tokens: int


class ResponseUsage(msgspec.Struct):
    """The tokens of a request."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class ResponseAnswer(msgspec.Struct):
    """An answer in a chat; its items are messages and calls of functions."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "failed"]
    model: str
    output: list[dict]
    usage: ResponseUsage


class EmbeddingItem(msgspec.Struct):
    """A vector: numbers, or float32 in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct):
    """The tokens of a request."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingAnswer(msgspec.Struct):
    """The vectors of texts."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class ModelAnswer(msgspec.Struct):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    max_model_len: int


class ModelsAnswer(msgspec.Struct):
    """The models of a server."""

    object: Literal["list"]
    data: list[ModelAnswer]


class TokensAnswer(msgspec.Struct):
    """The tokens of a text."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | msgspec.UnsetType = msgspec.UNSET


class TextAnswer(msgspec.Struct):
    """The text of tokens."""

    prompt: str


class TokenizerAnswer(msgspec.Struct):
    """A tokenizer, with the names of its special tokens beside these fields."""

    tokenizer_class: str
    eos_token: str
    model_max_length: int
    chat_template: str | None
