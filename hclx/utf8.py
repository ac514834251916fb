"""Names of files and arguments in Hangul where the locale has another encoding, or they have none.

C++ libraries, JSON and hashes take UTF-8. Python holds the bytes of a name that it cannot decode as
halves of surrogate pairs, which no such library takes.
"""

import os
import sys
from pathlib import Path

from hclx.errors import ConfigError


def use_utf8_mode() -> None:
    """Starts this program again in Python's UTF-8 mode if its arguments are UTF-8 and the locale is
    not. What it prints keeps the encoding of the locale.
    """
    is_utf8 = sys.getfilesystemencoding().lower().replace("_", "-") in ("utf-8", "utf8")
    if is_utf8 or os.environ.get("PYTHONUTF8") == "1":
        return
    try:
        for argument in sys.orig_argv:
            os.fsencode(argument).decode("utf-8")
    except UnicodeDecodeError:  # of the locale: it is decoded by that
        return
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "ascii")
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def check_arguments(arguments: list[str]) -> None:
    """Refuses arguments of a command line that cannot be decoded.

    Raises:
      ConfigError: names the first of them.
    """
    for argument in arguments:
        if not _is_text(argument):
            raise ConfigError(f"the argument {_shown(argument)} is not in UTF-8; {_advice()}")


def check_path(path: str | Path) -> None:
    """Refuses a path whose name, or that of a folder above it, is not UTF-8, as far as this process
    can decode it.

    Args:
      path: of this machine, or an address such as gs://BUCKET.
    Raises:
      ConfigError: says what to do.
    """
    path = path if "://" in str(path) else os.path.abspath(path)
    if not _is_text(str(path)):
        raise ConfigError(f"the name of {_shown(path)} is not in UTF-8; {_advice()}")


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str | Path) -> str:
    """A path as UTF-8 where it is, and as escapes such as \\xb0 elsewhere."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _advice() -> str:
    if sys.getfilesystemencoding().lower() == "utf-8":
        return "rename it, as `convmv -f cp949 -t utf-8` does"
    return "set PYTHONUTF8=1, or LC_ALL=C.UTF-8"
