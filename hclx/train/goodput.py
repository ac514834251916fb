"""Goodput: the share of a run's wall time that was productive, and the causes of the rest, computed
from its events alone.
"""

import datetime
import itertools
import json
import logging
import math
from pathlib import Path

from hclx.train.events import FILE as EVENTS
from hclx.train.events import read_events
from hclx.train.jsonl import replace_text

_LOG = logging.getLogger(__name__)

FILE = "goodput.json"
# In the order in which they are shown.
CAUSES = {
    "productive": "steps that count",
    "start_up": "from the start of a process to its first step: imports, restoring, compilation",
    "evaluation": "validation",
    "saving": "waiting for checkpoints",
    "redone": "steps after the last save of an attempt that was killed, which the next one repeats",
    "skipped": "steps that were skipped",
    "down": "between the end of an attempt and the start of the next",
}


def goodput(events: list[dict]) -> dict[str, float]:
    """Divides the wall time of a run among its causes.

    Args:
      events: of one run, oldest first, as `read_events` returns them; the last attempt may still
        be running.
    Returns:
      Seconds of each of `CAUSES` (productive, start_up, evaluation, saving, redone, skipped, down)
      and of `wall`, the time in all; `goodput` is the share productive / wall. All are 0 without
      events.
    """
    attempts = [a for a in _attempts(events) if not a["done"] or a["to"] > a["from"]]
    totals = dict.fromkeys(CAUSES, 0.0)
    for attempt, following in itertools.zip_longest(attempts, attempts[1:]):
        running = max(0.0, attempt["end"] - attempt["first_step"])
        pauses = {
            name: min(attempt["spent"].get(name, 0.0), running) for name in ("evaluation", "saving")
        }
        stepping = max(0.0, running - sum(pauses.values()))
        steps = max(1, attempt["to"] - attempt["from"])
        again = max(0, attempt["to"] - following["from"]) if following else 0
        share = {
            "redone": min(again, steps) / steps,
            "skipped": min(attempt["skips"], steps) / steps,
        }
        for name, seconds in pauses.items():
            totals[name] += seconds
        for name, part in share.items():
            totals[name] += part * stepping
        totals["productive"] += max(0.0, 1 - sum(share.values())) * stepping
        totals["start_up"] += max(0.0, attempt["first_step"] - attempt["start"])
        is_down = following and not attempt["done"]
        totals["down"] += max(0.0, following["start"] - attempt["end"]) if is_down else 0.0
    wall = sum(totals.values())
    return {"wall": wall, "goodput": totals["productive"] / wall if wall else 0.0, **totals}


def _attempts(events: list[dict]) -> list[dict]:
    """A record for each attempt: when it started, took its first step and ended, its first and last
    step, and the seconds of its pauses.
    """
    attempts: list[dict] = []
    clock = _ForwardClock()
    for event in events:
        if event["process"]:  # on another host, whose clock may be another
            continue
        kind, when = event["event"], clock(_seconds(event))
        if kind == "start":
            # the attempt before was killed: its lock has its last state
            if attempts and not attempts[-1]["exited"] and event.get("previous"):
                _note(
                    attempts[-1],
                    event["previous"].get("time", 0.0),
                    event["previous"].get("step"),
                    event["previous"].get("spent"),
                )
            begun = when - event.get("seconds", 0.0)
            attempts.append(
                {
                    "start": begun,
                    "first_step": None,
                    "end": when,
                    "from": 0,
                    "to": 0,
                    "spent": {},
                    "skips": 0,
                    "exited": False,
                    "done": False,  # the next attempt, if any, was not waited for
                }
            )
        if not attempts:
            continue
        now = attempts[-1]
        _note(now, when, event.get("step"), event.get("spent"))
        if kind == "restore":
            now["from"] = now["to"] = event["step"]
        elif kind == "first_step":
            now["first_step"] = when
        elif kind in ("skip", "spike"):
            now["skips"] += 1
        elif kind == "exit":
            now["exited"] = True
            now["done"] = event.get("code") == 0
    for attempt in attempts:
        attempt["first_step"] = attempt["first_step"] or attempt["end"]
    return attempts


class _ForwardClock:
    """Turns the times of events, in the order in which they were written, into times that never go
    back: the clock of the host may have been set back, and later set right.
    """

    def __init__(self):
        self._last, self._offset = -math.inf, 0.0

    def __call__(self, seconds: float) -> float:
        if seconds >= self._last:
            self._offset = 0.0
        elif seconds + self._offset < self._last:
            self._offset = self._last - seconds
        self._last = seconds + self._offset
        return self._last


def _note(attempt: dict, when: float, step: int | None, spent: dict | None) -> None:
    attempt["end"] = max(attempt["end"], when)
    attempt["to"] = max(attempt["to"], step or 0)
    attempt["spent"] = spent or attempt["spent"]


def _seconds(event: dict) -> float:
    return datetime.datetime.fromisoformat(event["time"]).timestamp()


def write_goodput(model_dir: str | Path) -> str:
    """Writes the result of `goodput` to MODEL_DIR/goodput.json, and returns a line, without its
    newline, for the log. A file that cannot be written is a warning.
    """
    path = Path(model_dir) / FILE
    try:
        values = goodput(read_events(model_dir))
    except (ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        _LOG.warning("cannot compute the goodput from %s: %s", Path(model_dir) / EVENTS, error)
        return "goodput unknown"
    try:
        replace_text(
            path,
            json.dumps({name: round(value, 4) for name, value in values.items()}, indent=2) + "\n",
        )
    except OSError as error:  # the run ends with its own error if the disk is full
        _LOG.warning("cannot write %s: %s", path, error.strerror)
    lost = ", ".join(
        f"{name.replace('_', '-')} {values[name]:.0f} s"
        for name in CAUSES
        if name != "productive" and values[name] >= 0.5
    )
    return f"goodput {values['goodput']:.1%} of {values['wall']:.0f} s" + (
        f" (lost: {lost})" if lost else ""
    )
