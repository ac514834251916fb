"""Builds a corpus: hclx build_corpus --config=corpus.yaml --input=DIR --output=DIR

Re-run the same command to resume, or after settings changed. It runs in processes here, or by
Apache Beam with the options after a bare `--`: `-- --runner=FlinkRunner --parallelism=8`.
OUTPUT/card.html shows what became of every document. Fields: hclx/corpus/settings.py.
"""

import functools
import os
import sys

from absl import flags

from hclx.config import DataConfig
from hclx.launching import check_output_folder, run, take_after_dashes

CONFIG = flags.DEFINE_string(
    "config", None, "YAML file: the sources, and what is done with them.", required=True
)
INPUT = flags.DEFINE_string(
    "input", None, "Folder of the raw files, or its address (gs://, s3://, hdfs://).", required=True
)
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the corpus, or its address (gs://, s3://, hdfs://).", required=True
)
WORKERS = flags.DEFINE_integer("workers", None, "Processes here; default: one a core.", 1)
TARGET = flags.DEFINE_float(
    "target_tokens", 0, "Tokens of the mixture, divided by domain; 0: by the sources' epochs.", 0
)
EVALUATION = flags.DEFINE_string(
    "evaluation_dir", None, "Folder that holds tasks/, for decontamination; default: HCLX_DATA_DIR."
)
TOKENIZER_DIR = flags.DEFINE_string(
    "tokenizer_dir", "", "Folder of a tokenizer, if the mixture is to be encoded as well."
)
CACHE_DIR = flags.DEFINE_string("cache_dir", "", "Token cache to make; default: OUTPUT/cache.")
PERMILLE = flags.DEFINE_integer(
    "validation_permille", DataConfig.validation_permille, "Documents held out, in 1,000.", 0, 1000
)
BEAM = take_after_dashes(sys.argv)


def main(_):
    from hclx.corpus.card import write_card
    from hclx.corpus.closing_lines import cache_line, closing_lines, refuse_empty
    from hclx.corpus.mixing import check_target
    from hclx.corpus.pipeline import Corpus
    from hclx.corpus.runner import make_runner
    from hclx.corpus.settings import load_settings
    from hclx.corpus.settings_errors import locating
    from hclx.corpus.store import Store

    with locating(CONFIG.value):
        settings = load_settings(CONFIG.value)
        check_target(settings.sources, settings.mix, TARGET.value)
        evaluation = evaluation_of(settings)
        check_output_folder("--output", OUTPUT.value)
        runner = make_runner(BEAM, WORKERS.value, Store(OUTPUT.value))
        corpus = Corpus(settings, INPUT.value, OUTPUT.value, runner, evaluation)
    with corpus.store.locked():
        tokenize = tokenizing(corpus.store, runner) if TOKENIZER_DIR.value else None
        corpus.build()
        corpus.mix(TARGET.value, TOKENIZER_DIR.value)
        card = write_card(corpus.store, settings, corpus.shards)
        print(*closing_lines(card, OUTPUT.value), sep="\n")
        refuse_empty(card)
        if tokenize:
            print(cache_line(tokenize()))


def evaluation_of(settings):
    """Returns evaluation set -> texts of each example, for decontamination; None without it."""
    if not settings.contamination:
        return None
    from hclx.corpus.settings_errors import SettingsError, check_names
    from hclx.tasks.evaluation import SETS, evaluation_items

    check_names(["contamination", "tasks"], settings.contamination.tasks, SETS)
    if not (folder := EVALUATION.value or os.environ.get("HCLX_DATA_DIR")):
        raise SettingsError(
            "contamination needs the evaluation sets, see docs/corpus.md; give --evaluation_dir or"
            " HCLX_DATA_DIR, or remove `contamination`",
            ["contamination"],
        )
    return evaluation_items(settings.contamination.tasks, folder)


def tokenizing(store, runner):
    """Returns () -> the token cache of the mixture; refuses at once what cannot be made."""
    from hclx.corpus.tokenize_mixture import check_tokenizing, tokenize_mixture
    from hclx.data.source import ReadSettings

    cache_dir = CACHE_DIR.value or f"{OUTPUT.value}/cache"
    arguments = store, TOKENIZER_DIR.value, cache_dir, ReadSettings(PERMILLE.value)
    check_tokenizing(*arguments)
    return functools.partial(tokenize_mixture, *arguments, runner)


if __name__ == "__main__":
    run(main)
