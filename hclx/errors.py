"""The errors that end a run, each with the exit code that launchers and schedulers rely on.

| code | meaning                                   | retry?                  |
|------|-------------------------------------------|-------------------------|
| 0    | done, and the last save was verified      |                         |
| 64   | configuration                             | no: change the command  |
| 65   | data, tokenizer or checkpoint             | no: change the input    |
| 66   | numerics (a loss that is not finite)      | no: change the recipe   |
| 70   | stuck, or a lost peer or bad hardware     | yes: same command       |
| 74   | storage (full, forbidden or failing)      | yes, once it is mended  |
| 75   | preempted and saved                       | yes: same command       |
"""

import difflib
import errno
import importlib.util
import os
import re
from collections.abc import Iterable

# Libraries that no core module needs, and the extra of setup.py that brings each.
EXTRA_OF = {
    "seqio": "data",
    "tensorflow": "data",
    "tensorflow_text": "data",
    "kiwipiepy": "data",
    "annotated_types": "corpus",
    "apache_beam": "corpus",
    "ftfy": "corpus",
    "jinja2": "corpus",
    "py3langid": "corpus",
    "pyarrow": "corpus",
    "pydantic": "corpus",
    "scipy": "corpus",
    "yaml": "corpus",
    "matplotlib": "plot",
    "llguidance": "grammar",
    "httpx2": "remote",
    "msgspec": "serve",
    "prometheus_client": "serve",
    "psycopg": "serve",
    "python_multipart": "serve",
    "sqlalchemy": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "lm_eval": "lm_eval",
    "transformers": "lm_eval",
    "tokenizers": "convert",
    "torch": "bin",
    "libtpu": "plan",
    "sacrebleu": "evaluate",
    "mecab_ko": "evaluate",
}
# What to do about an error of the operating system, by its number.
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space"),
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount the file system for writing, or name another folder,",
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give this user the permission"),
    errno.EIO: "look whether the disk is failing",
    errno.ESTALE: "mount the file system again",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
_MOST_SHOWN = 200  # characters of a value in a message


class HclxError(Exception):
    """An error for the person who reads it: what was wrong, where, and the next step. One line.

    `exit_code`, of each class, is the code with which a command ends.
    """

    exit_code = 1


class ConfigError(HclxError):
    """The configuration is wrong or does not fit the machine or the model directory."""

    exit_code = 64


class MissingExtraError(ConfigError):
    """A library of an extra is needed and not installed."""


class DataError(HclxError):
    """Text, a tokenizer, a token cache or a checkpoint is missing, damaged or does not match."""

    exit_code = 65


class CheckpointError(DataError):
    """A checkpoint cannot be read, or its content is not what was saved."""


class NumericsError(HclxError):
    """A loss or gradient is not finite."""

    exit_code = 66


class StuckError(HclxError):
    """There is no progress: a process is stuck or gone, or one step had two different results."""

    exit_code = 70


class StorageError(HclxError):
    """A write failed: the disk is full, or the folder is read-only."""

    exit_code = 74


class PreemptedError(HclxError):
    """The run was asked to stop and has saved; the same command resumes it."""

    exit_code = 75


def shown(value: object) -> str:
    """Returns the `repr` of a value for a message, shortened if it is long. Python refuses to write
    a number of more than 4,300 digits.
    """
    try:
        text = repr(value)
    except ValueError:
        return f"<a value of {type(value).__name__} with thousands of digits>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def guess(name: str, names: Iterable[str], prefix: str = "") -> str:
    """The nearest of the names that there are, as a part of a message; "" if none is near.

    Args:
      name: the wrong one.
      names: those that there are.
      prefix: what stands before the name where it is read.
    """
    near = difflib.get_close_matches(name, list(names), 1)
    return f"; is it {prefix}{near[0]}?" if near else ""


def check_ranges(config: object, checks: dict[str, tuple[bool, str]], owner: str = "") -> None:
    """Raises ConfigError for the first field of a configuration that is out of range.

    Args:
      config: has the fields.
      checks: field -> whether its value is valid, and what would be, for the message.
      owner: the name of the configuration, if messages are to have it.
    """
    for name, (is_valid, valid) in checks.items():
        if not is_valid:
            field = f"{owner}.{name}" if owner else name
            value = shown(getattr(config, name))
            raise ConfigError(f"{field}={value} is out of range: give {valid}")


def known_error(error: BaseException, path: str | os.PathLike | None = None) -> HclxError | None:
    """Returns the error for a person, with its exit code; None for a fault of the program.

    Args:
      error: of the program itself, of the operating system, or of TensorStore, which gives the
        number of the system's error in its text.
      path: what was read or written, for an error that does not tell a whole path itself.
    """
    if isinstance(error, HclxError):
        return error
    number, path = getattr(error, "errno", None), getattr(error, "filename", None) or path
    if not isinstance(error, OSError):
        match = re.search(r"os_error_code(?:\[\d+\])?='(\d+)'", str(error))
        number = int(match[1]) if match else None
    if path is None and (quoted := re.search(r"""['"](/?[^'"]+)['"]""", str(error))):
        path = quoted[1]  # pyarrow and TensorStore name files in their text alone
    if number is None or not (path or number in _ADVICE):
        return None
    name = repr(os.fspath(path)) if path else "a file"
    reason = f"{name} cannot be read or written: {os.strerror(number)}"
    return StorageError(
        f"{reason}; {_ADVICE.get(number, 'mend that')} and run the same command again"
    )


def exit_code(error: BaseException, is_distributed: bool) -> int:
    """Exit code for an error: that of its `known_error`, and 1 for any other error.

    Args:
      error: the error that ends the run.
      is_distributed: whether the run has several processes: a JAX runtime error then counts as a
        lost peer (70).
    """
    lost = is_distributed and type(error).__name__ == "JaxRuntimeError"
    known = known_error(error)
    return StuckError.exit_code if lost else known.exit_code if known else 1


def require(*libraries: str, extra: str = "") -> None:
    """Checks that libraries of the extras are installed, without importing them.

    Args:
      libraries: names of modules as they are imported, among the keys of `EXTRA_OF`.
      extra: that brings all of them, if it is another than that of `EXTRA_OF`.
    Raises:
      MissingExtraError: names what is not installed, and the command that installs it.
    """
    missing = [name for name in libraries if not _is_installed(name)]
    if missing:
        extras = ",".join(sorted({extra or EXTRA_OF[name] for name in missing}))
        verb = "is" if len(missing) == 1 else "are"
        raise MissingExtraError(
            f"{', '.join(missing)} {verb} not installed; pip install 'hclx[{extras}]' (in a"
            f" checkout: pip install -e '.[{extras}]')"
        )


def _is_installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ImportError:
        return False
