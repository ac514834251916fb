"""Trains a filter of a server's outputs on labelled texts: hclx train_output_filter --train=FILE
--text=COLUMN --category=GROUP/NAME:COLUMN=VALUES --output=FILE

hclx serve --filter=FILE loads it; docs/serving_filter.md says what it does and how good it is.
"""

from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output, run

TRAIN = flags.DEFINE_string("train", None, "Labelled texts: .tsv, .csv or .jsonl.", required=True)
TEST = flags.DEFINE_string("test", "", "Others, on which the filter is measured.")
TEXT = flags.DEFINE_string("text", "text", "The column of the texts.")
CATEGORIES = flags.DEFINE_multi_string(
    "category", [], "GROUP/NAME:COLUMN=VALUE[,VALUE...]: texts of these values; repeatable."
)
HARMLESS = flags.DEFINE_string(
    "harmless", "", "Documents of ordinary text, GLOB[,GLOB...], which the filter lets through."
)
HARMLESS_VALUE = flags.DEFINE_string("harmless_value", "none", "Their value in every column.")
MAX_HARMLESS = flags.DEFINE_integer(
    "max_harmless", 8_000, "The most sentences of them.", lower_bound=1
)
OUTPUT = flags.DEFINE_string("output", None, "File of the filter, .npz.", required=True)
NAME = flags.DEFINE_string("name", None, "Of the filter; default: that of the file.")
HELD_OUT = flags.DEFINE_integer(
    "held_out", 5, "Choose the thresholds on every N-th text.", lower_bound=2
)
STRENGTH = flags.DEFINE_float(
    "strength", 3.0, "Of the texts against the squared weights.", lower_bound=1e-6
)


def main(_):
    if not CATEGORIES.value:
        raise ConfigError("--category is missing; give GROUP/NAME:COLUMN=VALUE[,VALUE...]")
    from hclx.errors import require

    require("scipy")
    from hclx.serve.safety.categories import read_category
    from hclx.serve.safety.filter_file import save_filter
    from hclx.serve.safety.filter_training import harmless_texts, read_labelled, train_filter

    categories = [read_category(text) for text in CATEGORIES.value]
    columns = list(dict.fromkeys(category.column for category in categories))
    check_output("--output", OUTPUT.value, makes_folders=True)
    data = read_labelled(TRAIN.value, TEXT.value, columns)
    if HARMLESS.value:
        texts = harmless_texts(HARMLESS.value, MAX_HARMLESS.value)
        data = data.with_harmless(texts, HARMLESS_VALUE.value)
    test = read_labelled(TEST.value, TEXT.value, columns) if TEST.value else None
    name = NAME.value or Path(OUTPUT.value).stem
    made = train_filter(name, data, categories, HELD_OUT.value, STRENGTH.value)
    save_filter(made, OUTPUT.value)
    report(made, test)


def report(made, test):
    """Prints thresholds, and the measures on test texts if there are some."""
    from hclx.serve.safety.filter_training import measure_labels, measure_levels

    print(f"{OUTPUT.value}: {len(made.categories)} categories")
    measured = measure_levels(made, test) if test else {}
    for category in made.categories:
        for place, step in enumerate(category.thresholds):
            line = f"{category.group}/{category.name} level {step.level}:"
            if step.least > 1:
                print(f"{line} no threshold is that precise, so no text gets it")
                continue
            line += f" from {step.least:.3f}, precision {step.precision:.3f}, recall"
            line += f" {step.recall:.3f} on held-out texts"
            if measured:
                row = measured[category.name][place]
                line += f"; {row['precision']:.3f}, {row['recall']:.3f} on {TEST.value}"
            print(line)
    for column, values in (measure_labels(made.model, test) if test else {}).items():
        print(f"{column}: accuracy {values['accuracy']:.3f}, macro F1 {values['f1_macro']:.3f}")


if __name__ == "__main__":
    run(main)
