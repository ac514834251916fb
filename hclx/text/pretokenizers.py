"""Cuts text into the chunks that no learnt merge may cross: at morphemes, or at spaces alone.

Both cutters are lossless: the chunks of a text, joined, are the text.
"""

import re
from collections.abc import Iterator
from typing import Protocol

_LINES = re.compile(r"[^\n]+|\n+")
_DIGITS = re.compile(r"(?<=[0-9])(?=(?:[0-9]{3})+(?![0-9]))")  # groups of three from the right
_EOJEOL = re.compile(r"\s?\S+|\s")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Cutter(Protocol):
    """`identity` names the cutter and its version: other cuts, other tokens."""

    identity: str

    def cut(self, text: str) -> list[str]:
        """The chunks of a text."""


class MorphemeCutter:
    """Kiwi's morphemes: the space before a word goes with it, newlines stand alone, digits go in
    threes.

    A syllable in which two morphemes are fused stays whole, as the cut falls between characters of
    the raw text.
    """

    def __init__(self):
        import kiwipiepy

        self._kiwi = kiwipiepy.Kiwi(num_workers=1)
        self.identity = f"kiwi {kiwipiepy.__version__}"

    def cut(self, text: str) -> list[str]:
        """The chunks of a text."""
        chunks = []
        for line in _LINES.findall(text):
            chunks += [line] if line[0] == "\n" else self._cut_line(line)
        return chunks

    def _cut_line(self, line: str) -> list[str]:
        # Kiwi refuses lone surrogates; any one character in their place keeps the offsets.
        starts = {token.start for token in self._kiwi.tokenize(_SURROGATES.sub("?", line))}
        cuts = {_before_spaces(line, start) for start in starts}
        cuts.update(match.start() for match in _DIGITS.finditer(line))
        return [chunk for chunk in _split_at(line, sorted(cuts)) if chunk]


class EojeolCutter:
    """Words between spaces, each with the space before it; for ordinary byte-level BPE without
    morphemes.
    """

    identity = "eojeol 1"

    def cut(self, text: str) -> list[str]:
        """The chunks of a text."""
        return _EOJEOL.findall(text)


def make_cutter(mode: str) -> Cutter:
    """The cutter of a tokenizer mode."""
    return EojeolCutter() if mode == "plain" else MorphemeCutter()


def _before_spaces(line: str, start: int) -> int:
    while start > 0 and line[start - 1].isspace():
        start -= 1
    return start


def _split_at(line: str, cuts: list[int]) -> Iterator[str]:
    edges = [0, *cuts, len(line)]
    return (line[a:b] for a, b in zip(edges, edges[1:]))
