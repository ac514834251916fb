"""The steps that make the tables of a store, from an empty database to those of this version.

A step, once released, stays as it is: a change of the tables is a new step at the end of
`MIGRATIONS`, written in SQL that SQLite and PostgreSQL both read. Servers of the version before go
on with the store while the first one of the new version starts, so a step adds and does not remove.
"""

import sqlalchemy as sa

from hclx.errors import DataError
from hclx.serve.store.tables import store_version

_POSTGRES_LOCK = 0x68636C78  # "hclx": of pg_advisory_xact_lock, one migration at a time


def _keys_quotas_and_usage(connection: sa.Connection) -> None:
    for statement in (
        """CREATE TABLE api_keys (
            id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL,
            sha256 TEXT NOT NULL UNIQUE, ending TEXT NOT NULL, scopes TEXT NOT NULL,
            tenant TEXT NOT NULL, created BIGINT NOT NULL, expires BIGINT, revoked BIGINT,
            requests_per_minute BIGINT NOT NULL, requests_per_day BIGINT NOT NULL,
            tokens_per_minute BIGINT NOT NULL, tokens_per_day BIGINT NOT NULL)""",
        """CREATE TABLE quota_windows (
            key_id TEXT NOT NULL REFERENCES api_keys (id), seconds BIGINT NOT NULL,
            start BIGINT NOT NULL, requests BIGINT NOT NULL, tokens BIGINT NOT NULL,
            PRIMARY KEY (key_id, seconds, start))""",
        """CREATE TABLE reservations (
            id TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys (id),
            admitted BIGINT NOT NULL, tokens BIGINT NOT NULL, expires BIGINT NOT NULL)""",
        "CREATE INDEX ix_reservations_key_id ON reservations (key_id)",
        """CREATE TABLE usage (
            id TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys (id),
            finished BIGINT NOT NULL, model TEXT NOT NULL, route TEXT NOT NULL,
            prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL,
            reason TEXT NOT NULL)""",
        "CREATE INDEX usage_of_key ON usage (key_id, finished)",
    ):
        connection.exec_driver_sql(statement)


def _datasets_jobs_and_artefacts(connection: sa.Connection) -> None:
    for statement in (
        """CREATE TABLE datasets (
            id TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys (id),
            tenant TEXT NOT NULL, name TEXT NOT NULL, format TEXT NOT NULL,
            columns TEXT NOT NULL, rows BIGINT NOT NULL, bytes BIGINT NOT NULL,
            sha256 TEXT NOT NULL, created BIGINT NOT NULL)""",
        """CREATE TABLE tuning_jobs (
            id TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys (id),
            tenant TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, base TEXT NOT NULL,
            dataset TEXT NOT NULL, validation TEXT, options TEXT NOT NULL,
            state TEXT NOT NULL, is_cancelled BIGINT NOT NULL, step BIGINT NOT NULL,
            total_steps BIGINT NOT NULL, metrics TEXT NOT NULL, error TEXT,
            created BIGINT NOT NULL, started BIGINT, ended BIGINT, runner TEXT,
            heartbeat BIGINT, lost BIGINT NOT NULL)""",
        """CREATE TABLE artefacts (
            id TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES api_keys (id),
            tenant TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, base TEXT NOT NULL,
            is_served BIGINT NOT NULL, bytes BIGINT NOT NULL, sha256 TEXT NOT NULL,
            metrics TEXT NOT NULL, created BIGINT NOT NULL)""",
    ):
        connection.exec_driver_sql(statement)


