"""Verdicts: which stage removed which document, by which rule, and the texts that remain.

A stage of the pipeline that removes documents writes a table for each shard, with a row for each
document: `rule` (null: kept), `value` (the number that the rule saw), and columns of its own. The
stages `paragraph` and `contamination` also remove parts of documents that are kept, from `starts`
to `ends` (exclusive), in characters.
"""

import dataclasses

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus.layout import CONTENT, DOCUMENTS, SETTINGS, VERDICTS, Shard
from hclx.corpus.store import Store, key_of, table_digest
from hclx.errors import DataError
from hclx.text.spans import replace_spans

# The stages that remove documents, in the order of the pipeline.
STAGES = ("filter", "exact", "paragraph", "near", "contamination")
REMAINING = "remaining"  # the digest of which documents stay, and which parts of them go


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


def stages_of(store: Store) -> tuple[str, ...]:
    """Returns the names of the stages that removed documents of a corpus: those of STAGES that its
    settings do not switch off.

    Args:
      store: the folder of the corpus.
    Raises:
      DataError: the settings are missing or damaged.
    """
    settings = store.read_json(SETTINGS)
    if settings is None:
        raise DataError(f"{store.path(SETTINGS)} is missing or damaged; build the corpus again")
    return tuple(name for name in STAGES if settings.get(name, "") is not None)


def removals(shard: Shard, store: Store, before: str | None = None) -> Removals:
    """Answers which stage removed each document of a shard.

    Args:
      shard: the documents; their file must exist, and the verdicts of every stage that is not
        switched off.
      store: the folder of the corpus.
      before: counts only the stages before this one, a name in STAGES; None counts all of them.
    Raises:
      DataError: the documents, or the verdicts of a stage that counts, cannot be read.
      ValueError: `before` is no stage.
    """
    n = store.n_rows(shard.file(DOCUMENTS))
    stage, rule, value = np.full(n, -1), np.full(n, None, object), np.zeros(n, np.float32)
    last = STAGES.index(before) if before else len(STAGES)
    for name in stages_of(store):
        if (index := STAGES.index(name)) >= last:
            break
        table = store.read_table(shard.file(VERDICTS, stage=name), ["rule", "value"])
        rows = np.flatnonzero(table["rule"].is_valid().to_numpy() & (stage < 0))
        stage[rows] = index
        rule[rows] = table["rule"].take(pyarrow.array(rows)).to_pylist()
        value[rows] = table["value"].to_numpy()[rows]
    return Removals(stage, rule, value)


def write_verdict(store: Store, shard: Shard, stage: str, table: pyarrow.Table, key: str) -> None:
    """Writes the verdicts of a stage on a shard, with digests for the keys of what depends on them.

    Args:
      store: the folder of the corpus.
      shard: the documents.
      stage: a name in STAGES.
      table: a row for each document, see the head of this module.
      key: hash of all that the verdicts depend on.
    """
    spans = [name for name in ("starts", "ends") if name in table.column_names]
    remaining = table.select(spans).append_column("is_kept", table["rule"].is_null())
    # The places of other documents change when a file is added.
    places = [name for name in ("cluster",) if name in table.column_names]
    digests = {CONTENT: table_digest(table, places), REMAINING: table_digest(remaining)}
    store.write_table(shard.file(VERDICTS, stage=stage), table, key, digests)


def input_key(shard: Shard, store: Store, before: str | None = None) -> str:
    """Computes a hash of what a stage sees of a shard: its documents, and what the verdicts of
    earlier stages leave of them, whatever settings and other documents these came from.

    Args:
      shard, store: see `removals`.
      before: the stage, a name in STAGES; None is whoever sees all verdicts with their reasons and
        values.
    """
    last = STAGES.index(before) if before else len(STAGES)
    earlier = [name for name in stages_of(store) if STAGES.index(name) < last]
    kind = REMAINING if before else CONTENT
    verdicts = [store.digest(shard.file(VERDICTS, stage=name), kind) for name in earlier]
    return key_of(store.digest(shard.file(DOCUMENTS), CONTENT), earlier, verdicts)


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
      A row for each document: `rule`, `value`, and the stage's own columns, see the modules
      `dedup`, `near_duplicates` and `decontamination`; None if the stage is switched off.
    Raises:
      DataError: the file is missing or damaged, or lacks one of the columns; or the settings of the
        corpus cannot be read.
    """
    if stage not in stages_of(store):
        return None
    return store.read_table(shard.file(VERDICTS, stage=stage), columns)


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
    if not len(rows):
        return []
    texts = store.read_table(shard.file(DOCUMENTS), ["text"])["text"]
    return texts.take(pyarrow.array(rows)).to_pylist()


def read_remaining_texts(
    shard: Shard, store: Store, rows: np.ndarray, before: str | None = None
) -> list[str]:
    """Reads the texts of some documents without what stages removed from them: duplicate paragraphs
    and evaluation items.

    Args:
      shard: the documents.
      store: the folder of the corpus.
      rows: of the documents in the shard, int64 [m].
      before: counts only the stages before this one, a name in STAGES; None counts all of them.
    Returns:
      m texts, in the order of `rows`.
    Raises:
      DataError: the documents, or the verdicts of a stage that counts, cannot be read.
    """
    texts = read_texts(shard, store, rows)
    last = STAGES.index(before) if before else len(STAGES)
    for stage, remove in (("paragraph", remove_lines), ("contamination", remove_windows)):
        spans = read_verdict(store, shard, stage) if STAGES.index(stage) < last else None
        if spans is None or "starts" not in spans.column_names:  # of an earlier version
            continue
        spans = spans.select(["starts", "ends"]).take(pyarrow.array(rows))
        for i in np.flatnonzero(pyarrow.compute.list_value_length(spans["starts"]).to_numpy()):
            texts[i] = remove(texts[i], spans["starts"][i].as_py(), spans["ends"][i].as_py())
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


def remove_windows(text: str, starts: list[int], ends: list[int]) -> str:
    """Removes parts of a text.

    Args:
      text: the text.
      starts, ends: where each part begins and ends (exclusive), in characters, ascending.
    Returns:
      The rest; a blank line stands where something was removed between two other parts.
    """
    parts = [text[a:b].strip() for a, b in zip([0, *ends], [*starts, len(text)])]
    return "\n\n".join(filter(None, parts))
