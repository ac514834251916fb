"""A server that tunes a tiny base, with keys, and a stand-in for the processes of its jobs."""

import contextlib
import dataclasses
import functools
import json
import threading
import time

import numpy as np

from hclx.infer.model_source import RunFolder
from hclx.serve.admin_dialect import admin_dialect
from hclx.serve.clova.clova_tasks import clova_tasks_dialect
from hclx.serve.serve_model import open_backend
from hclx.serve.server import DIALECTS, build_app
from hclx.serve.store.database import open_database
from hclx.serve.store.key_records import create_key
from hclx.serve.store.key_store import KeyStore
from hclx.serve.tuning.tuned_base import tuned_base
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.serve.tuning.tuning_dialect import tuning_dialect
from hclx.serve.tuning.tuning_files import TuningFiles
from hclx.serve.tuning.tuning_process import reason_of
from hclx.serve.tuning.tuning_runner import TuningRunner
from hclx.serve.tuning.tuning_service import Tuning
from hclx.tune.artefact import Artefact, base_fingerprint, write_artefact
from hclx.tune.tune_config import TuneConfig
from tests.helpers.serving import client_of

FAST = TuningConfig(poll_seconds=0.02, silent_seconds=2.0, save_seconds=0.5, datasets=9, jobs=2)
ROWS = [{"prompt": f"밥 {i}", "completion": f" 좋다 {i}"} for i in range(12)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
SETTINGS = {
    "TrainConfig.total_steps": 4,
    "TrainConfig.global_batch_size": 2,
    "TuneConfig.length": 3,
}


@dataclasses.dataclass
class OpenedBase:
    """A base in the folder of a run, and its engine."""

    source: RunFolder
    engine: object


@contextlib.contextmanager
def opened_base(folder):
    """Opens the base of a folder."""
    source = RunFolder(str(folder), None, "float32", 4)
    with source.open() as engine:
        yield OpenedBase(source, engine)


class FakeProcess:
    """The process of a job, whose end the test decides."""

    started: list["FakeProcess"]  # of all servers of a test, set by it

    def __init__(self, command, folder, seconds):
        """Starts nothing."""
        self.command, self.folder, self.pid = command, folder, 0
        self._code, self._log, self.was_asked_to_end = None, "", False
        self.lock = threading.Lock()
        FakeProcess.started.append(self)

    def option(self, name):
        """The value of an option of the command."""
        begin = f"--{name}="
        return next(text.removeprefix(begin) for text in self.command if text.startswith(begin))

    def report(self, step, **figures):
        """Writes what a run logs."""
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        with (run / "metrics.jsonl").open("a") as file:
            print(json.dumps({"step": step, **figures}), file=file)

    def finish(self, base, d_model=32, length=3, value=1.0):
        """Writes an artefact of soft slots and ends with 0."""
        meta, config = base.source.loaded.meta, TuneConfig("prompt_tune", length=length)
        table = np.full((length, d_model), value, np.float32)
        of_base = base_fingerprint(meta["fingerprint"]), meta["hashes"]["vocabulary"]
        model = base.source.loaded.config
        artefact = Artefact(config, {"table": table}, model, *of_base, metrics={"step": 4})
        (self.folder / "run").mkdir(exist_ok=True)
        write_artefact(self.folder / "run" / "artefact.safetensors", artefact)
        self._code = 0

    def fail(self, code, log):
        """Ends with another code."""
        self._code, self._log = code, log

    def code(self):
        return self._code

    def end(self):
        self.was_asked_to_end = True
        self._code = 75 if self._code is None else self._code

    def wait(self):
        return self._code

    def kill(self):
        self._code = 137

    def reason(self, code):
        return reason_of(self._log, code)


class TuningServer:
    """A server in this process.

    Attributes:
      client: without sockets.
      database: the store.
      secrets: name of a tenant -> the secret of a key of it.
    """

    def __init__(self, base, url, folder, config=FAST, runs=True, start=FakeProcess):
        """Opens the store and the folder; `runs`: jobs are run here."""
        self._stack = contextlib.ExitStack()
        self.database = self._stack.enter_context(open_database(url))
        self.backend = open_backend(base.source, base.engine, "base", (None, None))
        own = tuned_base(base.source, base.engine, self.backend)
        files = TuningFiles(folder)
        tuning = Tuning(self.database, files, own, config)
        own_dialects = [
            functools.partial(tuning_dialect, tuning=tuning),
            functools.partial(clova_tasks_dialect, tuning=tuning),
            functools.partial(admin_dialect, database=self.database),
        ]
        app = build_app(self.backend, KeyStore(self.database), dialects=(*own_dialects, *DIALECTS))
        self.runner = TuningRunner(self.database, files, own, config, start)
        if runs:
            self._stack.enter_context(self.runner)
        self.client = self._stack.enter_context(client_of(app))
        self.engine = base.engine

    def key(self, tenant, scopes=("inference", "tuning")):
        """The header of a new key."""
        secret, _ = create_key(self.database, tenant, 1000, scopes=scopes, tenant=tenant)
        return {"Authorization": f"Bearer {secret}"}

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Ends the server, and takes its models out of the engine, which all tests share."""
        self._stack.close()
        for artefact in self.backend.tuned.artefacts:
            self.engine.remove_adapter(artefact)
            self.backend.tuned.remove(artefact)


def until(condition, seconds=60, pause=0.01):
    """Waits for what another thread will do; returns what the condition returns."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(pause)
    return value
