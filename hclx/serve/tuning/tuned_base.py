"""The base that a server tunes and serves, and the artefacts beside it in its engine."""

import dataclasses
import logging

from hclx.errors import ConfigError, HclxError, known_error
from hclx.infer import LoadedModel
from hclx.infer.embedded import EmbeddedEngine
from hclx.infer.model_source import RunFolder, ServedModel
from hclx.serve.backend import Backend
from hclx.serve.store.artefact_records import ArtefactRecord, list_artefacts
from hclx.serve.store.database import Database
from hclx.serve.tuning.tuned_models import TunedModel
from hclx.serve.tuning.tuning_files import TuningFiles
from hclx.tune.artefact import base_fingerprint, read_artefact
from hclx.tune.serving import adapter_for

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TunedBase:
    """A base and its engine.

    Attributes:
      path: MODEL_DIR:STEP.
      model: as it was loaded.
      fingerprint: by which jobs and artefacts name it.
      engine: takes artefacts.
      backend: tells clients their names.
    """

    path: str
    model: LoadedModel
    fingerprint: str
    engine: EmbeddedEngine
    backend: Backend

    @property
    def name(self) -> str:
        """The name by which clients ask for the base."""
        return next(name for name, artefact in self.backend.models.items() if artefact is None)

    def model_name(self, name: str) -> str:
        """Returns the name of a tuned model, for that of its job."""
        return f"{self.name}:{name}"


def tuned_base(source: RunFolder | ServedModel, engine: object, backend: Backend) -> TunedBase:
    """Returns the base that a server has opened.

    Raises:
      ConfigError: the model is that of another server, or all requests have an artefact.
    """
    if not isinstance(source, RunFolder) or source.loaded is None:
        raise ConfigError(
            "--tuning_dir needs --model_dir: a model of another server is tuned there"
        )
    if not isinstance(engine, EmbeddedEngine):
        raise ConfigError(
            "--tuning_dir and --studio_dir need --artefact=NAME=FILE: with FILE alone no base is"
            " left to tune"
        )
    facts, meta = source.facts(), source.loaded.meta
    path = f"{facts['model_dir']}:{facts['step']}"
    fingerprint = base_fingerprint(meta["fingerprint"])
    return TunedBase(path, source.loaded, fingerprint, engine, backend)


class ServedArtefacts:
    """Keeps the artefacts of the engine those of the store; another server may have added or
    removed some. It is used by one thread.
    """

    def __init__(self, database: Database, files: TuningFiles, base: TunedBase):
        """Takes the store, the files, and the engine."""
        self._database, self._files, self._base = database, files, base
        self._refused: set[str] = set()
        self._leaving: set[str] = set()  # artefacts that requests still use

    def update(self) -> None:
        """Adds what is missing, and removes what is gone; that which requests still use, later."""
        base = self._base
        records = list_artefacts(self._database, None, base.fingerprint)
        served = {record.id: record for record in records if record.is_served}
        present = base.backend.tuned.artefacts
        for artefact in (present | self._leaving) - set(served):
            self._remove(artefact)
        for artefact, record in served.items():
            if artefact not in present and artefact not in self._refused:
                self._add(record)

    def _add(self, record: ArtefactRecord) -> None:
        """Adds an artefact. That of a damaged file is refused once, and told in the log."""
        path, base = self._files.artefact(record.sha256), self._base
        try:
            artefact = read_artefact(path)
            base.engine.add_adapter(record.id, adapter_for(artefact, base.model, path))
        except (HclxError, OSError) as error:
            self._refused.add(record.id)
            _LOG.error("%s cannot be served: %s", record.id, known_error(error) or error)
            return
        name = base.model_name(record.name)
        base.backend.tuned.add(TunedModel(record.id, name, record.tenant, record.created))
        _LOG.info("serving %s of %s", name, record.tenant)

    def _remove(self, artefact: str) -> None:
        self._base.backend.tuned.remove(artefact)  # no request begins with it any more
        try:
            self._base.engine.remove_adapter(artefact)
        except ConfigError:
            self._leaving.add(artefact)
            return
        self._leaving.discard(artefact)
