"""Builds a corpus: hclx build_corpus --config=corpus.yaml --input=DIR --output=DIR

Re-run the same command to resume, or after settings changed. It runs in processes here, or by
Apache Beam with the options after a bare `--`: `-- --runner=FlinkRunner --parallelism=8`.
OUTPUT/card.html shows what became of every document. Fields: hclx/corpus/settings.py.
"""

import os
import sys

from absl import flags

from hclx.config import DataConfig
from hclx.errors import ConfigError
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
    "validation_permille",
    DataConfig.validation_permille,
    "Documents held out, in 1,000.",
    0,
    1000,
)
BEAM = take_after_dashes(sys.argv)


def main(_):
    from hclx.corpus.settings import load_settings

    settings, evaluation = load_settings(CONFIG.value), None
    if settings.contamination:
        folder = EVALUATION.value or os.environ.get("HCLX_DATA_DIR")
        if not folder:
            raise ConfigError(
                "contamination needs the evaluation sets; give --evaluation_dir or HCLX_DATA_DIR"
            )
        from hclx.tasks.evaluation import evaluation_items

        evaluation = evaluation_items(settings.contamination.tasks, folder)
    from hclx.corpus.card import shortage, write_card
    from hclx.corpus.explain import summary
    from hclx.corpus.pipeline import Corpus
    from hclx.corpus.runner import make_runner
    from hclx.corpus.store import Store

    check_output_folder("--output", OUTPUT.value)
    runner = make_runner(BEAM, WORKERS.value, Store(OUTPUT.value))
    corpus = Corpus(settings, INPUT.value, OUTPUT.value, runner, evaluation)
    with corpus.store.locked():
        corpus.build()
        corpus.mix(TARGET.value)
        card = write_card(corpus.store, settings, corpus.shards)
        for name, source in card["sources"].items():
            print("\n  ".join([summary(name, source), *source["notes"]]))
        for line in shortage(card["mixture_target"]) if card["mixture_target"] else ():
            print(line)
        print(
            f"{OUTPUT.value}: card.html says what became of every document, mixture/ is what"
            " hclx build_cache --corpus takes"
        )
        if TOKENIZER_DIR.value:
            encode(corpus.store, runner)


def encode(store, runner) -> None:
    """Makes the token cache of the mixture."""
    from hclx.corpus.tokenize_mixture import tokenize_mixture
    from hclx.data.source import ReadSettings

    settings, cache_dir = ReadSettings(PERMILLE.value), CACHE_DIR.value or f"{OUTPUT.value}/cache"
    cache = tokenize_mixture(store, TOKENIZER_DIR.value, cache_dir, settings, runner)
    train, validation = cache.n_tokens("train"), cache.n_tokens("validation")
    print(
        f"{cache_dir}: {train:,} tokens to train on, {validation:,} to validate, fingerprint"
        f" {cache.fingerprint[:16]}"
    )


if __name__ == "__main__":
    run(main)
