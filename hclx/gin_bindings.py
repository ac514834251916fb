"""The one place where gin meets the configuration: it sets scalar fields of the dataclasses, and
nothing else.

Gin's parser reads the statements. What they mean is decided here, so that each error says where it
is and nothing that was written is ignored.
"""

import dataclasses
import difflib
import importlib
import re
import tokenize
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from gin import config_parser

import hclx
from hclx import config
from hclx.errors import ConfigError

SECTIONS = {field.name: field.type for field in dataclasses.fields(config.Experiment)}
# The classes that are being read, and their fields, for all errors of this module.
_CLASSES: dict[str, type] = {}
_TYPES: dict[str, dict[str, type]] = {}
_EXPECTED = {
    int: "a whole number such as 10",
    float: "a number such as 0.1",
    bool: "True or False",
    str: "a string in quotes, such as 'none'",
}
_FLAG = "--gin."
_SHOWN = 120  # characters of a line, in a message
_ANY_VALUE = "a number, a string in quotes, True or False"
# Three ways to name the text of a run. A step that gives one (a file, or the command line) takes
# the place of what earlier steps gave.
_TEXTS = tuple(f"DataConfig.{name}" for name in ("mixture", "corpus", "input"))
# Settings that say how such a text is read: they go with it, so that 8,000 documents of Wikipedia
# in a gin file are not 8,000 documents of one's own text.
_OF_A_TEXT = ("DataConfig.max_documents", "DataConfig.encoding")
# Two names of one setting, of which the one of a later step counts.
_OTHER_NAME = {
    "TokenizerConfig.mode": "TokenizerConfig.morphemes",
    "TokenizerConfig.morphemes": "TokenizerConfig.mode",
}
_FOLDER = next(path for path in (Path(p) / "gin_configs" for p in hclx.__path__) if path.is_dir())
# Gin files are found from anywhere by their path, gin_configs/runs/demo.gin or runs/demo.gin.
_SEARCH_PATH = (Path(), _FOLDER.parent, _FOLDER)


class _Setting(NamedTuple):
    value: Any
    where: str  # for errors: FILE:LINE with the text of the line, or the flag


class _Macro(NamedTuple):
    name: str

    def __repr__(self):
        return f"%{self.name}"


class _Reference(NamedTuple):
    name: str


def load_experiment(gin_files: list[str], bindings: list[str]) -> config.Experiment:
    """Builds the experiment from gin files and then from bindings; later ones win.

    `DataConfig.mixture`, `corpus` and `input` exclude each other, so the last file that gives one
    of them, or the bindings, replaces whichever was given before, and with it `max_documents` and
    `encoding`, which were said of that text. `TokenizerConfig.mode` and `morphemes` name one
    setting, so that a later file, or the bindings, replace the other one.

    Args:
      gin_files: paths, absolute or relative. Relative ones are looked for in the working directory,
        then in the folder that holds gin_configs/, then in gin_configs/; the first match is taken.
      bindings: such as "TrainConfig.total_steps=40". Strings need no quotes.
    Raises:
      ConfigError: a file does not exist or is not UTF-8, a class, field or macro is unknown, a
        binding or macro is used by nothing, or a value is missing or does not fit. It says which
        file and line, or which flag.
    """
    return load_sections(SECTIONS, gin_files, bindings, config.Experiment)


def load_sections(
    kinds: dict[str, type],
    gin_files: list[str],
    bindings: list[str],
    join: Callable[..., Any] = dict,
) -> Any:
    """Builds dataclasses from gin files and bindings, as `load_experiment` does.

    Args:
      kinds: name -> dataclass; there are no other classes.
      gin_files, bindings: as in `load_experiment`.
      join: takes the dataclasses by their names, and may raise ConfigError.
    Returns:
      The result of `join`, by default a dict.
    Raises:
      ConfigError: as `load_experiment`.
    """
    _know(kinds.values())
    reader, settings = _Reader(), {}
    for path in [_find(name) for name in gin_files]:
        _merge(settings, reader.read_file(path))
    _merge(settings, reader.read_flags(bindings))
    reader.check_macros()
    values = {name: reader.resolved(setting) for name, setting in settings.items()}
    fields = lambda kind: {
        key.partition(".")[2]: value
        for key, value in values.items()
        if key.startswith(f"{kind.__name__}.")
    }
    try:
        return join(**{name: kind(**fields(kind)) for name, kind in kinds.items()})
    except ConfigError as error:
        raise ConfigError(_located(str(error), settings)) from error


