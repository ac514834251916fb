"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log."""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from tqdm import tqdm

_LOG = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 30.0
# From here on a bar writes 1.23M; tqdm would write smaller numbers as 3.00, so they stay whole.
_SCALED_FROM = 100_000


def tracked_files(items: Iterable, counts: Counter, total: int, description: str) -> Iterator:
    """Yields what is read from files and shows how much of the files was read; see `ProgressBar`.

    Args:
      items: what is read.
      counts: whoever reads keeps the bytes that were read of the files in `file_bytes`.
      total: bytes of all files, as they are on disk.
      description: what is being done, a few words.
    """
    shown = counts["file_bytes"]
    with ProgressBar(total, description, "byte") as progress:
        for item in items:
            yield item
            progress.update(counts["file_bytes"] - shown)
            shown = counts["file_bytes"]


class ProgressBar:
    """Counts units of work that are done; use it as a context.

    On a terminal it draws tqdm's bar. Elsewhere it logs a line at most every `LOG_EVERY_SECONDS`,
    so that work of less than that leaves nothing in a log.
    """

    def __init__(
        self, total: int | None, description: str, unit: str, enabled: bool = True, done: int = 0
    ):
        """Starts at `done` units.

        Args:
          total: units in all; None where nobody knows.
          description: what is being done, a few words.
          unit: the name of one unit, such as "document".
          enabled: False in all but one of several processes.
          done: units that an earlier process finished, if work resumes.
        """
        self._description, self._unit, self._total = description, unit, total
        self._is_terminal = enabled and sys.stderr.isatty()
        self._is_log = enabled and not self._is_terminal
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=description,
            unit=f" {unit}",
            unit_scale=bool(total and total >= _SCALED_FROM),
            leave=False,
            **_size(),
            disable=not self._is_terminal,
        )
        self._note, self._done = "", done
        self._count, self._began = 0, time.monotonic()
        self._logged = self._began

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._bar.close()

    def update(self, count: int = 1, note: str = "") -> None:
        """Adds `count` finished units, and shows beside them `note`, the state of the work, such
        as "loss=3.21".
        """
        self._count, self._note = self._count + count, note
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count)
        now = time.monotonic()
        if self._is_log and now - self._logged >= LOG_EVERY_SECONDS:
            self._logged = now
            _LOG.info("%s", self._line(now - self._began))

    def _line(self, elapsed: float) -> str:
        """The line for a log after `elapsed` seconds."""
        count = self._done + self._count
        line, note = f"{self._description}: {count:,}", f", {self._note}" if self._note else ""
        if not self._total:
            return f"{line} {self._unit}s in {elapsed:.0f} s{note}"
        left = elapsed / self._count * (self._total - count) if self._count else float("nan")
        return (
            f"{line} of {self._total:,} {self._unit}s in {elapsed:.0f} s, {left:.0f} s left{note}"
        )


def _size() -> dict[str, int]:
    """Returns tqdm's arguments for a terminal that does not know its size and reports 0, on which
    tqdm would draw nothing; {} for others, whose size tqdm finds.
    """
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # no terminal
        return {}
    return {} if size.columns and size.lines else {"ncols": size.columns or 80, "nrows": 24}
