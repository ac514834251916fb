"""The file of a filter: a compressed archive of arrays, and its categories as JSON."""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from hclx.errors import DataError
from hclx.serve.safety.categories import Category, Threshold
from hclx.serve.safety.jamo_ngrams import BITS
from hclx.serve.safety.label_model import LabelModel, Labels
from hclx.serve.safety.output_filter import TrainedFilter
from hclx.serve.safety.output_rules import OutputRules

FORMAT = "hclx.output_filter/1"
_ARRAYS = ("buckets", "idf", "weights", "bias")


def save_filter(made: TrainedFilter, path: str | Path) -> None:
    """Writes a filter as a whole, or leaves what is there."""
    model = made.model
    buckets = np.flatnonzero(model.idf_b).astype(np.int32)
    arrays = [buckets, model.idf_b[buckets], model.weights_bc[buckets], model.bias_c]
    head = {
        "format": FORMAT,
        "name": made.name,
        "labels": [dataclasses.asdict(labels) for labels in model.labels],
        "categories": [dataclasses.asdict(category) for category in made.categories],
    }
    text = json.dumps({**head, "sha256": _digest(arrays)}, ensure_ascii=False)
    content = io.BytesIO()
    np.savez_compressed(content, head=np.array(text), **dict(zip(_ARRAYS, arrays)))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(temporary, "wb") as file:
        file.write(content.getvalue())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_filter(path: str | Path) -> TrainedFilter:
    """Reads a filter.

    Raises:
      DataError: the file is missing, damaged, or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        head = json.loads(str(values.pop("head")))
        if not isinstance(head, dict):
            raise ValueError("its head is no object")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {_ADVICE}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read as a filter ({error}); {_ADVICE}") from error
    if head.get("format") != FORMAT:
        raise DataError(
            f"{path} has the format {head.get('format')!r}, and this version reads {FORMAT!r};"
            f" {_ADVICE}"
        )
    try:
        return _filter_of(head, [values[name] for name in _ARRAYS])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} is damaged ({error}); {_ADVICE}") from error


_ADVICE = "train a filter with hclx train_output_filter"


def open_rules(path: str | None, block: int | None, masks_pii: bool) -> OutputRules:
    """Returns the rules that the options of a command name.

    Raises:
      ConfigError: `block` is without a filter.
      DataError: as `load_filter`.
    """
    return OutputRules(load_filter(path) if path else None, block, masks_pii)


def _filter_of(head: dict, arrays: list[np.ndarray]) -> TrainedFilter:
    if _digest(arrays) != head["sha256"]:
        raise ValueError("its arrays are not those that were written")
    buckets, idf, weights, bias = arrays
    labels = tuple(Labels(each["name"], tuple(each["values"])) for each in head["labels"])
    idf_b = np.zeros(1 << BITS, np.float32)
    idf_b[buckets] = idf
    weights_bc = np.zeros((1 << BITS, weights.shape[1]), np.float32)
    weights_bc[buckets] = weights
    categories = tuple(_category_of(each) for each in head["categories"])
    return TrainedFilter(head["name"], LabelModel(labels, idf_b, weights_bc, bias), categories)


def _category_of(fields: dict) -> Category:
    steps = tuple(Threshold(**step) for step in fields["thresholds"])
    return Category(**{**fields, "values": tuple(fields["values"]), "thresholds": steps})


def _digest(arrays: list[np.ndarray]) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(f"{array.dtype.str}{array.shape}".encode())
        content.update(np.ascontiguousarray(array))
    return content.hexdigest()
