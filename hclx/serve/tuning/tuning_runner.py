"""Runs jobs of tuning beside a server: a thread claims them from the store, starts a process for
each, and tells the store how far they are.
"""

import json
import logging
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hclx.errors import DataError, HclxError, known_error
from hclx.serve.store.artefact_records import ArtefactRecord, add_artefact
from hclx.serve.store.database import Database
from hclx.serve.store.dataset_records import find_dataset
from hclx.serve.store.job_records import (
    JobRecord,
    beat,
    claim_job,
    end_job,
    give_back,
)
from hclx.serve.tuning.tuned_base import ServedArtefacts, TunedBase
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.serve.tuning.tuning_files import RUN, TuningFiles, keep, sha256_of
from hclx.serve.tuning.tuning_process import TuningProcess, was_ended
from hclx.tune.artefact import read_artefact
from hclx.tune.run_progress import progress_of
from hclx.tune.tuning_check import bindings_of, gin_file_of

_LOG = logging.getLogger(__name__)
PROMPT = "prompt.json"  # in the folder of a job
_ARTEFACT = "artefact.safetensors"  # in that of its run
Start = Callable[[list[str], Path, float], TuningProcess]


class TuningRunner:
    """The jobs of one server. Use it in a `with` block, at whose end its jobs are saved and wait
    for the next server.

    Attributes:
      name: of the server in the store.
      is_draining: returns whether the server ends, and takes no more jobs.
    """

    def __init__(
        self,
        database: Database,
        files: TuningFiles,
        base: TunedBase,
        config: TuningConfig = TuningConfig(),
        start: Start = TuningProcess,
        clock: Callable[[], float] = time.time,
    ):
        """Prepares the thread.

        Args:
          database: the store.
          files: data sets, artefacts and the folders of jobs.
          base: what is tuned.
          config: how many jobs run at once, and when they are looked at.
          start: makes the process of a job; see `TuningProcess`.
          clock: returns the seconds since 1970.
        """
        self._database, self._files, self._base, self._config = database, files, base, config
        self._start, self._clock = start, clock
        self.is_draining: Callable[[], bool] = lambda: False
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._artefacts = ServedArtefacts(database, files, base)
        self._running: dict[str, _Running] = {}
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hclx-tuning", daemon=True)

    def __enter__(self) -> "TuningRunner":
        """Serves the artefacts that there are, and begins.

        Raises:
          HclxError: the store cannot be read.
        """
        self._artefacts.update()
        self._thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._is_ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_ending.wait(self._config.poll_seconds):
            self._try(self._look)
        for running in self._running.values():
            running.process.end()
        for running in self._running.values():
            running.process.wait()
        self._try(self._give_all_back)

    def _try(self, work: Callable[[], None]) -> None:
        """Goes on whatever happens: a store may be away for a while."""
        try:
            work()
        except HclxError as error:
            _LOG.warning("tuning: %s", error)
        except Exception:
            _LOG.exception("tuning failed; it goes on")

    def _look(self) -> None:
        for running in [*self._running.values()]:
            self._watch(running)
        self._artefacts.update()
        while len(self._running) < self._config.running and not self.is_draining():
            silence, base = self._config.silent_seconds, self._base.fingerprint
            job = claim_job(self._database, self.name, base, self._clock(), silence)
            if job is None:
                return
            self._begin(job)

    def _begin(self, job: JobRecord) -> None:
        folder = self._files.job(job.id)
        try:
            folder.mkdir(0o700, exist_ok=True)
            running = _Running(job, self._files, self._database)
            command = running.command(self._base.path)
            running.process = self._start(command, folder, self._config.save_seconds)
        except (HclxError, OSError) as error:
            reason = str(known_error(error) or error)
            end_job(self._database, job.id, self.name, "failed", self._clock(), reason)
            return
        _LOG.info("the job %s begins: pid %d", job.id, running.process.pid)
        self._running[job.id] = running

    def _watch(self, running: "_Running") -> None:
        """Tells the store about a job, and ends it there when its process has ended."""
        code, job_id = running.process.code(), running.job.id
        config = self._config
        if running.silence > config.silent_seconds - config.save_seconds:
            running.process.end()  # before another server takes it to be lost
        progress = progress_of(running.folder / RUN)
        job = beat(self._database, job_id, self.name, self._clock(), *progress)
        running.last_beat = time.monotonic()
        if job is None:
            running.process.kill()
            _LOG.warning("the job %s is another server's", job_id)
            del self._running[job_id]
        elif code is not None:
            self._end(running, job, code)
            del self._running[job_id]
        elif job.is_cancelled:
            running.process.end()

    def _end(self, running: "_Running", job: JobRecord, code: int) -> None:
        state, reason = "succeeded", None
        if code == 0:
            try:
                self._keep_artefact(running, job)
            except (HclxError, OSError) as error:
                state, reason = "failed", str(known_error(error) or error)
        elif job.is_cancelled:
            state = "cancelled"
        elif was_ended(code):  # as a manager of services ends all processes of one
            give_back(self._database, job.id, self.name, "its process was ended")
            return
        else:
            state, reason = "failed", running.reason(code)
        if state != "succeeded" or job.kind != "finetune":  # whose result is its run
            shutil.rmtree(running.folder / RUN / "checkpoints", ignore_errors=True)
        end_job(self._database, job.id, self.name, state, self._clock(), reason)
        _LOG.info("the job %s has ended: %s", job.id, reason or state)

    def _keep_artefact(self, running: "_Running", job: JobRecord) -> None:
        """Keeps the artefact, and serves it before the job is said to have succeeded."""
        if job.kind == "finetune":
            return
        path = running.folder / RUN / _ARTEFACT
        if not path.exists():
            raise DataError("the run has ended without an artefact; ask for the job again")
        artefact = read_artefact(path)
        with self._files.new_copy(path, path.suffix) as new:
            sha256, size = sha256_of(new), new.stat().st_size
            record = ArtefactRecord(
                *(job.id, job.key_id, job.tenant, job.name, job.kind, job.base),
                *(artefact.config.writes_text, size, sha256, artefact.metrics),
                int(self._clock()),
            )
            add_artefact(self._database, record, lambda: keep(new, self._files.artefact(sha256)))
        self._artefacts.update()

    def _give_all_back(self) -> None:
        for job_id, running in self._running.items():
            code = running.process.code()
            if code == 0:  # it had just come to its end
                self._watch(running)
                return self._give_all_back()
            give_back(self._database, job_id, self.name, "its server has ended")


