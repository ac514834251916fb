"""Reads the answer in a text that a model has written, in bounded time."""

import regex

from hclx.errors import ConfigError
from hclx.evaluate.answers import parse_answer
from hclx.prompts import PromptDocument

_SECONDS = 1.0  # within which a pattern is done with a text; most need a thousandth


def read_answer(document: PromptDocument, text: str) -> str | None:
    """Returns what the document's parser reads in a text, None if it reads nothing.

    A pattern is a user's own, and one such as `((a|a)+)b` would keep the server busy for years
    with a text of sixty letters: `regex` stops, and lets other threads run meanwhile, while `re`
    does neither.

    Raises:
      ConfigError: the pattern takes too long with this text.
    """
    parser = document.parser
    if parser["kind"] != "regex":
        labels = document.grammar.get("choices") or tuple(document.choices)
        return parse_answer(parser, text, labels) or None
    pattern = parser["pattern"]
    try:
        match = regex.compile(pattern).search(text, timeout=_SECONDS, concurrent=True)
    except TimeoutError as error:
        raise ConfigError(
            f"parser.pattern={pattern!r} takes more than {_SECONDS:g} second with this text; write"
            " it without repetitions of repetitions"
        ) from error
    except regex.error as error:
        raise ConfigError(f"parser.pattern={pattern!r} is no expression: {error}") from error
    return ((match[1] or "") if match else "").strip() or None
