"""Checks of what pages send, beyond its types."""

import unicodedata
from collections.abc import Mapping

import msgspec

from hclx.errors import shown
from hclx.serve.admin_dialect import LimitsBody
from hclx.serve.api_error import ApiError, invalid
from hclx.studio.content import Content, ContentError, content_from_json
from hclx.studio.store.people_records import Person

LONGEST_TITLE = 200
LONGEST_NOTE = 2_000
MOST_NUMBER = 2**53 - 1  # JavaScript has whole numbers up to this


def seen_by(person: Person) -> str | None:
    """Returns the owner of the records that a person sees; None: an administrator sees all."""
    return None if person.role == "admin" else person.id


def content_of(raw: object, needs_document: bool) -> Content:
    """Returns the content that a request brings; see `content_from_json`.

    Raises:
      ApiError: 400, with the field that is wrong.
    """
    try:
        return content_from_json(raw, needs_document)
    except ContentError as error:
        place = f"content.{error.field}" if error.field else "content"
        raise invalid(str(error), place) from error


def check_title(field: str, text: str) -> None:
    """Raises ApiError (400) unless a text may be the title or the name of something."""
    _check_text(field, text, LONGEST_TITLE, "")


def check_note(field: str, text: str) -> None:
    """Raises ApiError (400) unless a text may be a note, which may have lines."""
    _check_text(field, text, LONGEST_NOTE, "\n\t")


def whole_number(field: str, text: str) -> int:
    """Returns the number in a path. Raises ApiError (404) if it is none that a record has."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MOST_NUMBER))
    if not is_number:
        raise ApiError(404, "not_found", f"there is no {field} {shown(text)}")
    return int(text)


def changed_limits(body: LimitsBody) -> Mapping[str, int]:
    """Returns the limits that a request names."""
    values = msgspec.structs.asdict(body)
    return {name: value for name, value in values.items() if value is not None}


def _check_text(field: str, text: str, longest: int, allowed: str) -> None:
    controls = [c for c in text if unicodedata.category(c) == "Cc" and c not in allowed]
    if controls or len(text) > longest:
        advice = f"give at most {longest:,} characters, none of them a control character"
        raise invalid(f"{field}={shown(text)}: {advice}", field)
