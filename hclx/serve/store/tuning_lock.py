"""A lock for transactions that read the tables of tuning and then write what follows from them."""

import sqlalchemy as sa

_POSTGRES_LOCK = 0x74756E65  # "tune"


def lock_tuning(connection: sa.Connection) -> None:
    """Waits until no other transaction has the lock, which is held until the end of this one. In
    SQLite there is one transaction for writing at a time, and no lock is needed.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_LOCK)))