class _Running:
    """A job that runs here.

    Attributes:
      job: as it was claimed.
      process: of it.
      folder: of it.
      last_beat: when the store last heard of it, in seconds of `time.monotonic`.
    """

    process: TuningProcess

    def __init__(self, job: JobRecord, files: TuningFiles, database: Database):
        """Finds the files of a job. Raises DataError if one is gone."""
        self.job, self.folder, self.last_beat = job, files.job(job.id), time.monotonic()
        self._names: dict[str, str] = {}  # path -> name of a data set
        paths = []
        for dataset_id in filter(None, (job.dataset, job.validation)):
            record = find_dataset(database, dataset_id, job.tenant)
            if record is None:
                raise DataError(f"the data set {dataset_id} was removed; bring it again")
            path = files.dataset(record.sha256, record.format)
            if not path.exists():
                raise DataError(
                    f"{record.name} is not in the --tuning_dir of {socket.gethostname()};"
                    " give all servers of the store the same folder"
                )
            self._names[str(path)] = record.name
            paths.append(str(path))
        self._paths = paths

    @property
    def silence(self) -> float:
        """The seconds since the store heard of it."""
        return time.monotonic() - self.last_beat

    def command(self, base: str) -> list[str]:
        """Returns the command that runs, or resumes, the job; its prompt document is a file in the
        folder.
        """
        job, options = self.job, self.job.options
        files = dict(zip(("data", "validation"), self._paths))
        if options.get("prompt"):
            files["prompt"] = str(self.folder / PROMPT)
            text = json.dumps(options["prompt"], ensure_ascii=False)
            (self.folder / PROMPT).write_text(text, encoding="utf-8")
        named = {
            "gin_file": gin_file_of(job.kind),
            "base": base,
            **files,
            "too_long": options.get("too_long", "refuse"),
            "model_dir": str(self.folder / RUN),
        }
        bindings = [f"--gin.{binding}" for binding in bindings_of(options["settings"])]
        return [
            "hclx.launch.tune",
            *(f"--{name}={value}" for name, value in named.items()),
            *bindings,
        ]

    def reason(self, code: int) -> str:
        """Returns why it failed, with the names that data sets had for those who brought them."""
        text = self.process.reason(code)
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text
