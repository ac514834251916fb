"""Reads KorNLI and KorSTS (Ham et al. 2020)."""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import tsv_records

NLI_LABELS = ("entailment", "neutral", "contradiction")
SIMILAR = 3.0  # the similarity from which on two sentences count as similar


def read_kornli(path: str) -> list[Item]:
    """Reads a TSV of sentence1, sentence2, gold_label, such as xnli.dev.ko.tsv."""
    rows = enumerate(tsv_records(path, ("sentence1", "sentence2", "gold_label")))
    return [
        Item(
            str(number),
            nli_fields(row.text("sentence1"), row.text("sentence2")),
            row.label("gold_label", NLI_LABELS),
        )
        for number, row in rows
    ]


def nli_fields(premise: str, hypothesis: str) -> dict[str, str]:
    """Returns the fields of an item; `statement` is the hypothesis with a full stop at its end, as
    the branch polyglot of lm-evaluation-harness has it.
    """
    statement = hypothesis.strip()
    end = "" if statement.endswith(".") else "."
    return {"premise": premise, "hypothesis": hypothesis, "statement": statement + end}


def read_korsts(path: str) -> list[Item]:
    """Reads a TSV of two sentences and their similarity from 0 to 5, such as sts-dev.tsv."""
    columns = ("genre", "filename", "year", "id", "score", "sentence1", "sentence2")
    items = []
    for number, row in enumerate(tsv_records(path, columns)):
        score = row.number("score", 0, 5)
        items.append(
            Item(
                str(number),
                {"sentence1": row.text("sentence1"), "sentence2": row.text("sentence2")},
                "1" if score >= SIMILAR else "0",
                gold={"similarity": score},
                group=row.text("genre"),
            )
        )
    return items
