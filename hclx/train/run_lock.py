"""MODEL_DIR/RUN_LOCK.json: one run at a time trains in a folder.

The holder rewrites the file every few seconds. A process that finds a lock watches it for the
length of a lease: if it changes, its run is alive, and the lock is respected; if it does not, its
run was killed, and the lock is taken over. Clocks of different hosts are never compared. If the
holder was a process of this same machine and no longer exists, the lock is taken over at once.
"""

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path

from hclx.errors import ConfigError
from hclx.train.jsonl import replace_text

_LOG = logging.getLogger(__name__)

FILE = "RUN_LOCK.json"
BEATS = 3  # how often the file is written during the length of a lease


class Lease:
    """A claim to a folder, which a thread renews while it is entered; process 0 holds it for all
    processes of a run.
    """

    def __init__(self, model_dir: str | Path, seconds: float):
        """Prepares a claim; a lock that does not change for `seconds` is taken over."""
        self._path, self._seconds = Path(model_dir) / FILE, seconds
        self._me = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "machine": _machine(),
            "born": _born(os.getpid()),
        }
        self._reached, self._beat, self._stop = {}, 0, threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="lease", daemon=True)
        self.before: dict | None = None  # the lock of a run that was killed, if one was found

    def __enter__(self):
        """Claims the folder.

        Raises:
          ConfigError: a run that is alive holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.before = self._read()
        if self.before and not _is_gone(self.before):
            self._watch(self.before)
        if self.before:
            _LOG.info(
                "%s was left by a run that was killed: %s, pid %s",
                self._path,
                self.before.get("host"),
                self.before.get("pid"),
            )
        self._write()
        time.sleep(0.05)  # of two that saw the same dead lock, the one that wrote last has it
        self.check()
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._thread.join()
        if (self._read() or {}).get("id") == self._me["id"]:
            self._path.unlink(missing_ok=True)

    def reached(self, step: int, spent: dict[str, float]) -> None:
        """Records the progress of the run; after a kill, the next run reads it in the lock.

        Args:
          step: the step that was reached.
          spent: seconds of pauses by name, as `StepClock.spent` has them.
        """
        self._reached = {"step": step, "spent": dict(spent)}

    def check(self) -> None:
        """Checks that the folder still belongs to this run; call it before a save.

        Raises:
          ConfigError: another run has taken it over.
        """
        now = self._read()
        if now and now.get("id") != self._me["id"]:
            raise ConfigError(
                f"{self._path.parent} was taken over by another run ({_holder(now)}); this one"
                " ends, and saves nothing more"
            )

    def _watch(self, lock: dict) -> None:
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            time.sleep(min(0.2, self._seconds / 10))
            now = self._read()
            if now is None:
                return
            if now != lock:
                raise ConfigError(
                    f"{self._path.parent} is in use by a run that is alive ({_holder(now)}); end it"
                    " first, or choose another --model_dir"
                )

    def _keep_up(self) -> None:
        while not self._stop.wait(self._seconds / BEATS):
            # saves report a full disk; until then the lease may run out
            with contextlib.suppress(OSError):
                if (self._read() or self._me).get("id") == self._me["id"]:
                    self._write()

    def _write(self) -> None:
        self._beat += 1
        replace_text(
            self._path,
            json.dumps({**self._me, "beat": self._beat, "time": time.time(), **self._reached}),
        )

    def _read(self) -> dict | None:
        try:
            lock = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            lock = None
        return lock if isinstance(lock, dict) else {"id": "unreadable"}


def _machine() -> str:
    """Identifies a machine between two boots, and its namespace of process ids, as containers have
    their own; "" if that is unknown.
    """
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    return ""


def _born(pid: int) -> str:
    """The start time of a process in ticks since boot, which tells apart two processes that had the
    same id; "" if there is none.
    """
    with contextlib.suppress(OSError, ValueError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _is_gone(lock: dict) -> bool:
    """Returns whether the holder ran on this machine and has ended; False if that is unknown."""
    machine = _machine()
    return (
        bool(machine)
        and lock.get("machine") == machine
        and _born(lock.get("pid", 0)) != lock.get("born")
    )


def _holder(lock: dict) -> str:
    return f"host {lock.get('host')}, pid {lock.get('pid')}, step {lock.get('step')}"
