"""The functions that a chat may call, in every dialect."""

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from hclx.errors import ConfigError, DataError, shown
from hclx.infer import grammar as grammars
from hclx.infer.grammar import Grammar
from hclx.serve.api_error import ApiError, invalid
from hclx.serve.backend import Backend
from hclx.serve.tool_formats import AnswerReader, ToolFormat, format_of

MOST_TOOLS = 128  # as of OpenAI
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclasses.dataclass(frozen=True)
class Function:
    """A function that may be called.

    Attributes:
      name: of letters, digits and `_.-`.
      description: for the model; None: none.
      parameters: the JSON schema of the arguments; None: there are none.
    """

    name: str
    description: str | None = None
    parameters: dict | None = None

    def described(self) -> dict:
        """Returns it as templates read it."""
        fields = {"name": self.name, "description": self.description}
        fields["parameters"] = self.parameters
        known = {name: value for name, value in fields.items() if value is not None}
        return {"type": "function", "function": known}


@dataclasses.dataclass(frozen=True)
class ToolUse:
    """How an answer may call functions.

    Attributes:
      form: of a call.
      functions: that the model is told of.
      forced: those of which the answer has to call one; none: it may say something else.
    """

    form: ToolFormat
    functions: Sequence[Function]
    forced: Sequence[Function] = ()

    def reader(self) -> AnswerReader:
        """Returns a reader of one answer."""
        return AnswerReader(self.form, [function.name for function in self.functions])

    def grammar(self, param: str) -> Grammar | None:
        """Returns the rule by which one call is forced; None: the answer is free. It may take
        100 ms.

        Raises:
          ApiError: 400, parameters in the field `param` are a schema that cannot be followed.
        """
        if not self.forced:
            return None
        form, calls = self.form, [self._call(i) for i in range(len(self.forced))]
        before, after = form.opening, form.closing
        if form.is_list:
            before, after = f"{before}[", f"]{after}"
        try:
            grammar = grammars.enclosed_json(before, {"anyOf": calls}, after)
            grammar.check()
        except ConfigError as error:
            raise invalid(f"{param}: {error}", param) from error
        return grammar

    def _call(self, index: int) -> dict:
        """The schema of a call, which stands at this index of `anyOf`."""
        function, key = self.forced[index], self.form.arguments
        none = {"type": "object", "properties": {}, "additionalProperties": False}
        parameters = none if function.parameters is None else function.parameters
        place = f"#/anyOf/{index}/properties/{key}"
        return {
            "type": "object",
            "properties": {"name": {"const": function.name}, key: _moved(parameters, place)},
            "required": ["name", key],
            "additionalProperties": False,
        }


def _moved(schema: object, place: str) -> object:
    """A schema whose references to itself are those from `place` in another."""
    if isinstance(schema, list):
        return [_moved(value, place) for value in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {key: _moved(value, place) for key, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + quote(reference[1:], safe="/%$~:@!*+,;=?&'()")  # as of a URI
    return moved


def tool_use(
    backend: Backend,
    functions: Sequence[Function],
    mode: Literal["none", "auto", "required"],
    name: str | None = None,
    params: tuple[str, str] = ("tools", "tool_choice"),
) -> ToolUse | None:
    """Returns how an answer may call functions; None: it may not.

    Args:
      backend: whose template has to know calls.
      functions: of the request.
      mode: whether an answer calls none, some, or has to call one.
      name: the function that it has to call; None: any.
      params: the fields of functions and mode, for messages.
    Raises:
      ApiError: 400, the model knows no calls, or a function cannot be one.
    """
    tools, choice = params
    _check_names([function.name for function in functions], tools)
    _check_parameters(functions, tools)
    forced = [each for each in functions if mode == "required" and name in (None, each.name)]
    if mode == "required" and not functions:
        raise invalid(f"{choice}: {tools} is missing; give the functions", choice)
    if mode == "required" and not forced:
        raise invalid(f"{choice}: {tools} has no such function; give it, or another", choice)
    if mode == "none" or not functions:
        return None
    template = backend.chat_template
    form = None if template is None else format_of(template)
    if form is None:
        raise ApiError(
            400,
            "unsupported",
            f"{tools}: the model's template of chats has no calls of functions in a form that is"
            " known here; leave them out",
            tools,
        )
    return ToolUse(form, functions, forced)


def _check_names(names: Sequence[str], param: str) -> None:
    if len(names) > MOST_TOOLS:
        raise invalid(f"{param} has {len(names)} functions: give at most {MOST_TOOLS}", param)
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name) or name in names[:index]:
            rule = "give each a name of its own, of at most 64 letters, digits and _.-"
            raise invalid(f"{param}[{index}]: its name is {name[:80]!r}: {rule}", param)


def _check_parameters(functions: Sequence[Function], param: str) -> None:
    """Raises ApiError (400) for a function whose arguments are no object, as those of calls are."""
    for index, function in enumerate(functions):
        kind = (function.parameters or {}).get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            rule = 'arguments of calls are objects; give "object"'
            raise invalid(
                f"{param}[{index}]: its parameters have type={shown(kind)}: {rule}", param
            )


def _check_results(messages: Sequence[dict]) -> None:
    """Raises ApiError (400) for a result without its call in a message before it."""
    called = set()
    for index, message in enumerate(messages):
        called |= {call["id"] for call in message.get("tool_calls", ())}
        name = message.get("tool_call_id")
        if message["role"] == "tool" and (name not in called if name is not None else not called):
            text = "no message before it has the call whose result it is"
            raise invalid(f"messages[{index}]: {text}", "messages")


async def encode_chat(
    backend: Backend,
    messages: Sequence[dict],
    tools: ToolUse | None,
    elsewhere: str,
    written: str = "",
) -> list[int]:
    """Returns the tokens of a chat, up to where the assistant begins.

    Args:
      backend: its template writes the chat.
      messages: as `ChatTemplate.render` takes them.
      tools: that the model is told of.
      elsewhere: the route for models without a template.
      written: the beginning of the answer, which is encoded with the chat as one text.
    Raises:
      ApiError: 400, the model knows no chats, its template refuses this one, or it is too long.
    """
    template = backend.chat_template
    if template is None:
        text = "the model is a base model: its tokenizer has no template of chats; use"
        raise ApiError(400, "unsupported", f"{text} {elsewhere}", "model")
    _check_results(messages)
    is_about_calls = any("tool_calls" in message for message in messages)
    if is_about_calls and "tool_calls" not in template.source:
        text = "messages: the template of chats of this model knows no calls of functions"
        raise ApiError(400, "unsupported", text, "messages")
    described = [function.described() for function in tools.functions] if tools else []
    try:
        text = await asyncio.to_thread(template.render, messages, True, described)
    except DataError as error:
        raise invalid(str(error), "messages") from error
    backend.check_text(text + written, "messages")
    return await backend.encode(text + written, begins=False, special=True)
