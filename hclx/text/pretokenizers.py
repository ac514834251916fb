"""Pre-tokenizers split text into chunks, which no merge of BPE may cross: at morphemes, or at
spaces alone.

Both are lossless: the chunks of a text, joined, are the text. `morphemes` says where the morpheme
boundaries apply:

    merges           to the merges that are learnt; text is encoded without a pre-tokenizer
    merges_and_text  to the merges, and to text when it is encoded
    none             nowhere: merges are learnt within words between spaces (ordinary BPE)
"""

import functools
import logging
import re
from collections.abc import Iterator
from typing import Protocol

from hclx.config import MORPHEMES_OF
from hclx.errors import ConfigError

_LOG = logging.getLogger(__name__)

# Files of tokenizers and caches hold this setting under its older name, `mode`.
MODE_OF = {morphemes: mode for mode, morphemes in MORPHEMES_OF.items()}

# Kiwi takes the square of the length of a run of Latin letters or signs, so it is given lines in
# parts. A part ends anywhere: hardly a line of real text is as long as one.
_PART_CHARS = 16_384
_LINES = re.compile(r"[^\n]+|\n+")
_DIGITS = re.compile(r"[0-9]+")
_EOJEOL = re.compile(r"\s?\S+|\s")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Pretokenizer(Protocol):
    """Splits text into chunks. `identity` holds the name and the version: another version may split
    elsewhere, and then the same text becomes other tokens.
    """

    identity: str

    def split(self, text: str) -> list[str]:
        """Splits a text into chunks, which joined are the text; [] for an empty text."""


class MorphemePretokenizer:
    """Splits at the morphemes that Kiwi finds. The space before a word belongs to the word,
    newlines are chunks of their own, and digits are grouped in threes.

    A syllable in which two morphemes are fused stays whole, because boundaries fall between
    characters of the raw text.
    """

    def __init__(self):
        """Loads the analyser, which takes seconds.

        Raises:
          ConfigError: kiwipiepy is not installed.
        """
        self.identity = pretokenizer_identity("merges")
        import kiwipiepy

        self._kiwi = kiwipiepy.Kiwi(num_workers=1)

    def split(self, text: str) -> list[str]:
        """Splits a text into chunks, which joined are the text; [] for an empty text."""
        chunks = []
        for line in _LINES.findall(text):
            chunks += [line] if line[0] == "\n" else self._split_line(line)
        return chunks

    def _split_line(self, line: str) -> list[str]:
        # Kiwi refuses lone surrogates; any one character in their place keeps the offsets.
        plain = _SURROGATES.sub("?", line)
        starts = {
            begin + token.start
            for begin in range(0, len(line), _PART_CHARS)
            for token in self._kiwi.tokenize(plain[begin : begin + _PART_CHARS])
        }
        boundaries = {_before_spaces(line, start) for start in starts}
        for run in _DIGITS.finditer(line):  # groups of three from the right
            boundaries.update(range(run.end() - 3, run.start(), -3))
        return [chunk for chunk in _split_at(line, sorted(boundaries)) if chunk]


class EojeolPretokenizer:
    """Splits at spaces: a chunk is a word with the space before it, as in ordinary byte-level BPE
    without morphemes.
    """

    identity = "eojeol 1"

    def split(self, text: str) -> list[str]:
        """Splits a text into chunks, which joined are the text; [] for an empty text."""
        return _EOJEOL.findall(text)


def shared_pretokenizer(morphemes: str) -> Pretokenizer:
    """Returns the pre-tokenizer for a value of `morphemes`: that of spaces for "none", else that of
    morphemes. The morphological analyser is loaded once a process.

    Raises:
      ConfigError: kiwipiepy is needed and not installed.
    """
    return EojeolPretokenizer() if morphemes == "none" else _shared_analyser()


_shared_analyser = functools.cache(MorphemePretokenizer)


def pretokenizer_identity(morphemes: str) -> str:
    """Returns the name and version of the pre-tokenizer for a value of `morphemes`, without loading
    it.

    Raises:
      ConfigError: kiwipiepy is not installed.
    """
    if morphemes == "none":
        return EojeolPretokenizer.identity
    try:
        import kiwipiepy
    except ModuleNotFoundError as error:
        raise ConfigError(
            "morphemes are found by kiwipiepy, which is not installed; install it with"
            " pip install 'hclx[data]', or choose morphemes=none"
        ) from error
    return f"kiwi {kiwipiepy.__version__}"


def resolve_morphemes(morphemes: str | None, mode: str | None = None) -> str:
    """Returns a checked value of `morphemes`, "merges" if neither argument is given.

    Args:
      morphemes: "merges", "merges_and_text" or "none".
      mode: the same under its older name: "train", "encode" or "plain".
    Raises:
      ConfigError: the value is not known, or the two arguments contradict each other.
    """
    if mode:
        if mode not in MORPHEMES_OF:
            raise ConfigError(f"mode={mode!r} is not one of {', '.join(MORPHEMES_OF)}")
        if morphemes not in (None, MORPHEMES_OF[mode]):
            raise ConfigError(
                f"mode={mode} and morphemes={morphemes} contradict each other; mode is the old name"
                " of morphemes, so give morphemes alone"
            )
        morphemes = MORPHEMES_OF[mode]
        _LOG.warning("mode=%s is the old name of morphemes=%s", mode, morphemes)
    morphemes = morphemes or "merges"
    if morphemes not in MODE_OF:
        raise ConfigError(f"morphemes={morphemes!r} is not one of {', '.join(MODE_OF)}")
    return morphemes


def _before_spaces(line: str, start: int) -> int:
    while start > 0 and line[start - 1].isspace():
        start -= 1
    return start


def _split_at(line: str, boundaries: list[int]) -> Iterator[str]:
    edges = [0, *boundaries, len(line)]
    return (line[a:b] for a, b in zip(edges, edges[1:]))
