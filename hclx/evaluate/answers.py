"""Parsers of generated answers, by the kind that a prompt document declares.

Each returns "" where there is nothing to read.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError

_NUMBER = re.compile(
    r"(?<![0-9.])(?:(?<!\w)[-+])?"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?!,?[0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
)
_LATIN = re.compile(r"[0-9A-Za-z]")


def parse_answer(parser: Mapping[str, str], text: str, labels: Sequence[str] = ()) -> str:
    """Reads an answer from generated text.

    Args:
      parser: `kind`, with the fields of that kind: see `PromptDocument.parser`.
      text: generated.
      labels: the answers that there are, for the kind "choice".
    Returns:
      text: without blanks around it. first_line: the first line that is not blank. choice: the
      label that `text` names. number: the first number, without separators of thousands. regex: the
      first group of the first match. json: the field of the first object, its value as JSON unless
      it is a text. "" where there is none.
    Raises:
      ConfigError: the pattern is no regular expression or has no group, or labels are missing.
    """
    kind = parser["kind"]
    if kind == "choice":
        return _choice(text, labels)
    if kind == "regex":
        return _group(parser["pattern"], text)
    if kind == "json":
        return _field(parser["field"], text)
    return {"text": str.strip, "first_line": _first_line, "number": _number}[kind](text)


def _first_line(text: str) -> str:
    return next((line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()), "")


def _choice(text: str, labels: Sequence[str]) -> str:
    """Returns the label that a text begins with, or else the only one that it names.

    Where labels overlap, the longest counts; labels of Latin letters or digits are whole words.
    """
    if not labels:
        raise ConfigError("the parser 'choice' looks for labels, and the prompt declares none")
    by_length = sorted(filter(None, labels), key=len, reverse=True)
    pattern = "|".join(map(_word, by_length))
    named = [(match.start(), match[0]) for match in re.finditer(pattern, text.strip())]
    if named and (named[0][0] == 0 or len({label for _, label in named}) == 1):
        return named[0][1]
    return ""


def _word(label: str) -> str:
    before = r"(?<![0-9A-Za-z])" if _LATIN.match(label[0]) else ""
    after = r"(?![0-9A-Za-z])" if _LATIN.match(label[-1]) else ""
    return before + re.escape(label) + after


def _number(text: str) -> str:
    match = _NUMBER.search(unicodedata.normalize("NFKC", text))
    if match is None:
        return ""
    sign, digits = ("-" if match[0].startswith("-") else ""), match[0].lstrip("+-").replace(",", "")
    whole, _, fraction = digits.partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    number = f"{whole}.{fraction}" if fraction else whole
    return number if number == "0" else sign + number


def _group(pattern: str, text: str) -> str:
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"parser.pattern={pattern!r} is not valid: {error}") from error
    if not compiled.groups:
        raise ConfigError(f"parser.pattern={pattern!r} has no group, which would be the answer")
    match = compiled.search(text)
    return ((match[1] or "") if match else "").strip()


def _field(field: str, text: str) -> str:
    decoder, start = json.JSONDecoder(), text.find("{")
    while start >= 0:
        try:
            value = decoder.raw_decode(text, start)[0].get(field)
        except ValueError:
            start = text.find("{", start + 1)
            continue
        except RecursionError:  # and so would those within it
            return ""
        if value is None:
            return ""
        return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ""
