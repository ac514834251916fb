"""How models write calls of functions, which is known by their templates of chats."""

import dataclasses
import json
import re
import uuid
from collections.abc import Iterable

from hclx.text.chat_template import ChatTemplate


@dataclasses.dataclass(frozen=True)
class ToolCall:
    """A function that an answer calls.

    Attributes:
      name: of the function.
      arguments: an object of JSON.
      id: tells it from other calls of the chat.
    """

    name: str
    arguments: dict
    id: str = dataclasses.field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON."""
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclasses.dataclass(frozen=True)
class ToolFormat:
    """A form of calls: JSON of a name and arguments, between two texts.

    Attributes:
      mark: is in every template that writes calls so.
      opening, closing: what stands before a call and behind it; without a closing, it ends with
        the answer, and without an opening, an answer is a call if it begins as an object of JSON.
      arguments: the key of the arguments.
      is_list: whether the JSON is a list of calls.
    """

    mark: str
    opening: str
    closing: str
    arguments: str
    is_list: bool

    def calls(self, text: str, names: Iterable[str]) -> list[ToolCall]:
        """Returns the calls that stand between opening and closing; none if the text is no call of
        functions of these names.
        """
        try:
            read = json.loads(text, parse_constant=_refuse)
            entries = read if isinstance(read, list) else [read]
            json.dumps(entries, ensure_ascii=False).encode()  # halves of characters are no text
            calls = [ToolCall(entry["name"], entry.get(self.arguments, {})) for entry in entries]
            is_known = all(call.name in names for call in calls)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return []
        return calls if is_known and all(isinstance(c.arguments, dict) for c in calls) else []


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


FORMATS = (
    # Hermes and Qwen; others have XML between the same tags.
    ToolFormat("<tool_call>", "<tool_call>\n", "\n</tool_call>", "arguments", False),
    # HyperCLOVA X: the name of the role goes on, behind `<|im_start|>assistant`.
    ToolFormat("-> tool/function_call", " -> tool/function_call\n", "", "arguments", True),
    # Llama 3
    ToolFormat('"parameters": ', "", "", "parameters", False),
)
_XML = "<function="


def format_of(template: ChatTemplate) -> ToolFormat | None:
    """Returns the form of calls that a template teaches; None: there is none that is known."""
    source = template.source
    if not template.takes_tools or _XML in source:
        return None
    return next((form for form in FORMATS if form.mark in source), None)


class AnswerReader:
    """Parts an answer that comes bit by bit into what is said and what is called. Blanks before a
    call are left out.
    """

    def __init__(self, form: ToolFormat, names: Iterable[str]):
        """Begins an answer that may call functions of these names."""
        self._form, self._names = form, frozenset(names)
        self._opening, self._closing = form.opening.strip(), form.closing.strip()
        begin = re.escape(self._opening) if self._opening else r"(?=\{)"
        self._begin = re.compile(rf"\s*{begin}")
        starts = [self._opening[:end] for end in range(1, len(self._opening))]
        may_begin = "|".join(map(re.escape, reversed(starts)))
        self._may_begin = re.compile(rf"\s*(?:{may_begin})?\Z" if starts else r"\s*\Z")
        self._buffer, self._inside = "", ""  # what is not read yet; how the call began
        self._is_inside = self._has_begun = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Takes the next text, and returns what is certain."""
        self._buffer += text
        read: list[str | ToolCall] = []
        while self._step(read):
            pass
        return read

    def finish(self) -> list[str | ToolCall]:
        """Returns what is left at the end of the answer."""
        text, self._buffer = self._buffer, ""
        if not self._is_inside:
            return [text] if text else []
        body = text.removeprefix(self._inside)
        return self._form.calls(body, self._names) or [text]

    def _step(self, read: list[str | ToolCall]) -> bool:
        """Reads the next bit of the buffer; returns whether there may be more."""
        if self._is_inside:
            return bool(self._closing) and self._read_call(read)
        match = self._find_begin()
        if match is None:
            end = self._may_begin.search(self._buffer).start()
        else:
            end = match.start()
            self._inside, self._is_inside = match[0], True
        if end:
            read.append(self._buffer[:end])
            self._has_begun = True
        self._buffer = self._buffer[end:]
        return self._is_inside

    def _find_begin(self) -> re.Match | None:
        if self._opening:
            return self._begin.search(self._buffer)
        return None if self._has_begun else self._begin.match(self._buffer)

    def _read_call(self, read: list[str | ToolCall]) -> bool:
        body, closing, rest = self._buffer.removeprefix(self._inside).partition(self._closing)
        if not closing:
            return False
        read += self._form.calls(body, self._names) or [self._inside + body + closing]
        self._buffer, self._is_inside, self._has_begun = rest, False, True
        return True
