"""Builds a token cache: python launch/build_cache.py --mixture=kowiki --tokenizer_dir=DIR
--cache_dir=DIR
"""

import dataclasses

from absl import flags

from hclx.config import DataConfig
from hclx.data.cache_builder import build_cache
from hclx.data.source import ReadSettings, sources_of
from hclx.launching import run

MIXTURE = flags.DEFINE_string("mixture", "", "A mixture or task that is registered in tasks/.")
CORPUS = flags.DEFINE_string(
    "corpus", "", "Or a folder that launch/build_corpus.py made, with its mixture."
)
INPUT = flags.DEFINE_string(
    "input", "", "Or one's own files: GLOB[,GLOB...] of .jsonl[.gz] with `text`, or .txt[.gz]."
)
TOKENIZER_DIR = flags.DEFINE_string(
    "tokenizer_dir", None, "Folder of the tokenizer.", required=True
)
CACHE_DIR = flags.DEFINE_string("cache_dir", None, "Folder to make.", required=True)
SETTINGS = {field.name: field.default for field in dataclasses.fields(ReadSettings)}
PERMILLE = flags.DEFINE_integer(
    "validation_permille", SETTINGS["validation_permille"], "Documents held out, in 1,000."
)
MAX_DOCUMENTS = flags.DEFINE_integer(
    "max_documents", SETTINGS["max_documents"], "Documents read of each source; 0: all."
)
INVALID_UTF8 = flags.DEFINE_enum(
    "invalid_utf8", SETTINGS["invalid_utf8"], ["refuse", "replace"], "What to do with it."
)


def main(_):
    data = DataConfig(
        mixture=MIXTURE.value,
        corpus=CORPUS.value,
        input=INPUT.value,
        validation_permille=PERMILLE.value,
        max_documents=MAX_DOCUMENTS.value,
        invalid_utf8=INVALID_UTF8.value,
    )
    cache = build_cache(
        data.label, sources_of(data), TOKENIZER_DIR.value, CACHE_DIR.value, ReadSettings.of(data)
    )
    for source in cache.manifest["sources"]:
        train, validation = source["splits"]["train"], source["splits"]["validation"]
        print(
            f"{source['name']}: {train['n_documents']:,} documents, {train['n_tokens']:,} tokens to"
            f" train on, {validation['n_documents']:,} and {validation['n_tokens']:,} to validate,"
            f" rate {source['rate']:g}"
        )
    print(f"{CACHE_DIR.value}: fingerprint {cache.fingerprint[:16]}")


if __name__ == "__main__":
    run(main)
