"""Names of apps in addresses."""

import re
import secrets
import unicodedata

_SLUG = re.compile(r"[a-z0-9-]{3,40}")
_LONGEST, _SHORTEST = 40, 3
_RANDOM_BYTES = 4


def is_slug(text: str) -> bool:
    """Returns whether a text may be the name of an app in its address."""
    return _SLUG.fullmatch(text) is not None


def slugs_of(title: str) -> list[str]:
    """Returns slugs for a title, from the best on: its Latin letters and numbers, and these with a
    random end. Letters of other scripts are left out; of a title without enough of these, there is
    a random slug alone.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST].strip("-")
    end = secrets.token_hex(_RANDOM_BYTES)
    if len(words) < _SHORTEST:
        return [f"app-{end}"]
    return [words, f"{words[: _LONGEST - len(end) - 1].strip('-')}-{end}"]
