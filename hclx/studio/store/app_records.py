"""Apps: versions of prompts that answer at /apps/SLUG, for the holder of their key."""

import dataclasses
from collections.abc import Mapping

import sqlalchemy as sa

from hclx.errors import shown
from hclx.serve.caller import APP_SCOPE
from hclx.serve.store.database import Database
from hclx.serve.store.key_records import KeyRecord, Limits, add_key
from hclx.serve.store.tables import api_keys
from hclx.studio.store.prompt_records import lock_prompt
from hclx.studio.store.record_ids import check_room
from hclx.studio.store.studio_errors import ConflictError, NotThereError
from hclx.studio.store.studio_tables import apps, prompt_versions

MOST_APPS = 100  # of a person
_IS_KEPT = apps.c.removed.is_(None)


@dataclasses.dataclass(frozen=True)
class AppRecord:
    """An app.

    Attributes:
      slug: its name in addresses.
      owner: the person whose it is.
      prompt, number: the version that answers.
      title: for people.
      key_id: of its key.
      created: seconds since 1970.
      limits: the quotas of its key.
    """

    slug: str
    owner: str
    prompt: str
    number: int
    title: str
    key_id: str
    created: int
    limits: Limits


def create_app(
    database: Database,
    owner: str,
    seen_by: str | None,
    prompt_id: str,
    number: int,
    title: str,
    slug: str,
    limits: Limits,
    now: float,
    tenant: str = "",
    most: int = MOST_APPS,
) -> tuple[str, AppRecord]:
    """Makes an app and its key.

    Args:
      database: the store.
      owner: the id of the person whose it is.
      seen_by: the id of the person who has to see the prompt; None: an administrator.
      prompt_id, number: the version that answers.
      title: for people.
      slug: its name in addresses, which no other app has or had.
      limits: the quotas of its key.
      now: seconds since 1970.
      tenant: of its key, whose tuned models may answer; "": the key alone.
      most: apps of one person.
    Returns:
      the secret of its key, which cannot be had again, and its record.
    Raises:
      NotThereError: the person sees no such version.
      ConflictError: another app has or had the slug.
      ConflictError: the person has as many as one may have.
    """
    with database.writing(durable=True) as connection:
        lock_prompt(connection, prompt_id, seen_by)
        _check_version(connection, prompt_id, number)
        check_room(connection, apps, owner, most, _IS_KEPT)
        secret, key = _add_key(connection, slug, now, tenant, limits)
        app = AppRecord(slug, owner, prompt_id, number, title, key.id, int(now), limits)
        row = {name: value for name, value in vars(app).items() if name != "limits"}
        try:
            connection.execute(apps.insert(), row)
        except sa.exc.IntegrityError as error:
            text = f"slug={shown(slug)}: another app has or had it; give another one"
            raise ConflictError(text) from error
    return secret, app


def is_free(database: Database, slug: str) -> bool:
    """Returns whether no app has or had a slug."""
    with database.reading() as connection:
        return connection.scalar(sa.select(apps.c.slug).where(apps.c.slug == slug)) is None


def key_name(slug: str) -> str:
    """Returns the name of the keys of an app."""
    return f"app {slug}"


def list_apps(database: Database, owner: str | None) -> list[AppRecord]:
    """Returns the apps of a person, or of all if that is None, from the newest on."""
    newest = apps.c.created.desc(), apps.c.slug
    statement = _selected().where(_IS_KEPT).order_by(*newest)
    if owner is not None:
        statement = statement.where(apps.c.owner == owner)
    with database.reading() as connection:
        return [_app_of(row) for row in connection.execute(statement)]


def find_app(database: Database, slug: str, owner: str | None = None) -> AppRecord:
    """Returns an app. Raises NotThereError if the person sees none of this slug; None: all."""
    with database.reading() as connection:
        return _found_app(connection, slug, owner)


