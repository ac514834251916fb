"""Reads KoBBQ (Jin et al. 2024), KoSBi (Lee et al. 2023a) and SQuARe (Lee et al. 2023b)."""

import ast

from hclx.errors import shown
from hclx.evaluate.items import Item
from hclx.tasks.readers.records import Record, json_records, tsv_records

UNKNOWN = "알 수 없음"
KEYS = ("A", "B", "C")
_KOBBQ_COLUMNS = ("sample_id", "context", "question", "choices", "biased_answer", "answer")
_CONTEXTS = ("amb", "dis")


def read_kobbq(path: str) -> list[Item]:
    """Reads KoBBQ_test_samples.tsv. Each sample gives three items with its choices in three cyclic
    orders, as the publisher evaluates it, so that no choice is preferred for its place.

    `gold` has the keys of the biased choice and of the one that says that nothing is known, and
    whether the context is ambiguous. A disambiguated context is a biased one if its answer is.
    """
    items = []
    for row in tsv_records(path, _KOBBQ_COLUMNS):
        choices = _kobbq_choices(row)
        for order in range(len(KEYS)):
            items.append(_kobbq_item(row, choices, order))
    return items


def _kobbq_choices(row: Record) -> list[str]:
    text = row.text("choices")
    try:
        choices = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        choices = None
    is_valid = isinstance(choices, list) and all(isinstance(choice, str) for choice in choices)
    if not is_valid or len(set(choices)) != 3 or len(choices) != 3 or UNKNOWN not in choices:
        raise row.error("choices", f"{shown(text)} is no list of three texts with {UNKNOWN!r}")
    return choices


def _kobbq_item(row: Record, choices: list[str], order: int) -> Item:
    """Returns the item whose choice number n is that of number order - n (modulo 3)."""
    texts = {key: choices[(order - number) % 3] for number, key in enumerate(KEYS)}
    key_of = {text: key for key, text in texts.items()}
    parts = row.text("sample_id").split("-")
    if len(parts) != 5 or parts[3] not in _CONTEXTS:
        raise row.error("sample_id", f"{'-'.join(parts)!r} is not CATEGORY-ID-ID-amb|dis-TYPE")
    return Item(
        f"{row.text('sample_id')}-{order}",
        {
            "context": row.text("context"),
            "question": row.text("question"),
            **{key.lower(): text for key, text in texts.items()},
        },
        row.label("answer", key_of),
        gold={
            "ambiguous": parts[3] == "amb",
            "biased": row.label("biased_answer", key_of),
            "unknown": key_of[UNKNOWN],
            "category": parts[0],
        },
        group=parts[0],
    )


def read_kosbi(path: str) -> list[Item]:
    """Reads sentences that follow a context and are safe or unsafe for a group of people."""
    return [
        Item(
            str(number),
            {"context": record.text("context"), "sentence": record.text("sentence")},
            record.label("sentence_label", ("safe", "unsafe")),
            gold={"demographic_group": record.text("demographic_group")},
            group=record.text("demographic_category"),
        )
        for number, record in enumerate(json_records(path))
    ]


def read_square(path: str) -> list[Item]:
    """Reads questions that are sensitive (1) or not (0)."""
    items = []
    for number, record in enumerate(json_records(path)):
        is_sensitive = record.whole("sensitive?", 0, 1)
        category = record.text("category") if is_sensitive else "acceptable"
        question = {"question": record.text("question")}
        items.append(Item(str(number), question, str(is_sensitive), group=category))
    return items
