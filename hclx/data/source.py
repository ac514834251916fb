"""A corpus as the token cache reads it: a name, a rate, and the documents of each split."""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator

from hclx.data.settings import ReadSettings
from hclx.text.documents import expand_globs, read_documents


@dataclasses.dataclass(frozen=True)
class Source:
    """One corpus of a mixture.

    Attributes:
      name: folder in the cache.
      rate: its share, in any unit.
      files: () -> the files that it reads.
      texts: (split, settings, counts) -> documents of that split, in order; `counts` takes what was met on the way.
    """

    name: str
    rate: float
    files: Callable[[], list[str]]
    texts: Callable[[str, ReadSettings, Counter], Iterator[str]]


def split_texts(files: Callable[[], list[str]], split: str, settings: ReadSettings, counts: Counter | None = None) -> Iterator[str]:
    """The documents of a split, in the order of the files.

    Raises:
      DataError: the files cannot be found or read.
    """
    documents = read_documents(files(), settings.invalid_utf8, counts)
    for document in itertools.islice(documents, settings.max_documents or None):
        if settings.split_of(document.text) == split:
            yield document.text


def input_source(patterns: str) -> Source:
    """One's own files, GLOB[,GLOB...], which need not be registered."""
    files = functools.partial(expand_globs, patterns)
    return Source("input", 1.0, files, functools.partial(split_texts, files))
