"""The one place where gin meets the configuration: it sets scalar fields of the dataclasses, and
nothing else.
"""

import dataclasses
import tokenize
from pathlib import Path

import gin

import hclx
from hclx import config
from hclx.errors import ConfigError

# Exceptions of gin for names, syntax (of two kinds), arguments and includes.
_GIN_ERRORS = (ValueError, SyntaxError, tokenize.TokenError, TypeError, OSError)
SECTIONS = {field.name: field.type for field in dataclasses.fields(config.Experiment)}
# Three ways to name the text of a run. A step that gives one (a file, or the command line) takes
# the place of what earlier steps gave.
_TEXTS = tuple(f"DataConfig.{name}" for name in ("mixture", "corpus", "input"))
_MORPHEMES = ("TokenizerConfig.morphemes", "TokenizerConfig.mode")  # the name, and its old name
_FOLDER = next(path for path in (Path(p) / "gin_configs" for p in hclx.__path__) if path.is_dir())
# Gin files are found from anywhere by their path, gin_configs/runs/demo.gin or runs/demo.gin.
_SEARCH_PATH = (Path(), _FOLDER.parent, _FOLDER)

for _section in SECTIONS.values():
    gin.external_configurable(_section, module="hclx")
for _path in _SEARCH_PATH[1:]:  # for files that gin files include
    gin.add_config_file_search_path(str(_path))


def load_experiment(gin_files: list[str], bindings: list[str]) -> config.Experiment:
    """Builds the experiment from gin files and then from bindings; later ones win.

    `DataConfig.mixture`, `corpus` and `input` exclude each other, so the last file that gives one
    of them, or the bindings, replaces whichever was given before.

    Args:
      gin_files: paths, absolute or relative. Relative ones are looked for in the working directory,
        then in the folder that holds gin_configs/, then in gin_configs/; the first match is taken.
      bindings: such as "TrainConfig.total_steps=40". Strings need no quotes.
    Raises:
      ConfigError: a file does not exist, a class or field is unknown, or a value is missing or does
        not fit.
    """
    paths = [_find(name) for name in gin_files]
    gin.clear_config()
    try:
        for files, values in [*(([path], []) for path in paths), ([], bindings)]:
            before = {name: _value_of(name) for name in (*_TEXTS, *_MORPHEMES)}
            for name in before:
                gin.bind_parameter(name, None)
            gin.parse_config_files_and_bindings(
                files, [_quoted(b) for b in values], skip_unknown=False, finalize_config=False
            )
            if all(_value_of(name) for name in _MORPHEMES):
                raise ConfigError(f"{' and '.join(_MORPHEMES)} are one setting; give the first")
            for names in (_TEXTS, _MORPHEMES):
                replaced = any(_value_of(name) for name in names)
                for name in names:
                    if _value_of(name) is None:
                        gin.bind_parameter(name, _default(name) if replaced else before[name])
        return config.Experiment(
            **{name: kind(**gin.get_bindings(kind.__name__)) for name, kind in SECTIONS.items()}
        )
    except _GIN_ERRORS as error:
        raise ConfigError(_explain(error)) from error


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


def _value_of(name: str) -> str | None:
    """Returns the value that a field was given, or else its default."""
    section, _, field = name.partition(".")
    return gin.get_bindings(section).get(field, _default(name))


def _default(name: str) -> str:
    """Returns the value of a field that is not given; no text is the default text."""
    return getattr(config.TokenizerConfig, name.split(".")[1]) if name in _MORPHEMES else ""


def _quoted(binding: str) -> str:
    """Lets a shell user write FIELD=word where gin wants FIELD='word'."""
    name, equals, value = binding.partition("=")
    if not equals:
        raise ConfigError(f"--gin.{binding} has no value; write --gin.NAME=VALUE")
    section, _, field = name.strip().rpartition(".")
    if not section or "/" in section:
        raise ConfigError(f"--gin.{binding} names no class; {_classes_with(field)}")
    kinds = {kind.__name__: kind for kind in SECTIONS.values()}
    fields = (
        {f.name: f.type for f in dataclasses.fields(kinds[section])} if section in kinds else {}
    )
    value = value.strip()
    if fields.get(field) is str and value[:1] not in ("'", '"'):
        value = repr(value)
    return f"{name} = {value}"


def _classes_with(field: str) -> str:
    """Returns advice on how to write the binding of a field whose class is not given."""
    classes = [
        kind.__name__
        for kind in SECTIONS.values()
        if field in {f.name for f in dataclasses.fields(kind)}
    ]
    names = [f"--gin.{name}.{field}=VALUE" for name in classes]
    return f"write {' or '.join(names) or '--gin.CLASS.FIELD=VALUE'}"


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    classes = ", ".join(kind.__name__ for kind in SECTIONS.values())
    if "No configurable matching" in text:
        return f"gin: {text}; the classes are {classes}"
    if "doesn't have a parameter named" in text or "has no parameter" in text:
        for kind in SECTIONS.values():
            if kind.__name__ in text:
                fields = ", ".join(f.name for f in dataclasses.fields(kind))
                return f"gin: {text.split(' In ')[0]} The fields of {kind.__name__} are {fields}"
    return f"gin: {text}"
