"""Builds a token cache: hclx build_cache --mixture=kowiki --tokenizer_dir=DIR
--cache_dir=DIR

The text is a mixture (--mixture), a clean corpus (--corpus) or files of one's own (--input). Every
document is encoded once; training then reads the cache by index.
"""

import dataclasses

from absl import flags

from hclx.config import DataConfig
from hclx.data.cache_builder import build_cache
from hclx.data.source import ReadSettings, label_of, sources_of
from hclx.launching import check_output_folder, run
from hclx.progress import counted

DEFAULTS = {field.name: field.default for field in dataclasses.fields(DataConfig)}
MIXTURE = flags.DEFINE_string("mixture", "", "A mixture or task that --task_module registers.")
TASK_MODULE = flags.DEFINE_string(
    "task_module", DEFAULTS["task_module"], "Python module that registers seqio tasks."
)
CORPUS = flags.DEFINE_string("corpus", "", "Folder that hclx build_corpus made, with its mixture.")
INPUT = flags.DEFINE_string("input", "", "Files or folders, GLOB[,GLOB...]; see docs/corpus.md.")
ENCODING = flags.DEFINE_string("encoding", "", "Of --input, such as cp949; default: UTF-8.")
TOKENIZER_DIR = flags.DEFINE_string(
    "tokenizer_dir", None, "Folder of the tokenizer.", required=True
)
CACHE_DIR = flags.DEFINE_string("cache_dir", None, "Folder to make.", required=True)
PERMILLE = flags.DEFINE_integer(
    "validation_permille", DEFAULTS["validation_permille"], "Documents held out, in 1,000.", 1, 999
)
MAX_DOCUMENTS = flags.DEFINE_integer(
    "max_documents", DEFAULTS["max_documents"], "Documents read of each source; 0: all.", 0
)
INVALID_UTF8 = flags.DEFINE_enum(
    "invalid_utf8", DEFAULTS["invalid_utf8"], ["refuse", "replace"], "How to treat invalid UTF-8."
)


def main(_):
    data = DataConfig(
        mixture=MIXTURE.value,
        task_module=TASK_MODULE.value,
        corpus=CORPUS.value,
        input=INPUT.value,
        encoding=ENCODING.value,
        validation_permille=PERMILLE.value,
        max_documents=MAX_DOCUMENTS.value,
        invalid_utf8=INVALID_UTF8.value,
    )
    check_output_folder("--cache_dir", CACHE_DIR.value)
    cache = build_cache(
        label_of(data),
        sources_of(data, flags="--"),
        TOKENIZER_DIR.value,
        CACHE_DIR.value,
        ReadSettings.of(data),
    )
    for source in cache.manifest["sources"]:
        train, validation = source["splits"]["train"], source["splits"]["validation"]
        print(
            f"{source['name']}: {counted(train['n_documents'], 'document')} and"
            f" {counted(train['n_tokens'], 'token')} for training,"
            f" {validation['n_documents']:,} and {validation['n_tokens']:,} for validation, rate"
            f" {source['rate']:g}"
        )
    print(f"{CACHE_DIR.value}: fingerprint {cache.fingerprint[:16]}")


if __name__ == "__main__":
    run(main)
