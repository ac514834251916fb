"""Rules that a text has to follow: choices, a regular expression, a JSON schema, or a grammar.

llguidance follows the text token by token and gives the tokens that may come next; the engine lets
a row choose among these alone.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hclx.errors import require, shown
from hclx.infer.endless_text import endless_in_lark, endless_in_regex
from hclx.infer.engine import RequestError
from hclx.infer.schema_bounds import (
    MOST_LINKED_LEVELS,
    check_optional,
    levels_of,
    linked_levels,
    unbounded_parts,
)
from hclx.text import Tokenizer

MOST_BYTES = 2**17  # of a grammar; larger ones take longer to compile than others should wait
MOST_LEVELS = 100
# Ways in which a text may go on at one place. The time of a mask grows with them, and all other
# requests wait for it.
_MOST_WAYS = 500
# Steps of the library while it compiles, a thousand or more a millisecond; (a{1000}){1000} takes a
# million.
_MOST_STEPS = 80_000
_SMALLER = "it is too large when its repetitions are written out; repeat less, or make it smaller"
# Reasons of the library that name its inner parts -> what they mean for the one who asks.
_NAMES = {"lark": "lark grammar", "choices": "list of choices"}  # of kinds, in messages
_REASONS = {
    "too many expressions constructed": _SMALLER,
    "initial lexer configuration": _SMALLER,
    "fuel exhausted": _SMALLER,
    "lexer precomputation failed": _SMALLER,
    "Too many items": _SMALLER,
    "Current row has": "it may go on in too many ways; have fewer optional or alternative parts",
    "NoExtension": "it allows no text",
}
# What can make the derivation of a text by Lark one level deeper.
_RULE_OR_BRACKET = re.compile(r"^[ \t]*[?!]?\w+[^:\n]*:|\$ref|[(\[{]", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Grammar:
    """A rule for a text. Make it by `choices`, `regex`, `json_schema` or `lark`.

    Attributes:
      kind: "choices", "regex", "json_schema" or "lark", for messages.
      source: in the language of llguidance.
      warnings: what may let a text grow without end.
      written: as it was given: JSON of the choices or the schema, the expression or the grammar.
    """

    kind: str
    source: str
    warnings: tuple[str, ...] = ()
    written: str = ""

    def matcher(self, tokenizer: Tokenizer, vocab_size: int) -> "Matcher":
        """Begins to follow a text.

        Args:
          tokenizer: that of the model.
          vocab_size: rows of the model's embedding.
        Raises:
          RequestError: the grammar is wrong, too large or too complex, with the reason.
        """
        return Matcher(self, tokenizer, vocab_size)

    def check(self) -> None:
        """Raises RequestError if the grammar is wrong whatever the tokens of the model are."""
        matcher = _matcher(self.source, _library().LLTokenizer("byte"))
        mask = np.frombuffer(matcher.compute_bitmask(), np.uint32)
        _check(self.kind, matcher)
        _try_first_token(self.kind, matcher, mask)


def from_definition(definition: Mapping[str, object]) -> Grammar:
    """Makes a grammar of what a file says.

    Args:
      definition: "choices", "regex", "json_schema" or "lark" -> its argument.
    Raises:
      RequestError: it is something else, or the grammar is wrong.
    """
    kinds = {"choices": choices, "regex": regex, "json_schema": json_schema, "lark": lark}
    is_object = isinstance(definition, Mapping) and len(definition) == 1
    if not is_object or not set(definition) <= set(kinds):
        raise RequestError(
            f"grammar={shown(definition)}: give an object with {' or '.join(kinds)}, and its"
            ' definition, such as {"regex": "[0-9]+"}'
        )
    ((kind, argument),) = definition.items()
    grammar = kinds[kind](argument)
    grammar.check()
    return grammar


def choices(labels: Sequence[str]) -> Grammar:
    """A grammar of texts that are one of `labels`.

    Raises:
      RequestError: there are none, or one is empty.
    """
    is_list = isinstance(labels, Sequence) and bool(labels) and not isinstance(labels, str)
    if not is_list or not all(isinstance(label, str) and label for label in labels):
        raise RequestError(f"choices={shown(labels)}: give a list of texts that are not empty")
    # A terminal, which the lexer knows by one automaton however many choices there are.
    source = "start: CHOICE\nCHOICE: " + " | ".join(map(_lark_string, labels))
    return _from_lark("choices", source, written=_dump(labels))


def regex(pattern: str) -> Grammar:
    """A grammar of texts that match a regular expression as a whole, in the syntax of Rust."""
    from_regex = _library().LLMatcher.grammar_from_regex
    made = _grammar("regex", from_regex, _bounded("regex", pattern), written=pattern)
    return dataclasses.replace(made, warnings=tuple(endless_in_regex(pattern)))


def lark(grammar: str) -> Grammar:
    """A grammar in the language of Lark, as llguidance extends it; its start rule is `start`.

    Raises:
      RequestError: it is wrong, too large, or has too many rules and brackets.
    """
    _check_links("lark", len(_RULE_OR_BRACKET.findall(_bounded("lark", grammar))))
    made = _from_lark("lark", grammar, written=grammar)
    return dataclasses.replace(made, warnings=tuple(endless_in_lark(grammar)))


def json_schema(schema: dict | bool | str) -> Grammar:
    """A grammar of JSON that follows a schema, without blanks between its parts.

    Args:
      schema: as a dictionary or as text.
    Raises:
      RequestError: it is no JSON, nests too deeply or is too large.
    """
    text = schema if isinstance(schema, str) else _dump(schema)
    _bounded("json_schema", text)
    if levels_of(text) > MOST_LEVELS:
        raise RequestError(f"json_schema nests more than {MOST_LEVELS} levels; flatten it")
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise RequestError(f"json_schema is no JSON: {error}") from error
    if not isinstance(parsed, dict | bool):
        raise RequestError("json_schema is no schema: give an object, true or false")
    parsed = parsed if isinstance(parsed, dict) else ({} if parsed else {"not": {}})
    _check_links("json_schema", linked_levels(parsed))
    check_optional(parsed)
    from_schema = functools.partial(
        _library().LLMatcher.grammar_from_json_schema, overrides={"whitespace_flexible": False}
    )
    made = _grammar("json_schema", from_schema, json.dumps(parsed), written=json.dumps(parsed))
    return dataclasses.replace(made, warnings=tuple(unbounded_parts(parsed)))


def enclosed_json(before: str, schema: dict | bool, after: str) -> Grammar:
    """A grammar of JSON as of `json_schema`, between two texts that stand there as they are.

    Raises:
      RequestError: as `json_schema`.
    """
    made = json_schema(schema)
    (inner,) = json.loads(made.source)["grammars"]
    # An empty text is no terminal.
    around = [_lark_string(text) if text else "" for text in (before, after)]
    rule = "start: " + " @json ".join(around)
    grammars = [{"name": "start", "lark_grammar": rule}, {**inner, "name": "json"}]
    return dataclasses.replace(made, source=json.dumps({"grammars": grammars}))


class Matcher:
    """Follows one text."""

    def __init__(self, grammar: Grammar, tokenizer: Tokenizer, vocab_size: int):
        """Compiles the grammar; see `Grammar.matcher`."""
        self._kind, self._eod_id = grammar.kind, tokenizer.eod_id
        self._n_words = -(-vocab_size // 32)
        self._matcher = _matcher(grammar.source, _vocabulary(tokenizer, vocab_size))
        # Tells most errors, before the request waits for its turn.
        _try_first_token(self._kind, self._matcher, self.mask())

    @property
    def is_complete(self) -> bool:
        """Returns whether the text is whole, and nothing may follow."""
        return self._matcher.is_stopped()

    def mask(self) -> np.ndarray:
        """Returns the tokens that may come next, and the end of the document if the text is whole:
        uint32 [ceil(v / 32)], a bit for each, the lowest first.

        Raises:
          RequestError: the grammar allows nothing, or is too complex.
        """
        mask_w = np.zeros(self._n_words, np.uint32)
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)
        mask_w[: len(bits)] = bits[: self._n_words]
        _check(self._kind, self._matcher)
        if not mask_w.any():
            raise RequestError(f"the {self._kind} allows no text here; change it")
        return mask_w

    def take(self, token: int) -> None:
        """Takes the token that came next.

        Raises:
          RequestError: it is not allowed.
        """
        if token != self._eod_id:
            self._matcher.consume_token(token)
            _check(self._kind, self._matcher)

    def forced(self) -> list[int]:
        """Returns the tokens that must come next, because nothing else is allowed; none if text
        could go on otherwise.
        """
        return self._matcher.compute_ff_tokens()


def _matcher(source: str, vocabulary):
    library = _library()
    limits = library.LLParserLimits(initial_lexer_fuel=_MOST_STEPS, max_items_in_row=_MOST_WAYS)
    return library.LLMatcher(vocabulary, source, log_level=0, limits=limits)


def _try_first_token(kind: str, matcher, mask_w: np.ndarray) -> None:
    """Raises RequestError if a grammar is so large that the library gives it up after a token."""
    tokens = np.flatnonzero(np.unpackbits(mask_w.view(np.uint8), bitorder="little"))
    if len(tokens) and not matcher.is_stopped():
        copy = matcher.deep_copy()
        copy.consume_token(int(tokens[0]))
        _check(kind, copy)


def _check(kind: str, matcher) -> None:
    """Raises RequestError if the library has given up a text."""
    if matcher.is_error():
        # After the reason follows the state of the parser, of no use to the one who asks.
        reason = " ".join(matcher.get_error().split("\n<state>")[0].split())[:300]
        reason = next((ours for part, ours in _REASONS.items() if part in reason), reason)
        raise RequestError(f"the {_NAMES.get(kind, kind)} cannot be followed: {reason}")


class _Vocabulary:
    """The view of a tokenizer that llguidance reads."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer):
        texts = [tokenizer.decode_bytes([token]) for token in range(tokenizer.vocab_size)]
        self._tokenizer, self.eos_token_id = tokenizer, tokenizer.eod_id
        self.special_token_ids = [token for token, text in enumerate(texts) if not text]
        self.tokens = [text or b"<|%d|>" % token for token, text in enumerate(texts)]

    def __call__(self, text: bytes | str) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode("utf-8", errors="ignore")
        return self._tokenizer.encode(text)


