"""The longest run that each text shares with a corpus, in characters and in words.

A text that repeats a long run of its training data was learnt by heart, or is what everybody says.
Lee et al. (2022) and Carlini et al. (2023) draw the line at 50 tokens; here it is 50 characters, a
shorter run, as tokens depend on the tokenizer. Texts that people wrote tell what everybody says.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hclx.evaluate.generator.common_runs import OTHER, Run, RunIndex
from hclx.text.records import Document

LEAST_CHARACTERS = 20
LEAST_WORDS = 4
LONG = 50  # characters
_BATCH = 1 << 21  # characters of the corpus at once


@dataclasses.dataclass(frozen=True)
class SharedRun:
    """The longest runs that a text shares with a corpus.

    Attributes:
      characters: of the longest run; 0 if none has `LEAST_CHARACTERS`.
      words: of the longest run of whole words, divided by white space; 0 if none has `LEAST_WORDS`.
      text: the run of characters.
      source: file and line of the document that has it.
    """

    characters: int = 0
    words: int = 0
    text: str = ""
    source: str = ""


def shared_runs(texts: Sequence[str], corpus: Iterable[Document]) -> list[SharedRun]:
    """Finds the longest runs of texts in a corpus, which is read once.

    Args:
      texts: in NFC, as the documents are.
      corpus: documents of any number; one batch of them is in memory at a time.
    Returns:
      one for each text.
    """
    vocabulary: dict[str, int] = {}
    words = [
        np.array([vocabulary.setdefault(w, len(vocabulary)) for w in text.split()], np.uint32)
        for text in texts
    ]
    of_characters = RunIndex([_characters(text) for text in texts], LEAST_CHARACTERS)
    of_words = RunIndex(words, LEAST_WORDS)
    sources: dict[int, str] = {}
    n_read = 0
    for batch in _batches(corpus):
        of_characters.read([_characters(document.text) for document in batch])
        of_words.read([_words(document.text, vocabulary) for document in batch])
        for run in of_characters.longest:
            if run is not None and run.source >= n_read:
                document = batch[run.source - n_read]
                sources[run.source] = f"{document.path}:{document.line}"
        n_read += len(batch)
    runs = zip(texts, of_characters.longest, of_words.longest, strict=True)
    return [_shared(text, characters, words, sources) for text, characters, words in runs]


def _shared(text: str, run: Run | None, words: Run | None, sources: dict[int, str]) -> SharedRun:
    n_words = words.length if words else 0
    if run is None:
        return SharedRun(words=n_words)
    shared = text[run.start : run.start + run.length]
    return SharedRun(run.length, n_words, shared, sources[run.source])


def _characters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _words(text: str, vocabulary: dict[str, int]) -> np.ndarray:
    return np.array([vocabulary.get(word, OTHER) for word in text.split()], np.uint32)


def _batches(corpus: Iterable[Document]) -> Iterator[list[Document]]:
    batch, size = [], 0
    for document in corpus:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
