"""Parses and evaluates filter expressions over attributes:
`length.chars >= 200 and not spam.links > 3`.
"""

import ast
import operator
from collections.abc import Callable

import numpy as np

from hclx.errors import ConfigError

_COMPARE = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise ConfigError(f"{text!r} is no expression: {error.msg}{where}") from error
    except (RecursionError, MemoryError) as error:
        raise ConfigError(f"{text[:80]!r} ... is no expression: nested too deeply") from error


def is_text(values: np.ndarray | float | str) -> bool:
    """Returns whether a value, or the values of an attribute, are strings and not numbers."""
    return isinstance(values, str) or getattr(values, "dtype", np.dtype(float)).kind in "OUS"


def evaluate(text: str, column: Callable[[str], np.ndarray]) -> np.ndarray:
    """Evaluates an expression for each of d documents.

    Args:
      text: comparisons (`<`, `<=`, `>`, `>=`, `==`, `!=`, also chained: `1 < a.b < 9`) between
        attributes, written `tagger.column`, and numbers or strings in Python's syntax, joined by
        `and`, `or` and `not`.
      column: takes the name of an attribute, "tagger.column", and returns its values, numbers or
        strings, [d].
    Returns:
      bool [d]: whether the expression is true.
    Raises:
      ConfigError: the text cannot be parsed, contains anything else, compares a number with a
        string, or no attribute.
    """

    def value(node: ast.expr):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            return column(f"{node.value.id}.{node.attr}")
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
            return node.value
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
            and isinstance(node.operand.value, (int, float))
        ):
            return -node.operand.value
        raise ConfigError(
            f"{text!r}: {ast.unparse(node)} is neither an attribute (`length.chars`) nor a number"
            " or a string"
        )

    def holds(node: ast.expr) -> np.ndarray:
        if isinstance(node, ast.BoolOp):
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return combine.reduce([holds(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~holds(node.operand)
        if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
            sides = [value(side) for side in (node.left, *node.comparators)]
            if not any(isinstance(side, np.ndarray) for side in sides):
                raise ConfigError(f"{text!r}: {ast.unparse(node)} compares no attribute")
            if len(set(map(is_text, sides))) > 1:
                raise ConfigError(f"{text!r}: {ast.unparse(node)} compares a number with a string")
            return np.logical_and.reduce(
                [_COMPARE[type(op)](a, b) for op, a, b in zip(node.ops, sides, sides[1:])]
            )
        raise ConfigError(
            f"{text!r}: {ast.unparse(node)} is no comparison; write `length.chars >= 200 and"
            " spam.links < 3`"
        )

    return holds(_parse(text))
