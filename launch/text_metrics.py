"""Compares the texts of a model with those of people: hclx text_metrics --human=human.jsonl
--model=model.jsonl

--documents=FILES makes human.jsonl of documents, and hclx generate --prompts=human.jsonl
--output=model.jsonl the other file. docs/generator_metrics.md says what is measured.
"""

import json
from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output, run

HUMAN = flags.DEFINE_string("human", None, "JSONL file of prompts, and how documents go on.")
MODEL = flags.DEFINE_string("model", None, "JSONL file of the same prompts as a model goes on.")
CORPUS = flags.DEFINE_string("corpus", None, "The model's training text, GLOB[,GLOB...].")
SEEDS = flags.DEFINE_integer("seeds", 5, "Divisions of the documents for the discriminator.", 1)
OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the figures.")
DOCUMENTS = flags.DEFINE_string("documents", None, "Held-out documents for --human, GLOB[,GLOB].")
PROMPT_CHARACTERS = flags.DEFINE_integer("prompt_characters", 60, "Of each prompt.", 1)
TEXT_CHARACTERS = flags.DEFINE_integer("text_characters", 300, "Of each text behind it.", 40)
MAX_DOCUMENTS = flags.DEFINE_integer("max_documents", 500, "Documents that are drawn.", 1)
SEED = flags.DEFINE_integer("seed", 0, "Of that.", 0)


def main(_):
    if OUTPUT.value:
        check_output("--output", OUTPUT.value)
    if DOCUMENTS.value:
        make_human_file()
        return
    if not MODEL.value:
        raise ConfigError("--model=FILE.jsonl is missing; --help lists the options")
    from hclx.evaluate.generator.continuations import read_continuations
    from hclx.evaluate.generator.text_metrics import report, text_metrics
    from hclx.evaluate.samples import replace_text
    from hclx.text.documents import expand_globs, read_documents

    model = read_continuations(MODEL.value)
    human = read_continuations(HUMAN.value) if HUMAN.value else None
    corpus = read_documents(expand_globs(CORPUS.value)) if CORPUS.value else None
    result = text_metrics(model, human, corpus, SEEDS.value)
    print(report(result))
    if OUTPUT.value:
        text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
        replace_text(Path(OUTPUT.value), text)


def make_human_file():
    """Writes prompts and texts of documents."""
    from hclx.evaluate.generator.continuations import divide_documents, write_continuations
    from hclx.text.documents import expand_globs, read_documents

    if not HUMAN.value or MODEL.value:
        raise ConfigError("--documents makes the file that --human names, and takes no --model")
    check_output("--human", HUMAN.value)
    if Path(HUMAN.value).exists():
        raise ConfigError(f"{HUMAN.value} exists; name another file, or leave --documents out")
    lines = divide_documents(
        read_documents(expand_globs(DOCUMENTS.value)),
        PROMPT_CHARACTERS.value,
        TEXT_CHARACTERS.value,
        MAX_DOCUMENTS.value,
        SEED.value,
    )
    write_continuations(Path(HUMAN.value), lines)
    print(f"{HUMAN.value}: {len(lines)} prompts; go on with hclx generate --prompts={HUMAN.value}")


if __name__ == "__main__":
    run(main)
