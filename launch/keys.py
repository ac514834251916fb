"""Makes, lists, limits and revokes keys of a server, and shows what they used:
hclx keys create|list|limit|revoke|usage --store=keys.db

  create  makes a key for --name, and prints its secret, which cannot be shown again
  list    lists all keys, with their quotas
  limit   changes those quotas of the key with the id --key that the options name
  revoke  revokes the key with the id --key at once, for all servers of the store
  usage   sums up requests and tokens by day and key, of the last --days

--store is the file of an SQLite database, or postgresql://USER@HOST/NAME.
"""

import itertools
import sys
import time

from absl import flags

from hclx.errors import ConfigError, require
from hclx.launching import run

TEXT, MOST_DAYS, MOST = flags.DEFINE_string, 36_500, 10**15
STORE = TEXT("store", None, "A file, or postgresql://USER@HOST/NAME, its password in ~/.pgpass.")
KEY = TEXT("key", None, "The id of a key: limit and revoke need it, usage takes it.")
NAME = TEXT("name", None, "create: who will have the key.")
KIND = flags.DEFINE_enum("kind", "service", ["test", "service"], "create: its kind.")
SCOPES = flags.DEFINE_list("scopes", ["inference"], "create: of inference, tuning and admin.")
TENANT = TEXT("tenant", "", "create: whose keys share the prefix cache; default: the key alone.")
EXPIRES = flags.DEFINE_float("expires_days", 0, "create: days it lasts; 0: always.", 0, MOST_DAYS)
LIMITS = {}
for unit, window in itertools.product(("requests", "tokens"), ("minute", "day")):
    name, of = f"{unit}_per_{window}", f"create, limit: the most {unit} a {window}; 0: no limit."
    LIMITS[name] = flags.DEFINE_integer(name, 0, of, 0, MOST)
DAYS = flags.DEFINE_integer("days", 30, "usage: days, today among them.", 1, MOST_DAYS)
JSON = flags.DEFINE_bool("json", False, "list and usage: print a line of JSON for each.")


def main(argv):
    command = argv[1]
    if not STORE.value:
        raise ConfigError("--store is missing; give the file of a store, or its address")
    needed = {"create": NAME, "limit": KEY, "revoke": KEY}.get(command)
    if needed is not None and not needed.value:
        raise ConfigError(f"--{needed.name} is missing; hclx keys {command} needs it")
    require("sqlalchemy")
    from hclx.serve.store.database import open_database

    with open_database(STORE.value, makes=command == "create") as database:
        ACTIONS[command](database)


def _create(database) -> None:
    from hclx.serve.store.key_records import Limits, create_key

    asked = KIND.value, SCOPES.value, TENANT.value, EXPIRES.value
    limits = Limits(**{name: flag.value for name, flag in LIMITS.items()})
    secret, key = create_key(database, NAME.value, time.time(), *asked, limits)
    print(f"key {key.id} for {key.name}; its secret is shown this once:", file=sys.stderr)
    print(secret)  # alone, for KEY=$(hclx keys create ...)


def _show(database) -> None:
    from hclx.serve.store import key_records, print_keys

    keys = key_records.list_keys(database)
    print(print_keys.key_table(keys, time.time(), JSON.value), end="")


def _change(database) -> None:
    from hclx.serve.store import key_records, print_keys

    changes = {name: flag.value for name, flag in LIMITS.items() if flag.present}
    key = key_records.change_limits(database, KEY.value, changes)
    state = key.state(time.time())
    ending = "" if state == "active" else f"; it is {state}, and opens nothing"
    print(f"key {key.id} for {key.name}: {print_keys.limits_in_words(key.limits)}{ending}")


def _revoke(database) -> None:
    from hclx.serve.store.key_records import revoke_key

    key = revoke_key(database, KEY.value, time.time())
    print(f"key {key.id} for {key.name} is revoked")


def _usage(database) -> None:
    from hclx.serve.store import print_keys, usage_store

    since = time.time() - (DAYS.value - 1) * 86_400
    days = usage_store.usage_by_day(database, since, KEY.value)
    print(print_keys.usage_table(days, JSON.value), end="")


ACTIONS = dict(create=_create, list=_show, limit=_change, revoke=_revoke, usage=_usage)

if __name__ == "__main__":
    run(main, tuple(ACTIONS))
