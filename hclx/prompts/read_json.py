"""Strict reading of JSON that people write: each key once, finite numbers, and text as a model
knows it.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hclx.errors import ConfigError, DataError, shown
from hclx.text.documents import composed

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
      DataError: it does not exist, is not in UTF-8, is no JSON, with the line and column, has a
        key twice in one object, or a number that is not finite.
      OSError: it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; name a JSON file") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not in UTF-8 (byte {error.start}); save it in that encoding"
        ) from error
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite
        )
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise DataError(f"{place}: this is no JSON: {error.msg}") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


def cleaned(value: object, place: str = "") -> Any:
    """Returns a copy of a decoded JSON value whose texts are in NFC, and whose lines end with a
    newline alone, as those of the corpora that models are trained on.

    Args:
      value: of objects, lists, texts, numbers, booleans and None.
      place: the name of the field that holds it, for messages.
    Raises:
      ConfigError: a text has half of a surrogate pair, a number is not finite, two keys are the
        same in NFC, or the value is no JSON; names the field.
    """
    if isinstance(value, str):
        return _text(value, place)
    if isinstance(value, Mapping):
        parts = {}
        for key, part in value.items():
            name = _text(key, place) if isinstance(key, str) else shown(key)
            inner = f"{place}.{name}" if place else name
            if name in parts or not isinstance(key, str):
                raise ConfigError(f"{inner}: keys are texts, each of them once, in NFC")
            parts[name] = cleaned(part, inner)
        return parts
    if isinstance(value, list | tuple):
        return [cleaned(part, f"{place}[{number}]") for number, part in enumerate(value)]
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if value is not None and not is_number:
        raise ConfigError(f"{place}={shown(value)}: JSON has no such value")
    return value


def _text(text: str, place: str) -> str:
    if match := _SURROGATE.search(text):
        raise ConfigError(
            f"{place}={shown(text)}: character {match.start()} is half of a surrogate pair, which"
            " is no text; write the character as it is"
        )
    return composed(text.replace("\r\n", "\n").replace("\r", "\n"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"the key {shown(key)} stands twice in one object; remove one of them")
        content[key] = value
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {shown(text)} is not finite")
    return number
