"""Sources of documents that are held in memory."""

from hclx.data.source import Source
from hclx.text.documents import Document


def memory_source(name, texts, rate=1.0):
    def read(split, settings, counts):
        return (
            Document(text, name, i)
            for i, text in enumerate(texts, 1)
            if settings.split_of(text) == split
        )

    return Source(name, rate, lambda: [], read)
