"""Makes, lists and revokes the keys of a server, and shows what was used with them:
hclx keys create|list|revoke|usage --store=keys.db

  create  makes a key for --name, and prints its secret, which cannot be shown again
  list    lists all keys, with their quotas
  revoke  revokes the key with the id --key at once, for all servers of the store
  usage   sums up requests and tokens by day and key, of the last --days

--store is the file of an SQLite database, or postgresql://USER@HOST/NAME.
"""

import sys
import time

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run

MOST_DAYS = 36_500
MOST = 10**15
STORE = flags.DEFINE_string(
    "store", None, "A file, or postgresql://USER@HOST/NAME; a password may be in ~/.pgpass."
)
KEY = flags.DEFINE_string("key", None, "The id of a key: revoke needs it, usage takes it.")
NAME = flags.DEFINE_string("name", None, "create: who will have the key.")
KIND = flags.DEFINE_enum("kind", "service", ["test", "service"], "create: its kind.")
SCOPES = flags.DEFINE_list(
    "scopes", ["inference"], "create: of inference, tuning and admin, with commas between them."
)
TENANT = flags.DEFINE_string(
    "tenant", "", "create: keys of one tenant share the prefix cache; default: the key alone."
)
EXPIRES = flags.DEFINE_float(
    "expires_days", 0, "create: days until it expires; 0: never.", 0, MOST_DAYS
)
LIMITS = {
    f"{unit}_per_{window}": flags.DEFINE_integer(
        f"{unit}_per_{window}", 0, f"create: the most {unit} a {window}; 0: no limit.", 0, MOST
    )
    for unit in ("requests", "tokens")
    for window in ("minute", "day")
}
DAYS = flags.DEFINE_integer("days", 30, "usage: days, today among them.", 1, MOST_DAYS)
JSON = flags.DEFINE_bool("json", False, "list and usage: print a line of JSON for each.")


def main(argv):
    from hclx.serve.store.database import open_database

    if not STORE.value:
        raise ConfigError("--store is missing; give the file of a store, or its address")
    needed = {"create": ("name", NAME), "revoke": ("key", KEY)}.get(argv[1])
    if needed and not needed[1].value:
        raise ConfigError(f"--{needed[0]} is missing; hclx keys {argv[1]} needs it")
    actions = {"create": create, "list": show, "revoke": revoke, "usage": show_usage}
    with open_database(STORE.value, makes=argv[1] == "create") as database:
        actions[argv[1]](database)


def create(database) -> None:
    """Prints the secret of a new key, alone on the standard output."""
    from hclx.serve.store.key_records import Limits, create_key

    options = {"kind": KIND.value, "scopes": SCOPES.value, "tenant": TENANT.value}
    limits = Limits(**{name: flag.value for name, flag in LIMITS.items()})
    expires = {"expires_days": EXPIRES.value, "limits": limits}
    secret, key = create_key(database, NAME.value, time.time(), **options, **expires)
    print(f"key {key.id} for {key.name}; its secret is shown this once:", file=sys.stderr)
    print(secret)


def show(database) -> None:
    """Prints a line for each key."""
    from hclx.serve.store.key_records import list_keys
    from hclx.serve.store.print_keys import key_table

    print(key_table(list_keys(database), time.time(), JSON.value), end="")


def revoke(database) -> None:
    """Revokes a key."""
    from hclx.serve.store.key_records import revoke_key

    key = revoke_key(database, KEY.value, time.time())
    print(f"key {key.id} for {key.name} is revoked")


def show_usage(database) -> None:
    """Prints a line for each day and key."""
    from hclx.serve.store.print_keys import usage_table
    from hclx.serve.store.usage_store import usage_by_day

    since = time.time() - (DAYS.value - 1) * 86_400
    print(usage_table(usage_by_day(database, since, KEY.value), JSON.value), end="")


if __name__ == "__main__":
    run(main, ("create", "list", "revoke", "usage"))
