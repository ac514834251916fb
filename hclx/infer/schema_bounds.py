"""Bounds of JSON schemas: what the library of grammars does not bound itself, or only in its own
words.
"""

import json
from collections.abc import Iterator
from urllib.parse import unquote

from hclx.infer.engine import RequestError

# Keys without which a schema says nothing about a value.
_ANY = {"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "not", "properties", "items"}
MOST_OPTIONAL = 120  # properties of an object that may be left out
# Levels of brackets along the longest way through references, which the library follows by
# recursion: chains of thousands end the process.
MOST_LINKED_LEVELS = 1_000


def levels_of(text: str) -> int:
    """The deepest nesting of brackets in a JSON text, counted without a parser's recursion."""
    depth = deepest = 0
    is_in_string = is_escaped = False
    for char in text:
        if is_in_string:
            is_in_string = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
        elif char == '"':
            is_in_string = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def linked_levels(schema: dict) -> int:
    """Returns a bound of the levels of brackets that a way through the references of a schema can
    have: those of the schema, and of each part that is referred to.
    """
    places, levels = {"#"}, 0
    for place in _references(schema):
        if place not in places:
            places.add(place)
            part = _resolve(schema, place)
            # A name that is no pointer may be any part.
            levels += 1 + levels_of(json.dumps(schema if part is None else part))
        if levels > MOST_LINKED_LEVELS:
            break
    return levels


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _resolve(schema: dict, place: str) -> object:
    """Returns the part of a schema that a JSON pointer names, None if there is none."""
    part: object = schema
    for name in place.removeprefix("#").split("/")[1:]:
        name = unquote(name).replace("~1", "/").replace("~0", "~")
        if isinstance(part, list):
            part = part[int(name)] if name.isdecimal() and int(name) < len(part) else None
        else:
            part = part.get(name) if isinstance(part, dict) else None
    return part


def check_optional(schema: dict) -> None:
    """Raises RequestError for an object of which too many properties may be left out."""
    for path, part in _parts(schema, "#"):
        properties, required = part.get("properties"), part.get("required")
        if isinstance(properties, dict) and isinstance(required, list | None):
            names = filter(lambda name: isinstance(name, str), required or ())
            n_optional = len(set(properties).difference(names))
            if n_optional > MOST_OPTIONAL:
                raise RequestError(
                    f"json_schema: {path} has {n_optional:,} properties that may be left out, more"
                    f" than {MOST_OPTIONAL}; name them in `required`, or ask for fewer at once"
                )


def unbounded_parts(schema: dict) -> Iterator[str]:
    """Yields the places of a schema where a text may grow without end."""
    for path, part in _parts(schema, "#"):
        kinds = part.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        is_object = "object" in kinds or (not kinds and "properties" in part)
        has_more = part.get("additionalProperties", True) is not False
        if is_object and has_more and "maxProperties" not in part:
            yield f"{path}: an object without additionalProperties=false or maxProperties"
        is_free = not {"enum", "const", "pattern", "format"} & set(part)
        if "string" in kinds and is_free and "maxLength" not in part:
            yield f"{path}: a string without maxLength"
        if "array" in kinds and "maxItems" not in part:
            yield f"{path}: an array without maxItems"
        is_listed = {"enum", "const"} & set(part)
        if "number" in kinds and not is_listed:
            yield f"{path}: a number, whose decimals have no end"
        if "integer" in kinds and not is_listed and not _is_between(part):
            yield f"{path}: an integer without minimum and maximum"
        if not _ANY & set(part):
            yield f"{path}: any value"


def _is_between(part: dict) -> bool:
    lower, upper = ({name, f"exclusive{name.title()}"} for name in ("minimum", "maximum"))
    return bool(lower & set(part)) and bool(upper & set(part))


def _parts(schema: object, path: str) -> Iterator[tuple[str, dict]]:
    """Yields a schema and the schemas in it, with their places."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            for name, part in value.items():
                yield from _parts(part, f"{path}/{key}/{name}")
        elif key in ("items", "additionalProperties", "not"):
            yield from _parts(value, f"{path}/{key}")
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            for i, part in enumerate(value):
                yield from _parts(part, f"{path}/{key}/{i}")
