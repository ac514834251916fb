"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log. And
the words for numbers and sizes, in these lines and in others.
"""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator

_LOG = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 30.0
_SOON = 5.0  # seconds between the line of a slow start and the next
_LONGEST_SILENCE = 600.0  # seconds: work of days gets fewer lines, but at least so many
# From here on a bar writes 1.23M; tqdm would write smaller numbers as 3.00, so they stay whole.
_SCALED_FROM = 100_000


def counted(n: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun: "1 document", "2,000 documents".

    Args:
      n: the number.
      noun: of one.
      plural: default: the noun with an s.
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def size_in_words(n_bytes: int) -> str:
    """Returns a size in the unit that fits it, a power of 1,000: "1 byte", "30.1 KB", "2.5 GB"."""
    for least, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if n_bytes >= 0.9995 * least:  # 999,999 bytes are 1.0 MB
            return f"{n_bytes / least:.1f} {unit}"
    return counted(n_bytes, "byte")


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
    so that work of less than that leaves nothing in a log; later lines of long work are rarer.
    """

    def __init__(
        self,
        total: int | None,
        description: str,
        unit: str,
        enabled: bool = True,
        done: int = 0,
        slow_start: bool = False,
    ):
        """Starts at `done` units.

        Args:
          total: units in all; None where nobody knows.
          description: what is being done, a few words.
          unit: the name of one unit, such as "document".
          enabled: False in all but one of several processes.
          done: units that an earlier process finished, if work resumes.
          slow_start: the first unit takes much longer than the others, as the first step of a run,
            which is compiled. A line tells it at once, the next comes soon, and the time left is
            estimated without it.
        """
        self._description, self._unit, self._total = description, unit, total
        self._is_terminal = enabled and sys.stderr.isatty()
        self._is_log = enabled and not self._is_terminal
        from tqdm import tqdm  # here, because a machine that measures kernels may not have it

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
        self._next_line = self._began + LOG_EVERY_SECONDS
        self._awaits_start = slow_start
        self._start = (0, self._began)  # units and time from which the time left is estimated

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
        elapsed = now - self._began
        if self._awaits_start:
            self._awaits_start, self._start = False, (self._count, now)
            pause = _SOON
        elif now >= self._next_line:
            pause = min(_LONGEST_SILENCE, max(LOG_EVERY_SECONDS, elapsed / 50))
        else:
            return
        self._next_line = now + pause
        if self._is_log:
            _LOG.info("%s", self._line(now))

    def _line(self, now: float) -> str:
        """The line for a log at a time of `time.monotonic`."""
        count, elapsed = self._done + self._count, _duration(now - self._began)
        line, note = f"{self._description}: {count:,}", f", {self._note}" if self._note else ""
        if not self._total:
            units = self._unit if count == 1 else f"{self._unit}s"
            return f"{line} {units} in {elapsed}{note}"
        units, time_of = self._start
        left = ""
        if self._count > units:
            remaining = (now - time_of) / (self._count - units) * (self._total - count)
            left = f", {_duration(remaining)} left"
        return f"{line} of {counted(self._total, self._unit)} in {elapsed}{left}{note}"


def _duration(seconds: float) -> str:
    """Returns a duration in words: seconds as they are, from ten minutes on in minutes, hours or
    days.
    """
    for least, size, unit in ((172_800, 86_400, "days"), (7_200, 3_600, "h"), (600, 60, "min")):
        if seconds >= least:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _size() -> dict[str, int]:
    """Returns tqdm's arguments for a terminal that does not know its size and reports 0, on which
    tqdm would draw nothing; {} for others, whose size tqdm finds.
    """
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # no terminal
        return {}
    return {} if size.columns and size.lines else {"ncols": size.columns or 80, "nrows": 24}
