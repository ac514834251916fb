"""Prompts as they are edited. A removed one is kept, and can be recovered."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from hclx.errors import shown
from hclx.serve.store.database import Database
from hclx.studio.store.record_ids import check_room, new_id, owned
from hclx.studio.store.studio_errors import ConflictError, NotThereError, StaleRevisionError
from hclx.studio.store.studio_tables import apps, people, prompt_versions, studio_prompts

MOST_PROMPTS = 2_000  # of a person
_IS_KEPT = studio_prompts.c.removed.is_(None)
_N_VERSIONS = (
    sa.select(sa.func.count())
    .where(prompt_versions.c.prompt == studio_prompts.c.id)
    .scalar_subquery()
)
_HEAD = [studio_prompts.c[name] for name in ("id", "owner", "title", "revision", "created")]
_HEAD += [studio_prompts.c.updated, people.c.name.label("owner_name")]
_HEAD += [_N_VERSIONS.label("n_versions")]
_OF_OWNER = studio_prompts.join(people, people.c.id == studio_prompts.c.owner)


@dataclasses.dataclass(frozen=True)
class PromptHead:
    """A prompt without its content. Times are seconds since 1970.

    Attributes:
      id: tells it apart.
      owner, owner_name: the person whose it is.
      title: for people.
      revision: grows with each change.
      created: when it was made.
      updated: when it was changed last.
      n_versions: how many versions are saved.
    """

    id: str
    owner: str
    title: str
    revision: int
    created: int
    updated: int
    owner_name: str
    n_versions: int


@dataclasses.dataclass(frozen=True)
class PromptRecord(PromptHead):
    """A prompt.

    Attributes:
      content: see `hclx.studio.content`.
    """

    content: Mapping[str, Any]


def create_prompt(
    database: Database, owner: str, title: str, content: str, now: float, most: int = MOST_PROMPTS
) -> str:
    """Makes a prompt.

    Args:
      database: the store.
      owner: the id of the person whose it is.
      title: for people.
      content: as JSON.
      now: seconds since 1970.
      most: prompts of one person.
    Returns:
      its id.
    Raises:
      ConflictError: the person has as many as one may have.
    """
    row = {"id": new_id("pr", now), "owner": owner, "title": title, "content": content}
    times = {"revision": 1, "created": int(now), "updated": int(now)}
    with database.writing(durable=True) as connection:
        check_room(connection, studio_prompts, owner, most, _IS_KEPT)
        connection.execute(studio_prompts.insert().values(**row, **times))
    return row["id"]


def list_prompts(database: Database, owner: str | None) -> list[PromptHead]:
    """Returns the prompts of a person, or of all if that is None, from the newest on."""
    newest = studio_prompts.c.updated.desc(), studio_prompts.c.id.desc()
    statement = sa.select(*_HEAD).select_from(_OF_OWNER).where(_IS_KEPT).order_by(*newest)
    if owner is not None:
        statement = statement.where(studio_prompts.c.owner == owner)
    with database.reading() as connection:
        return [PromptHead(**row._mapping) for row in connection.execute(statement)]


def find_prompt(database: Database, prompt_id: str, owner: str | None) -> PromptRecord:
    """Returns a prompt. Raises NotThereError if the person sees none of this id."""
    statement = sa.select(*_HEAD, studio_prompts.c.content).select_from(_OF_OWNER)
    conditions = owned(studio_prompts, prompt_id, owner)
    with database.reading() as connection:
        row = connection.execute(statement.where(*conditions, _IS_KEPT)).first()
    if row is None:
        raise no_such_prompt(prompt_id)
    return PromptRecord(**{**row._mapping, "content": json.loads(row.content)})


def change_prompt(
    database: Database,
    prompt_id: str,
    owner: str | None,
    revision: int,
    title: str,
    content: str,
    now: float,
) -> int:
    """Changes a prompt, if it still is as it was read.

    Args:
      database: the store.
      prompt_id: of the prompt.
      owner: the id of the person who asks; None: an administrator.
      revision: that was read.
      title, content, now: see `create_prompt`.
    Returns:
      its new revision.
    Raises:
      NotThereError: the person sees no prompt of this id.
      StaleRevisionError: it has another revision.
    """
    conditions = [*owned(studio_prompts, prompt_id, owner), _IS_KEPT]
    values = {"title": title, "content": content, "revision": revision + 1, "updated": int(now)}
    is_read = studio_prompts.c.revision == revision
    # One statement looks and writes, so that of two that have read the same, one writes.
    statement = studio_prompts.update().where(*conditions, is_read).values(**values)
    with database.writing(durable=True) as connection:
        if connection.execute(statement).rowcount:
            return revision + 1
        lock_prompt(connection, prompt_id, owner)
        raise stale(prompt_id)


def lock_prompt(connection: sa.Connection, prompt_id: str, owner: str | None) -> int:
    """Keeps a prompt as it is until the transaction ends.

    Args:
      connection: in a transaction for writing.
      prompt_id: of the prompt.
      owner: the id of the person who sees it; None: an administrator.
    Returns:
      its revision.
    Raises:
      NotThereError: the person sees no prompt of this id.
    """
    conditions = *owned(studio_prompts, prompt_id, owner), _IS_KEPT
    statement = sa.select(studio_prompts.c.revision).where(*conditions)
    revision = connection.scalar(statement.with_for_update(key_share=True))
    if revision is None:
        raise no_such_prompt(prompt_id)
    return revision


def remove_prompt(database: Database, prompt_id: str, owner: str | None, now: float) -> None:
    """Removes a prompt; `recover_prompt` undoes that.

    Raises:
      NotThereError: the person sees no prompt of this id.
      ConflictError: an app answers with it.
    """
    conditions = [*owned(studio_prompts, prompt_id, owner), _IS_KEPT]
    statement = studio_prompts.update().where(*conditions).values(removed=int(now))
    uses = sa.select(apps.c.slug).where(apps.c.prompt == prompt_id, apps.c.removed.is_(None))
    with database.writing(durable=True) as connection:
        if not connection.execute(statement).rowcount:
            raise no_such_prompt(prompt_id)
        if slug := connection.scalar(uses):
            raise ConflictError(f"the app {slug} answers with {prompt_id}; remove the app first")


def recover_prompt(database: Database, prompt_id: str, owner: str | None) -> None:
    """Undoes the removal of a prompt. Raises NotThereError if there was none."""
    conditions = *owned(studio_prompts, prompt_id, owner), studio_prompts.c.removed.is_not(None)
    with database.writing(durable=True) as connection:
        statement = studio_prompts.update().where(*conditions).values(removed=None)
        if not connection.execute(statement).rowcount:
            raise no_such_prompt(prompt_id)


def no_such_prompt(prompt_id: str) -> NotThereError:
    """Returns the error for an id of which a person sees no prompt."""
    return NotThereError(f"there is no prompt {shown(prompt_id)} of yours")


def stale(record_id: str) -> StaleRevisionError:
    """Returns the error for a revision that a record has not any more."""
    return StaleRevisionError(
        f"{record_id} has been changed since you read it; compare with what it is now"
    )
