"""Reads questions of knowledge with choices: KMMLU (Son et al. 2024b), HAE-RAE Bench (Son et al.
2024a) and CLIcK (Kim et al. 2024). None of these sets may be passed on, so that none is shipped.
"""

import dataclasses
import re
from pathlib import Path

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import Record, csv_records, json_records, jsonl_records

LETTERS = "ABCDE"
HAERAE_KEYS = tuple(f"({letter})" for letter in LETTERS)
# Those of lm-evaluation-harness. The other categories of version 1.1 have no five choices.
HAERAE_CATEGORIES = (
    "general_knowledge",
    "history",
    "loan_words",
    "rare_words",
    "standard_nomenclature",
)
# The words by which lm-evaluation-harness asks, with a paragraph and without.
_WITH_PARAGRAPH = "주어진 맥락을 천천히 읽고, 질문에 대한 적절한 정답을"
_WITHOUT = "주어진 질문을 천천히 읽고, 적절한 정답을"


def read_kmmlu(path: str) -> list[Item]:
    """Reads the CSV file of a subject, such as Accounting-test.csv; the subject is the group."""
    subject = re.sub(r"-(train|dev|test)\.csv(\.gz)?$", "", Path(path).name)
    return [
        Item(
            f"{subject}-{number}",
            {
                "question": row.text("question").strip(),
                **{letter: row.text(letter, may_be_empty=True) for letter in "ABCD"},
            },
            "ABCD"[row.whole("answer", 1, 4) - 1],
            group=subject,
        )
        for number, row in enumerate(csv_records(path, ("question", "answer", *"ABCD")))
    ]


def read_haerae(path: str) -> list[Item]:
    """Reads the JSON lines of version 1.1: query, options, answer, category. The query has the
    options in it. Only the categories of HAERAE_CATEGORIES are read.
    """
    return [
        Item(
            f"{record.text('category')}-{number}",
            {"query": record.text("query")},
            record.label("answer", HAERAE_KEYS),
            group=record.text("category"),
        )
        for number, record in enumerate(jsonl_records(path))
        if record.text("category") in HAERAE_CATEGORIES
    ]


def read_click(path: str) -> list[Item]:
    """Reads the questions of CLIcK that have four choices."""
    return _click(path, 4)


def read_click_csat(path: str) -> list[Item]:
    """Reads the questions of CLIcK that have five choices, from the college entrance exam."""
    return _click(path, 5)


def _click(path: str, count: int) -> list[Item]:
    """Returns the items that have a number of choices; all of them are checked."""
    items = [(_click_item(record), record) for record in json_records(path)]
    return [
        dataclasses.replace(item, group=Path(path).stem)
        for item, record in items
        if len(record.texts("choices")) == count
    ]


def _click_item(record: Record) -> Item:
    choices, answer = record.texts("choices"), record.text("answer")
    if len(choices) not in (4, 5):
        raise record.error("choices", f"{len(choices)} of them; 4 or 5 are expected")
    if answer not in choices:
        raise record.error("answer", f"{answer!r} is none of the choices")
    paragraph = record.text("paragraph", may_be_empty=True)
    return Item(
        record.text("id"),
        {
            "paragraph": paragraph,
            "question": record.text("question"),
            "instruction": _WITH_PARAGRAPH if paragraph else _WITHOUT,
            "passage": f"맥락: {paragraph}\n" if paragraph else "",
            **dict(zip(LETTERS, choices, strict=False)),
        },
        LETTERS[choices.index(answer)],
    )
