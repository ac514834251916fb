"""Data sets, jobs and artefacts as clients see them."""

from hclx.serve.store.artefact_records import ArtefactRecord
from hclx.serve.store.dataset_records import DatasetRecord
from hclx.serve.store.job_records import JobRecord
from hclx.serve.tuning.tuned_base import TunedBase


def dataset_view(record: DatasetRecord) -> dict:
    """Returns a data set."""
    names = ("id", "name", "columns", "rows", "bytes", "sha256", "created")
    return {"object": "dataset", **{name: getattr(record, name) for name in names}}


def job_view(record: JobRecord, base: TunedBase) -> dict:
    """Returns a job. Its `model` is a name that can be asked for once it has succeeded; the whole
    model that `finetune` makes is served by a server of its own.
    """
    names = (
        *("id", "name", "kind", "dataset", "validation", "state", "step", "total_steps"),
        *("metrics", "error", "created", "started", "ended"),
    )
    is_here = record.base == base.fingerprint and record.kind != "finetune"
    return {
        "object": "tuning.job",
        **{name: getattr(record, name) for name in names},
        "model": base.model_name(record.name) if is_here else None,
        "is_cancelled": record.is_cancelled,
        "settings": record.options["settings"],
    }


def artefact_view(record: ArtefactRecord, base: TunedBase) -> dict:
    """Returns an artefact; its `model` is None if this server has another base, or if it writes no
    text.
    """
    names = ("id", "name", "kind", "bytes", "sha256", "metrics", "created")
    is_here = record.base == base.fingerprint and record.is_served
    return {
        "object": "artefact",
        **{name: getattr(record, name) for name in names},
        "model": base.model_name(record.name) if is_here else None,
    }


def listed(views: list[dict]) -> dict:
    """Returns a list."""
    return {"object": "list", "data": views}
