"""Trains a tokenizer: python launch/train_tokenizer.py --input='data/*.jsonl.gz'
--output_dir=runs/tokenizer

With --corpus=DIR on the mixture that launch/build_corpus.py made there: its chunks are counted
where Apache Beam runs, in processes here or where the options after a bare `--` say. The same
command goes on where it was stopped.
"""

import os
import sys
import time

from absl import flags
from tqdm import tqdm

from hclx.errors import ConfigError
from hclx.launching import run, take_after_dashes
from hclx.text import Tokenizer, train_tokenizer
from hclx.text.documents import expand_globs, read_documents

INPUT = flags.DEFINE_string("input", "", "GLOB[,GLOB...] of .jsonl[.gz] with `text`, or .txt[.gz].")
CORPUS = flags.DEFINE_string(
    "corpus", "", "Or a folder that launch/build_corpus.py made, with its mixture, or its address."
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 51_200, "Pieces, control symbols included; a multiple of 128."
)
MODE = flags.DEFINE_enum(
    "mode",
    "train",
    ["train", "encode", "plain"],
    "Where morphemes matter: to learn merges, also to encode, or nowhere.",
)
SAMPLE_RATE = flags.DEFINE_float("sample_rate", 1.0, "Share of the documents that is counted.")
SEED = flags.DEFINE_integer("seed", 0, "Of the sample.")
INVALID_UTF8 = flags.DEFINE_enum(
    "invalid_utf8", "refuse", ["refuse", "replace"], "What to do with invalid UTF-8 in --input."
)
WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes that count on this machine; default: one a core.", lower_bound=1
)
BEAM = take_after_dashes(sys.argv)


def main(_):
    start = time.perf_counter()
    if bool(INPUT.value) == bool(CORPUS.value):
        raise ConfigError(
            "give either --input, files of one's own, or --corpus, a folder with a mixture"
        )
    if BEAM and not CORPUS.value:
        raise ConfigError(f"{BEAM[0]} is for Apache Beam, which runs with --corpus alone")
    options = {
        "vocab_size": VOCAB_SIZE.value,
        "mode": MODE.value,
        "sample_rate": SAMPLE_RATE.value,
        "seed": SEED.value,
    }
    tokenizer = on_mixture(options) if CORPUS.value else on_files(options)
    about = tokenizer.metadata
    print(
        f"{OUTPUT_DIR.value}: {tokenizer.vocab_size:,} pieces, mode {tokenizer.mode}, cut by"
        f" {about['cutter']}, from {about['documents']:,} documents of {about['bytes']:,} bytes in"
        f" {time.perf_counter() - start:.0f} s"
    )


def on_files(options: dict) -> Tokenizer:
    """Of --input."""
    documents = read_documents(expand_globs(INPUT.value), INVALID_UTF8.value)
    texts = (
        document.text for document in tqdm(documents, desc="read", unit=" documents", disable=None)
    )
    return train_tokenizer(texts, OUTPUT_DIR.value, workers=WORKERS.value, **options)


def on_mixture(options: dict) -> Tokenizer:
    """Of --corpus."""
    from hclx.corpus.runner import make_runner
    from hclx.corpus.store import Store
    from hclx.corpus.tokenizer_counts import train_on_mixture

    # a worker may run in a folder of its own
    root = CORPUS.value if "://" in CORPUS.value else os.path.abspath(CORPUS.value)
    runner = make_runner(BEAM, WORKERS.value, Store(root))
    return train_on_mixture(Store(root), OUTPUT_DIR.value, runner, **options)


if __name__ == "__main__":
    run(main)
