"""Texts that begin alike, as trees of tokens: what several of them share is read once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class TokenTree(NamedTuple):
    """Texts as one tree, whose tokens stand in the order of a depth-first walk: each behind those
    before it in its texts, and before those of other branches.

    Attributes:
      tokens: the id of each.
      ends: for each the index behind its last descendant: token i continues token j if
        j <= i < ends[j].
      paths: for each text the indices of its tokens.
    """

    tokens: list[int]
    ends: list[int]
    paths: list[list[int]]


class TextGroup(NamedTuple):
    """Texts that are read together.

    Attributes:
      n_shared: the number of tokens that they all begin with.
      numbers: of the texts, sorted by their tokens.
    """

    n_shared: int
    numbers: list[int]


def token_tree(texts: Sequence[Sequence[int]]) -> TokenTree:
    """Returns the tree of some texts."""
    tree = TokenTree([], [], [[]] * len(texts))
    path: list[int] = []
    before: Sequence[int] = ()
    for number in sorted(range(len(texts)), key=lambda number: tuple(texts[number])):
        text = texts[number]
        n_shared = common_length(before, text)
        _close(tree, path[n_shared:])
        new = range(len(tree.tokens), len(tree.tokens) + len(text) - n_shared)
        tree.tokens.extend(text[n_shared:])
        tree.ends.extend(new)
        path, before = [*path[:n_shared], *new], text
        tree.paths[number] = path
    _close(tree, path)
    return tree


def _close(tree: TokenTree, nodes: Sequence[int]) -> None:
    """Ends some tokens, which have no further descendants."""
    for node in nodes:
        tree.ends[node] = len(tree.tokens)


def group_texts(
    texts: Sequence[Sequence[int]], limits: Sequence[int], most_rest: int, most_tokens: int
) -> list[TextGroup]:
    """Groups texts so that little is read more than once.

    Args:
      texts: their tokens.
      limits: for each text how many of its tokens may count as shared.
      most_rest: the most tokens that a text may have behind those that its group shares; longer
        ones are alone.
      most_tokens: the most of these that a group has in all.
    """
    groups: list[TextGroup] = []
    longest = n_tokens = 0  # of the last group
    for number in sorted(range(len(texts)), key=lambda number: tuple(texts[number])):
        text, n_shared = texts[number], limits[number]
        if groups:
            before = texts[groups[-1].numbers[-1]]
            n_shared = min(groups[-1].n_shared, n_shared, common_length(before, text))
            longest, n_tokens = max(longest, len(text)), n_tokens + len(text)
            n_rest = n_tokens - n_shared * (len(groups[-1].numbers) + 1)
            if longest - n_shared <= most_rest and n_rest <= most_tokens:
                numbers = [*groups[-1].numbers, number]
                groups[-1] = TextGroup(n_shared, numbers)
                continue
        groups.append(TextGroup(limits[number], [number]))
        longest = n_tokens = len(text)
    return groups


def split_by_size(texts: Sequence[Sequence[int]], most: int) -> Iterator[range]:
    """Yields ranges of sorted texts whose trees have at most so many tokens, or one text alone."""
    begin = size = 0
    for number, text in enumerate(texts):
        n_new = len(text) - (common_length(texts[number - 1], text) if number > begin else 0)
        if number > begin and size + n_new > most:
            yield range(begin, number)
            begin, size, n_new = number, 0, len(text)
        size += n_new
    if texts:
        yield range(begin, len(texts))


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """Returns the number of tokens with which both begin."""
    shorter = min(len(a), len(b))
    return next((i for i in range(shorter) if a[i] != b[i]), shorter)
