"""Writes lines until enough of them are kept: into a folder that one command holds, and that the
next one goes on with where it was killed.

    samples/attempts.jsonl   every attempt in order, written block by block
    augmented.jsonl          the lines that were kept
    rejected.jsonl           the others, each with its reason
    card.json, card.html     counts
"""

import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hclx.augment.attempts import Attempts
from hclx.augment.augmentation import Augmentation
from hclx.augment.line_filters import NearDuplicates, Overlap
from hclx.augment.lines_card import write_card
from hclx.augment.marked_spans import read_marks
from hclx.augment.selection import embedded_seeds
from hclx.errors import DataError
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.samples import SAMPLES, SampleFile, output_folder, replace_text
from hclx.hashing import json_hash
from hclx.infer import Engine
from hclx.progress import ProgressBar, counted

BLOCK = 32  # attempts that are made together, and written at once
MOST_IN_VAIN = 512  # attempts in turn without a line, after which there will be none
AUGMENTED, REJECTED = "augmented.jsonl", "rejected.jsonl"
_LOG = logging.getLogger(__name__)


def write_lines(
    engine: Engine,
    reader: Reader,
    augmentation: Augmentation,
    model: Mapping[str, Any],
    folder: Path,
    n: int,
    max_attempts: int | None = None,
    evaluation_sets: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Writes `n` lines that pass the filters. Neither `n` nor `max_attempts` changes a line: a
    folder with fewer lines is gone on with.

    Args:
      engine: of the model.
      reader: how it reads.
      augmentation: what is written.
      model: what the lines depend on, and name; JSON values.
      folder: for the files of this module's head.
      n: how many lines to keep.
      max_attempts: after so many there is an error; None: 20 for each line, and 512 at least.
      evaluation_sets: name -> the texts that no line may hold.
    Returns:
      the content of card.json.
    Raises:
      ConfigError: another command writes to the folder, or it has the lines of other settings.
      DataError: there are not enough lines after `max_attempts`, or none after many; the lines that
        there are have been written.
    """
    sets = {name: list(texts) for name, texts in (evaluation_sets or {}).items()}
    plan = {**augmentation.plan(), "model": dict(model), "max_length": reader.max_length}
    plan |= {"begin": list(reader.begin), "evaluation_sets": json_hash(sets)}
    most = max(MOST_IN_VAIN, 20 * n) if max_attempts is None else max_attempts
    with output_folder(folder, plan):
        overlap = Overlap(sets, folder / SAMPLES / "overlap") if sets else None
        vectors = _vectors(engine, augmentation, folder / SAMPLES / "seed_vectors.npy")
        attempts = Attempts(engine, reader, augmentation, overlap, vectors)
        log = AttemptLog(augmentation, SampleFile(folder / SAMPLES / "attempts.jsonl"))
        if log.kept:
            _LOG.info("%s of %s are there already", f"{len(log.kept):,}", counted(n, "line"))
        with ProgressBar(n, "writing", "line", done=min(n, len(log.kept))) as progress:
            while (problem := log.problem(most)) == "" and len(log.kept) < n:
                before = len(log.kept)
                log.extend(attempts.make(log.next_block()))
                note = f"{len(log.kept) / log.count:.0%} of attempts kept"
                progress.update(min(n, len(log.kept)) - min(n, before), note)
        example = attempts.text_of(attempts.draft(0))
        card = _finish(folder, log.upto(n), augmentation, model, example, n)
    if len(log.kept) < n:
        raise DataError(f"{folder}: {problem}; {_advice(log, augmentation)}")
    return card


class AttemptLog:
    """The attempts so far with their verdicts, which depend on the lines before them."""

    def __init__(self, augmentation: Augmentation, file: SampleFile):
        """Takes a file of attempts, from whole blocks of which the work goes on."""
        self._file, self._bounds = file, augmentation.bounds
        is_marked = augmentation.method == "slots"
        texts = [read_marks(s.text)[0] if is_marked else s.text for s in augmentation.seeds]
        self._known = NearDuplicates(texts)
        self.kept: list[int] = []
        for record in file.lines:
            self._keep(record)

    @property
    def count(self) -> int:
        """The number of attempts."""
        return len(self._file.lines)

    def next_block(self) -> range:
        """Returns the numbers of the next block. A part of it may be in the file, if a command was
        killed while it wrote; a block is made as a whole, as in a command that was not.
        """
        start = self.count // BLOCK * BLOCK
        return range(start, start + BLOCK)

    def extend(self, block: Sequence[dict[str, Any]]) -> None:
        """Decides about the attempts of `next_block`, and writes those that are new."""
        new = [record for record in block if record["number"] >= self.count]
        for record in new:
            self._decide(record)
            self._keep(record)
        self._file.append(new)

    def upto(self, n: int) -> list[dict[str, Any]]:
        """Returns all attempts up to that of the n-th line that is kept."""
        return self._file.lines[: self.kept[n - 1] + 1] if len(self.kept) >= n else self._file.lines

    def problem(self, most: int) -> str:
        """Returns why no attempt should follow, "" if one may."""
        if self.count >= most:
            return f"{counted(len(self.kept), 'line')} after {counted(self.count, 'attempt')}"
        last = self.kept[-1] + 1 if self.kept else 0
        if self.count - last >= MOST_IN_VAIN:
            return f"the last {counted(self.count - last, 'attempt')} brought no line"
        return ""

    def reasons(self) -> Counter[str]:
        """Returns reason -> attempts that were rejected for it."""
        return Counter(line["reason"] for line in self._file.lines if line["reason"])

    def last_unread(self) -> str:
        """Returns what the model wrote when it could not be read for the last time; or ""."""
        unread = (line for line in reversed(self._file.lines) if "text" not in line)
        return next(unread, {"raw": ""})["raw"]

    def _decide(self, record: dict[str, Any]) -> None:
        if "text" not in record or record["filters"]["unseen"]:
            return
        text = record["text"]
        near = self._known.similarity(text)
        record["filters"]["near"] = round(near, 6)
        if not record["reason"] and self._known.has(text):
            record["reason"] = "duplicate"
        elif not record["reason"] and near >= self._bounds.near:
            record["reason"] = "near duplicate"

    def _keep(self, record: dict[str, Any]) -> None:
        if not record["reason"]:
            self.kept.append(record["number"])
            self._known.add(record["text"])


def _vectors(engine: Engine, augmentation: Augmentation, path: Path) -> np.ndarray | None:
    """Returns embeddings of the seeds, which are kept in a file."""
    if augmentation.selection not in ("near", "far"):
        return None
    if not path.exists():
        array = embedded_seeds(engine.embed([seed.text for seed in augmentation.seeds]))
        content = io.BytesIO()
        np.save(content, array)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content.getvalue())
        temporary.replace(path)
    return np.load(path)


def _finish(
    folder: Path,
    records: Sequence[dict[str, Any]],
    augmentation: Augmentation,
    model: Mapping[str, Any],
    example: str,
    n: int,
) -> dict[str, Any]:
    plan = augmentation.plan()
    provenance = {name: plan[name] for name in ("method", "prompt", "prompt_hash", "seed")}
    provenance |= {name: model[name] for name in ("name", "step", "fingerprint") if name in model}
    provenance["model"] = provenance.pop("name", "")
    kept = [_line(record, provenance) for record in records if not record["reason"]]
    rejected = [_line(record, provenance) for record in records if record["reason"]]
    _write(folder / AUGMENTED, kept)
    _write(folder / REJECTED, rejected)
    return write_card(folder, kept, rejected, augmentation, model, example, n)


def _line(record: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an attempt as a line of the files."""
    own = {"number": record["number"], "examples": record["examples"]}
    parts = ("reason", "detail", "text", "label", "soft_label", "marked", "slots", "filters")
    line = {name: record[name] for name in parts if record.get(name) not in (None, "")}
    raw = {"raw": record["raw"]} if record["reason"] else {}
    return {"id": f"{record['number']:07d}", **line, **raw, "provenance": {**provenance, **own}}


def _write(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    # A rejected line may hold half of a surrogate pair, which is written as an escape.
    is_plain = path.name == AUGMENTED
    text = "".join(json.dumps(line, ensure_ascii=not is_plain) + "\n" for line in lines)
    replace_text(path, text)


def _advice(log: AttemptLog, augmentation: Augmentation) -> str:
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in log.reasons().most_common())
    unread = f"; the model wrote {log.last_unread()[:80]!r}" if log.last_unread() else ""
    grammar = "" if augmentation.follows_grammar else " --grammar,"
    return (
        f"rejected were {reasons}{unread}. Try{grammar} another prompt, other bounds, a larger"
        f" model or a higher --max_attempts; the lines so far are in {AUGMENTED}"
    )
