"""Builds a clean corpus: python launch/build_corpus.py --config=corpus.yaml --input=DIR
--output=DIR

The same command goes on where it was stopped, and makes again what changed settings ask for. It
runs in processes here; what follows a bare `--` are Apache Beam's own options: `--
--runner=FlinkRunner --parallelism=8`. What became of every
document is in OUTPUT/card.html. Fields of the file: hclx/corpus/settings.py.
"""

import os
import sys

from absl import flags

from hclx.data.source import ReadSettings
from hclx.errors import ConfigError
from hclx.launching import run, take_after_dashes

CONFIG = flags.DEFINE_string(
    "config", None, "YAML file: sources, and what is to be done with them.", required=True
)
INPUT = flags.DEFINE_string(
    "input", None, "Folder of the raw files, or its address (gs://, s3://, hdfs://).", required=True
)
OUTPUT = flags.DEFINE_string(
    "output", None, "Folder of the corpus, or its address (gs://, s3://, hdfs://).", required=True
)
WORKERS = flags.DEFINE_integer(
    "workers", None, "Processes on this machine; default: one a core.", lower_bound=1
)
TARGET = flags.DEFINE_float(
    "target_tokens",
    0,
    "Tokens of the mixture, divided by domain; 0: every source by its epochs.",
    lower_bound=0,
)
EVALUATION = flags.DEFINE_string(
    "evaluation_dir", None, "Folder that holds tasks/, for decontamination; default: HCLX_DATA_DIR."
)
TOKENIZER_DIR = flags.DEFINE_string(
    "tokenizer_dir", "", "Folder of a tokenizer: to encode the mixture as well."
)
CACHE_DIR = flags.DEFINE_string(
    "cache_dir", "", "Token cache to make with it; default: OUTPUT/cache."
)
PERMILLE = flags.DEFINE_integer(
    "validation_permille",
    ReadSettings.validation_permille,
    "Documents of the cache held out, in 1,000.",
    0,
    1000,
)
BEAM = take_after_dashes(sys.argv)
_REASONS = 5  # that are shown of a source


def main(_):
    from hclx.corpus.card import shortage, write_card
    from hclx.corpus.settings import load_settings

    settings, evaluation = load_settings(CONFIG.value), None
    if settings.contamination:
        folder = EVALUATION.value or os.environ.get("HCLX_DATA_DIR")
        if not folder:
            raise ConfigError(
                "contamination needs the evaluation sets; give --evaluation_dir, or set"
                " HCLX_DATA_DIR"
            )
        from hclx.tasks.evaluation import evaluation_items

        evaluation = evaluation_items(settings.contamination.tasks, folder)
    from hclx.corpus.pipeline import Corpus  # and Beam with it, for which one waits
    from hclx.corpus.runner import Engine

    engine = Engine(BEAM, WORKERS.value)
    corpus = Corpus(settings, INPUT.value, OUTPUT.value, engine, evaluation)
    with corpus.store.locked():
        corpus.build()
        corpus.mix(TARGET.value)
        card = write_card(corpus.store, settings, corpus.parts())
        for name, source in card["sources"].items():
            print(summary(name, source))
        for line in shortage(card["mixture_target"]) if card["mixture_target"] else ():
            print(line)
        print(
            f"{OUTPUT.value}: card.html says what became of every document, mixture/ is what"
            " launch/build_cache.py --corpus takes"
        )
        if TOKENIZER_DIR.value:
            encode(corpus.store, engine)


def encode(store, engine) -> None:
    """Makes the token cache of the mixture."""
    from hclx.corpus.tokenize_mixture import serialize

    cache_dir = CACHE_DIR.value or f"{OUTPUT.value}/cache"
    cache = serialize(store, TOKENIZER_DIR.value, cache_dir, ReadSettings(PERMILLE.value), engine)
    train, validation = cache.n_tokens("train"), cache.n_tokens("validation")
    print(
        f"{cache_dir}: {train:,} tokens to train on, {validation:,} to validate, fingerprint"
        f" {cache.fingerprint[:16]}"
    )


def summary(name: str, source: dict) -> str:
    """A source in a line: what was found and kept, and the main reasons for removal."""
    from hclx.corpus.formatting import format_bytes

    reasons = {
        rule: entry["documents"]
        for rules in source["removed"].values()
        for rule, entry in rules.items()
    }
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS]
    aside = f", {source['quarantined']:,} set aside" if source["quarantined"] else ""
    why = f"; removed: {', '.join(f'{rule} {n:,}' for rule, n in most)}" if most else ""
    kept = source["kept"]
    return (
        f"{name}: {source['documents']:,} documents{aside}, {kept['documents']:,} kept,"
        f" {format_bytes(kept['bytes'])}{why}"
    )


if __name__ == "__main__":
    run(main)
