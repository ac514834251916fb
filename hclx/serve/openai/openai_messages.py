"""Messages and tools of chats in the dialect of OpenAI."""

import json
from collections.abc import Sequence
from typing import Literal

import msgspec

from hclx.serve.api_error import invalid
from hclx.serve.chat_tools import Function


class TextPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part of a message; there are no others than texts."""

    type: Literal["text"]
    text: str


class CalledFunction(msgspec.Struct, forbid_unknown_fields=True):
    """The function of a call, and its arguments as JSON."""

    name: str
    arguments: str


class MessageCall(msgspec.Struct, forbid_unknown_fields=True):
    """A call in a message of the assistant."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"
    index: int | None = None  # of events, which clients send back as they came


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """A message of a chat."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[MessageCall] | None = None
    tool_call_id: str | None = None
    # Of answers, which clients send back as they came.
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: list | None = None

    @property
    def text(self) -> str:
        """Returns its text."""
        parts = self.content or ""
        return parts if isinstance(parts, str) else "".join(part.text for part in parts)


class ToolFunction(msgspec.Struct, forbid_unknown_fields=True):
    """A function that may be called. `strict` changes nothing: calls that are forced follow the
    parameters in any case.
    """

    name: str
    description: str | None = None
    parameters: dict | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    """A tool; there are no others than functions."""

    type: Literal["function"]
    function: ToolFunction


class FunctionName(msgspec.Struct, forbid_unknown_fields=True):
    """A function by its name."""

    name: str


class NamedChoice(msgspec.Struct, forbid_unknown_fields=True):
    """The tool that has to be called."""

    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | NamedChoice


def functions_of(tools: Sequence[Tool] | None) -> list[Function]:
    """Returns the functions of a request."""
    return [
        Function(tool.function.name, tool.function.description, tool.function.parameters)
        for tool in tools or ()
    ]


def written_messages(messages: Sequence[Message]) -> list[dict]:
    """Returns messages as templates read them, with the arguments of calls as objects.

    Raises:
      ApiError: 400, a message has no content, or arguments are no object of JSON.
    """
    if not messages:
        raise invalid("messages is empty: give one or more", "messages")
    names = {call.id: call.function.name for m in messages for call in m.tool_calls or ()}
    return [_written(index, message, names) for index, message in enumerate(messages)]


def _written(index: int, message: Message, names: dict[str, str]) -> dict:
    place = f"messages[{index}]"
    if message.content is None and not message.tool_calls:
        raise invalid(f"{place} has no content; give a text", place)
    written = {"role": message.role, "content": message.text}
    if message.role == "tool" and message.tool_call_id is not None:
        written["tool_call_id"] = message.tool_call_id
        if message.tool_call_id in names:  # which some templates write
            written["name"] = names[message.tool_call_id]
    if message.name is not None:
        written["name"] = message.name
    if message.tool_calls:
        if message.role != "assistant":
            raise invalid(f"{place}.tool_calls: only the assistant calls tools", place)
        calls = enumerate(message.tool_calls)
        written["tool_calls"] = [_call(call, f"{place}.tool_calls[{i}]") for i, call in calls]
    return written


def _call(call: MessageCall, place: str) -> dict:
    try:
        arguments = json.loads(call.function.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        name = f"{place}.function.arguments"
        raise invalid(f"{name}: give an object of JSON as a text", name)
    function = {"name": call.function.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}
