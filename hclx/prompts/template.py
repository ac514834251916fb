"""Templates: text with slots that the fields of an item fill."""

import dataclasses
import re
from collections.abc import Mapping

from hclx.errors import ConfigError, shown
from hclx.prompts.particles import PARTICLES, with_particle

_TOKENS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{|\}")


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place that a field fills: `{field}`, or `{field:은/는}` for its value and a particle."""

    field: str
    particle: str = ""


@dataclasses.dataclass(frozen=True)
class Template:
    """A template that was parsed.

    Attributes:
      source: as it is written.
      parts: its texts and slots, in order.
    """

    source: str
    parts: tuple[str | Slot, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its slots in the order in which they first occur."""
        return tuple(dict.fromkeys(part.field for part in self.parts if isinstance(part, Slot)))

    def fill(self, fields: Mapping[str, str]) -> list[tuple[str, str]]:
        """Fills the slots.

        Args:
          fields: name -> value; those without a slot are ignored.
        Returns:
          (text, name of the field that it comes from, or "" for the template's own text), in order.
        Raises:
          ConfigError: a slot has no field.
        """
        return [
            (part, "") if isinstance(part, str) else (_value(part, fields, self.source), part.field)
            for part in self.parts
        ]

    def text(self, fields: Mapping[str, str]) -> str:
        """Returns the filled text. Raises ConfigError as `fill` does."""
        return "".join(text for text, _ in self.fill(fields))


def parse_template(source: str) -> Template:
    """Parses a template. `{{` and `}}` stand for braces.

    Raises:
      ConfigError: a brace has no partner, a slot has no name, or a particle is not known.
    """
    parts, end = [], 0
    for match in _TOKENS.finditer(source):
        parts.append(source[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
        elif match[1] is None:
            near = source[max(0, match.start() - 20) : match.start() + 20]
            raise ConfigError(
                f"the {match[0]!r} at character {match.start()}, in {near!r}, has no partner; write"
                f" {match[0] * 2!r} for the character itself"
            )
        else:
            parts.append(_slot(match[1], match.start()))
    return Template(source, tuple(_joined([*parts, source[end:]])))


def _joined(parts: list[str | Slot]) -> list[str | Slot]:
    """Returns the parts with adjacent texts joined, and without empty ones."""
    joined: list[str | Slot] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part:
            joined.append(part)
    return joined


def _slot(content: str, start: int) -> Slot:
    """Returns the slot of the text between two braces, the first of which is character `start`."""
    field, colon, particle = content.partition(":")
    place = f"the slot {shown('{' + content + '}')} at character {start}"
    if not field or field != field.strip():
        raise ConfigError(
            f"{place} has no name, or spaces around it; write {{field}}, and {{{{ or }}}} for a"
            " brace itself"
        )
    if colon and particle not in PARTICLES:
        known = ", ".join([*PARTICLES][::2])  # each without its reverse
        raise ConfigError(
            f"{place} has no particle that is known: {known}; write {{{{ or }}}} for a brace itself"
        )
    return Slot(field, particle)


def _value(slot: Slot, fields: Mapping[str, str], source: str) -> str:
    if slot.field not in fields:
        raise ConfigError(
            f"{shown(source)}: no field {slot.field!r}; the item has {', '.join(fields) or 'none'}"
        )
    value = fields[slot.field]
    return with_particle(value, slot.particle) if slot.particle else value
