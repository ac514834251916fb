"""Trains a tokenizer: hclx train_tokenizer --input='data/*.jsonl.gz' --output_dir=tokenizer

With --corpus=DIR it is trained on the mixture that hclx build_corpus made there, whose chunks
Apache Beam counts: in processes here, or where the options after a bare `--` say. Re-run the same
command to resume.
"""

import os
import sys
import time

from absl import flags

from hclx.data.source import ReadSettings, input_source
from hclx.data.tokenizer_text import training_texts
from hclx.errors import ConfigError
from hclx.launching import check_output_folder, run, take_after_dashes
from hclx.text import Tokenizer, train_tokenizer
from hclx.text.pretokenizers import MODE_OF, MORPHEMES_OF, resolve_morphemes
from hclx.text.trained_before import described, trained_before

INPUT = flags.DEFINE_string("input", "", "Files or folders, GLOB[,GLOB...]; see docs/corpus.md.")
CORPUS = flags.DEFINE_string(
    "corpus", "", "Folder that hclx build_corpus made, with its mixture, or its address."
)
OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
VOCAB_SIZE = flags.DEFINE_integer(
    "vocab_size", 51_200, "Tokens, a multiple of 128; by default fewer if text is little.", 384
)
MORPHEMES = flags.DEFINE_enum(
    "morphemes",
    None,
    [*MODE_OF],
    "Where morpheme boundaries apply: to the merges that are learnt, also to text that is encoded,"
    " or nowhere; default: merges.",
)
MODE = flags.DEFINE_enum("mode", None, [*MORPHEMES_OF], "Old name of --morphemes.")
SAMPLE_RATE = flags.DEFINE_float("sample_rate", 1.0, "Share of the documents to count.", 0, 1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the sample.", 0)
VALIDATION = flags.DEFINE_integer(
    "validation_permille", 0, "Documents in 1,000 left out, as a run validates on them.", 0, 999
)
INVALID_UTF8 = flags.DEFINE_enum(
    "invalid_utf8", "refuse", ["refuse", "replace"], "How to treat invalid UTF-8 in --input."
)
ENCODING = flags.DEFINE_string("encoding", "", "Of --input, such as cp949; default: UTF-8.")
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
    if MODE.value and flags.FLAGS["morphemes"].present:
        raise ConfigError("--mode is the old name of --morphemes; give --morphemes alone")
    if BEAM and not CORPUS.value:
        raise ConfigError(f"{BEAM[0]} is for Apache Beam, which runs with --corpus alone")
    check_output_folder("--output_dir", OUTPUT_DIR.value)
    options = {
        "vocab_size": VOCAB_SIZE.value,
        "morphemes": resolve_morphemes(MORPHEMES.value, MODE.value),
        "sample_rate": SAMPLE_RATE.value,
        "seed": SEED.value,
    }
    if tokenizer := trained_before(OUTPUT_DIR.value, **options):
        end = "; it is already there, and its text was not compared"
    else:
        options["may_shrink"] = not flags.FLAGS["vocab_size"].present
        tokenizer = on_mixture(options) if CORPUS.value else on_files(options)
        end = f" in {time.perf_counter() - start:.0f} s"
    print(f"{OUTPUT_DIR.value}: {described(tokenizer)}{end}")


def on_files(options: dict) -> Tokenizer:
    """Trains on the files of --input."""
    settings = ReadSettings(VALIDATION.value, invalid_utf8=INVALID_UTF8.value)
    texts = training_texts([input_source(INPUT.value, ENCODING.value, "--")], settings, "text")
    return train_tokenizer(texts, OUTPUT_DIR.value, workers=WORKERS.value, **options)


def on_mixture(options: dict) -> Tokenizer:
    """Trains on the mixture of --corpus."""
    from hclx.corpus.runner import make_runner
    from hclx.corpus.store import Store
    from hclx.corpus.tokenizer_counts import train_on_mixture

    root = CORPUS.value if "://" in CORPUS.value else os.path.abspath(CORPUS.value)
    runner = make_runner(BEAM, WORKERS.value, Store(root))
    options["validation_permille"] = VALIDATION.value
    return train_on_mixture(Store(root), OUTPUT_DIR.value, runner, **options)


if __name__ == "__main__":
    run(main)
