"""Links to versions of prompts, for those who have the token."""

import dataclasses
import secrets

import sqlalchemy as sa

from hclx.errors import shown
from hclx.serve.store.database import Database
from hclx.studio.store.prompt_records import lock_prompt
from hclx.studio.store.record_ids import new_id
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from hclx.studio.store.studio_tables import people, prompt_shares, prompt_versions, studio_prompts
from hclx.studio.store.version_records import VersionRecord, find_version

MODES = ("read", "copy")
MOST_SHARES = 100  # of a prompt
_TOKEN_BYTES = 32
_IS_KEPT = studio_prompts.c.removed.is_(None)
_IS_VALID = prompt_shares.c.revoked.is_(None)
_OF_OWNER = prompt_shares.join(studio_prompts, studio_prompts.c.id == prompt_shares.c.prompt).join(
    people, people.c.id == studio_prompts.c.owner
)


@dataclasses.dataclass(frozen=True)
class ShareRecord:
    """A link.

    Attributes:
      id: tells it apart.
      token: who has it may read the version.
      prompt, number: the version.
      mode: "read", or "copy": it may be copied by a click, too.
      created: seconds since 1970.
    """

    id: str
    token: str
    prompt: str
    number: int
    mode: str
    created: int


def create_share(
    database: Database,
    prompt_id: str,
    owner: str | None,
    number: int,
    mode: str,
    now: float,
    most: int = MOST_SHARES,
) -> ShareRecord:
    """Makes a link to a version.

    Args:
      database: the store.
      prompt_id, number: the version.
      owner: the id of the person who sees the prompt; None: an administrator.
      mode: of `MODES`.
      now: seconds since 1970.
      most: links of a prompt.
    Raises:
      NotThereError: the person sees no such version.
      ConflictError: the prompt has as many links as it may have.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    share = ShareRecord(new_id("sh", now), token, prompt_id, number, mode, int(now))
    is_it = prompt_versions.c.prompt == prompt_id, prompt_versions.c.number == number
    of_prompt = prompt_shares.c.prompt == prompt_id
    with database.writing(durable=True) as connection:
        lock_prompt(connection, prompt_id, owner)
        if connection.scalar(sa.select(prompt_versions.c.number).where(*is_it)) is None:
            raise NotThereError(f"{prompt_id} has no version {number}")
        count = sa.select(sa.func.count()).where(of_prompt, _IS_VALID)
        if connection.scalar(count) >= most:
            raise ConflictError(f"{prompt_id} has {most} links; revoke some first")
        connection.execute(prompt_shares.insert(), dataclasses.asdict(share))
    return share


def list_shares(database: Database, prompt_id: str) -> list[ShareRecord]:
    """Returns the links of a prompt that were not revoked, from the oldest on."""
    oldest = prompt_shares.c.created, prompt_shares.c.id
    statement = _selected().where(prompt_shares.c.prompt == prompt_id, _IS_VALID)
    with database.reading() as connection:
        rows = connection.execute(statement.order_by(*oldest))
        return [ShareRecord(**row._mapping) for row in rows]


def revoke_share(database: Database, share_id: str, owner: str | None, now: float) -> None:
    """Revokes a link. Raises NotThereError if the person sees no valid one of this id."""
    prompts = sa.select(studio_prompts.c.id)
    if owner is not None:
        prompts = prompts.where(studio_prompts.c.owner == owner)
    is_it = prompt_shares.c.id == share_id, _IS_VALID, prompt_shares.c.prompt.in_(prompts)
    statement = prompt_shares.update().where(*is_it).values(revoked=int(now))
    with database.writing(durable=True) as connection:
        if not connection.execute(statement).rowcount:
            raise NotThereError(f"there is no link {shown(share_id)} of yours")


def find_shared(database: Database, token: str) -> tuple[ShareRecord, VersionRecord]:
    """Returns a link and its version.

    Raises:
      NotThereError: the link was never made or is revoked, or its prompt or the owner of that
        was removed.
    """
    statement = _selected().select_from(_OF_OWNER)
    is_it = prompt_shares.c.token == token, _IS_VALID, _IS_KEPT, people.c.removed.is_(None)
    with database.reading() as connection:
        row = connection.execute(statement.where(*is_it)).first()
    if row is None:
        raise NotThereError("the link is not valid any more; ask for a new one")
    share = ShareRecord(**row._mapping)
    return share, find_version(database, share.prompt, share.number)


def _selected() -> sa.Select:
    names = (field.name for field in dataclasses.fields(ShareRecord))
    return sa.select(*(prompt_shares.c[name] for name in names))
