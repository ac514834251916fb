"""Reads the results of an evaluation, results.json and the samples beside it, and checks every
field that the report shows.

The classes are the schema: pydantic checks the fields by their annotations. Unknown fields are
left out, so that a later version may add some.
"""

import contextlib
import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import pydantic

from hclx.errors import DataError, shown
from hclx.progress import counted

SCHEMA = "hclx.results/1"


# A number; null, which stands for one that is undefined, becomes NaN.
_Number = Annotated[float, pydantic.BeforeValidator(lambda x: math.nan if x is None else x)]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A metric: its mean over draws, standard deviation over draws and bootstrap interval.

    Attributes:
      trials: the value of each draw.
    """

    mean: _Number
    std: float | None = None
    interval: tuple[float, float] | None = None
    trials: tuple[_Number, ...] = ()


Figures = Mapping[str, Figure]


@dataclasses.dataclass(frozen=True)
class Bin:
    """Predictions of similar confidence: a point of a reliability diagram."""

    confidence: float
    accuracy: float
    count: int


@dataclasses.dataclass(frozen=True)
class Effect:
    """A bias: by how much it moves the probability of a label, and the test that it is 0."""

    effect: float
    p: float
    is_detected: bool
    interval: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Bias:
    """The biases of a run, before and after calibration: see `hclx.evaluate.bias`."""

    level: float
    labels: tuple[str, ...]
    prior: tuple[float, ...]
    before: Mapping[str, Effect]
    after: Mapping[str, Effect] | None = None


@dataclasses.dataclass(frozen=True)
class Model:
    """The model of an evaluation; a server tells neither its step nor its parameters. Without a
    name it has that of its folder, or its server's address.
    """

    name: str = ""
    model_dir: str | None = None
    engine: str | None = None
    step: int | None = None
    parameters: int | None = None
    fingerprint: str | None = None
    tokenizer: Any = None
    max_length: int | None = None
    dtype: str | None = None

    @property
    def label(self) -> str:
        """The name that people see."""
        return self.name or Path(self.model_dir or "").name or self.engine or "a model"


@dataclasses.dataclass(frozen=True)
class Run:
    """A task with one template and one number of shots: see docs/evaluation.md."""

    task: str
    template: str
    prompt_hash: str
    split: str
    shots_asked: int
    shots: int
    trials: int
    items: int
    main: str
    metrics: Figures
    samples: tuple[str, ...]
    shots_split: str | None = None
    shots_dropped: int = 0
    prompts_by_shots: Mapping[str, int] = dataclasses.field(default_factory=dict)
    draw: str | None = None
    seed: int | None = None
    bos: tuple[int, ...] | None = None
    score: str | None = None
    straddles: int | None = None
    truncated: int | None = None
    chance: float | None = None
    scores: Mapping[str, Figures] = dataclasses.field(default_factory=dict)
    calibrated: Mapping[str, Figures] = dataclasses.field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    verbalisers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    confusion: tuple[tuple[float, ...], ...] | None = None
    reliability: tuple[Bin, ...] | None = None
    bias: Bias | None = None
    bias_missing: str | None = None
    calibration: str | None = None
    signatures: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def figure(self) -> Figure:
        """The main metric."""
        return self.metrics[self.main]

    @property
    def names(self) -> dict[str, str]:
        """The labels with their texts, "1 긍정", where a prompt has one text for all items."""
        texts = ((key, self.verbalisers.get(key, "").strip()) for key in self.labels or ())
        return {key: f"{key} {text}" if text not in ("", key) else key for key, text in texts}

    @property
    def label_names(self) -> tuple[str, ...]:
        """The same names, in the order of the labels."""
        return tuple(self.names.values())

    @property
    def fewer_shots(self) -> str:
        """How many prompts have fewer examples than others, such as "3 in 12 prompts, 0 in 1
        prompt"; "" if all have as many.
        """
        counts = {int(n): count for n, count in self.prompts_by_shots.items()}
        fewer = sorted((n for n in counts if n < self.shots), reverse=True)
        return ", ".join(f"{n} in {counted(counts[n], 'prompt')}" for n in fewer)


@dataclasses.dataclass(frozen=True)
class Results:
    """An evaluation: the content of a results.json, and the folder that it is in."""

    model: Model
    started: str
    seconds: float
    runs: tuple[Run, ...]
    hclx: str = ""
    compile_seconds: float | None = None
    folder: Path = Path()


@dataclasses.dataclass(frozen=True)
class Sample:
    """An item, the prompt that the model saw, and its prediction: a line of a samples file."""

    id: str
    trial: int
    doc_hash: str
    prediction: str | None
    correct: bool | float | None
    prompt: str | None = None
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gold: Any = None
    answers: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None  # `Item.gold`
    probabilities: Mapping[str, float] | None = None
    text: str | None = None
    shots: Any = None

    @property
    def is_scored(self) -> bool:
        """Whether it has a score of its own."""
        return self.correct is not None and math.isfinite(self.correct)

    @property
    def target(self) -> str:
        """The right answer: the key of a choice, or the first accepted text."""
        return self.gold if isinstance(self.gold, str) else "".join(self.answers[:1])


_SURROGATE = re.compile(rb"\\ud[89a-f]", re.IGNORECASE)
_RESULTS = pydantic.TypeAdapter(Results)
_SAMPLE = pydantic.TypeAdapter(Sample)


def read_results(folder: str | Path) -> Results:
    """Reads the results.json of an evaluation.

    Args:
      folder: that `hclx evaluate --output` wrote.
    Raises:
      DataError: the file is missing, is no such file, has another version of the schema, or lacks
        a field; it names the field.
    """
    path = Path(folder) / "results.json"
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"{path} does not exist: give a folder that `hclx evaluate --output` wrote"
        raise DataError(message) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}): evaluate again into that folder") from error
    schema = record.get("schema") if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise DataError(
            f"{path} is no {SCHEMA}: its field `schema` is {shown(schema)}; read it with the"
            " version of hclx that wrote it, or evaluate again"
        )
    try:
        results = _RESULTS.validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise DataError(f"{path}: {_first_problem(error)}") from error
    for number, run in enumerate(results.runs):
        _check(run, f"{path}: runs[{number}]")
    return dataclasses.replace(results, folder=Path(folder))


def read_samples(results: Results, run: Run, draws: int | None = None) -> Iterator[Sample]:
    """Yields the samples of a run, draw by draw.

    Args:
      draws: how many files are read, from the first; None: all.
    Raises:
      DataError: a file is missing, or a line is no sample; it names file and line.
    """
    for name in run.samples[:draws]:
        path = results.folder / name
        try:
            lines = path.open("rb")
        except FileNotFoundError as error:
            raise DataError(
                f"{path} does not exist, and {results.folder / 'results.json'} names it: copy the"
                " folder with its samples, or evaluate again"
            ) from error
        with lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield _SAMPLE.validate_json(_whole_characters(line), strict=True)
                except pydantic.ValidationError as error:
                    message = f"{path}:{number}: {_first_problem(error)}"
                    raise DataError(f"{message}; evaluate again") from error


def _whole_characters(line: bytes) -> bytes:
    """Replaces halves of surrogate pairs, which a generated text can have, and no page."""
    if not _SURROGATE.search(line):
        return line
    with contextlib.suppress(ValueError):
        return json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
    return line


def _check(run: Run, place: str) -> None:
    """Raises DataError for fields of a run that do not fit each other."""
    if run.main not in run.metrics:
        has = ", ".join(run.metrics) or "none"
        raise DataError(f"{place}.main is {run.main!r}, which is none of its metrics: {has}")
    for name in run.samples:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{place}.samples names {name!r}, which is not in the same folder")
    if run.confusion:
        n = len(run.labels or ())
        if len(run.confusion) != n or any(len(row) != n for row in run.confusion):
            raise DataError(f"{place}.confusion is no table of its {n} labels")


def _first_problem(error: pydantic.ValidationError) -> str:
    """The first problem as a sentence: runs[3].metrics.accuracy.mean is missing."""
    first = error.errors()[0]
    where = ""
    for name in first["loc"]:
        where += f"[{name}]" if isinstance(name, int) else f".{name}" if where else name
    if first["type"] == "json_invalid":
        return f"no JSON ({first['ctx']['error']})"
    if first["type"] in ("missing", "missing_argument"):
        return f"{where} is missing"
    text = first["msg"].replace("Input should be", "must be").replace("a valid ", "a ")
    return f"{where or 'the record'} {text}, and is {shown(first['input'])}"
