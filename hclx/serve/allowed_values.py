"""The values that a field of a request may have, of the type of its body."""

import functools
import re
from collections.abc import Iterable, Iterator

from msgspec import inspect

_STEP = re.compile(r"\[[^\]]*\]|[^.\[]+")


@functools.lru_cache(maxsize=1024)
def allowed_values(kind: type, place: str) -> tuple:
    """Returns the few values that a field may have: texts, true and false, null; none of a field
    that may have others.

    Args:
      kind: a `msgspec.Struct`, the body of a request.
      place: of the field, as in errors of msgspec: "tools[0].type".
    """
    types = [inspect.type_info(kind)]
    for step in _STEP.findall(place):
        types = [part for each in _alternatives(types) for part in _inside(each, step)]
    types = list(_alternatives(types))
    values = [v for each in types if isinstance(each, inspect.LiteralType) for v in each.values]
    nulls = [None for each in types if isinstance(each, inspect.NoneType)]
    kinds = inspect.LiteralType | inspect.NoneType
    # An object beside words is another way to say the same, as of `tool_choice`.
    kinds = kinds | inspect.StructType if values else kinds
    return (*values, *nulls) if all(isinstance(each, kinds) for each in types) else ()


def _alternatives(types: Iterable[inspect.Type]) -> Iterator[inspect.Type]:
    for each in types:
        if isinstance(each, inspect.UnionType):
            yield from _alternatives(each.types)
        elif isinstance(each, inspect.Metadata):
            yield from _alternatives([each.type])
        else:
            yield each


def _inside(kind: inspect.Type, step: str) -> list[inspect.Type]:
    """The types of a field, or of the items of a list or dictionary."""
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == step]
    if not step.startswith("["):
        return []
    if isinstance(kind, inspect.ListType):
        return [kind.item_type]
    return [kind.value_type] if isinstance(kind, inspect.DictType) else []