def change_app(
    database: Database,
    slug: str,
    owner: str | None,
    title: str | None = None,
    number: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> AppRecord:
    """Changes an app, as a whole or not at all; what is None stays.

    Args:
      database: the store.
      slug: of the app.
      owner: the id of the person who asks; None: an administrator.
      title: for people.
      number: of the version that answers from now on.
      limits: fields of `Limits` with their new values.
    Raises:
      NotThereError: the person sees no such app, or its prompt has no such version.
      ConfigError: a limit is out of range.
    """
    values = {"title": title, "number": number}
    values = {name: value for name, value in values.items() if value is not None}
    Limits(**(limits or {}))
    with database.writing(durable=True) as connection:
        app = _found_app(connection, slug, owner, locks=True)
        if number is not None:
            _check_version(connection, app.prompt, number)
        if values:
            connection.execute(apps.update().where(apps.c.slug == slug).values(**values))
        if limits:
            is_its = api_keys.c.id == app.key_id
            connection.execute(api_keys.update().where(is_its).values(**limits))
        return _found_app(connection, slug, owner)


def renew_key(
    database: Database, slug: str, owner: str | None, now: float
) -> tuple[str, AppRecord]:
    """Gives an app another key, with the same quotas, and revokes the one that it had.

    Returns:
      the secret of the new key, which cannot be had again, and the record of the app.
    Raises:
      NotThereError: the person sees no app of this slug.
    """
    with database.writing(durable=True) as connection:
        app = _found_app(connection, slug, owner, locks=True)
        tenant = connection.scalar(sa.select(api_keys.c.tenant).where(api_keys.c.id == app.key_id))
        secret, key = _add_key(connection, slug, now, tenant, app.limits)
        connection.execute(apps.update().where(apps.c.slug == slug).values(key_id=key.id))
        _revoke(connection, app.key_id, now)
    return secret, dataclasses.replace(app, key_id=key.id)


def remove_app(database: Database, slug: str, owner: str | None, now: float) -> None:
    """Removes an app for good, and revokes its key.

    Raises:
      NotThereError: the person sees no app of this slug.
    """
    with database.writing(durable=True) as connection:
        app = _found_app(connection, slug, owner, locks=True)
        connection.execute(apps.update().where(apps.c.slug == slug).values(removed=int(now)))
        _revoke(connection, app.key_id, now)


def _add_key(
    connection: sa.Connection, slug: str, now: float, tenant: str, limits: Limits
) -> tuple[str, KeyRecord]:
    scopes = (APP_SCOPE,)
    return add_key(connection, key_name(slug), now, scopes=scopes, tenant=tenant, limits=limits)


def _check_version(connection: sa.Connection, prompt_id: str, number: int) -> None:
    is_it = prompt_versions.c.prompt == prompt_id, prompt_versions.c.number == number
    if connection.scalar(sa.select(prompt_versions.c.number).where(*is_it)) is None:
        raise NotThereError(f"{prompt_id} has no version {number}; save one first")


def _selected() -> sa.Select:
    columns = [column for column in apps.c if column.name != "removed"]
    of_key = [api_keys.c[field.name] for field in dataclasses.fields(Limits)]
    return sa.select(*columns, *of_key).join(api_keys, api_keys.c.id == apps.c.key_id)


def _found_app(
    connection: sa.Connection, slug: str, owner: str | None, locks: bool = False
) -> AppRecord:
    statement = _selected().where(apps.c.slug == slug, _IS_KEPT)
    if owner is not None:
        statement = statement.where(apps.c.owner == owner)
    if locks:
        # By a statement of its own: with the join, PostgreSQL would look for the key that the app
        # had before it waited.
        connection.execute(sa.select(apps.c.slug).where(apps.c.slug == slug).with_for_update())
    row = connection.execute(statement).first()
    if row is None:
        raise NotThereError(f"there is no app {shown(slug)}")
    return _app_of(row)


def _app_of(row: sa.Row) -> AppRecord:
    columns = row._mapping
    limits = Limits(**{field.name: columns[field.name] for field in dataclasses.fields(Limits)})
    names = ("slug", "owner", "prompt", "number", "title", "key_id", "created")
    return AppRecord(**{name: columns[name] for name in names}, limits=limits)


def _revoke(connection: sa.Connection, key_id: str, now: float) -> None:
    is_active = api_keys.c.id == key_id, api_keys.c.revoked.is_(None)
    connection.execute(api_keys.update().where(*is_active).values(revoked=int(now)))
