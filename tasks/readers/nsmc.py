"""Reads NSMC, the Naver sentiment movie corpus: reviews that are negative (0) or positive (1)."""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import tsv_records


def read_nsmc(path: str) -> list[Item]:
    """Reads ratings_train.txt or ratings_test.txt: TSV of id, document, label. A few reviews are
    empty in the publisher's files.
    """
    rows = tsv_records(path, ("id", "document", "label"))
    return [
        Item(
            row.text("id"),
            {"document": row.text("document", may_be_empty=True)},
            row.label("label", ("0", "1")),
        )
        for row in rows
    ]
