"""MODEL_DIR/events.jsonl: the events of a run, one JSON line each, only ever appended.

Every event holds time, host and process, and:

  start        the folder was claimed: versions, devices, mesh, the lock of an attempt that was
               killed, and the settings that differ from the last attempt with a first_step
  restore      the run resumes from a checkpoint: step, next_index, seconds, versions that changed
  begin        the run begins at step 0: the source of its weights (init_from), and whether it was
               rewound
  evaluate     the weights of another run were evaluated before the first step: validation_loss,
               bits_per_byte
  first_step   the first step of this attempt is done: time counts as productive from here on
  save         a step is on disk: the seconds that it took beside training
  save_failed  a step is not: the reason
  verify       the last step of the run was read back: whether it is what was saved
  skip, spike  a step was skipped for values that are not finite, or too high: its examples, loss
               and gradient norm
  preempt      a signal or the file STOP ends the run after this step: reason, next_index
  quarantine   a checkpoint was set aside as damaged: step, reason, its new name
  rewind       hclx checkpoint rewind: step, examples to skip, factor of the learning rate
  exit         code, reason, step, next_index, and the seconds of this attempt's pauses
"""

import datetime
import logging
import os
import socket
from pathlib import Path

from hclx.train.jsonl import read_records, to_line

_LOG = logging.getLogger(__name__)

FILE = "events.jsonl"


class EventLog:
    """Appends events of this process. An event that cannot be written is logged and does not end
    the run.
    """

    def __init__(self, model_dir: str | Path, process: int = 0):
        """Names the file MODEL_DIR/events.jsonl, and the index of this process."""
        self._path, self._process = Path(model_dir) / FILE, process

    def write(self, event: str, **fields) -> None:
        """Appends one event, with a single write, so that lines of several processes do not mix.

        Args:
          event: its name, as in the list of this module.
          fields: JSON values, which are added to time, host and process.
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
    """All events of a run, oldest first, [] if it has none. A line that is no event, as a killed
    process or a power cut may leave, is left out with a warning.

    Returns:
      For each event `time` (ISO 8601, UTC), `event` (its name), `host`, `process` (its index), and
      the fields that the module lists.
    """
    path, events = Path(model_dir) / FILE, []
    for event in read_records(path, {"time": str, "event": str, "process": int}):
        try:
            has_zone = datetime.datetime.fromisoformat(event["time"]).tzinfo is not None
        except ValueError:
            has_zone = False
        if has_zone:
            events.append(event)
        else:
            _LOG.warning("%s: an event is left out, as its time is %.40r", path, event["time"])
    return events
