"""Reads suites: JSON lists of runs, in suites/ or in a file of the user."""

import dataclasses
from importlib import resources
from pathlib import Path

from hclx.errors import ConfigError, DataError
from hclx.tasks.fewshot import task, templates
from hclx.tasks.readers.records import Record, json_records

SUITES = resources.files("hclx.tasks") / "suites"


@dataclasses.dataclass(frozen=True)
class SuiteRun:
    """A run of a suite: the names of a task and of its prompt, the number of examples, and how
    often they are drawn anew.
    """

    task: str
    template: str
    shots: int
    trials: int


def suite_names() -> tuple[str, ...]:
    """Returns the names of the suites that are shipped."""
    return tuple(sorted(Path(file.name).stem for file in SUITES.iterdir()))


def load_suite(name: str) -> tuple[SuiteRun, ...]:
    """Reads a suite.

    Args:
      name: of a suite that is shipped, or the path of a JSON file: a list of objects with `task`
        and, where they differ from those of the task, `template`, `shots` and `trials`.
    Raises:
      ConfigError: there is no such suite.
      DataError: a field is missing, unknown or wrong.
    """
    is_shipped = name in suite_names()
    path = str(SUITES / f"{name}.json") if is_shipped else name
    if not Path(path).is_file():
        raise ConfigError(
            f"no suite {name!r}: it is neither a file nor one of {', '.join(suite_names())}"
        )
    runs = tuple(_run(record) for record in json_records(path))
    if not runs:
        raise DataError(f"{path} has no runs")
    return runs


def _run(record: Record) -> SuiteRun:
    fields = [field.name for field in dataclasses.fields(SuiteRun)]
    for field in record.values:
        if field not in fields:
            raise record.error(field, f"unknown; known are {', '.join(fields)}")
    name = record.text("task")
    try:
        spec, known = task(name), templates(name)
    except ConfigError as error:
        raise record.error("task", str(error)) from error
    defaults = {"template": spec.template, "shots": spec.shots, "trials": spec.trials}
    record = dataclasses.replace(record, values={**defaults, **record.values})
    return SuiteRun(
        name,
        record.label("template", known),
        record.whole("shots", 0),
        record.whole("trials", 1),
    )
