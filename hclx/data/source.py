"""The text of a run as the token cache reads it: sources with a name, a rate and documents."""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hclx.config import DataConfig
from hclx.errors import DataError
from hclx.text.documents import TRAINING, Document, Reading, expand_globs, read_documents


@dataclasses.dataclass(frozen=True)
class ReadSettings:
    """The way in which documents are read and divided; with text and tokenizer they decide a
    cache's content.
    """

    validation_permille: int = 10
    max_documents: int = 0  # of each source; 0: all
    invalid_utf8: str = "refuse"

    @classmethod
    def of(cls, data: DataConfig) -> "ReadSettings":
        """Takes the settings from the configuration of a run."""
        return cls(data.validation_permille, data.max_documents, data.invalid_utf8)

    def split_of(self, text: str) -> str:
        """Returns "train" or "validation", by a hash of the text: equal texts are in one split, and
        about `validation_permille` in 1,000 are in "validation".
        """
        digest = hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
        is_held_out = int.from_bytes(digest[:8]) % 1000 < self.validation_permille
        return "validation" if is_held_out else "train"


@dataclasses.dataclass(frozen=True)
class Source:
    """One corpus of a mixture.

    Attributes:
      name: also the name of its folder in the cache.
      rate: its share of the mixture, relative to the rates of the other sources.
      files: () -> the files that it reads.
      documents: (split, settings, counts) -> the documents of a split, in order; `counts` is
        updated as in `hclx.text.documents.read_documents`.
    """

    name: str
    rate: float
    files: Callable[[], list[str]]
    documents: Callable[[str, ReadSettings, Counter], Iterator[Document]]


def sources_of(data: DataConfig) -> list[Source]:
    """Returns the sources that a run reads: the tasks of its mixture, in its order; the sources of
    its corpus, by name; or one source "input". No document is read yet.

    Raises:
      ConfigError: a name is unknown, or a mixture needs seqio and it is not installed.
      DataError: a corpus has no mixture.
    """
    if data.input:
        return [input_source(data.input, data.encoding)]
    if data.corpus:
        return corpus_sources(data.corpus)
    from hclx.data import seqio_bridge  # imports TensorFlow, which only mixtures need

    return seqio_bridge.mixture_sources(data.mixture, data.task_module)


def label_of(data: DataConfig) -> str:
    """Returns the label under which a token cache records its text: the name of the mixture that is
    registered, or else "corpus" or "input", with the encoding if one is named. The label of a
    corpus or of input files names no path; input files are compared by their content, so that they
    may be moved.
    """
    own = f"input in {data.encoding}" if data.encoding else "input"
    return data.mixture or ("corpus" if data.corpus else own)


def input_source(patterns: str, encoding: str = "") -> Source:
    """Returns the source "input", of rate 1, for files that nobody has registered.

    Args:
      patterns: files or folders, GLOB[,GLOB...]. They are looked up when the source is read; see
        `hclx.text.inputs.expand_globs` for the errors.
      encoding: see `hclx.text.records.Reading`.
    """
    files = functools.partial(expand_globs, patterns)
    reading = dataclasses.replace(TRAINING, encoding=encoding)
    documents = functools.partial(split_documents, files, reading=reading)
    return Source("input", 1.0, files, documents)


def corpus_sources(folder: str) -> list[Source]:
    """Returns the sources of a mixture that `launch/build_corpus.py` made, by name, with its rates.
    Sources of rate 0 or without a document are left out.

    Args:
      folder: of the corpus; it holds mixture/mixture.json.
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
    for name, entry in sorted(mixture["sources"].items()):
        if entry["rate"] > 0 and entry["kept"] > 0:
            files = functools.partial(_mixture_files, path.parent, mixture["files"][name])
            documents = functools.partial(split_documents, files)
            sources.append(Source(name, entry["rate"], files, documents))
    if not sources:
        raise DataError(f"{path}: no source contributes to this mixture; check its shares")
    return sources


def _mixture_files(folder: Path, names: list[str]) -> list[str]:
    return [str(folder / name) for name in names]


def split_documents(
    files: Callable[[], list[str]],
    split: str,
    settings: ReadSettings,
    counts: Counter | None = None,
    reading: Reading = TRAINING,
) -> Iterator[Document]:
    """Yields the documents of a split, in the order of the files.

    Args:
      files: () -> the files.
      split: "train" or "validation".
      settings: how documents are read and divided; `max_documents` counts those of both splits.
      counts, reading: see `hclx.text.documents.read_documents`.
    Raises:
      ConfigError, DataError: as `files`, at the first document.
      DataError: a record cannot be read.
      OSError: a file cannot be opened.
    """
    documents = read_documents(files(), settings.invalid_utf8, counts, reading)
    for document in itertools.islice(documents, settings.max_documents or None):
        if settings.split_of(document.text) == split:
            yield document
