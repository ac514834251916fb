"""The content of a prompt in the Studio: a prompt document, and how it is shown and run.

It is one JSON object of the schema "hclx.studio/1": what is saved, versioned, shared and exported.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from hclx.errors import ConfigError, shown
from hclx.field_checks import either
from hclx.infer.sampling import MAX_LOGPROBS
from hclx.prompts import PromptDocument, prompt_from_json

SCHEMA = "hclx.studio/1"
MOST_BYTES = 2**20  # of a content as JSON in UTF-8
MOST_CANDIDATES = 16
VIEWS = ("blocks", "text", "chat")
_LONGEST_NAME = 200  # of a model or a table
# The beginning of an error of `hclx.prompts`: "sampling.top_k='x': give a whole number".
_PLACE = re.compile(r"(?:the field ')?([a-z_]+(?:\.[^\s=:]+|\[\d+\])*)(?=[=: ']|$)")
_DOCUMENT_FIELDS = {"schema", "budget", *PromptDocument.__dataclass_fields__}


class ContentError(ConfigError):
    """A content that is none.

    Attributes:
      field: the place of what is wrong, such as "document.sampling.top_k"; "": the whole.
    """

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


@dataclasses.dataclass(frozen=True)
class Turn:
    """A turn of a chat: what the user wrote, and what the assistant answered; "": nothing yet."""

    user: str = ""
    assistant: str = ""


@dataclasses.dataclass(frozen=True)
class Chat:
    """A chat: what stands above it, and its turns."""

    system: str = ""
    turns: tuple[Turn, ...] = ()


@dataclasses.dataclass(frozen=True)
class Content:
    """A prompt with all of its settings.

    Attributes:
      raw: the JSON object, as it came.
      document: what the model reads; None: it was not asked for (`content_from_json`).
      model: the name of the model that answers; "": the first that the server has.
      view: how it is edited: one of `VIEWS`.
      n: candidates for each item.
      logprobs: alternatives of each token that are told.
      block: the level of the output filter that ends a text: 0, the worst, or 1, that and the next;
        None: as the server does.
      table: the id of the table whose rows are its items; None: it has none.
      item: the fields of the item that was tried last.
      chat: the chat, where `view` is "chat".
    """

    raw: Mapping[str, Any]
    document: PromptDocument | None
    model: str = ""
    view: str = "blocks"
    n: int = 1
    logprobs: int = 5
    block: int | None = None
    table: str | None = None
    item: Mapping[str, str] = dataclasses.field(default_factory=dict)
    chat: Chat = Chat()


def content_from_json(raw: object, needs_document: bool) -> Content:
    """Makes a content of a decoded JSON object.

    Args:
      raw: the object.
      needs_document: its prompt document has to be a valid one; else any object is one, as in a
        draft, and `Content.document` is None.
    Raises:
      ContentError: a field is missing, unknown, of another type or out of range, or there is too
        much of it.
    """
    if not isinstance(raw, dict):
        raise ContentError("", f"content={shown(raw)}: give an object of the schema {SCHEMA!r}")
    if raw.get("schema") != SCHEMA:
        text = f"content.schema={shown(raw.get('schema'))}: this server reads {SCHEMA!r}"
        raise ContentError("schema", text)
    if unknown := sorted(set(raw) - {"schema", "document", *_READERS}):
        known = ", ".join(("schema", "document", *_READERS))
        raise ContentError(unknown[0], f"content has no {shown(unknown[0])}; known are {known}")
    if not isinstance(raw.get("document"), dict):
        text = f"content.document={shown(raw.get('document'))}: give a prompt document, an object"
        raise ContentError("document", text)
    content_to_text(raw)
    values = {name: _READERS[name](name, raw[name]) for name in _READERS if name in raw}
    document = _document(raw["document"]) if needs_document else None
    return Content(raw, document, **values)


def content_to_text(raw: Mapping[str, Any]) -> str:
    """Returns a content as JSON in one line. Raises ContentError if there is too much of it."""
    try:
        text = json.dumps(raw, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ContentError("", "content: a text has half of a character; give it whole") from error
    except (ValueError, RecursionError) as error:
        raise ContentError("", f"content cannot be kept as JSON: {error}") from error
    if size > MOST_BYTES:
        text = f"content has {size:,} bytes of JSON, and may have {MOST_BYTES:,}; shorten it"
        raise ContentError("", text)
    return text


def for_others(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a content as others may read it: without what its owner tried, which may be private:
    the item, the table, and the turns of a chat.
    """
    shown = {name: value for name, value in raw.items() if name not in ("item", "table")}
    if "chat" in shown:
        shown["chat"] = {**shown["chat"], "turns": []}
    return shown


def _document(raw: dict) -> PromptDocument:
    try:
        return prompt_from_json(raw)
    except ConfigError as error:
        place = _PLACE.match(str(error))
        is_known = place and re.split(r"[.\[]", place[1])[0] in _DOCUMENT_FIELDS
        field = f"document.{place[1]}" if is_known else "document"
        raise ContentError(field, f"content.document: {error}") from error


def _refused(name: str, value: object, advice: str) -> ContentError:
    return ContentError(name, f"content.{name}={shown(value)}: give {advice}")


def _name(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise _refused(name, value, f"a text of at most {_LONGEST_NAME} characters")
    return value


def _optional_name(name: str, value: object) -> str | None:
    return None if value is None else _name(name, value)


def _view(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in VIEWS:
        raise _refused(name, value, either(VIEWS))
    return value


def _whole_number(least: int, most: int) -> Callable[[str, object], int]:
    def read(name: str, value: object) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not least <= value <= most:
            raise _refused(name, value, f"a whole number from {least} to {most}")
        return value

    return read


def _block(name: str, value: object) -> int | None:
    return None if value is None else _whole_number(0, 1)(name, value)


def _item(name: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _refused(name, value, "an object, field to text")
    return {field: _text(f"{name}.{field}", text) for field, text in value.items()}


def _chat(name: str, value: object) -> Chat:
    if not isinstance(value, dict) or not set(value) <= {"system", "turns"}:
        raise _refused(name, value, "an object with system and turns")
    turns = value.get("turns", [])
    if not isinstance(turns, list):
        raise _refused(f"{name}.turns", turns, "a list of objects with user and assistant")
    system = _text(f"{name}.system", value.get("system", ""))
    return Chat(system, tuple(_turn(f"{name}.turns[{i}]", turn) for i, turn in enumerate(turns)))


def _turn(name: str, value: object) -> Turn:
    if not isinstance(value, dict) or not set(value) <= {"user", "assistant"}:
        raise _refused(name, value, "an object with user and assistant")
    return Turn(**{field: _text(f"{name}.{field}", text) for field, text in value.items()})


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, "a text")
    return value


# Field -> function of its name and its JSON value, which returns its value or raises ContentError.
_READERS: Mapping[str, Callable[[str, object], Any]] = {
    "model": _name,
    "view": _view,
    "n": _whole_number(1, MOST_CANDIDATES),
    "logprobs": _whole_number(0, MAX_LOGPROBS),
    "block": _block,
    "table": _optional_name,
    "item": _item,
    "chat": _chat,
}
