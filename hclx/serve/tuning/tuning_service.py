"""Tuning as a service: data sets, jobs and artefacts, and who may see them. The functions block."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from hclx.errors import ConfigError, StorageError, known_error, shown
from hclx.prompts import PromptDocument, prompt_from_json
from hclx.serve.api_error import ApiError, invalid, store_unavailable
from hclx.serve.caller import Caller
from hclx.serve.store import artefact_records, dataset_records, job_records
from hclx.serve.store.artefact_records import ArtefactRecord
from hclx.serve.store.database import Database
from hclx.serve.store.dataset_records import DatasetRecord
from hclx.serve.store.job_records import JobRecord
from hclx.serve.store.tuning_errors import InUseError, NameTakenError, TooManyError
from hclx.serve.tuning.tuned_base import TunedBase
from hclx.serve.tuning.tuning_config import TuningConfig
from hclx.serve.tuning.tuning_fields import JobBody, check_name, check_settings
from hclx.serve.tuning.tuning_files import RUN, TuningFiles, keep, sha256_of
from hclx.tune.row_files import Row, read_rows
from hclx.tune.run_progress import curve_of
from hclx.tune.tuning_check import CheckedTuning, TuningPlan, check_tuning

ENDINGS = (".csv", ".tsv", ".jsonl")
_LONGEST_NAME = 100
# Error of the store -> status, code, and seconds after which it may be another.
_REFUSALS = {
    NameTakenError: (409, "name_taken", None),
    InUseError: (409, "conflict", None),
    TooManyError: (429, "rate_limit_exceeded", 60),
}
_INVALID = (400, "invalid_request", None)
_SEQUENCE = "TrainConfig.sequence_length"
_LONGEST_SEQUENCE = 256  # tokens, unless another length is asked for
_MOST_POINTS = 1000  # of a curve, besides those that were evaluated


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The parts of it.

    Attributes:
      database: the store.
      files: the files.
      base: what is tuned.
      config: the limits.
      clock: returns the seconds since 1970.
    """

    database: Database
    files: TuningFiles
    base: TunedBase
    config: TuningConfig = TuningConfig()
    clock: Callable[[], float] = time.time

    # Data sets.

    def keep_dataset(
        self, caller: Caller, name: str, new: Path, encoding: str = ""
    ) -> DatasetRecord:
        """Checks all rows of a file that was brought, and keeps it, in UTF-8.

        Args:
          caller: who brings it.
          name: of the file.
          new: where it lies; its ending is that of the name.
          encoding: such as "cp949"; "": UTF-8.
        Raises:
          ApiError: 400, a line is wrong, which is named.
        """
        with _refused({str(new): name}):
            rows = read_rows(new, encoding)
            if encoding:
                new.write_text(new.read_bytes().decode(encoding), encoding="utf-8", newline="")
            sha256, size = sha256_of(new), new.stat().st_size
            record = DatasetRecord(
                *(dataset_records.new_dataset_id(self.clock()), caller.key_id, caller.tenant, name),
                *(new.suffix, tuple(rows[0].fields), len(rows), size, sha256),
                int(self.clock()),
            )
            place = self.files.dataset(sha256, new.suffix)
            most = self.config.datasets
            dataset_records.add_dataset(self.database, record, most, lambda: keep(new, place))
        return record

    def datasets(self, caller: Caller) -> list[DatasetRecord]:
        """Returns the data sets that a caller sees."""
        with _refused():
            return dataset_records.list_datasets(self.database, seen_by(caller))

    def dataset(self, caller: Caller, dataset_id: str) -> DatasetRecord:
        """Returns a data set. Raises ApiError (404) if the caller sees none of this id."""
        with _refused():
            tenant = seen_by(caller)
            record = dataset_records.find_dataset(self.database, dataset_id, tenant)
        return record or _missing("data set", dataset_id)

    def first_rows(self, record: DatasetRecord, n: int) -> list[Row]:
        """Returns the first rows of a data set."""
        with _refused():
            return read_rows(self._path_of(record), limit=n)

    def remove_dataset(self, caller: Caller, dataset_id: str) -> None:
        """Removes a data set. Raises ApiError: 404, or 409 if a job needs it."""
        record = self.dataset(caller, dataset_id)
        path = self._path_of(record)
        with _refused():
            remove = lambda: path.unlink(missing_ok=True)
            dataset_records.remove_dataset(self.database, record, remove)

    def _path_of(self, record: DatasetRecord) -> Path:
        return self.files.dataset(record.sha256, record.format)

    # Jobs.

    def add_job(self, caller: Caller, body: JobBody, more: Mapping[str, object] = {}) -> JobRecord:
        """Checks a job, with all rows, and lets it wait for its turn.

        Args:
          caller: who asks.
          body: for what.
          more: is kept with the options of the job.
        Raises:
          ApiError: 400, a setting or a row is wrong; 404, there is no such data set; 409, its name
            is taken; 429, the tenant has too many jobs that have not ended.
        """
        caller.check_scope("tuning")
        check_name(body.name)
        check_settings(body.settings, body.epochs)
        prompt = _prompt_of(body.prompt)
        data = self.dataset(caller, body.dataset)
        held_out = self.dataset(caller, body.validation) if body.validation else None
        checked = self._checked(body, prompt, data, held_out)
        own = {name: getattr(body, name) for name in ("epochs", "too_long", "prompt")}
        options = {"settings": checked.settings, **own, **more}
        record = JobRecord(
            *(
                job_records.new_job_id(self.clock()),
                caller.key_id,
                data.tenant,
                body.name,
                body.kind,
            ),
            *(self.base.fingerprint, data.id, held_out and held_out.id, options),
            *(checked.total_steps, int(self.clock())),
        )
        with _refused():
            job_records.add_job(self.database, record, self.config.jobs)
        return record

    def _checked(
        self,
        body: JobBody,
        prompt: PromptDocument | None,
        data: DatasetRecord,
        held_out: DatasetRecord | None,
    ) -> CheckedTuning:
        longest = min(_LONGEST_SEQUENCE, self.base.model.config.max_length)
        settings = {_SEQUENCE: longest, **body.settings}
        paths = [self._path_of(record) for record in (data, held_out) if record]
        names = {str(path): record.name for path, record in zip(paths, (data, held_out))}
        plan = TuningPlan(
            *(self.base.path, body.kind, settings, paths[0]),
            *(paths[1] if held_out else None, prompt, body.too_long, body.epochs or 0),
            *(self.config.steps, self.config.batch_tokens),
        )
        with _refused(names):
            return check_tuning(plan, self.base.backend.tokenizer)

    def jobs(self, caller: Caller) -> list[JobRecord]:
        """Returns the jobs that a caller sees, from the newest on."""
        with _refused():
            return job_records.list_jobs(self.database, seen_by(caller))

    def job(self, caller: Caller, job_id: str) -> JobRecord:
        """Returns a job. Raises ApiError (404) if the caller sees none of this id."""
        with _refused():
            record = job_records.find_job(self.database, job_id, seen_by(caller))
        return record or _missing("job", job_id)

    def curve(self, record: JobRecord) -> list[dict[str, float]]:
        """Returns what the run of a job has logged, from its first step on."""
        with _refused():
            return curve_of(self.files.job(record.id) / RUN, _MOST_POINTS)

    def cancel_job(self, caller: Caller, job_id: str) -> JobRecord:
        """Cancels a job; one that has ended stays as it is. Raises ApiError (404)."""
        with _refused():
            tenant, now = seen_by(caller), self.clock()
            record = job_records.cancel_job(self.database, job_id, tenant, now)
        return record or _missing("job", job_id)

    # Artefacts.

    def artefacts(self, caller: Caller) -> list[ArtefactRecord]:
        """Returns the artefacts that a caller sees."""
        with _refused():
            return artefact_records.list_artefacts(self.database, seen_by(caller))

    def artefact(self, caller: Caller, artefact_id: str) -> ArtefactRecord:
        """Returns an artefact. Raises ApiError (404) if the caller sees none of this id."""
        with _refused():
            tenant = seen_by(caller)
            record = artefact_records.find_artefact(self.database, artefact_id, tenant)
        return record or _missing("artefact", artefact_id)

    def remove_artefact(self, caller: Caller, artefact_id: str) -> None:
        """Removes an artefact; all servers forget its model within seconds. Raises ApiError (404)
        if the caller sees none of this id.
        """
        record = self.artefact(caller, artefact_id)
        path = self.files.artefact(record.sha256)
        with _refused():
            remove = lambda: path.unlink(missing_ok=True)
            artefact_records.remove_artefact(self.database, record, remove)
        self.base.backend.tuned.remove(record.id)


