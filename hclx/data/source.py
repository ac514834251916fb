"""The text of a run as the token cache reads it: sources with a name, a rate and documents."""

import dataclasses
import functools
import hashlib
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from hclx.config import DataConfig
from hclx.errors import DataError
from hclx.progress import counted
from hclx.text.documents import TRAINING, Document, Reading, expand_globs, read_documents

_LOG = logging.getLogger(__name__)

# Characters that a text split by its length holds out, if that is not more than a tenth of it:
# some windows for validation.
_LEAST_HELD_OUT = 20_000
# What a flag of `hclx pretrain` begins with that sets a field of `DataConfig`.
GIN_FLAGS = "--gin.DataConfig."


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


def sources_of(data: DataConfig, flags: str = GIN_FLAGS) -> list[Source]:
    """Returns the sources that a run reads: the tasks of its mixture, in its order; the sources of
    its corpus, by name; or one source "input". No document is read yet.

    Args:
      data: names them.
      flags: what the flags begin with that set its fields, for messages.
    Raises:
      ConfigError: a name is unknown, or a mixture needs seqio and it is not installed.
      DataError: a corpus has no mixture.
    """
    if data.input:
        return [input_source(data.input, data.encoding, flags)]
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


def input_source(patterns: str, encoding: str = "", flags: str = GIN_FLAGS) -> Source:
    """Returns the source "input", of rate 1, for files that nobody has registered.

    Args:
      patterns: files or folders, GLOB[,GLOB...]. They are looked up when the source is read; see
        `hclx.text.inputs.expand_globs` for the errors.
      encoding: see `hclx.text.records.Reading`.
      flags: what the flags of settings begin with, for messages.
    """
    files = functools.partial(expand_globs, patterns)
    reading = dataclasses.replace(TRAINING, encoding=encoding, flags=flags)
    documents = functools.partial(split_documents, files, reading=reading)
    return Source("input", 1.0, files, documents)


def corpus_sources(folder: str) -> list[Source]:
    """Returns the sources of a mixture that `hclx build_corpus` made, by name, with its rates.
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
            f"{path} cannot be read; make the mixture with hclx build_corpus"
        ) from error
    sources = []
    for name, entry in sorted(mixture["sources"].items()):
        if entry["rate"] > 0 and entry["kept"] > 0:
            files = functools.partial(_mixture_files, path.parent, mixture["files"][name])
            documents = functools.partial(split_documents, files, name=name)
            sources.append(Source(name, entry["rate"], files, documents))
    if not sources:
        reasons = [_why_nothing(name, entry) for name, entry in sorted(mixture["sources"].items())]
        raise DataError(f"{path}: the mixture has no document: {'; '.join(reasons)}")
    return sources


def _why_nothing(name: str, entry: Mapping) -> str:
    """The reason why a source of a corpus gives nothing to its mixture; `entry` describes it."""
    if not entry.get("documents", 1):
        return f"no document of {name} was kept, or its `where` selects none"
    if not entry.get("epochs", 0):
        return f"{name} has `epochs: 0`, or its domain {entry.get('domain', name)} has no share"
    n = counted(entry.get("documents", 0), "document")
    return f"{name} is to give {entry['kept']:.2%} of {n}, which is none"


def _mixture_files(folder: Path, names: list[str]) -> list[str]:
    return [str(folder / name) for name in names]


def split_documents(
    files: Callable[[], list[str]],
    split: str,
    settings: ReadSettings,
    counts: Counter | None = None,
    reading: Reading = TRAINING,
    name: str = "input",
) -> Iterator[Document]:
    """Yields the documents of a split, in the order of the files.

    A hash of its text says to which split a document belongs. If that leaves one of the splits
    empty, as of a single text or of ten documents, the text is divided by its length: its end is
    the validation split.

    Args:
      files: () -> the files.
      split: "train" or "validation".
      settings: how documents are read and divided; `max_documents` counts those of both splits.
      counts, reading: see `hclx.text.documents.read_documents`.
      name: of the source, for messages.
    Raises:
      ConfigError, DataError: as `files`, at the first document.
      DataError: a record cannot be read.
      OSError: a file cannot be opened.
    """
    paths = files()
    read = lambda counts: itertools.islice(
        read_documents(paths, settings.invalid_utf8, counts, reading),
        settings.max_documents or None,
    )
    if not settings.validation_permille or _fills_both_splits(read(None), settings):
        for document in read(counts):
            if settings.split_of(document.text) == split:
                yield document
    else:
        yield from _split_by_length(read, split, settings, counts, name)


def _fills_both_splits(documents: Iterable[Document], settings: ReadSettings) -> bool:
    """Returns whether both splits have a document if a hash divides them. Most sources are read no
    further than some hundred documents for that.
    """
    seen: set[str] = set()
    return any(
        len(seen) == 2 for document in documents if not seen.add(settings.split_of(document.text))
    )


def _split_by_length(
    read: Callable[[Counter | None], Iterable[Document]],
    split: str,
    settings: ReadSettings,
    counts: Counter | None,
    name: str,
) -> Iterator[Document]:
    """Yields the documents of a split of a source that has too few of them to hold some out: the
    end of its text is the validation split, and the document in which it begins is split.
    """
    lengths = [len(document.text) for document in read(None)]
    total = sum(lengths)
    share = total * settings.validation_permille // 1000
    held_out = max(share, min(_LEAST_HELD_OUT, total // 10))
    left = total - held_out  # characters until the validation split begins
    if split == "validation" and total:
        _tell_once(
            f"source {name} has too few documents to hold some out for validation, {len(lengths)}:"
            f" the last {100 * held_out / total:.1f}% of its text, {held_out:,} characters, are the"
            " validation split"
        )
    for document in read(counts):
        begins = _boundary(document.text, left) if left < len(document.text) else left
        left -= min(left, len(document.text))
        text = document.text[:begins] if split == "train" else document.text[begins:]
        if text:
            yield dataclasses.replace(document, text=text)


@functools.cache
def _tell_once(message: str) -> None:
    """Logs a message that holds for every time that a source is read."""
    _LOG.info(message)


def _boundary(text: str, end: int) -> int:
    """Returns the end of the last line of a text before a position; where lines are long, that of
    a word, or the position itself.
    """
    start = max(0, end - _LEAST_HELD_OUT // 10)
    for separator in ("\n", " "):
        if (position := text.rfind(separator, start, end)) >= 0:
            return position + 1
    return end
