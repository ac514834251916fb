"""Reads KoBEST (Jang et al. 2022) from its publisher's TSV files.

Fields are named as in the version of the Hugging Face hub, which lm-evaluation-harness reads.
"""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import tsv_records

_TRUTH = {"True": "1", "TRUE": "1", "False": "0", "FALSE": "0"}  # both spellings occur
_CONNECTIVES = {"원인": "왜냐하면", "결과": "그래서"}


def read_boolq(path: str) -> list[Item]:
    """Reads questions on a paragraph that are answered by no (0) or yes (1)."""
    rows = tsv_records(path, ("ID", "Text", "Question", "Answer"))
    return [
        Item(
            row.text("ID"),
            {"paragraph": row.text("Text"), "question": row.text("Question")},
            row.label("Answer", _TRUTH),
        )
        for row in rows
    ]


def read_copa(path: str) -> list[Item]:
    """Reads premises with two alternatives (0 and 1) of their cause or effect. The field
    `connective` is the word that lm-evaluation-harness puts between them.
    """
    rows = tsv_records(path, ("ID", "sentence", "question", "1", "2", "Answer"))
    return [
        Item(
            row.text("ID"),
            {
                "premise": row.text("sentence"),
                "question": row.text("question").strip(),
                "connective": row.label("question", _CONNECTIVES),
                "alternative_1": row.text("1"),
                "alternative_2": row.text("2"),
            },
            row.label("Answer", {"1": "0", "2": "1"}),
        )
        for row in rows
    ]


def read_hellaswag(path: str) -> list[Item]:
    """Reads contexts with four endings, 0 to 3."""
    columns = ("context", "choice1", "choice2", "choice3", "choice4", "label")
    return [
        Item(
            str(number),
            {
                "context": row.text("context"),
                **{f"ending_{n}": row.text(f"choice{n}") for n in range(1, 5)},
            },
            row.label("label", ("0", "1", "2", "3")),
        )
        for number, row in enumerate(tsv_records(path, columns))
    ]


def read_sentineg(path: str) -> list[Item]:
    """Reads sentences, many of them negated, that are negative (0) or positive (1)."""
    rows = tsv_records(path, ("ID", "Text", "Label"))
    return [
        Item(row.text("ID"), {"sentence": row.text("Text")}, row.label("Label", ("0", "1")))
        for row in rows
    ]


def read_wic(path: str) -> list[Item]:
    """Reads a word, in brackets in two sentences, of another (0) or the same (1) meaning."""
    rows = tsv_records(path, ("ID", "Target", "SENTENCE1", "SENTENCE2", "ANSWER"))
    return [
        Item(
            row.text("ID"),
            {
                "word": row.text("Target"),
                "context_1": row.text("SENTENCE1"),
                "context_2": row.text("SENTENCE2"),
            },
            row.label("ANSWER", _TRUTH),
        )
        for row in rows
    ]
