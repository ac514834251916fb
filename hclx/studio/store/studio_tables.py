"""The tables of the Studio as statements use them; hclx/serve/store/migrations.py makes them.

All times are whole seconds since 1970 in UTC.
"""

import sqlalchemy as sa

_METADATA = sa.MetaData()

# Those who may log in; `key_id` is the key under which their requests are counted, whose secret
# nobody has.
people = sa.Table(
    "people",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("removed", sa.BigInteger),
)

# Links that log a person in once, by the hashes of their tokens.
login_links = sa.Table(
    "login_links",
    _METADATA,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("used", sa.BigInteger),
)

# Browsers that are logged in, by the hashes of their cookies.
sessions = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
)

# Prompts as they are edited; `content` is JSON, `revision` grows with each change.
studio_prompts = sa.Table(
    "studio_prompts",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("removed", sa.BigInteger),
)

# Saved versions, which never change.
prompt_versions = sa.Table(
    "prompt_versions",
    _METADATA,
    sa.Column("prompt", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

# Links to a version, for those who have the token.
prompt_shares = sa.Table(
    "prompt_shares",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("revoked", sa.BigInteger),
)

# Versions that answer at /apps/SLUG, for the holder of their key.
apps = sa.Table(
    "apps",
    _METADATA,
    sa.Column("slug", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("removed", sa.BigInteger),
)

# Rows to test a prompt on: `columns` a list of names, `rows` a list of lists, JSON.
studio_tables = sa.Table(
    "studio_tables",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("columns", sa.Text, nullable=False),
    sa.Column("rows", sa.Text, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
)

# A prompt that answers many rows; `content` is JSON. Those that wait or run are claimed by servers.
batches = sa.Table(
    "batches",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("columns", sa.Text, nullable=False),  # names, a list of JSON
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),  # for which it waits or has failed, JSON
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column(
        "done", sa.BigInteger, nullable=False
    ),  # rows that have ended, also those that failed
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger),
    sa.Column("runner", sa.Text),  # the server that has it
    sa.Column("heartbeat", sa.BigInteger),  # when that server last said so
)

# The rows of a batch: `fields` a list of texts, and the answer or the error once it is there, JSON.
batch_rows = sa.Table(
    "batch_rows",
    _METADATA,
    sa.Column("batch", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("fields", sa.Text, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("error", sa.Text),
)

TABLES = _METADATA.tables
