"""The text that a tokenizer is trained on: the documents of the training split, whoever trains."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Iterator

from hclx.data.source import ReadSettings, Source
from hclx.progress import tracked_files


def training_texts(
    sources: list[Source], settings: ReadSettings, description: str
) -> Iterable[str]:
    """Returns the texts, in order. They may be read more than once, and each reading shows how much
    of the files was read.

    Args:
      sources: are read one after the other.
      settings: how documents are read and divided.
      description: what is read, a few words.
    Raises:
      ConfigError, DataError: as the sources' `files`, at once; as their `documents`, meanwhile.
    """
    size = sum(os.path.getsize(path) for source in sources for path in source.files())
    return _Texts(sources, settings, description, size)


@dataclasses.dataclass(frozen=True)
class _Texts:
    sources: list[Source]
    settings: ReadSettings
    description: str
    size: int  # bytes of all files

    def __iter__(self) -> Iterator[str]:
        counts: Counter = Counter()
        documents = (
            document
            for source in self.sources
            for document in source.documents("train", self.settings, counts)
        )
        tracked = tracked_files(documents, counts, self.size, self.description)
        return (document.text for document in tracked)
