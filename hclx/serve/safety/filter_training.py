"""Trains a filter on labelled texts, and measures it on others."""

import csv
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from hclx.errors import ConfigError, DataError
from hclx.serve.safety.categories import PRECISIONS, Category, choose_threshold
from hclx.serve.safety.label_model import LabelModel
from hclx.serve.safety.label_training import train_labels
from hclx.serve.safety.output_filter import TrainedFilter
from hclx.serve.safety.text_windows import windows_of
from hclx.text.documents import expand_globs, read_documents
from hclx.tune.row_files import Row, read_rows

_OF_EACH, _MOST_READ = 5, 2000  # windows, of characters of a document


@dataclasses.dataclass(frozen=True)
class LabelledTexts:
    """Texts with their classes.

    Attributes:
      texts: the texts, [t].
      columns: question -> the class of each text, [t].
    """

    texts: Sequence[str]
    columns: Mapping[str, Sequence[str]]

    def divided(self, every: int) -> tuple["LabelledTexts", "LabelledTexts"]:
        """Returns the texts without every n-th, and every n-th."""
        rows = range(len(self.texts))
        return self._of([i for i in rows if i % every]), self._of(list(rows[::every]))

    def with_harmless(self, texts: Sequence[str], value: str) -> "LabelledTexts":
        """Returns these and more texts, whose class is `value` in every question.

        Raises:
          ConfigError: a question has no such class.
        """
        for name, values in self.columns.items():
            if value not in values:
                known = ", ".join(sorted(set(values)))
                raise ConfigError(f"--harmless_value={value} is no {name}; there are {known}")
        columns = {name: [*own, *[value] * len(texts)] for name, own in self.columns.items()}
        return LabelledTexts([*self.texts, *texts], columns)

    def _of(self, rows: list[int]) -> "LabelledTexts":
        columns = {name: [values[i] for i in rows] for name, values in self.columns.items()}
        return LabelledTexts([self.texts[i] for i in rows], columns)


def read_labelled(path: str, text: str, columns: Sequence[str]) -> LabelledTexts:
    """Reads labelled texts of a file: .tsv, whose quotes mean nothing, .csv or .jsonl.

    Args:
      path: of the file.
      text: the name of the column of the texts.
      columns: those of the labels.
    Raises:
      ConfigError: the ending of the name is not known.
      DataError: the file is missing or malformed, or a row lacks a column.
    """
    rows = _tsv_rows(path) if Path(path).suffix.lower() == ".tsv" else read_rows(path)
    texts, labels = [], {name: [] for name in columns}
    for row in rows:
        texts.append(_field(row, text))
        for name, values in labels.items():
            values.append(_field(row, name))
    return LabelledTexts(texts, labels)


def harmless_texts(patterns: str, count: int) -> list[str]:
    """Reads windows of ordinary documents, by which a filter learns what it has to let through.

    Args:
      patterns: files, as GLOB[,GLOB...].
      count: the most windows; 5 of each document.
    Raises:
      DataError: there is none.
    """
    documents = read_documents(expand_globs(patterns))
    windows = (
        window.strip()
        for document in documents
        for window in windows_of(document.text[:_MOST_READ])[:_OF_EACH]
        if window.strip()
    )
    texts = list(itertools.islice(windows, count))
    if not texts:
        raise DataError(f"--harmless={patterns} has no text; name files of documents")
    return texts


def _field(row: Row, name: str) -> str:
    if not isinstance(value := row.fields.get(name), str):
        columns = ", ".join(map(repr, row.fields))
        raise DataError(f"{row.where} has no text {name!r}; there are {columns}")
    return value


def _tsv_rows(path: str) -> list[Row]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no TSV in UTF-8: {error}") from error
    for number, cells in enumerate(lines, 1):
        if len(cells) != len(lines[0]):
            raise DataError(
                f"{path}:{number} has {len(cells)} cells, and the first line names {len(lines[0])}"
            )
    if len(lines) < 2:
        raise DataError(f"{path} has no rows; give labelled texts")
    named = enumerate(lines[1:], 2)
    return [Row(f"{path}:{number}", dict(zip(lines[0], cells))) for number, cells in named]


def train_filter(
    name: str, data: LabelledTexts, categories: Sequence[Category], held_out: int, strength: float
) -> TrainedFilter:
    """Trains a filter, and chooses its thresholds on every n-th text, which it is not trained on.

    Args:
      name: of the filter.
      data: labelled texts, with the columns of all categories.
      categories: without thresholds.
      held_out: n.
      strength: see `train_labels`.
    Raises:
      ConfigError: a category names a class that no text has.
      DataError: a column has no two classes.
    """
    train, validation = data.divided(held_out)
    for category in categories:
        known = set(train.columns[category.column])
        if unknown := [value for value in category.values if value not in known]:
            raise ConfigError(
                f"category {category.group}/{category.name}: no text has"
                f" {category.column}={unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
    model = train_labels(train.texts, train.columns, strength)
    shares = [model.probabilities(text) for text in validation.texts]
    chosen = []
    for category in categories:
        chances = [category.probability(each) for each in shares]
        is_member = [value in category.values for value in validation.columns[category.column]]
        steps = [
            choose_threshold(level, precision, chances, is_member)
            for level, precision in PRECISIONS.items()
        ]
        chosen.append(dataclasses.replace(category, thresholds=tuple(steps)))
    return TrainedFilter(name, model, tuple(chosen))


def measure_labels(model: LabelModel, data: LabelledTexts) -> dict[str, dict[str, float]]:
    """Returns question -> {"accuracy", "f1_macro"}, the mean of the F1 of its classes."""
    shares = [model.probabilities(text) for text in data.texts]
    result = {}
    for question in model.labels:
        pairs = [
            (max(each[question.name], key=each[question.name].get), label)
            for each, label in zip(shares, data.columns[question.name])
        ]
        scores = [_f1(pairs, value) for value in question.values]
        accuracy = sum(guess == label for guess, label in pairs) / len(pairs)
        result[question.name] = {"accuracy": accuracy, "f1_macro": sum(scores) / len(scores)}
    return result


def measure_levels(made: TrainedFilter, data: LabelledTexts) -> dict[str, list[dict[str, float]]]:
    """Returns category -> for each of its levels its precision and recall, at it or worse, and how
    many texts have it.
    """
    findings = [made.judge(text) for text in data.texts]
    result = {}
    for place, category in enumerate(made.categories):
        levels = [each[place].level for each in findings]
        is_member = [value in category.values for value in data.columns[category.column]]
        rows = []
        for step in category.thresholds:
            flagged = [member for level, member in zip(levels, is_member) if level <= step.level]
            hits = sum(flagged)
            precision, recall = hits / max(1, len(flagged)), hits / max(1, sum(is_member))
            rows.append({"texts": len(flagged), "precision": precision, "recall": recall})
        result[category.name] = rows
    return result


def _f1(pairs: list[tuple[str, str]], value: str) -> float:
    hits = sum(guess == label == value for guess, label in pairs)
    total = sum((guess == value) + (label == value) for guess, label in pairs)
    return 2 * hits / total if total else 0.0
