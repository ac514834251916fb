"""Places where expressions and grammars let a text grow without end."""

import re
from collections.abc import Iterator

_LITERAL = re.compile(r"\\.|\[(?:\\.|[^\]])*\]")  # an escaped character or a set of characters
_ENDLESS = re.compile(r"[*+]|\{\d+,\}")
# Strings, expressions and comments of Lark, in the order in which they begin.
_LARK_LITERAL = re.compile(r'"(?:\\.|[^"\\\n])*"i?|//[^\n]*|(/(?:\\.|[^/\\\n])+/)[imslux]*')
_RULE = re.compile(r"^[ \t]*[?!]?(\w+)(?:\[[^\]\n]*\]|\{[^}\n]*\}|\.\d+)*[ \t]*:", re.MULTILINE)


def endless_in_regex(pattern: str) -> list[str]:
    """Returns the repetitions without a bound of a regular expression, each once."""
    signs = dict.fromkeys(_ENDLESS.findall(_LITERAL.sub("", pattern)))
    return [f"{sign}: a repetition without a bound" for sign in signs]


def endless_in_lark(grammar: str) -> list[str]:
    """Returns the repetitions without a bound of a grammar in the language of Lark, also those of
    its expressions, and its rules that contain themselves.
    """
    expressions = "".join(match[1] or "" for match in _LARK_LITERAL.finditer(grammar))
    plain = _LARK_LITERAL.sub(lambda match: "\n" if match[0].startswith("//") else " ", grammar)
    signs = [*endless_in_regex(expressions), *endless_in_regex(plain)]
    return [*dict.fromkeys(signs), *_recursive_rules(plain)]


def _recursive_rules(grammar: str) -> Iterator[str]:
    heads = list(_RULE.finditer(grammar))
    ends = [head.start() for head in heads[1:]] + [len(grammar)]
    names = {head[1] for head in heads}
    used = {
        head[1]: names.intersection(re.findall(r"\w+", grammar[head.end() : end]))
        for head, end in zip(heads, ends)
    }
    for name in used:
        reached, waiting = set(), [name]
        while waiting:
            new = used[waiting.pop()] - reached
            reached |= new
            waiting += new
        if name in reached:
            yield f"{name}: a rule that contains itself"
