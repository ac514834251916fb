"""Writes labelled texts with a model: hclx augment --model_dir=runs/demo --method=hypermix
--seeds=reviews.csv --text_type='영화 평' --label_type=감정 --labels=0=부정,1=긍정 --n=1000
--output=results/more

The same command again goes on where it stopped. docs/augmentation.md describes methods, filters and
files. Several processes: as `hclx pretrain`; process 0 reads and writes.
"""

from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output_folder, run
from hclx.shared_flags import ModelFlags

MODEL = ModelFlags()
TEXT, NUMBER, REAL = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_float
METHOD = TEXT("method", "hypermix", "hypermix, transfer or slots.")
SEEDS = TEXT("seeds", None, "Labelled texts: .csv or .tsv with a head, or .jsonl.")
TEXT_COLUMN = TEXT("text_column", "text", "Their column of the text.")
LABEL_COLUMN = TEXT("label_column", "label", "Their column of the label.")
ENCODING = TEXT("encoding", "", "Of --seeds and --exclude, such as cp949; default: UTF-8.")
PROMPT = TEXT("prompt", None, "A file with a prompt document; default: --template.")
TEMPLATE = TEXT("template", None, "hypermix, gpt3mix, transfer or slots; default: the method's.")
TEXT_TYPE = TEXT("text_type", "", "The name of a text in the template, such as '영화 평'.")
LABEL_TYPE = TEXT("label_type", "", "The name of a label there, such as 감정.")
LABELS = flags.DEFINE_list("labels", [], "KEY=WORDS or WORDS each; default: those of the seeds.")
N = NUMBER("n", 100, "Lines to keep.", 1)
MAX_ATTEMPTS = NUMBER("max_attempts", None, "Attempts at most; default: 20 a line.", 1)
SHOTS = NUMBER("shots", 2, "Examples of a prompt.", 0)
SELECTION = flags.DEFINE_enum(
    "selection", "uniform", ["uniform", "balanced", "near", "far"], "Of the examples."
)
SEED = NUMBER("seed", 0, "Of all draws.", 0)
TEMPERATURE = REAL("temperature", None, "See hclx generate; default: the prompt's, or 1.", 0)
TOP_P = REAL("top_p", None, "See hclx generate; default: the prompt's, or 0.95.", 0, 1)
FREQUENCY_PENALTY = REAL("frequency_penalty", None, "Of words that a line repeats.", -100, 100)
GRAMMAR = flags.DEFINE_bool("grammar", True, "Allow only lines that can be read.")
SOFT_LABELS = flags.DEFINE_bool("soft_labels", True, "Score each label of hypermix.")
MIN_CHARS = NUMBER("min_chars", 2, "The fewest characters of a text.", 1)
MAX_CHARS = NUMBER("max_chars", 100, "The most.", 1)
LANGUAGE = TEXT("language", "ko", "ISO 639-1 of the texts; empty: any.")
NEAR = REAL("near", 0.7, "The similarity from which on a text is a near duplicate.", 0, 1)
AGREEMENT = REAL(
    "min_agreement", 0, "The least probability of the label by a second pass; 0: no pass.", 0, 1
)
EXCLUDE = flags.DEFINE_list("exclude", [], "Files of evaluation sets that no text may hold.")
EXCLUDE_COLUMN = TEXT("exclude_column", None, "Their column of the text; default: --text_column.")
ROWS = NUMBER("rows", 16, "Requests that are served at once.", 1)
OUTPUT = TEXT("output", None, "The folder for the lines.")


def main(_):
    if not (MODEL.has_value and OUTPUT.value):
        raise ConfigError("--model_dir (or --engine) and --output are needed; see --help")
    check_output_folder("--output", OUTPUT.value)
    from hclx.augment.write_lines import AUGMENTED, write_lines
    from hclx.evaluate.item_prompts import reader_of
    from hclx.progress import counted

    augmentation, sets = from_flags()
    source, folder = MODEL.source(ROWS.value), Path(OUTPUT.value)
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return
        reader = reader_of(source.reads, *MODEL.reading())
        limits = (folder, N.value, MAX_ATTEMPTS.value, sets)
        card = write_lines(engine, reader, augmentation, source.facts(), *limits)
    print(f"{counted(card['kept'], 'line')} of {counted(card['attempts'], 'attempt')}")
    for reason, number in card["reasons"].items():
        print(f"  {number:>7,}  {reason}")
    print(f"{folder / AUGMENTED}, {folder / 'card.html'}")


def from_flags():
    """Returns the augmentation, and the evaluation sets that it leaves out."""
    from hclx.augment.from_options import Files, augmentation_of
    from hclx.augment.line_filters import Bounds

    columns = (TEXT_COLUMN.value, LABEL_COLUMN.value, ENCODING.value)
    excluded = (tuple(EXCLUDE.value), EXCLUDE_COLUMN.value)
    files = Files(SEEDS.value, PROMPT.value, TEMPLATE.value, *columns, *excluded)
    lengths = (MIN_CHARS.value, MAX_CHARS.value)
    bounds = Bounds(*lengths, LANGUAGE.value, NEAR.value, AGREEMENT.value)
    draws = {"temperature": TEMPERATURE.value, "top_p": TOP_P.value}
    draws |= {"frequency_penalty": FREQUENCY_PENALTY.value}
    settings = {"shots": SHOTS.value, "selection": SELECTION.value, "seed": SEED.value}
    made = augmentation_of(
        *(METHOD.value, files, (TEXT_TYPE.value, LABEL_TYPE.value), LABELS.value, draws, bounds),
        **settings,
        follows_grammar=GRAMMAR.value,
        soft_labels=SOFT_LABELS.value,
    )
    return made, files.evaluation_sets()


if __name__ == "__main__":
    run(main)
