"""The rows of batches: they are read, and each is answered once."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.studio.store.studio_tables import batch_rows, batches

_C, _R = batches.c, batch_rows.c


@dataclasses.dataclass(frozen=True)
class BatchRow:
    """A row of a batch.

    Attributes:
      number: from 0.
      fields: its texts, in the order of the batch's columns.
      answer: what the run gave: `answer`, `text`, `choices`, `usage` and `ms`; None: nothing yet.
      error: why it failed: `code` and `message`; None: it did not.
    """

    number: int
    fields: tuple[str, ...]
    answer: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None


def list_rows(database: Database, batch_id: str, first: int, count: int) -> list[BatchRow]:
    """Returns rows of a batch in their order.

    Args:
      database: the store.
      batch_id: of the batch.
      first: the number of the first of them.
      count: the most of them.
    """
    is_asked = _R.batch == batch_id, _R.number >= first, _R.number < first + count
    return _rows(database, batch_rows.select().where(*is_asked))


def next_rows(database: Database, batch_id: str, first: int, count: int) -> list[BatchRow]:
    """Returns the next rows of a batch that have not ended, from the number `first` on."""
    is_open = _R.answer.is_(None), _R.error.is_(None)
    statement = batch_rows.select().where(_R.batch == batch_id, _R.number >= first, *is_open)
    return _rows(database, statement.limit(count))


def keep_row(
    database: Database,
    batch_id: str,
    runner: str,
    number: int,
    answer: Mapping[str, Any] | None = None,
    error: Mapping[str, str] | None = None,
) -> bool:
    """Ends a row with its answer or its error.

    Args:
      database: the store.
      batch_id: of the batch.
      runner: the server that has it.
      number: of the row.
      answer, error: see `BatchRow`; one of them is None.
    Returns:
      whether it did: not if the row has ended already, or the batch was removed or is another
      server's.
    """
    is_own = sa.exists().where(_C.id == batch_id, _C.runner == runner)
    is_open = sa.and_(_R.batch == batch_id, _R.number == number)
    is_open &= _R.answer.is_(None) & _R.error.is_(None)
    texts = {"answer": answer and json.dumps(answer), "error": error and json.dumps(error)}
    counts = {"done": _C.done + 1, "failed": _C.failed + int(error is not None)}
    # A killed process loses nothing of this; a loss of power the last rows, which run again.
    with database.writing() as connection:
        if not connection.execute(
            batch_rows.update().where(is_open, is_own).values(texts)
        ).rowcount:
            return False
        connection.execute(batches.update().where(_C.id == batch_id).values(counts))
        return True


def _rows(database: Database, statement: sa.Select) -> list[BatchRow]:
    with database.reading() as connection:
        rows = connection.execute(statement.order_by(_R.number)).all()
    read = lambda text: text and json.loads(text)
    return [
        BatchRow(row.number, tuple(json.loads(row.fields)), read(row.answer), read(row.error))
        for row in rows
    ]