@functools.lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer, vocab_size: int):
    library = _library()
    wrapper = library.TokenizerWrapper(_Vocabulary(tokenizer))
    return library.LLTokenizer(wrapper, n_vocab=vocab_size, eos_token=tokenizer.eod_id)


def _library():
    require("llguidance")
    import llguidance

    return llguidance


def _from_lark(kind: str, source: str, written: str) -> Grammar:
    from_lark = _library().LLMatcher.grammar_from_lark
    return _grammar(kind, from_lark, _bounded(kind, source), written)


def _grammar(kind: str, make: Callable[[str], str], source: str, written: str) -> Grammar:
    try:
        return Grammar(kind, make(source), written=written)
    except ValueError as error:  # also of a lone surrogate
        raise RequestError(f"the {_NAMES.get(kind, kind)} cannot be followed: {error}") from error


def _bounded(kind: str, text: str) -> str:
    if not isinstance(text, str):
        raise RequestError(f"the {_NAMES.get(kind, kind)} is {shown(text)}: give a text")
    n_bytes = len(text.encode("utf-8", "surrogatepass"))
    if n_bytes > MOST_BYTES:
        raise RequestError(
            f"the {_NAMES.get(kind, kind)} has {n_bytes:,} bytes, more than {MOST_BYTES:,}; make it"
            " smaller"
        )
    return text


def _lark_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _dump(schema: object) -> str:
    try:
        return json.dumps(schema, ensure_ascii=False)
    except (RecursionError, ValueError) as error:
        raise RequestError(
            f"json_schema nests more than {MOST_LEVELS} levels; flatten it"
        ) from error
    except TypeError as error:
        raise RequestError(f"json_schema is no JSON: {error}") from error


def _check_links(kind: str, levels: int) -> None:
    if levels > MOST_LINKED_LEVELS:
        raise RequestError(
            f"the {_NAMES.get(kind, kind)} has references that may make it more than"
            f" {MOST_LINKED_LEVELS:,} levels deep; write it with fewer definitions"
        )