def _know(kinds: Iterable[type]) -> None:
    _CLASSES.clear()
    _TYPES.clear()
    for kind in kinds:
        _CLASSES[kind.__name__] = kind
        _TYPES[kind.__name__] = {field.name: field.type for field in dataclasses.fields(kind)}


class _Reader:
    """Reads files and flags of one experiment, which share their macros."""

    def __init__(self):
        self._macros: dict[str, _Setting] = {}
        self._used: set[str] = set()

    def read_file(self, path: str, including: tuple[str, ...] = ()) -> list[tuple[str, _Setting]]:
        """Returns what a file and the files that it includes set, as ("CLASS.FIELD", setting), in
        order.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigError(f"{path}:{line} is not UTF-8; save the file as UTF-8") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        where = lambda line: f"{path}:{line}: {_shortened(_line_of(text, line).strip())}"
        return self._read(text, where, (*including, path))

    def read_flags(self, bindings: list[str]) -> list[tuple[str, _Setting]]:
        """Returns what the flags `--gin.NAME=VALUE` set, in order."""
        settings = []
        for binding in bindings:
            settings += self._read(_quoted(binding), lambda _, text=binding: f"{_FLAG}{text}")
        return settings

    def check_macros(self) -> None:
        """Raises ConfigError for a macro that nothing uses: most often a field without its class.

        `NAME = VALUE` is a macro of gin, which counts where a value is %NAME.
        """
        for name, (_, where) in self._macros.items():
            if name not in self._used:
                raise ConfigError(
                    f"{where} is used by nothing: it names no class, and no value is %{name}; write"
                    f" {_with_class(name) or 'CLASS.FIELD, or remove it'}"
                )

    def resolved(self, setting: _Setting) -> Any:
        """Returns the value of a setting, in which macros have their final values."""
        value, where = setting
        seen = []
        while isinstance(value, _Macro):
            if value.name not in self._macros:
                raise ConfigError(
                    f"{where}: the macro {value} is not defined; write {value.name} = VALUE"
                )
            if value in seen:
                raise ConfigError(f"{where}: the macro {value} is defined by itself")
            seen.append(value)
            value = self._macros[value.name].value
        return value

    def macro(self, name: str) -> _Macro:
        """Returns a value %NAME, for gin's parser."""
        self._used.add(name)
        return _Macro(name)

    def configurable_reference(self, name: str, evaluate: bool) -> _Reference:
        """Returns a value @NAME, for gin's parser; it is refused where it is used."""
        del evaluate
        return _Reference(name)

    def _read(self, text: str, where, including=()) -> list[tuple[str, _Setting]]:
        """Reads statements; `where(line)` is the place of a line, for errors."""
        settings, line = [], 1
        try:
            parser = config_parser.ConfigParser(text, self)
            while statement := parser.parse_statement():
                line = statement.location.line_num
                settings += self._obey(statement, where(line), including)
        except (SyntaxError, tokenize.TokenError, StopIteration, ValueError) as error:
            line = getattr(error, "lineno", None) or line
            if isinstance(error, tokenize.TokenError):  # the end of the text came too early
                line = _last_statement(text)
            _check_names(_line_of(text, line), where(line))
            why = _why_unreadable(_line_of(text, line))
            raise ConfigError(f"{where(line)}: {why}") from error
        return settings

    def _obey(self, statement, where: str, including: tuple[str, ...]):
        """Returns what one statement sets."""
        match statement:
            case config_parser.IncludeStatement(filename=name):
                return self._include(name, where, including)
            case config_parser.ImportStatement(module=module):
                try:
                    importlib.import_module(module)
                except Exception as error:  # a module of the user may raise anything
                    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
                    raise ConfigError(f"{where} fails: {reason}") from error
                return []
            case config_parser.BlockDeclaration(scope=scope, selector=selector):
                _class_of(scope, selector, where)
                return []
        scope, selector, name, value, _ = statement
        if isinstance(value, _Reference):
            raise ConfigError(f"{where}: @{value.name} is no value; write {_ANY_VALUE}")
        if not name:
            self._macros[f"{scope}/{selector}" if scope else selector] = _Setting(value, where)
            return []
        section = _class_of(scope, selector, where, name)
        _check_field(section, name, where)
        return [(f"{section}.{name}", _Setting(value, where))]

    def _include(self, name: str, where: str, including: tuple[str, ...]):
        """Returns what an included file sets."""
        path = next((str(f / name) for f in _SEARCH_PATH if (f / name).is_file()), None)
        if path is None:
            raise ConfigError(
                f"{where}: {name} does not exist in {', '.join(map(_folder_name, _SEARCH_PATH))}"
            )
        if path in including:
            raise ConfigError(f"{where}: {path} includes itself")
        return self.read_file(path, including)


