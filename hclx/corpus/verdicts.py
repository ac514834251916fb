"""Verdicts: which stage removed which document, by which rule, and the texts that remain.

A stage of the pipeline that removes documents writes a table for each shard, with a row for each
document: `rule` (null: kept), `value` (the number that the rule saw), and columns of its own.
"""

import dataclasses

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus.layout import DOCUMENTS, VERDICTS, Shard
from hclx.corpus.spans import replace_spans
from hclx.corpus.store import Store

# The stages that remove documents, in the order of the pipeline.
STAGES = ("filter", "exact", "paragraph", "near", "contamination")


@dataclasses.dataclass(frozen=True)
class Removals:
    """The fate of each of the d documents of a shard.

    Attributes:
      stage: int64 [d], the index in STAGES of the first stage that removed it; -1 if it was kept.
      rule: object [d], the rule of that stage; None if it was kept.
      value: float32 [d], what that rule saw; 0 if it was kept.
    """

    stage: np.ndarray
    rule: np.ndarray
    value: np.ndarray

    @property
    def is_kept(self) -> np.ndarray:
        """Returns which documents no stage removed, bool [d]."""
        return self.stage < 0

    @property
    def kept(self) -> np.ndarray:
        """Returns the rows of the documents that were kept, int64, ascending."""
        return np.flatnonzero(self.is_kept)

    @property
    def removed(self) -> np.ndarray:
        """Returns the rows of the documents that were removed, int64, ascending."""
        return np.flatnonzero(~self.is_kept)


def removals(shard: Shard, store: Store, before: str | None = None) -> Removals:
    """Answers which stage removed each document of a shard.

    Args:
      shard: the documents; their file must exist. Verdicts that are missing or damaged remove
        nothing, as those of a stage that is switched off.
      store: the folder of the corpus.
      before: counts only the stages before this one, a name in STAGES; None counts all of them.
    Raises:
      DataError: the documents, or the rows of verdicts, cannot be read.
      ValueError: `before` is no stage.
    """
    n = store.n_rows(shard.file(DOCUMENTS))
    stage, rule, value = np.full(n, -1), np.full(n, None, object), np.zeros(n, np.float32)
    for index, name in enumerate(STAGES[: STAGES.index(before)] if before else STAGES):
        table = read_verdict(store, shard, name, ["rule", "value"])
        if table is None:
            continue
        rows = np.flatnonzero(table["rule"].is_valid().to_numpy() & (stage < 0))
        stage[rows] = index
        rule[rows] = table["rule"].take(pyarrow.array(rows)).to_pylist()
        value[rows] = table["value"].to_numpy()[rows]
    return Removals(stage, rule, value)


def read_verdict(
    store: Store, shard: Shard, stage: str, columns: list[str] | None = None
) -> pyarrow.Table | None:
    """Reads the verdicts of a stage on a shard: which rule of the stage removes each document.

    Args:
      store: the folder of the corpus.
      shard: the documents.
      stage: the name of the folder below verdicts/, see STAGES.
      columns: the columns to read; None reads all.
    Returns:
      A row for each document: `rule`, `value`, and the stage's own columns, see `hclx.corpus.dedup`
      and `hclx.corpus.decontamination`; None if its file is missing or damaged, or no such
      stage exists.
    Raises:
      DataError: the file lacks one of the columns, or they cannot be read.
    """
    name = shard.file(VERDICTS, stage=stage)
    return None if store.key(name) is None else store.read_table(name, columns)


def read_texts(shard: Shard, store: Store, rows: np.ndarray) -> list[str]:
    """Reads the texts of some documents as they were found.

    Args:
      shard: the documents.
      store: the folder of the corpus.
      rows: of the documents in the shard, int64 [m].
    Returns:
      m texts, in the order of `rows`.
    Raises:
      DataError: the documents cannot be read.
    """
    texts = store.read_table(shard.file(DOCUMENTS), ["text"])["text"]
    return texts.take(pyarrow.array(rows)).to_pylist()


def read_remaining_texts(shard: Shard, store: Store, rows: np.ndarray) -> list[str]:
    """Reads the texts of some documents without their duplicate paragraphs; as they were found
    if the stage `paragraph` is switched off.

    Only stages after `paragraph` may call it: before it, the verdicts of an earlier run may exist.

    Args:
      shard: the documents.
      store: the folder of the corpus.
      rows: of the documents in the shard, int64 [m].
    Returns:
      m texts, in the order of `rows`.
    Raises:
      DataError: the documents cannot be read.
    """
    texts = read_texts(shard, store, rows)
    spans = read_verdict(store, shard, "paragraph", ["starts", "ends"])
    if spans is None:
        return texts
    spans = spans.take(pyarrow.array(rows))
    for i in np.flatnonzero(pyarrow.compute.list_value_length(spans["starts"]).to_numpy()):
        texts[i] = remove_lines(texts[i], spans["starts"][i].as_py(), spans["ends"][i].as_py())
    return texts


def remove_lines(text: str, starts: list[int], ends: list[int]) -> str:
    """Removes lines from a text, and their line ends.

    Args:
      text: the text.
      starts, ends: where each line begins and ends (exclusive), without its line end, in
        characters, ascending.
    Returns:
      The rest, without any line feeds at its begin and end.
    """
    ends = [end + (text[end : end + 1] == "\n") for end in ends]
    return replace_spans(text, [(*span, "") for span in zip(starts, ends)]).strip("\n")
