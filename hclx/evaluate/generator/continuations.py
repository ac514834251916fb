"""Files of prompts and how they go on: as documents do, and as a model does (hclx generate).

A line is a JSON object with `prompt` and `text`, and `document` where several prompts are of one.
"""

import dataclasses
import json
import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hclx.errors import DataError, shown
from hclx.evaluate.generator.discriminator import Pair, matched_pair
from hclx.evaluate.samples import replace_text
from hclx.text.documents import TrainingReading, read_file
from hclx.text.records import Document, Unreadable

# Names of fields of `Document` that hold those of a line.
_READING = TrainingReading(fields=(("title", "prompt"), ("url", "document"), ("date", "seed")))
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Continuation:
    """A text behind a prompt.

    Attributes:
      prompt, text: in NFC; either may be empty.
      document: what tells its document apart.
      place: file and line.
    """

    prompt: str
    text: str
    document: str
    place: str


def read_continuations(path: str) -> list[Continuation]:
    """Reads a file of continuations, and warns of texts that one seed has sampled.

    Raises:
      DataError: it does not exist, has no line, or a line is wrong: names it.
    """
    try:
        with open(path, "rb") as file:
            records = list(read_file(file, path, reading=_READING))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; name a JSONL file of prompts and texts") from error
    for record in records:
        if isinstance(record, Unreadable):
            raise DataError(f"{path}:{record.line}: {record.reason}")
    if not records:
        raise DataError(f"{path} has no lines; write one JSON object with `prompt` and `text` each")
    if len(records) > len({record.date for record in records}) == 1 and _is_sampled(path):
        _LOG.warning(
            "%s: all texts were sampled with one seed, and so with the same random numbers: they"
            " have words in common, by which a classifier knows them; give each prompt a `seed`",
            path,
        )
    return [
        Continuation(r.title, r.text, r.url or r.title or r.id, f"{path}:{r.line}") for r in records
    ]


def _is_sampled(path: str) -> bool:
    """Whether hclx generate says beside its texts that they are not the likeliest ones."""
    try:
        settings = json.loads(Path(f"{path}.settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(settings, dict) and settings.get("temperature") != 0


def matched_pairs(human: list[Continuation], model: list[Continuation]) -> list[Pair]:
    """Returns the pairs of texts of one length that two files have; pairs that are too short for
    `matched_pair` are left out.

    Raises:
      DataError: the files are not of the same prompts in the same order: names the first line.
    """
    for ours, theirs in zip(human, model):
        if ours.prompt != theirs.prompt:
            raise DataError(
                f"{theirs.place} has prompt={shown(theirs.prompt)}, and {ours.place} has"
                f" {shown(ours.prompt)}; give files of the same prompts in the same order"
            )
    if len(human) != len(model):
        file = (human if len(human) > len(model) else model)[min(len(human), len(model))]
        raise DataError(f"{file.place} has a prompt that the other file has not; run it to its end")
    pairs = (matched_pair(a.text, b.text, a.document) for a, b in zip(human, model))
    return [pair for pair in pairs if pair is not None]


def divide_documents(
    documents: Iterable[Document],
    prompt_characters: int,
    text_characters: int,
    most: int,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Divides documents into a prompt and how they go on.

    Args:
      documents: those that are too short for both are left out.
      prompt_characters: of a prompt, which ends with a whole word.
      text_characters: of the text behind it.
      most: documents that are drawn at random.
      seed: of that.
    Returns:
      The lines of a file, in the order of the documents; each has a `seed` of its own, with which
      hclx generate goes on.
    """
    rng, kept = random.Random(seed), []
    fitting = (d for d in documents if len(d.text) >= prompt_characters + text_characters)
    for number, document in enumerate(fitting):  # Vitter 1985, algorithm R
        if len(kept) < most:
            kept.append((number, document))
        elif (place := rng.randrange(number + 1)) < most:
            kept[place] = number, document
    lines = []
    for number, (_, document) in enumerate(sorted(kept, key=lambda pair: pair[0])):
        text = document.text
        end = text.rfind(" ", 1, prompt_characters + 1)
        end = prompt_characters if end < 0 else end
        place = f"{document.path}:{document.line}"
        going_on = text[end : end + text_characters]
        # With one seed, all texts would have the same random numbers, and words in common.
        line = {"prompt": text[:end], "text": going_on, "document": place, "seed": number}
        lines.append(line)
    return lines


def write_continuations(path: Path, lines: list[dict[str, Any]]) -> None:
    """Writes a file, whole or not at all. Raises DataError if there is no line."""
    if not lines:
        raise DataError("no document is long enough; ask for shorter prompts and texts")
    replace_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