def seen_by(caller: Caller) -> str | None:
    """Returns the tenant whose things a caller sees; None: those of all, for administrators.

    Raises:
      ApiError: 403, the key is not for tuning.
    """
    if "admin" in caller.scopes:
        return None
    caller.check_scope("tuning")
    return caller.tenant


def check_file_name(name: str) -> str:
    """Returns the ending of the name of a file of rows. Raises ApiError (400) if it is no such."""
    ending = os.path.splitext(name)[1].lower()
    is_plain = name.isprintable() and "/" not in name and 0 < len(name) <= _LONGEST_NAME
    if not is_plain or ending not in ENDINGS:
        endings = ", ".join(ENDINGS)
        raise invalid(f"name={shown(name)}: give the name of a file with {endings}", "name")
    return ending


def _prompt_of(body: dict | None) -> PromptDocument | None:
    if body is None:
        return None
    try:
        return prompt_from_json(body)
    except ConfigError as error:
        raise invalid(f"prompt: {error}", "prompt") from error


def _missing(kind: str, name: str) -> NoReturn:
    raise ApiError(404, "not_found", f"there is no {kind} {shown(name)}")


@contextlib.contextmanager
def _refused(names: Mapping[str, str] = {}) -> Iterator[None]:
    """Turns an error of the store, of files or of rows into that of the client.

    Args:
      names: path -> name by which the client knows the file.
    Raises:
      ApiError: in its place.
    """
    try:
        yield
    except Exception as error:
        known = known_error(error)
        if known is None:
            raise
        text = str(known).replace("--gin.DataConfig.encoding", "encoding")
        for path, name in names.items():
            text = text.replace(path, name)
        if isinstance(known, StorageError):
            raise store_unavailable(known) from error
        kinds = (kind for kind in _REFUSALS if isinstance(known, kind))
        status, code, retry_after = next((_REFUSALS[kind] for kind in kinds), _INVALID)
        raise ApiError(status, code, text, retry_after=retry_after) from error
