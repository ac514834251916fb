"""Numbers as people read them, for the corpus card and for messages."""

import math
from collections.abc import Mapping


def format_number(value: float) -> str:
    """A number for people: whole ones, and all from 1,000 on, without decimals and with commas;
    others with four significant digits, such as 0.07143.
    """
    is_whole = value % 1 == 0 or 1000 <= abs(value) < math.inf
    return f"{value:,.0f}" if is_whole else f"{value:.4g}"


def format_difference(value: float) -> str:
    """A number with its sign, rounded to a whole one: +1,000; 0 itself has no sign."""
    return f"{value:+,.0f}" if value else "0"


def format_bytes(n_bytes: float) -> str:
    """A number of bytes in the unit that fits, a power of 1000: 12 B, 12.3 MB, 123 MB."""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def format_share(part: float, whole: float = 1) -> str:
    """The share part / whole in percent: 12.3%, or "< 0.1%" for less that is not 0; a dash, –, if
    `whole` is 0.
    """
    text = f"{100 * part / whole:.1f}%" if whole else "–"
    return "< 0.1%" if part and text == "0.0%" else text


def format_bounds(rule: Mapping) -> str:
    """The bounds of a rule with `min` and `max`: "≥ 50", "≤ 0.5" or "2.2 to 10"; "" if it has
    none. None, or no such key, is no bound. A rule with `where` judges some documents only:
    "≤ 0.3 where length.lines >= 6".
    """
    low, high = rule.get("min"), rule.get("max")
    where = f" where {rule['where']}" if rule.get("where") else ""
    if low is not None and high is not None:
        return f"{format_number(low)} to {format_number(high)}{where}"
    if low is not None:
        return f"≥ {format_number(low)}{where}"
    return f"≤ {format_number(high)}{where}" if high is not None else ""


def format_range(low: float, high: float | None) -> str:
    """The integers from `low` to `high`, both included: "2", "6 to 10", or "1,001 or more" if
    `high` is None.
    """
    if low == high:
        return format_number(low)
    end = f"to {format_number(high)}" if high else "or more"
    return f"{format_number(low)} {end}"


def format_tick(value: float) -> str:
    """A number beneath an axis: in thousands from 1,000 on (1.5k, 2000k), else as it is (0.5)."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
