"""Measures bits per byte of files: hclx perplexity --model_dir=runs/demo --input='held_out/*.jsonl'

docs/generator_metrics.md says what is measured, and how long documents are read. With --output, the
same command again goes on where it stopped: OUTPUT.resume has the documents that were scored.
Several processes: as `hclx pretrain`; process 0 reads and writes.
"""

from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output, run
from hclx.shared_flags import ModelFlags

MODEL = ModelFlags()
STRIDE = flags.DEFINE_integer(
    "stride", None, "Tokens by which windows move; default: half of their length.", 1
)
BEGIN_ALL = flags.DEFINE_bool(
    "begin_all", False, "Begin every window as a document, not the first one alone."
)
INPUT = flags.DEFINE_string("input", None, "Files or folders, GLOB[,GLOB...]; see docs/corpus.md.")
ENCODING = flags.DEFINE_string("encoding", "", "Of the files, such as cp949; default: UTF-8.")
SPLIT = flags.DEFINE_enum(
    "split", "file", ["file", "line", "blank_line"], "What a document of a text file is."
)
MAX_DOCUMENTS = flags.DEFINE_integer("max_documents", 0, "Of each file; 0: all.", 0)
ROWS = flags.DEFINE_integer("rows", 8, "Windows that are read at once.", 1)
SEED = flags.DEFINE_integer("seed", 0, "Of the bootstrap.", 0)
OUTPUT = flags.DEFINE_string(
    "output", None, "The JSON file for the figures; without, nothing is kept."
)


def main(_):
    if not MODEL.has_value or not INPUT.value:
        raise ConfigError("--model_dir (or --engine) and --input are needed; see --help")
    from hclx.evaluate.generator.perplexity import windows_of
    from hclx.evaluate.generator.perplexity_files import TextFiles, measure_files, write_json
    from hclx.evaluate.item_prompts import reader_of

    files = TextFiles.of(INPUT.value, ENCODING.value, SPLIT.value, MAX_DOCUMENTS.value)
    if OUTPUT.value:
        check_output("--output", OUTPUT.value)
    source = MODEL.source(ROWS.value)
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return
        reader = reader_of(source.reads, *MODEL.reading())
        windows, rule = windows_of(reader, STRIDE.value, BEGIN_ALL.value)
        facts = {"tokenizer": reader.tokenizer.fingerprint, **source.facts()}
        folder = Path(f"{OUTPUT.value}.resume") if OUTPUT.value else None
        results = measure_files(engine, reader, windows, files, SEED.value, folder, facts)
    if OUTPUT.value:
        write_json(Path(OUTPUT.value), {**results, "model": facts, "begin_rule": rule})


if __name__ == "__main__":
    run(main)
