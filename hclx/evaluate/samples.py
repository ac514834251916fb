"""The output folder of an evaluation: files of samples that grow by whole lines, so that a command
that was killed goes on where it stopped.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash

PLAN, LOCK, SAMPLES = "plan.json", ".lock", "samples"


@contextlib.contextmanager
def output_folder(folder: Path, plan: Mapping[str, Any]) -> Iterator[None]:
    """Holds an output folder for one command, for one plan.

    Args:
      folder: is made if it is not there.
      plan: what all results depend on: the model, the runs with the hashes of their prompts.
    Raises:
      ConfigError: another command writes to the folder, or it holds the results of another plan.
    """
    (folder / SAMPLES).mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another command is writing to {folder}; wait for it, or name another --output"
            ) from error
        _check_plan(folder / PLAN, json.loads(json.dumps(plan)))
        yield


def _check_plan(path: Path, plan: dict) -> None:
    if not path.exists():
        replace_text(path, json.dumps(plan, ensure_ascii=False, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; name another --output") from error
    if before != plan:
        names = [name for name in {**before, **plan} if before.get(name) != plan.get(name)]
        raise ConfigError(
            f"{path.parent} has results of another plan: {names[0]}:"
            f" {_difference(before.get(names[0]), plan.get(names[0]))}; name another --output, or"
            " remove this one"
        )


def _difference(before: object, now: object) -> str:
    """Returns what differs in words, without what is equal in lists and objects."""
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(name for name in {**before, **now} if before.get(name) != now.get(name))
        return f"{name}: {_difference(before.get(name), now.get(name))}"
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = zip(before, now, strict=True)
        number, (old, new) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
        return f"[{number}]: {_difference(old, new)}"
    return f"{str(before)[:100]} -> {str(now)[:100]}"


def replace_text(path: Path, text: str) -> None:
    """Writes a file whole, or leaves what is there."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class SampleFile:
    """The samples of a trial, one JSON object a line, in the order of the items."""

    def __init__(self, path: Path):
        """Opens a file, and removes half a line at its end."""
        self._path = path
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(path, len(whole))
        try:
            self.lines: list[dict] = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise DataError(
                f"{path} is damaged: {error}; remove it to have it made anew"
            ) from error

    def append(self, lines: Sequence[dict]) -> None:
        """Appends whole lines, which are on the disk when this returns."""
        # ASCII, because a text that a model generated can hold a lone surrogate.
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        with open(self._path, "ab") as file:
            begin = file.seek(0, os.SEEK_END)
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self._path, begin)
                raise
        self.lines += lines


def doc_hash(fields: Mapping[str, str], answer: str) -> str:
    """Returns a hash of an item, by which the samples of two runs are joined."""
    return json_hash({"fields": dict(fields), "answer": answer})
