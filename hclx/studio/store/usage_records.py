"""The keys whose usage a person sees, and whose they are."""

import dataclasses

import sqlalchemy as sa

from hclx.serve.caller import APP_SCOPE
from hclx.serve.store.database import Database
from hclx.serve.store.tables import api_keys
from hclx.serve.store.usage_store import DayOfUsage, usage_by_day
from hclx.studio.store.app_records import key_name
from hclx.studio.store.studio_tables import apps, people


@dataclasses.dataclass(frozen=True)
class KeyOwner:
    """Whose the requests of a key are.

    Attributes:
      kind: "person", "app", or "key", which was made for a program.
      name: of the person, the title of the app, or the name of the key.
      slug: of the app; None: it is none.
    """

    kind: str
    name: str
    slug: str | None = None


def usage_of(
    database: Database, person_id: str | None, since: float
) -> list[tuple[DayOfUsage, KeyOwner]]:
    """Sums up by day what a person and the apps of the person have used.

    Args:
      database: the store.
      person_id: of the person; None: all keys.
      since: days that ended before, in seconds since 1970, are left out.
    Returns:
      the days on which there was some, from the oldest on, and whose each was. The keys that an app
      had before are its own, too.
    """
    owners = _owners(database, person_id)
    if person_id is None:
        days = usage_by_day(database, since)
    else:
        days = [day for key_id in owners for day in usage_by_day(database, since, key_id)]
        days.sort(key=lambda day: (day.start, day.key_id))
    return [(day, owners.get(day.key_id) or KeyOwner("key", day.name)) for day in days]


def _owners(database: Database, person_id: str | None) -> dict[str, KeyOwner]:
    """Returns key id -> owner, of the keys of people and apps."""
    of_people = sa.select(people.c.key_id, people.c.name)
    of_apps = sa.select(apps.c.slug, apps.c.title)
    of_keys = sa.select(api_keys.c.id, api_keys.c.name).where(api_keys.c.scopes == APP_SCOPE)
    if person_id is not None:
        of_people = of_people.where(people.c.id == person_id)
        of_apps = of_apps.where(apps.c.owner == person_id)
    with database.reading() as connection:
        owners = {row.key_id: KeyOwner("person", row.name) for row in connection.execute(of_people)}
        rows = connection.execute(of_apps)
        named = {key_name(row.slug): KeyOwner("app", row.title, row.slug) for row in rows}
        if named:
            rows = connection.execute(of_keys.where(api_keys.c.name.in_(named)))
            owners |= {row.id: named[row.name] for row in rows}
    return owners
