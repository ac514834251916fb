"""Reads the sets of KLUE v1.1 (Park et al. 2021) with a line a token: NER and DP."""

import re
from collections.abc import Iterator

from hclx.errors import DataError
from hclx.evaluate.items import Item
from hclx.evaluate.structured_answers import ENTITY_TYPES, entities_text, tree_text
from hclx.tasks.readers.records import Record, lines

TAGS = ("O", *(f"{part}-{kind}" for kind in ENTITY_TYPES for part in "BI"))
_HEAD = re.compile(r"## (klue-\S+)\t(.+)")
_MARK = re.compile(rf"<([^<>]*):(?:{'|'.join(ENTITY_TYPES)})>")
NER_COLUMNS = ("CHAR", "NE_TAG")
DP_COLUMNS = ("INDEX", "WORD_FORM", "LEMMA", "POS", "HEAD", "DEPREL")


def unmarked(text: str) -> str:
    """Returns the head of a sentence of NER without the marks of its entities."""
    return _MARK.sub(r"\1", text)


def sentences(path: str, columns: tuple[str, ...]) -> Iterator[tuple[Record, list[Record]]]:
    """Yields sentences: a record of `guid` and `text`, and a record for each of its tokens.

    Args:
      path: of the file.
      columns: of the lines of tokens.
    Raises:
      DataError: a line of a token has other columns or no sentence, or a sentence has no tokens.
    """
    head: Record | None = None
    rows: list[Record] = []
    for number, line in lines(path):
        place = f"{path}:{number}"
        if match := _HEAD.fullmatch(line):
            if head:
                yield _whole(head, rows)
            head, rows = Record({"guid": match[1], "text": match[2]}, place), []
        elif line.startswith("## ") or not line:
            continue
        else:
            values = line.split("\t")
            if head is None or len(values) != len(columns):
                problem = f"{len(values)} columns" if head else "no sentence before it"
                raise DataError(f"{place}: a line of {', '.join(columns)} has {problem}")
            rows.append(Record(dict(zip(columns, values, strict=True)), place))
    if head:
        yield _whole(head, rows)


def _whole(head: Record, rows: list[Record]) -> tuple[Record, list[Record]]:
    if not rows:
        raise head.error("text", "no tokens follow the sentence")
    return head, rows


def read_klue_ner(path: str) -> list[Item]:
    """Reads sentences with their entities. The answer is as
    `hclx.evaluate.structured_answers.entities_text` writes them.
    """
    return [_ner_item(head, rows) for head, rows in sentences(path, NER_COLUMNS)]


def _ner_item(head: Record, rows: list[Record]) -> Item:
    characters = "".join(row.text("CHAR", may_be_empty=True) for row in rows)
    sentence = unmarked(head.text("text"))
    if characters != sentence:
        raise head.error("text", f"{sentence!r}, and its lines have {characters!r}")
    spans: list[list] = []
    before = "O"
    for number, row in enumerate(rows):
        tag = row.label("NE_TAG", TAGS)
        if tag[0] == "B":
            spans.append([number, number + 1, tag[2:]])
        elif tag[0] == "I":
            if before[2:] != tag[2:]:
                raise row.error("NE_TAG", f"{tag} continues no {tag[2:]}")
            spans[-1][1] = number + 1
        before = tag
    guid = head.text("guid")
    return Item(
        guid,
        {"sentence": sentence},
        entities_text((characters[start:end], kind) for start, end, kind in spans),
        gold={"entities": spans, "characters": characters},
        group=guid.rpartition("-")[2],
    )


def read_klue_dp(path: str) -> list[Item]:
    """Reads sentences with their dependency trees. The field `words` has the numbered words, and
    the answer is as `hclx.evaluate.structured_answers.tree_text` writes trees.
    """
    return [_dp_item(head, rows) for head, rows in sentences(path, DP_COLUMNS)]


def _dp_item(head: Record, rows: list[Record]) -> Item:
    for number, row in enumerate(rows, start=1):
        row.whole("INDEX", number, number)
    words = [row.text("WORD_FORM") for row in rows]
    heads = [row.whole("HEAD", 0, len(rows)) for row in rows]
    relations = [row.text("DEPREL") for row in rows]
    guid = head.text("guid")
    return Item(
        guid,
        {
            "sentence": head.text("text"),
            "words": " ".join(f"{number} {word}" for number, word in enumerate(words, start=1)),
        },
        tree_text(heads, relations),
        gold={"heads": heads, "deprels": relations, "words": words},
        group=guid.rpartition("_")[2],
    )
