"""YAML with the lines of its fields, and the messages for what is wrong in it."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from hclx.errors import ConfigError, DataError, guess


class SettingsError(ConfigError):
    """A field is wrong; `field` is its path from the top of the file, None if `locating` has named
    its line.
    """

    def __init__(self, message: str, field: Iterable[str] | None = ()):
        super().__init__(message)
        self.field = field


class MissingInputError(DataError):
    """A field names what does not exist; for `field` see `SettingsError`."""

    def __init__(self, message: str, field: Iterable[str] | None = ()):
        super().__init__(message)
        self.field = field


@contextlib.contextmanager
def locating(path: str | Path, node: yaml.Node | None = None) -> Iterator[None]:
    """Adds the file and the line of the field to the errors on settings that the block raises.

    Args:
      path: the YAML file that the settings were read from.
      node: its content, see `load_yaml`; None reads the file again if there is an error.
    """
    try:
        yield
    except (SettingsError, MissingInputError) as error:
        if error.field is None:
            raise
        line = line_of(node or load_yaml(path)[1], error.field)
        raise type(error)(f"{path}: {f'line {line}: ' if line else ''}{error}", None) from error


def load_yaml(path: str | Path) -> tuple[object, yaml.Node | None]:
    """Reads a YAML file.

    Returns:
      Its content as mappings, lists and scalars; and the node that `line_of` looks lines up in.
    Raises:
      ConfigError: the file cannot be read, or a mapping holds a name twice; it names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        node = yaml.compose(text, yaml.SafeLoader)
        twice = _twice(node)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{path} cannot be read as YAML: {place}{error.problem}") from error
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    if twice is not None:
        line = twice.start_mark.line + 1
        raise ConfigError(f"{path}: line {line}: {twice.value} is there twice; remove one of them")
    return content, node


def _twice(node: yaml.Node | None) -> yaml.Node | None:
    """The first key below a node that its mapping already has, if there is one."""
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key, value in node.value:
            if key.value in names and key.value != "<<":
                return key
            names.add(key.value if isinstance(key.value, str) else id(key))
            if key := _twice(value):
                return key
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        if key := _twice(item):
            return key
    return None


def line_of(node: yaml.Node | None, field: Iterable[str]) -> int:
    """Finds the line of a field, or of the last part of its path that the file holds.

    Args:
      node: of the whole file.
      field: names from the top; a rule of a source may stand among the file's own rules.
    Returns:
      The line, from 1; 0 if the file holds no part of the path.
    """
    field = list(field)
    line, depth = _walk(node, field)
    if "rules" in field:
        shared, shared_depth = _walk(node, field[field.index("rules") :])
        if field.index("rules") + shared_depth > max(depth, field.index("rules") + 1):
            return shared
    return line


def _walk(node: yaml.Node | None, field: list[str]) -> tuple[int, int]:
    """(line, number of parts of the path that the file holds)"""
    line = 0
    for depth, name in enumerate(field):
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        matches = [(key, value) for key, value in pairs if key.value == name]
        if isinstance(node, yaml.SequenceNode):  # an item is known by its place or by itself
            items = enumerate(node.value)
            matches = [(item, item) for i, item in items if name in (str(i), item.value)]
        if not matches:
            return line, depth
        line, node = matches[0][0].start_mark.line + 1, matches[0][1]
    return line, len(field)


def unknown(where: str, names: Iterable[str], name: str = "") -> str:
    """The message for a name that is none of those that there are.

    Args:
      where: the path of the name.
      names: those that there are.
      name: the name itself; default: the last part of `where`.
    """
    names = [str(known) for known in names]
    place = where.rpartition(".")[0] or "the file"
    nearest = guess(name or where.split(".")[-1], names)
    return f"{where} is unknown{nearest}; {place} has {', '.join(names)}"


def check_names(where: list[str], fields: Iterable[str], names: Iterable[str]) -> None:
    """Refuses names that are none of those that there are.

    Raises:
      SettingsError: names the first of them, and the nearest right one.
    """
    names = list(names)
    for name in fields:
        if name not in names:
            raise SettingsError(unknown(".".join([*where, str(name)]), names), [*where, str(name)])