def _people_and_their_prompts(connection: sa.Connection) -> None:
    for statement in (
        """CREATE TABLE people (
            id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
            key_id TEXT NOT NULL REFERENCES api_keys (id), created BIGINT NOT NULL,
            removed BIGINT)""",
        """CREATE TABLE login_links (
            sha256 TEXT NOT NULL PRIMARY KEY, person TEXT NOT NULL REFERENCES people (id),
            created BIGINT NOT NULL, expires BIGINT NOT NULL, used BIGINT)""",
        """CREATE TABLE sessions (
            sha256 TEXT NOT NULL PRIMARY KEY, person TEXT NOT NULL REFERENCES people (id),
            created BIGINT NOT NULL, seen BIGINT NOT NULL)""",
        """CREATE TABLE studio_prompts (
            id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL REFERENCES people (id),
            title TEXT NOT NULL, content TEXT NOT NULL, revision BIGINT NOT NULL,
            created BIGINT NOT NULL, updated BIGINT NOT NULL, removed BIGINT)""",
        "CREATE INDEX ix_studio_prompts_owner ON studio_prompts (owner)",
        """CREATE TABLE prompt_versions (
            prompt TEXT NOT NULL REFERENCES studio_prompts (id), number BIGINT NOT NULL,
            title TEXT NOT NULL, content TEXT NOT NULL, note TEXT NOT NULL,
            author TEXT NOT NULL REFERENCES people (id), created BIGINT NOT NULL,
            PRIMARY KEY (prompt, number))""",
        """CREATE TABLE prompt_shares (
            id TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL UNIQUE,
            prompt TEXT NOT NULL REFERENCES studio_prompts (id), number BIGINT NOT NULL,
            mode TEXT NOT NULL, created BIGINT NOT NULL, revoked BIGINT)""",
        """CREATE TABLE apps (
            slug TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL REFERENCES people (id),
            prompt TEXT NOT NULL REFERENCES studio_prompts (id), number BIGINT NOT NULL,
            title TEXT NOT NULL, key_id TEXT NOT NULL REFERENCES api_keys (id),
            created BIGINT NOT NULL, removed BIGINT)""",
        """CREATE TABLE studio_tables (
            id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL REFERENCES people (id),
            name TEXT NOT NULL, columns TEXT NOT NULL, rows TEXT NOT NULL,
            revision BIGINT NOT NULL, created BIGINT NOT NULL, updated BIGINT NOT NULL)""",
        """CREATE TABLE batches (
            id TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL REFERENCES people (id),
            name TEXT NOT NULL, content TEXT NOT NULL, columns TEXT NOT NULL,
            state TEXT NOT NULL, reason TEXT, total BIGINT NOT NULL, done BIGINT NOT NULL,
            failed BIGINT NOT NULL, created BIGINT NOT NULL, ended BIGINT, runner TEXT,
            heartbeat BIGINT)""",
        "CREATE INDEX ix_batches_owner ON batches (owner)",
        """CREATE TABLE batch_rows (
            batch TEXT NOT NULL REFERENCES batches (id), number BIGINT NOT NULL,
            fields TEXT NOT NULL, answer TEXT, error TEXT, PRIMARY KEY (batch, number))""",
    ):
        connection.exec_driver_sql(statement)


MIGRATIONS = (_keys_quotas_and_usage, _datasets_jobs_and_artefacts, _people_and_their_prompts)


def migrate(connection: sa.Connection, place: str, migrations: tuple = MIGRATIONS) -> None:
    """Brings the tables to this version; several processes that start at once do it once.

    Args:
      connection: in a transaction for writing, which takes in all steps or none.
      place: names the store in messages.
      migrations: the steps, in their order.
    Raises:
      DataError: the store is of a newer version, or the database belongs to another program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
    names = sa.inspect(connection).get_table_names()
    if store_version.name not in names:
        if names:
            raise DataError(
                f"{place} has tables of another program ({', '.join(sorted(names)[:3])}); give"
                " hclx a database of its own"
            )
        store_version.create(connection)
        connection.execute(store_version.insert().values(version=0))
    version = connection.scalar(sa.select(store_version.c.version))
    if version is None or version > len(migrations):
        raise DataError(
            f"{place} is of version {version}, and this hclx knows versions up to"
            f" {len(migrations)}; install a newer hclx"
        )
    for step in migrations[version:]:
        step(connection)
    if version < len(migrations):
        connection.execute(store_version.update().values(version=len(migrations)))
