"""Judges failed reads: whether they prove that stored content is damaged, or only failed.

An exception alone proves nothing: a file of another user, a disk that fails for a second and too
little memory raise from the same calls as a truncated file. So errors are judged by their error
numbers, by TensorStore's status words, and by opening the files.
"""

import errno
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

# Kinds of a failure.
DAMAGED = "damaged"  # content is missing, truncated, undecodable or differs: proved
UNDECODED = "undecoded"  # a decoder gave up: damage, or a file of another version of the decoder
UNREADABLE = "unreadable"  # the system did not let it be read: nothing is known about the content
INTERNAL = "internal"  # too little memory, or anything that is not known

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_DAMAGE_STATUS = "NOT_FOUND|DATA_LOSS|FAILED_PRECONDITION|OUT_OF_RANGE|INVALID_ARGUMENT"
_OTHER_STATUS = (
    "PERMISSION_DENIED|RESOURCE_EXHAUSTED|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED"
    "|UNAUTHENTICATED|UNIMPLEMENTED|INTERNAL|UNKNOWN"
)
_STATUS = re.compile(rf"\b({_DAMAGE_STATUS}|{_OTHER_STATUS})\b: ")
_ERROR_NUMBER = re.compile(r"os_error_code(?:\[\d+\])?='(\d+)'")
_DECODERS_GIVE_UP = (ValueError, LookupError, TypeError, AttributeError, StopIteration, EOFError)


class ReadFailure(NamedTuple):
    """A judgement of a failed read.

    Attributes:
      kind: DAMAGED, UNDECODED, UNREADABLE or INTERNAL.
      reason: a line.
    """

    kind: str
    reason: str


def naming(path: str, read: Callable[[], Iterable]) -> Iterator:
    """Yields what `read()` reads from a file. An error of the operating system that names no file,
    as that of a read does not, names this one.
    """
    try:
        yield from read()
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = path
        raise


def diagnose(error: BaseException, folder: str | Path) -> ReadFailure:
    """Judges a failed read.

    Args:
      error: what the read raised, with its causes.
      folder: what was read: its files are opened to see whether they can be.
    """
    errors = _chain(error)
    text = "\n".join(str(e) for e in errors)
    reason = _reason(errors)
    numbers = [e.errno for e in errors if isinstance(e, OSError) and e.errno]
    numbers += map(int, _ERROR_NUMBER.findall(text))
    numbers += [errno.ENOENT for e in errors if isinstance(e, FileNotFoundError)]
    prevented = [number for number in numbers if number not in _MISSING]
    if prevented:
        shown = why_not_readable(folder) or f"{os.strerror(prevented[0])} ({reason})"
        return ReadFailure(UNREADABLE, shown)
    if any(isinstance(e, MemoryError) for e in errors) or "out of memory" in text.lower():
        return ReadFailure(INTERNAL, f"too little memory ({reason})")
    if shown := why_not_readable(folder):
        return ReadFailure(UNREADABLE, shown)
    status = _STATUS.search(text)
    if status:
        is_damage = re.fullmatch(_DAMAGE_STATUS, status[1])
        return ReadFailure(DAMAGED if is_damage else INTERNAL, reason)
    if any(_is_undecodable(e) for e in errors) or numbers:
        return ReadFailure(DAMAGED, reason)
    gave_up = any(
        isinstance(e, _DECODERS_GIVE_UP) and not isinstance(e, UnicodeError) for e in errors
    )
    return ReadFailure(UNDECODED if gave_up else INTERNAL, reason)


def why_not_readable(folder: str | Path) -> str:
    """Opens every file of a folder; returns why the first of those that cannot be opened cannot, or
    "" if all can. What is missing is not told: it is damage.
    """
    problems: list[OSError] = []
    for parent, _, names in os.walk(folder, onerror=problems.append):
        for name in names:
            try:
                with open(os.path.join(parent, name), "rb") as file:
                    file.read(1)
            except OSError as error:
                problems.append(error)
    for error in problems:
        if error.errno not in _MISSING:
            return f"{error.filename or folder}: {error.strerror or error}"
    return ""


def _is_undecodable(error: BaseException) -> bool:
    """Returns whether an error names bytes that are not what they must be, whoever reads them."""
    if isinstance(error, UnicodeDecodeError):
        return error.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    return isinstance(error, (json.JSONDecodeError, zlib.error))


def _chain(error: BaseException) -> list[BaseException]:
    """An error, its cause, the cause of that, and so on; those of a group after it."""
    chain, waiting = [], [error]
    while waiting:
        now = waiting.pop(0)
        if now is None or now in chain:
            continue
        chain.append(now)
        waiting += [now.__cause__ or now.__context__, *getattr(now, "exceptions", ())]
    return chain


def _reason(errors: list[BaseException]) -> str:
    """The message of the innermost error that says something, on one line, from its status on and
    without the specification that TensorStore appends.
    """
    for error in reversed(errors):
        text = " ".join(str(error).split())
        if isinstance(error, (LookupError, StopIteration)):  # its argument alone says nothing
            text = f"{type(error).__name__}: {text}"
        status = _STATUS.search(text)
        text = text[status.start() :] if status else text
        text = re.split(
            r" \[(?:tensorstore_spec|source locations|os_error_code)(?:\[\d+\])?=", text
        )[0]
        if text:
            return text[:1000]
    return type(errors[0]).__name__
