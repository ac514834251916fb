"""Trains a model that scores documents for the corpus pipeline:
hclx train_filter --kind=quality --good=GLOB --others=GLOB --output=FILE

A `quality` model learns to tell good documents from others; a `perplexity` model is a language
model of good documents. Name the file under `models:` of a corpus file; rules may then bound
`quality.score` or `perplexity.bits`.
"""

import dataclasses
import itertools

import numpy as np
from absl import flags

from hclx.errors import ConfigError, DataError
from hclx.launching import check_output, run
from hclx.progress import counted
from hclx.text.documents import TRAINING, expand_globs, read_documents
from hclx.text.records import SPLITS

KIND = flags.DEFINE_enum("kind", "quality", ["quality", "perplexity"], "Kind of the model.")
GOOD = flags.DEFINE_string(
    "good",
    None,
    "Files or folders of good documents, GLOB[,GLOB...]; docs/corpus.md names the formats.",
    required=True,
)
OTHERS = flags.DEFINE_string(
    "others", "", "Files of documents that are not good, for --kind=quality."
)
SPLIT = flags.DEFINE_enum(
    "split", "file", SPLITS, "A document of a text file: the file, a line, or between blank lines."
)
ENCODING = flags.DEFINE_string("encoding", "", "Of the files, such as cp949; default: UTF-8.")
INVALID_UTF8 = flags.DEFINE_enum(
    "invalid_utf8", "refuse", ["refuse", "replace"], "How to treat invalid UTF-8."
)
OUTPUT = flags.DEFINE_string("output", None, "File of the model, .npz.", required=True)
MAX_DOCUMENTS = flags.DEFINE_integer(
    "max_documents", 20_000, "Number of documents to read of each class.", lower_bound=10
)
HELD_OUT = flags.DEFINE_integer(
    "held_out", 10, "Hold out every N-th document for evaluation.", lower_bound=2
)


def read(flag: str, patterns: str) -> tuple[list[str], list[str]]:
    """Reads the documents of files; returns those for training, and those that are held out."""
    paths = expand_globs(patterns)
    options = {"split": SPLIT.value, "encoding": ENCODING.value}
    reading = dataclasses.replace(TRAINING, flags="--", **options)
    documents = read_documents(paths, INVALID_UTF8.value, reading=reading)
    texts = [document.text for document in itertools.islice(documents, MAX_DOCUMENTS.value)]
    if len(texts) < 2 * HELD_OUT.value:
        hint = " (each text file is one; try --split=line or --split=blank_line)"
        raise DataError(
            f"--{flag}={patterns} holds {counted(len(texts), 'document')} in"
            f" {counted(len(paths), 'file')}"
            f"{hint if SPLIT.value == 'file' else ''}, and {2 * HELD_OUT.value} are needed"
        )
    train = [text for i, text in enumerate(texts) if i % HELD_OUT.value]
    return train, texts[:: HELD_OUT.value]


def main(_):
    from hclx.corpus.quality_models import ByteModel, QualityModel

    if KIND.value == "quality" and not OTHERS.value:
        raise ConfigError(
            "--others is missing; a quality model also learns from documents that are not good"
        )
    check_output("--output", OUTPUT.value, makes_folders=True)
    good, held_out = read("good", GOOD.value)
    if KIND.value == "perplexity":
        model = ByteModel.train(good)
        bits = np.mean(model.bits_per_byte(held_out))
        where = f"{counted(len(held_out), 'document')} that were held out"
        result = f"{bits:.3f} bits per byte on {where}"
    else:
        others, other_held_out = read("others", OTHERS.value)
        model = QualityModel.train(good, others)
        good_right = (model.score(held_out) > 0.5).mean()
        others_right = (model.score(other_held_out) <= 0.5).mean()
        result = (
            f"of the documents that were held out, {good_right:.1%} of the good ones and"
            f" {others_right:.1%} of the others are classified correctly"
        )
    model.save(OUTPUT.value)
    print(f"{OUTPUT.value}: {result}")


if __name__ == "__main__":
    run(main)
