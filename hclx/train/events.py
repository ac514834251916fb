"""MODEL_DIR/events.jsonl: what happened to a run, one JSON line an event, only ever appended.

| event       | when, and what it holds beside time, host and process
|
|-------------|---------------------------------------------------------------------------------------------------------|
| start       | the folder was claimed: versions, devices, mesh, changed settings, and the lease of
a killed attempt    | | restore     | step, next_index, seconds, and the versions that changed | |
begin       | no checkpoint: the run begins at step 0 | | first_step  | the first step of this
attempt is done: from here on it is productive | | save        | step is on disk: seconds that it
took beside training; save_failed: and why | | verify      | the last step of the run was read back:
whether it is what was saved | | skip, spike | a step was left out, for numbers that are not finite
or too high: its examples, loss and gradient norm  | | preempt     | a signal or the file STOP ends
the run after this step: reason, next_index                              | | quarantine  | a
checkpoint was set aside as
damaged: step, reason, its new name                                       | | rewind      |
launch/checkpoint.py rewind: step, examples to skip, factor of the learning rate
| | exit        | code, reason, step, next_index, and the seconds of this attempt by part
|
"""

import datetime
import json
import logging
import os
import socket
from pathlib import Path

from hclx.train.jsonl import to_line

_LOG = logging.getLogger(__name__)

FILE = "events.jsonl"


class EventLog:
    """Appends events of this process. It never ends a run: an event that cannot be written is only
    logged.
    """

    def __init__(self, model_dir: str | Path, process: int = 0):
        self._path, self._process = Path(model_dir) / FILE, process

    def write(self, event: str, **fields) -> None:
        """Appends one event; a line is written at once, so that lines of several processes do not
        mix.
        """
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        record = {
            "time": time,
            "event": event,
            "host": socket.gethostname(),
            "process": self._process,
            **fields,
        }
        line = to_line(record).encode()
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            _LOG.warning(
                "cannot write %s (%s): %s", self._path, error.strerror, line.decode().strip()
            )


def read_events(model_dir: str | Path) -> list[dict]:
    """All events of a run, oldest first; a line that a killed process left unfinished is not
    one.
    """
    path, events = Path(model_dir) / FILE, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            _LOG.warning("%s: a line is not an event: %.80s", path, line)
    return events
