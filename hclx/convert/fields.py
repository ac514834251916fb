"""The fields of a config.json, read by name and type; whatever is wrong is named."""

import math
from collections.abc import Mapping

from hclx.errors import ConfigError, DataError

# transformers' names of functions -> those of `ModelConfig`.
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu": "gelu",
    "silu": "silu",
    "swish": "silu",
}


class Fields:
    """The fields of a config.json. Whatever is missing, of another type, or said twice in two ways
    is an error that names the file and the field.
    """

    def __init__(self, values: Mapping, path: str = "config.json"):
        """Takes the content of the file; `path` is for messages."""
        self.values, self.path = values, path

    def first(self, *names: str, default=None):
        """Returns the value of the field that has one of these names, null being none.

        Raises:
          DataError: two of the names are there with different values.
        """
        values = {n: self.values[n] for n in names if self.values.get(n) is not None}
        for name, value in list(values.items())[1:]:
            if value != values[first := next(iter(values))]:
                raise DataError(
                    f"{self.path}: {first}={values[first]!r} and {name}={value!r} mean the same,"
                    " and contradict each other; remove the wrong one"
                )
        return next(iter(values.values()), default)

    def integer(
        self, *names: str, default: int | None = None, least: int | None = None, most: int = 2**40
    ) -> int:
        """Returns a whole number within bounds; a missing one without a default is an error."""
        value = self.first(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(names, value, "a whole number")
        if value > most or (least is not None and value < least):
            bounds = f"at most {most:,}" if least is None else f"from {least:,} to {most:,}"
            raise self.wrong(names, value, f"a whole number, {bounds}")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        """Returns a finite number; a missing one without a default is an error."""
        value = self.first(*names, default=default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(names, value, "a number")
        if not math.isfinite(value):
            raise self.wrong(names, value, "a finite number")
        return float(value)

    def boolean(self, *names: str, default: bool = False) -> bool:
        """Returns true or false."""
        value = self.first(*names, default=default)
        if not isinstance(value, bool):
            raise self.wrong(names, value, "true or false")
        return value

    def activation(self, *names: str, default: str) -> str:
        """Returns the activation function under its name in `ModelConfig`."""
        name = self.first(*names, default=default)
        if name not in ACTIVATIONS:
            raise self.unsupported(self._said(names), name, f"one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[name]

    def mapping(self, name: str) -> Mapping:
        """Returns an object, {} if it is missing or null."""
        value = self.first(name, default={})
        if not isinstance(value, Mapping):
            raise self.wrong((name,), value, "an object")
        return value

    def is_null(self, name: str) -> bool:
        """Returns whether a field is null, which can mean something else than no field."""
        return name in self.values and self.values[name] is None

    def wrong(self, names: tuple[str, ...], value, kind: str) -> DataError:
        """The error for a field that is missing or of another type."""
        if value is None:
            return DataError(f"{self.path} has no {names[0]}, which must be {kind}")
        return DataError(f"{self.path}: {self._said(names)}={value!r} is not {kind}")

    def _said(self, names: tuple[str, ...]) -> str:
        """The name that the file has."""
        return next((n for n in names if self.values.get(n) is not None), names[0])

    def unsupported(self, name: str, value, instead: str) -> ConfigError:
        """The error for a value that the decoder has no counterpart of."""
        return ConfigError(f"{self.path}: {name}={value!r} is not supported; it must be {instead}")

    def refuse_others(self, allowed: Mapping[str, tuple]) -> None:
        """Refuses fields whose values are not among the allowed ones; null is like missing."""
        for name, values in allowed.items():
            value = self.values.get(name)
            if value is not None and value not in values:
                instead = " or ".join(map(repr, values)) or "null"
                raise self.unsupported(name, value, instead)
