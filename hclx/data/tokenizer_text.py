"""The text that a tokenizer is trained on: the documents of the training split, whoever trains."""

import os
from collections import Counter
from collections.abc import Iterator

from hclx.data.source import ReadSettings, Source
from hclx.progress import tracked_files


def training_texts(
    sources: list[Source], settings: ReadSettings, description: str
) -> Iterator[str]:
    """Returns an iterator of the texts, in order, which shows how much of the files was read.

    Args:
      sources: are read one after the other.
      settings: how documents are read and divided.
      description: what is read, a few words.
    Raises:
      ConfigError, DataError: as the sources' `files`, at once; as their `documents`, meanwhile.
    """
    size = sum(os.path.getsize(path) for source in sources for path in source.files())
    counts: Counter = Counter()
    documents = (
        document for source in sources for document in source.documents("train", settings, counts)
    )
    tracked = tracked_files(documents, counts, size, description)
    return (document.text for document in tracked)
