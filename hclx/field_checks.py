"""Checks of the fields of a configuration: their types and ranges, and the bounds of what devices
compute with.
"""

import math
from typing import get_type_hints

from hclx.errors import ConfigError

# Bounds of what jax and numpy take: sizes and steps are int32 on devices, all else fits in int64.
# Devices compute in float32, whose least and greatest positive numbers these are.
INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
FLOAT32_MIN, FLOAT32_MAX = 2.0**-126, (2 - 2.0**-23) * 2.0**127


def require(condition: bool, message: str) -> None:
    """Raises ConfigError with this message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


class Validated:
    """Checks the types of fields, so that `total_steps='ten'` fails when it is read and not inside
    a jitted function.
    """

    def __post_init__(self):
        for name, kind in get_type_hints(type(self)).items():
            value, field = getattr(self, name), f"{type(self).__name__}.{name}"
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value) if abs(value) <= FLOAT32_MAX else math.inf
                object.__setattr__(self, name, value)
            require(
                isinstance(value, kind) and (kind is bool or not isinstance(value, bool)),
                f"{field} must be {kind.__name__}, got {value!r} ({type(value).__name__})",
            )
            if kind is float:
                require(
                    abs(value) <= FLOAT32_MAX,
                    f"{field}={value} is not a finite number of float32; give one that is",
                )
            elif kind is int:
                require(
                    abs(value) <= INT64_MAX,
                    f"{field}={value} does not fit in 64 bits; give a number up to {INT64_MAX}",
                )
        self._check()

    def _check(self) -> None:
        """Checks values and relations between fields; each class overrides it."""

    def _positive(self, *names: str) -> None:
        for name in names:
            value, field = getattr(self, name), f"{type(self).__name__}.{name}"
            require(value > 0, f"{field} must be positive, got {value}")
            require(
                value >= FLOAT32_MIN,
                f"{field}={value} is 0 in float32; give at least {FLOAT32_MIN:.3g}",
            )

    def _not_negative(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            require(value >= 0, f"{type(self).__name__}.{name}={value} is negative")

    def _int32(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            require(
                value <= INT32_MAX,
                f"{type(self).__name__}.{name}={value} is too large; give at most {INT32_MAX}",
            )
