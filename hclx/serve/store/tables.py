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

# Files of rows to tune on. The files lie beside the store, under their hashes.
datasets = sa.Table(
    "datasets",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("format", sa.Text, nullable=False),  # the ending of the file's name
    sa.Column("columns", sa.Text, nullable=False),  # of the first row, a list of JSON
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

# Jobs of tuning. Those that wait or run are claimed by the servers of their base.
tuning_jobs = sa.Table(
    "tuning_jobs",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("base", sa.Text, nullable=False),  # its fingerprint
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("validation", sa.Text),
    sa.Column("options", sa.Text, nullable=False),  # all else that was asked for, JSON
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("is_cancelled", sa.BigInteger, nullable=False),  # 1: its server is to end it
    sa.Column("step", sa.BigInteger, nullable=False),
    sa.Column("total_steps", sa.BigInteger, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),  # name -> number, JSON
    sa.Column("error", sa.Text),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger),
    sa.Column("runner", sa.Text),  # the server that has it
    sa.Column("heartbeat", sa.BigInteger),  # when that server last said so
    sa.Column("lost", sa.BigInteger, nullable=False),  # how often its server was gone
)

# What jobs have made, under their ids.
artefacts = sa.Table(
    "artefacts",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("base", sa.Text, nullable=False),
    sa.Column("is_served", sa.BigInteger, nullable=False),  # 0: it writes no text
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

TABLES = _METADATA.tables
