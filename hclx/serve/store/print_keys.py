"""Keys and their usage as tables for a terminal, or as lines of JSON."""

import dataclasses
import datetime
import json
from collections.abc import Iterable, Sequence

from hclx.serve.store.key_records import KeyRecord, Limits
from hclx.serve.store.usage_store import DayOfUsage


def key_table(keys: Sequence[KeyRecord], now: float, as_json: bool = False) -> str:
    """Returns a line for each key, its name last; secrets are not among what is known.

    Args:
      keys: the keys, in the order of the lines.
      now: seconds since 1970, which decides which of them have expired.
      as_json: an object a line, in place of columns under a head.
    """
    if as_json:
        return _json_lines(
            {**_plain(key), "state": key.state(now), "scopes": sorted(key.scopes)} for key in keys
        )
    head = ("id", "ends with", "state", "kind", "scopes", "created", "expires", "last used")
    rows = [
        (
            *(key.id, key.ending, key.state(now), key.kind, ",".join(sorted(key.scopes))),
            *(_day(key.created), _day(key.expires), _day(key.last_used)),
            *(limits_in_words(key.limits), key.name),
        )
        for key in keys
    ]
    return _table([(*head, "limits", "name"), *rows])


def usage_table(days: Sequence[DayOfUsage], as_json: bool = False) -> str:
    """Returns a line for each day and key, and one for the sum of all; see `key_table`."""
    if as_json:
        return _json_lines({**_plain(day), "day": _day(day.start)} for day in days)
    numbers = ("requests", "prompt_tokens", "completion_tokens")
    counts = [[getattr(day, name) for name in numbers] for day in days]
    rows = [
        (_day(day.start), day.key_id, *(f"{number:,}" for number in count), day.name)
        for day, count in zip(days, counts)
    ]
    total = [f"{sum(column):,}" for column in zip(*counts)] or ["0"] * len(numbers)
    head = ("day (UTC)", "key", "requests", "prompt tokens", "written tokens", "name")
    return _table([head, *rows, ("all", "", *total, "")], is_number=(2, 3, 4))


def limits_in_words(limits: Limits) -> str:
    """Returns limits as "60 requests/minute; 1,000 tokens/day"; "no limit" if there is none."""
    values = vars(limits).items()
    words = (f"{value:,} {name.replace('_per_', '/')}" for name, value in values if value)
    return "; ".join(words) or "no limit"


def _plain(record: KeyRecord | DayOfUsage) -> dict:
    return dataclasses.asdict(record)


def _json_lines(records: Iterable[dict]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _table(rows: Sequence[Sequence[str]], is_number: Sequence[int] = ()) -> str:
    """Returns rows with aligned columns; the last one, which may hold wide letters, is as it is."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for *cells, last in rows:
        padded = (
            cell.rjust(width) if number in is_number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(cells, widths))
        )
        lines.append("  ".join((*padded, last)).rstrip() + "\n")
    return "".join(lines)


def _day(seconds: int | None) -> str:
    if seconds is None:
        return "never"
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
