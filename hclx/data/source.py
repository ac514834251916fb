"""A corpus as the token cache reads it: a name, a rate, and the documents of each split."""

import dataclasses
import functools
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hclx.data.read_settings import ReadSettings
from hclx.errors import DataError
from hclx.text.documents import Document, expand_globs, read_documents


@dataclasses.dataclass(frozen=True)
class Source:
    """One corpus of a mixture.

    Attributes:
      name: folder in the cache.
      rate: its share, in any unit.
      files: () -> the files that it reads.
      documents: (split, settings, counts) -> those of that split, in order; `counts` takes what was
        met on the way.
    """

    name: str
    rate: float
    files: Callable[[], list[str]]
    documents: Callable[[str, ReadSettings, Counter], Iterator[Document]]


def split_documents(
    files: Callable[[], list[str]],
    split: str,
    settings: ReadSettings,
    counts: Counter | None = None,
) -> Iterator[Document]:
    """The documents of a split, in the order of the files.

    Raises:
      DataError: the files cannot be found or read.
    """
    documents = read_documents(files(), settings.invalid_utf8, counts)
    for document in itertools.islice(documents, settings.max_documents or None):
        if settings.split_of(document.text) == split:
            yield document


def input_source(patterns: str) -> Source:
    """One's own files, GLOB[,GLOB...], which need not be registered."""
    files = functools.partial(expand_globs, patterns)
    return Source("input", 1.0, files, functools.partial(split_documents, files))


def corpus_sources(folder: str) -> list[Source]:
    """The sources of a mixture that `launch/build_corpus.py` made, with its rates.

    Raises:
      DataError: there is no mixture in the folder, or it is empty.
    """
    path = Path(folder) / "mixture" / "mixture.json"
    try:
        mixture = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read; make the mixture with launch/build_corpus.py"
        ) from error
    sources = []
    for name, about in sorted(mixture["sources"].items()):
        if about["rate"] > 0 and about["kept"] > 0:
            files = functools.partial(_mixture_files, path.parent, mixture["files"][name])
            sources.append(
                Source(name, about["rate"], files, functools.partial(split_documents, files))
            )
    if not sources:
        raise DataError(f"{path}: no source gives anything to this mixture; see its shares")
    return sources


def _mixture_files(folder: Path, names: list[str]) -> list[str]:
    return [str(folder / name) for name in names]
