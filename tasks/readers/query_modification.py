"""Reads queries of dialogues that are rewritten to stand alone (Kim et al. 2021, section 5.3).

No such set is public, so that the format is this project's own: JSON lines of
`{"dialogue": ["first turn", "second turn"], "query": "...", "rewritten": "..."}`. The turns are
those of the user and of the speaker in turn, the user's first; `rewritten` may also be a list of
all rewritings that are accepted; `id` and `group` are optional.
"""

from hclx.evaluate.items import Item
from hclx.tasks.readers.records import jsonl_records

SPEAKERS = ("사용자", "스피커")


def read_query_modification(path: str) -> list[Item]:
    """Reads queries; the field `dialogue` has a turn a line, each behind the name of its speaker.
    A dialogue may be empty.
    """
    items = []
    for number, record in enumerate(jsonl_records(path)):
        is_text = isinstance(record.value("rewritten"), str)
        answers = (record.text("rewritten"),) if is_text else tuple(record.texts("rewritten"))
        if not answers:
            raise record.error("rewritten", "empty; a rewriting is expected")
        turns = enumerate(record.texts("dialogue"))
        dialogue = "\n".join(f"{SPEAKERS[turn % 2]}: {text}" for turn, text in turns)
        items.append(
            Item(
                record.text("id") if "id" in record.values else str(number),
                {"dialogue": dialogue, "query": record.text("query")},
                answers[0],
                answers,
                group=record.text("group") if "group" in record.values else "",
            )
        )
    return items
