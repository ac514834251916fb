"""Registers the lines that `hclx augment` wrote as a seqio task of classification.

A module of one's own, which `DataConfig.task_module` or a recipe of T5X names, has a line such as

    add_augmented("more_reviews", "results/more/augmented.jsonl", {"0": "부정", "1": "긍정"})
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from hclx.errors import DataError
from hclx.tasks.common import VOCABULARY
from hclx.text.seqio_imports import seqio, tf


def add_augmented(name: str, path: str, labels: Mapping[str, str]) -> seqio.Task:
    """Registers a file of lines: `inputs` are the tokens of a text, `targets` those of its label's
    words, and `soft_label` is its distribution, float32 [labels], in the order of `labels`; 1 at
    the label of lines without a distribution.

    Args:
      name: of the task, whose only split is "train".
      path: of the file, which is read when the task is.
      labels: key -> words.
    """

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del split, shuffle_files, seed  # the order is that of the file
        text, shares = tf.TensorSpec((), tf.string), tf.TensorSpec((len(labels),), tf.float32)
        return tf.data.Dataset.from_generator(
            lambda: _examples(path, labels),
            output_signature={"inputs": text, "targets": text, "soft_label": shares},
        )

    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, splits=("train",)),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={
            "inputs": seqio.Feature(VOCABULARY, add_eos=False),
            "targets": seqio.Feature(VOCABULARY, add_eos=True),
        },
    )


def _examples(path: str, labels: Mapping[str, str]) -> Iterator[dict]:
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; hclx augment writes it") from error
    for number, line in enumerate(filter(None, lines), 1):
        record = json.loads(line)
        label = record["label"]
        if label not in labels:
            raise DataError(f"{path}:{number}: the label {label!r} is none of {', '.join(labels)}")
        shares = record.get("soft_label", {label: 1.0})
        yield {
            "inputs": record["text"].encode(),
            "targets": labels[label].encode(),
            "soft_label": [shares.get(key, 0.0) for key in labels],
        }
