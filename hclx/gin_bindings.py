"""The one place where gin meets the configuration: it sets scalar fields of the dataclasses, and
nothing else.
"""

import dataclasses
import tokenize
from pathlib import Path

import gin

from hclx import config
from hclx.errors import ConfigError

# The root of the source tree, so that gin files can be named from anywhere.
ROOT = Path(__file__).resolve().parent.parent
# What gin raises for names, syntax (of two kinds), arguments and includes.
_GIN_ERRORS = (ValueError, SyntaxError, tokenize.TokenError, TypeError, OSError)
SECTIONS = {field.name: field.type for field in dataclasses.fields(config.Experiment)}

for _section in SECTIONS.values():
    gin.external_configurable(_section, module="hclx")
gin.add_config_file_search_path(str(ROOT))


def load_experiment(gin_files: list[str], bindings: list[str]) -> config.Experiment:
    """Builds the experiment from gin files, then bindings (`TrainConfig.total_steps=40`), which
    win.

    Raises:
      ConfigError: a file that does not exist, an unknown class or field, or a value that does not
        fit.
    """
    for name in gin_files:
        if not (Path(name).is_file() or (ROOT / name).is_file()):
            folder = (ROOT / name).parent
            known = (
                ", ".join(sorted(p.name for p in folder.glob("*.gin"))) if folder.is_dir() else ""
            )
            raise ConfigError(
                f"--gin_file={name} does not exist" + (f"; {folder} has {known}" if known else "")
            )
    gin.clear_config()
    try:
        gin.parse_config_files_and_bindings(
            gin_files, [_quoted(b) for b in bindings], skip_unknown=False, finalize_config=False
        )
        return config.Experiment(
            **{name: kind(**gin.get_bindings(kind.__name__)) for name, kind in SECTIONS.items()}
        )
    except _GIN_ERRORS as error:
        raise ConfigError(_explain(error)) from error


def _quoted(binding: str) -> str:
    """Lets a shell user write FIELD=word where gin wants FIELD='word'."""
    name, equals, value = binding.partition("=")
    if not equals:
        raise ConfigError(f"--gin.{binding} has no value; write --gin.NAME=VALUE")
    section, _, field = name.strip().rpartition(".")
    kinds = {kind.__name__: kind for kind in SECTIONS.values()}
    fields = (
        {f.name: f.type for f in dataclasses.fields(kinds[section])} if section in kinds else {}
    )
    value = value.strip()
    if fields.get(field) is str and value[:1] not in ("'", '"'):
        value = repr(value)
    return f"{name} = {value}"


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
