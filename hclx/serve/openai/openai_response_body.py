"""The body of a request to /v1/responses, and the chat that it is."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from hclx.serve.api_error import ApiError, invalid
from hclx.serve.openai.openai_chat import ChatRequest
from hclx.serve.openai.openai_fields import Int64, JsonSchema, ResponseFormat
from hclx.serve.openai.openai_messages import (
    CalledFunction,
    FunctionName,
    Message,
    MessageCall,
    NamedChoice,
    Tool,
    ToolFunction,
)

LOGPROBS = "message.output_text.logprobs"


class TextPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a message; there are no others than texts."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: list | None = None
    logprobs: list | None = None


class Item(msgspec.Struct, forbid_unknown_fields=True):
    """An item of the input: a message, a call of a function, or what a function has returned."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[TextPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[TextPart] | None = None
    # Of answers, which clients send back as they came.
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class Format(msgspec.Struct, forbid_unknown_fields=True):
    """The form of the text."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict | bool | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the text; `verbosity` changes nothing."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class FunctionTool(msgspec.Struct, forbid_unknown_fields=True):
    """A function that may be called; tools of the host there are none."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict | None = None
    strict: bool | None = None


class FunctionChoice(msgspec.Struct, forbid_unknown_fields=True):
    """The function that has to be called."""

    type: Literal["function"]
    name: str


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """Options of a stream."""

    include_obfuscation: bool | None = None


class ResponseRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: Int64 | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextOptions | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    include: list[Literal[LOGPROBS, "reasoning.encrypted_content"]] | None = None
    top_logprobs: Int64 | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    truncation: Literal["disabled"] | None = None
    # What would need a memory is refused by name, in `check_stateless`.
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict | None = None
    background: bool | None = None
    # What follows changes nothing here.
    metadata: dict | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    reasoning: None = None

    @property
    def with_logprobs(self) -> bool:
        """Returns whether log-probabilities are asked for."""
        return LOGPROBS in (self.include or ())


def check_stateless(body: ResponseRequest) -> None:
    """Raises ApiError (400) for a field that needs a server which keeps answers."""
    for name in ("store", "previous_response_id", "conversation", "background"):
        if getattr(body, name):
            text = f"{name}: this server keeps no answers; leave it out, and send the whole input"
            raise ApiError(400, "unsupported", text, name)


def chat_request(body: ResponseRequest) -> ChatRequest:
    """Returns the request as a chat. Raises ApiError (400) for an item that is none."""
    form = body.text.format if body.text is not None else None
    if body.with_logprobs and body.tools:
        raise invalid(f"include: {LOGPROBS} does not go with tools", "include")
    choice = body.tool_choice
    if isinstance(choice, FunctionChoice):
        choice = NamedChoice("function", FunctionName(choice.name))
    return ChatRequest(
        model=body.model,
        messages=_messages(body),
        max_completion_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        logprobs=body.with_logprobs or None,
        top_logprobs=body.top_logprobs if body.with_logprobs else None,
        response_format=None if form is None else _format(form),
        tools=[
            Tool("function", ToolFunction(tool.name, tool.description, tool.parameters))
            for tool in body.tools or ()
        ],
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
    )


def in_words_of_responses(error: ApiError) -> ApiError:
    """Returns the error of a chat with the names of fields that a response has."""
    for name, own in _NAMES.items():
        if error.param and error.param.startswith(name):
            message = error.message.replace(error.param, own)
            return ApiError(error.status, error.code, message, own)
    return error


_NAMES = {
    "messages": "input",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}


def _format(form: Format) -> ResponseFormat:
    if form.type != "json_schema":
        return ResponseFormat(form.type)
    if form.schema is None:
        raise invalid("text.format.schema is missing; give a JSON schema", "text.format.schema")
    return ResponseFormat(form.type, JsonSchema(form.schema))


def _messages(body: ResponseRequest) -> list[Message]:
    messages = [] if body.instructions is None else [Message("system", body.instructions)]
    if isinstance(body.input, str):
        return [*messages, Message("user", body.input)]
    if not body.input:
        raise invalid("input is empty: give a text, or one item or more", "input")
    for index, item in enumerate(body.input):
        _add(messages, item, f"input[{index}]")
    return messages


def _add(messages: list[Message], item: Item, place: str) -> None:
    """Adds an item to a chat; a call belongs to the message of the assistant before it."""
    needed = {
        "message": ("role", "content"),
        "function_call": ("call_id", "name", "arguments"),
        "function_call_output": ("call_id", "output"),
    }
    for name in needed[item.type]:
        if getattr(item, name) is None:
            raise invalid(f"{place}.{name} is missing in a {item.type}", f"{place}.{name}")
    if item.type == "message":
        role = "system" if item.role == "developer" else item.role
        messages.append(Message(role, _text(item.content)))
    elif item.type == "function_call_output":
        messages.append(Message("tool", _text(item.output), tool_call_id=item.call_id))
    else:
        if not messages or messages[-1].role != "assistant":
            messages.append(Message("assistant", ""))
        call = MessageCall(item.call_id, CalledFunction(item.name, item.arguments))
        messages[-1].tool_calls = [*(messages[-1].tool_calls or ()), call]


def _text(content: str | Sequence[TextPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)
