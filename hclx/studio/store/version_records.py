"""Saved versions of prompts, which never change."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from hclx.serve.store.database import Database
from hclx.studio.store.prompt_records import find_prompt, lock_prompt, stale
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from hclx.studio.store.studio_tables import people, prompt_versions, studio_prompts

MOST_VERSIONS = 1_000  # of a prompt
_HEAD = [prompt_versions.c[name] for name in ("prompt", "number", "title", "note", "author")]
_HEAD += [prompt_versions.c.created, people.c.name.label("author_name")]
_OF_AUTHOR = prompt_versions.join(people, people.c.id == prompt_versions.c.author)


@dataclasses.dataclass(frozen=True)
class VersionHead:
    """A version without its content.

    Attributes:
      prompt: the id of its prompt.
      number: from 1 on.
      title: that the prompt had.
      note: of the author.
      author, author_name: the person who saved it.
      created: seconds since 1970.
    """

    prompt: str
    number: int
    title: str
    note: str
    author: str
    created: int
    author_name: str


@dataclasses.dataclass(frozen=True)
class VersionRecord(VersionHead):
    """A version.

    Attributes:
      content: see `hclx.studio.content`.
    """

    content: Mapping[str, Any]


def add_version(
    database: Database,
    prompt_id: str,
    owner: str | None,
    revision: int,
    author: str,
    note: str,
    now: float,
    most: int = MOST_VERSIONS,
) -> int:
    """Saves a prompt as it is in the store.

    Args:
      database: the store.
      prompt_id: of the prompt.
      owner: the id of the person who sees it; None: an administrator.
      revision: of the prompt that the person has before his eyes.
      author: the id of the person.
      note: for people.
      now: seconds since 1970.
      most: versions of a prompt.
    Returns:
      its number.
    Raises:
      NotThereError: the person sees no prompt of this id.
      StaleRevisionError: it has another revision.
      ConflictError: it has as many versions as it may have.
    """
    of_prompt = prompt_versions.c.prompt == prompt_id
    with database.writing(durable=True) as connection:
        if lock_prompt(connection, prompt_id, owner) != revision:
            raise stale(prompt_id)
        last = sa.select(sa.func.coalesce(sa.func.max(prompt_versions.c.number), 0))
        number = connection.scalar(last.where(of_prompt)) + 1
        if number > most:
            raise ConflictError(f"{prompt_id} has {most:,} versions; go on with a copy of it")
        names = ["prompt", "number", "note", "author", "created", "title", "content"]
        own = [sa.literal(value) for value in (prompt_id, number, note, author, int(now))]
        draft = sa.select(*own, studio_prompts.c.title, studio_prompts.c.content)
        draft = draft.where(studio_prompts.c.id == prompt_id)
        connection.execute(prompt_versions.insert().from_select(names, draft))
    return number


def list_versions(database: Database, prompt_id: str) -> list[VersionHead]:
    """Returns the versions of a prompt, from the newest on."""
    newest = prompt_versions.c.number.desc()
    statement = sa.select(*_HEAD).select_from(_OF_AUTHOR).order_by(newest)
    with database.reading() as connection:
        rows = connection.execute(statement.where(prompt_versions.c.prompt == prompt_id))
        return [VersionHead(**row._mapping) for row in rows]


def find_version(database: Database, prompt_id: str, number: int) -> VersionRecord:
    """Returns a version. Raises NotThereError if there is none of this number."""
    is_it = prompt_versions.c.prompt == prompt_id, prompt_versions.c.number == number
    statement = sa.select(*_HEAD, prompt_versions.c.content).select_from(_OF_AUTHOR)
    with database.reading() as connection:
        row = connection.execute(statement.where(*is_it)).first()
    if row is None:
        raise NotThereError(f"{prompt_id} has no version {number}")
    return VersionRecord(**{**row._mapping, "content": json.loads(row.content)})


def find_version_of(
    database: Database, prompt_id: str, owner: str | None, number: int
) -> VersionRecord:
    """Returns a version of a prompt that a person sees; see `find_prompt` and `find_version`."""
    find_prompt(database, prompt_id, owner)
    return find_version(database, prompt_id, number)
