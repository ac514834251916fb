"""Fields of requests of CLOVA Studio, with their ranges and defaults, and their meaning here.

A field that is not listed is refused by its name.
"""

import secrets
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from hclx.errors import ConfigError
from hclx.infer import SamplingConfig
from hclx.serve.api_error import ApiError, error_of, invalid
from hclx.serve.backend import Backend
from hclx.serve.openai.openai_fields import check_stops
from hclx.serve.openai.openai_messages import NamedChoice
from hclx.serve.serve_config import ServeConfig

DEFAULT_TOKENS = 100
MAX_TOKENS = 4096
# The engine divides by nothing smaller; what is documented as "above 0" begins here.
_LEAST_TEMPERATURE, _LEAST_PENALTY = 1e-5, 1e-3


class _Fields(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    top_k: Annotated[int, Meta(ge=0, le=128)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 0.8
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    include_ai_filters: bool = True


class FieldsV1(_Fields, kw_only=True):
    """The settings of sampling of v1."""

    temperature: Annotated[float, Meta(ge=_LEAST_TEMPERATURE, le=1)] = 0.5
    repeat_penalty: Annotated[float, Meta(ge=0, le=10)] = 5.0
    stop_before: list[str] = []

    @property
    def penalty(self) -> float:
        """The multiplicative penalty of the engine."""
        return multiplicative_penalty(self.repeat_penalty)

    @property
    def stop_texts(self) -> list[str]:
        """The texts that end the output."""
        return self.stop_before


class FieldsV3(_Fields, kw_only=True):
    """The settings of sampling of v3."""

    temperature: Annotated[float, Meta(ge=0, le=1)] = 0.5
    repetition_penalty: Annotated[float, Meta(ge=_LEAST_PENALTY, le=2)] = 1.1
    stop: list[str] = []

    @property
    def penalty(self) -> float:
        """The multiplicative penalty of the engine."""
        return self.repetition_penalty

    @property
    def stop_texts(self) -> list[str]:
        """The texts that end the output."""
        return self.stop


class CompletionBody(FieldsV1, kw_only=True):
    """The body of a completion."""

    text: str
    start: str = ""
    restart: str = ""
    max_tokens: Annotated[int, Meta(gt=0, le=2048)] | UnsetType = UNSET
    include_tokens: bool = False
    include_probs: bool = False


class TextPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a message; there are no others than texts."""

    type: Literal["text"]
    text: str


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """Its text."""
        return _joined(self.content)


Messages = Annotated[list[Message], Meta(min_length=1)]


class CalledFunction(msgspec.Struct, forbid_unknown_fields=True):
    """The function of a call, and its arguments."""

    name: str
    arguments: dict


class MessageCall(msgspec.Struct, forbid_unknown_fields=True):
    """A call in a message of the assistant."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class ToolMessage(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A message of a chat with tools; one with calls may have no content."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[TextPart] | UnsetType = UNSET
    tool_calls: list[MessageCall] = []
    tool_call_id: str | UnsetType = UNSET

    @property
    def text(self) -> str:
        """Its text."""
        return "" if self.content is UNSET else _joined(self.content)


ToolMessages = Annotated[list[ToolMessage], Meta(min_length=1)]


class ToolFunction(msgspec.Struct, forbid_unknown_fields=True):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: dict | None = None


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    """A tool; there are no others than functions."""

    type: Literal["function"]
    function: ToolFunction


class ChatBodyV1(FieldsV1, kw_only=True):
    """The body of a chat of v1. `stream` is sent by clients besides the header Accept."""

    messages: Messages
    max_tokens: Annotated[int, Meta(gt=0, le=MAX_TOKENS)] | UnsetType = UNSET
    stream: bool = False
    # ChatClovaX of langchain-community sends an argument of its own with each stream.
    run_manager: None = msgspec.field(default=None, name="run_manager")


class ResponseFormat(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the output."""

    type: Literal["json"]
    schema: dict | bool


class Thinking(msgspec.Struct, forbid_unknown_fields=True):
    """How long a model thinks before it answers."""

    effort: Literal["none", "low", "medium", "high"] = "low"


class ChatBodyV3(FieldsV3, kw_only=True):
    """The body of a chat of v3."""

    messages: ToolMessages
    max_tokens: Annotated[int, Meta(gt=0, le=MAX_TOKENS)] | UnsetType = UNSET
    max_completion_tokens: Annotated[int, Meta(gt=0, le=32768)] | UnsetType = UNSET
    response_format: ResponseFormat | UnsetType = UNSET
    thinking: Thinking | UnsetType = UNSET
    tools: list[Tool] = []
    tool_choice: Literal["none", "auto"] | NamedChoice = "auto"
    stream: bool = False


def _joined(parts: str | list[TextPart]) -> str:
    return parts if isinstance(parts, str) else "".join(part.text for part in parts)


def multiplicative_penalty(repeat_penalty: float) -> float:
    """Returns the multiplicative penalty for `repeatPenalty`, 0 to 10: 1 + repeatPenalty / 50.

    So 0 changes nothing, the default 5.0 is the default of v3, 1.1, and the greatest is the 1.2 of
    CTRL (Keskar et al., 2019, section 4.1). The scale of CLOVA Studio itself is not public.
    """
    return 1 + repeat_penalty / 50


def sampling_of(
    fields: FieldsV1 | FieldsV3,
    max_tokens: int,
    config: ServeConfig,
    stop_ids: tuple[int, ...] = (),
    logprobs: int | None = None,
) -> SamplingConfig:
    """Returns the settings of the engine, with a random seed above 0 if the seed is 0.

    Raises:
      ApiError: 400, a value is out of range.
    """
    stop = tuple(fields.stop_texts)
    check_stops(stop, "stopBefore" if isinstance(fields, FieldsV1) else "stop", config)
    try:
        return SamplingConfig(
            max_tokens=max_tokens,
            temperature=fields.temperature,
            top_k=fields.top_k,
            top_p=fields.top_p,
            repetition_penalty=fields.penalty,
            seed=fields.seed or 1 + secrets.randbelow(2**32 - 1),
            stop=stop,
            stop_ids=stop_ids,
            logprobs=logprobs,
        )
    except ConfigError as error:
        raise error_of(error) from error


def tokens_to_write(
    backend: Backend,
    n_prompt: int,
    asked: int | UnsetType,
    artefact: str | None,
    name: str = "maxTokens",
) -> int:
    """Returns the most tokens of an output; the default gives way where there is less room.

    Raises:
      ApiError: 400, there is no room for as many as the request asks for.
    """
    if asked is UNSET:
        return min(DEFAULT_TOKENS, backend.check_length(n_prompt, None, name, artefact))
    return backend.check_length(n_prompt, asked, name, artefact)


def check_supported(body: ChatBodyV3) -> None:
    """Raises ApiError (400) if a chat asks for what there is not."""
    if body.thinking is not UNSET and body.thinking.effort != "none":
        text = f"thinking.effort={body.thinking.effort}: no model here thinks; give none"
        raise ApiError(400, "unsupported", text, "thinking.effort")
    if UNSET not in (body.max_tokens, body.max_completion_tokens):
        raise invalid("maxTokens and maxCompletionTokens are the same; give one", "maxTokens")