def _class_of(scope: str, selector: str, where: str, field: str = "") -> str:
    """Returns the name of the class that a statement names."""
    name = selector.removeprefix("hclx.")
    if name not in _CLASSES:
        raise ConfigError(
            f"{where}: there is no class {selector!r}{_nearest(name, field)}; the classes are"
            f" {', '.join(_CLASSES)}"
        )
    if scope:
        right = f"{name}.{field}" if field else name
        raise ConfigError(
            f"{where} is used by nothing, because no scope such as {scope!r} is read; write {right}"
        )
    return name


def _check_field(section: str, name: str, where: str) -> None:
    """Refuses a field that a class does not have."""
    if name not in _TYPES[section]:
        raise ConfigError(
            f"{where}: {section} has no field named {name!r}{_nearest(section, name)}. The fields"
            f" of {section} are {', '.join(_TYPES[section])}"
        )


def _with_class(field: str) -> str:
    """Returns the fields that a name without a class may mean, "" if none is like it."""
    names = {name for fields in _TYPES.values() for name in fields}
    near = [field] if field in names else difflib.get_close_matches(field, sorted(names), 1, 0.7)
    return " or ".join(
        f"{k}.{near[0]}" for k, fields in _TYPES.items() if near and near[0] in fields
    )


def _nearest(section: str, field: str) -> str:
    """Returns the end of a message about a name that is not known: the field of another class with
    this name, or the nearest one; "" if none is like it.
    """
    right = [kind for kind, fields in _TYPES.items() if field in fields]
    classes = difflib.get_close_matches(section, list(_CLASSES), 1)
    if classes and (not right or classes[0] in right):
        fields = difflib.get_close_matches(field, list(_TYPES[classes[0]]), 1)
        right = [classes[0]]
        field = fields[0] if fields else "" if section != classes[0] else None
    if not right or field is None:
        return ""
    names = [f"{kind}.{field}" if field else kind for kind in right]
    return f" (is it {' or '.join(names)}?)"


def _merge(settings: dict[str, _Setting], new: list[tuple[str, _Setting]]) -> None:
    """Adds what a file, or the command line, sets to what earlier ones set; two names of one
    setting in one file, or on the command line, are refused.
    """
    new = [(name, setting) for name, setting in new if setting.value is not None]
    last = {name: setting for name, setting in new if name in _TEXTS}
    texts = [setting.where for setting in last.values() if setting.value]
    if len(texts) > 1:
        raise ConfigError(f"{' and '.join(texts)} name two texts; give one of them")
    if texts:
        for name in (*_TEXTS, *_OF_A_TEXT):
            settings.pop(name, None)
    renamed = {name: setting for name, setting in new if name in _OTHER_NAME and setting.value}
    if len(renamed) > 1:
        places = " and ".join(setting.where for setting in renamed.values())
        raise ConfigError(f"{places} are one setting; give TokenizerConfig.morphemes alone")
    for name, setting in new:
        if name in renamed:
            settings.pop(_OTHER_NAME[name], None)
        settings[name] = setting


