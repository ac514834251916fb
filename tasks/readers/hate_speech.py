"""Reads the Korean hate speech dataset (Moon et al. 2020): comments on entertainment news."""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import tsv_records

HATE = ("none", "offensive", "hate")
BIAS = ("none", "others", "gender")
_COLUMNS = ("comments", "contain_gender_bias", "bias", "hate")


def read_hate_speech(path: str) -> list[Item]:
    """Reads train.tsv or dev.tsv for the hate in a comment: none, offensive or hate."""
    return _items(path, "hate", HATE)


def read_hate_speech_bias(path: str) -> list[Item]:
    """Reads train.tsv or dev.tsv for the social bias in a comment: none, others or gender."""
    return _items(path, "bias", BIAS)


def _items(path: str, field: str, labels: tuple[str, ...]) -> list[Item]:
    rows = enumerate(tsv_records(path, _COLUMNS))
    return [
        Item(
            str(number),
            {"comment": row.text("comments")},
            row.label(field, labels),
            gold={"gender_bias": row.label("contain_gender_bias", ("True", "False")) == "True"},
        )
        for number, row in rows
    ]
