"""The tables of the store as statements use them; hclx/serve/store/migrations.py makes them.

All times are whole seconds since 1970 in UTC. No table holds a secret or the text of a request.
"""

import sqlalchemy as sa

_METADATA = sa.MetaData()

# A single row: how many of the migrations have run.
store_version = sa.Table("store_version", _METADATA, sa.Column("version", sa.BigInteger))

api_keys = sa.Table(
    "api_keys",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),  # of the secret, in hexadecimal
    sa.Column("ending", sa.Text, nullable=False),  # its last characters, to tell a leaked one
    sa.Column("scopes", sa.Text, nullable=False),  # sorted, with spaces between them
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("revoked", sa.BigInteger),
    # the most of a window; 0: no limit
    sa.Column("requests_per_minute", sa.BigInteger, nullable=False),
    sa.Column("requests_per_day", sa.BigInteger, nullable=False),
    sa.Column("tokens_per_minute", sa.BigInteger, nullable=False),
    sa.Column("tokens_per_day", sa.BigInteger, nullable=False),
)

# Requests and tokens that a key was granted in the `seconds` from `start` on.
quota_windows = sa.Table(
    "quota_windows",
    _METADATA,
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), primary_key=True),
    sa.Column("seconds", sa.BigInteger, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
)

# Tokens of requests that were admitted and have not ended. They are counted in the windows too.
reservations = sa.Table(
    "reservations",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False, index=True),
    sa.Column("admitted", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
)

# Requests that have ended, under the ids of their reservations.
usage = sa.Table(
    "usage",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("finished", sa.BigInteger, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # for which it ended
    sa.Index("usage_of_key", "key_id", "finished"),
)

TABLES = _METADATA.tables