def _find(name: str) -> str:
    """Returns the path of a gin file."""
    for folder in _SEARCH_PATH:
        if (folder / name).is_file():
            return str(folder / name)
    folders = [(folder / name).parent for folder in reversed(_SEARCH_PATH)]
    folder = next((folder for folder in folders if any(folder.glob("*.gin"))), None)
    names = ", ".join(sorted(path.name for path in folder.glob("*.gin"))) if folder else ""
    raise ConfigError(
        f"--gin_file={name} does not exist" + (f"; {folder} has {names}" if folder else "")
    )


def _folder_name(folder: Path) -> str:
    return "the working directory" if folder == Path() else str(folder)


def _quoted(binding: str) -> str:
    """Lets a shell user write FIELD=word where gin wants FIELD='word'."""
    name, equals, value = binding.partition("=")
    if not equals:
        raise ConfigError(f"--gin.{binding} has no value; write --gin.NAME=VALUE")
    section, _, field = name.strip().removeprefix("hclx.").rpartition(".")
    value = value.strip()
    if _TYPES.get(section, {}).get(field) is str and value[:1] not in ("'", '"'):
        value = repr(value)
    return f"{name} = {value}"


def _line_of(text: str, number: int) -> str:
    """Returns a line of a text; "" after its end."""
    lines = text.split("\n")
    return lines[number - 1] if number <= len(lines) else ""


def _shortened(line: str) -> str:
    """Returns the beginning of a line, as a file that is no gin file may have long ones."""
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _last_statement(text: str) -> int:
    """Returns the number of the last line that begins a statement."""
    begins = [i for i, line in enumerate(text.split("\n"), 1) if re.match(r"\s*[\w./]+\s*=", line)]
    return begins[-1] if begins else 1


def _check_names(source: str, where: str) -> None:
    """Refuses a statement that gin's parser refuses for its names, if these are wrong, as a string
    needs quotes only where there is a field for it.
    """
    binding = re.match(r"\s*(?:([\w/]+)/)?(?:([\w.]+)\.)?(\w+)\s*=", source)
    scope, selector, name = binding.groups(default="") if binding else ("", "", "")
    if selector:
        _check_field(_class_of(scope, selector, where, name), name, where)
    elif where.startswith(_FLAG) and (advice := _with_class(name)):  # no line of a block
        raise ConfigError(f"{where} is used by nothing: it names no class; write {advice}")


def _why_unreadable(source: str) -> str:
    """Says what is wrong with a line that gin's parser refuses."""
    binding = re.match(r"\s*([\w./]+)\s*=([^#]*)", source)
    if not binding:
        return "this is no statement of gin; write CLASS.FIELD = VALUE"
    name, value = binding[1], binding[2].strip()
    *_, field = name.split(".")
    # a line of a block names no class; fields of one name have one type
    kinds = {fields[field] for fields in _TYPES.values() if field in fields}
    expected = _EXPECTED[kinds.pop()] if len(kinds) == 1 else _ANY_VALUE
    return f"{name} must be {expected}, " + (f"not {value}" if value else "and has no value")


def _located(message: str, settings: dict[str, _Setting]) -> str:
    """Adds to an error that names fields where these were set."""
    named = re.findall(r"\b[A-Z]\w+\.\w+", message)
    places = [settings[name].where for name in dict.fromkeys(named) if name in settings]
    return f"{message}; set by {' and by '.join(places)}" if places else message
