"""Measures the rules on rough talk (word lists, lone jamo, laughter, runs) on labelled comments and
on raw text.

    python tests/benchmarks/rough_talk.py

HCLX_DATA_DIR names the data. Predictors are columns of hclx.corpus.taggers.spam and the rules of
hclx/corpus/defaults.yaml; the comments of tasks/korean_hate_speech are labelled none, offensive or
hate (Moon et al. 2020). The word list has another purpose than these labels: it finds swear words,
so it misses hate speech without one, and finds swearing that hurts nobody.
"""

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
from absl import app, flags

from hclx.corpus import filters
from hclx.corpus.settings import Rule, parse_settings
from hclx.corpus.taggers import TAGGERS
from hclx.corpus.text_batch import batches

DATA = flags.DEFINE_string(
    "data_dir", None, "Folder that holds corpus/ and tasks/; default: HCLX_DATA_DIR."
)
SPLITS = flags.DEFINE_list(
    "splits", ["dev", "train"], "Splits of tasks/korean_hate_speech to measure on."
)
SOURCES = flags.DEFINE_list("sources", ["comments", "reviews"], "Folders of corpus/ to measure on.")

TARGETS = {"hate": ("hate",), "hate or offensive": ("hate", "offensive")}
# These rules are for documents; a source of short comments would switch them off.
OFF = ("too_short", "line_end")
COLUMNS = {  # beside the rules: the columns by themselves
    "1 swear word": Rule("spam.profanity", max=0),
    "2 swear words": Rule("spam.profanity", max=1),
    "any lone jamo": Rule("spam.jamo", max=0),
    "any laughter": Rule("spam.laughter", max=0),
    "any run of 4": Rule("spam.runs", max=0),
}


def main(_):
    # No source changes them, so these are the rules of defaults.yaml.
    rules = parse_settings({"sources": {"any": {"input": "*"}}})
    rules = {name: rule for name, rule in rules.sources["any"].rules.items() if rule}
    for split in SPLITS.value:
        texts, labels = labelled(data("tasks", "korean_hate_speech", f"{split}.tsv"))
        counts = ", ".join(f"{n:,} {label}" for label, n in Counter(labels).most_common())
        print(
            f"\nkorean_hate_speech {split}: {len(texts):,} comments, {counts}. Precision / recall /"
            " F1 in percent.\n"
        )
        print(
            against_labels(
                breaks(texts, {**COLUMNS, **rules}), np.array(labels), set(COLUMNS) | of_spam(rules)
            )
        )
    print(
        "\nHate speech without swear words is not found by a word list: hence the recall of the"
        " lines on profanity."
    )
    print("\nShare of documents that break each rule, whatever else they break.\n")
    print(
        shares(
            {source: breaks(read(source), {**COLUMNS, **rules}) for source in SOURCES.value}, rules
        )
    )


def data(*parts: str) -> Path:
    """Path of a file or folder of the data."""
    return Path(DATA.value or os.environ["HCLX_DATA_DIR"], *parts)


def labelled(path: Path) -> tuple[list[str], list[str]]:
    """Reads comments, and the label of each."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["comments"] for row in rows], [row["hate"] for row in rows]


def read(source: str) -> list[str]:
    """Reads the texts of a source."""
    texts = []
    for path in sorted(data("corpus", source).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file]
    return texts


def of_spam(rules: dict[str, Rule]) -> set[str]:
    """Names of the rules on columns of the spam tagger."""
    return {name for name, rule in rules.items() if rule.attribute.startswith("spam.")}


def breaks(texts: list[str], rules: dict[str, Rule]) -> dict[str, np.ndarray]:
    """Maps each rule to a bool array [d]: which documents break it.

    These texts have no titles, so no title breaks a rule.
    """
    named = " ".join(f"{rule.attribute} {rule.where}" for rule in rules.values())
    taggers = [name for name in TAGGERS if f"{name}." in named]
    hits: dict[str, list[np.ndarray]] = {name: [] for name in rules}
    for batch in batches(texts):
        columns = {
            f"{name}.{column}": values
            for name in taggers
            for column, values in TAGGERS[name](batch).items()
        }
        for name, rule in rules.items():
            hits[name].append(filters.breaks(rule, columns.__getitem__))
    return {name: np.concatenate(arrays) for name, arrays in hits.items()}


def against_labels(hits_of: dict[str, np.ndarray], labels: np.ndarray, shown: set[str]) -> str:
    """Markdown table with a line for each predictor of `shown`, and for all rules together."""
    rules = set(hits_of) - set(COLUMNS)
    lines = {name: hits for name, hits in hits_of.items() if name in shown}
    lines["any rule on rough talk or spam"] = np.any([hits_of[name] for name in rules & shown], 0)
    lines["any rule"] = np.any([hits_of[name] for name in rules], 0)
    lines[f"any but {' and '.join(OFF)}"] = np.any(
        [hits_of[name] for name in rules.difference(OFF)], 0
    )
    lines["every comment"] = np.ones(len(labels), bool)
    truths = {target: np.isin(labels, names) for target, names in TARGETS.items()}
    rows = [
        [name, f"{hits.sum():,}", *(scores(hits, truth) for truth in truths.values())]
        for name, hits in lines.items()
    ]
    return table(["predictor", "found", *truths], rows)


def scores(hits: np.ndarray, truth: np.ndarray) -> str:
    """Precision, recall and F1 in percent."""
    right = (hits & truth).sum()
    precision = f"{100 * right / hits.sum():.1f}" if hits.any() else "-"
    return (
        f"{precision} / {100 * right / truth.sum():.1f} /"
        f" {200 * right / (hits.sum() + truth.sum()):.1f}"
    )


def shares(hits_of: dict[str, dict[str, np.ndarray]], rules: dict[str, Rule]) -> str:
    """Markdown table of the share of documents that break each rule, with a column for each
    source.
    """
    share = lambda hits: f"{100 * hits.mean():.3f}%"
    lines = {name: f"{name}: {bounds(rule)}" for name, rule in {**COLUMNS, **rules}.items()}
    rows = [
        [line, *(share(by_rule[name]) for by_rule in hits_of.values())]
        for name, line in lines.items()
    ]
    groups = {
        "any rule on rough talk or spam": of_spam(rules),
        "any rule": set(rules),
        f"any but {' and '.join(OFF)}": set(rules).difference(OFF),
    }
    rows += [
        [
            line,
            *(share(np.any([by_rule[name] for name in names], 0)) for by_rule in hits_of.values()),
        ]
        for line, names in groups.items()
    ]
    sizes = [
        f"{source} ({len(next(iter(by_rule.values()))):,} documents)"
        for source, by_rule in hits_of.items()
    ]
    return table(["rule", *sizes], rows)


def bounds(rule: Rule) -> str:
    """Condition on which a rule is broken."""
    parts = [
        f"below {rule.min:g}" if rule.min is not None else "",
        f"above {rule.max:g}" if rule.max is not None else "",
    ]
    return f"{rule.attribute} {' or '.join(filter(None, parts))}"


def table(head: list[str], rows: list[list[str]]) -> str:
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    app.run(main)
