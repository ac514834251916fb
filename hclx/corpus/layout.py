"""The types of the pipeline, and the path of every file in the folder of a corpus."""

import dataclasses
import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow

from hclx.corpus.runner import Runner
from hclx.corpus.settings import CorpusSettings, parse_settings
from hclx.corpus.store import Store, key_of
from hclx.errors import ConfigError, DataError
from hclx.text.records import FIELDS, Reading

FORMAT = 5  # of these files: part of every key
READING = 4  # of what becomes of the content of a raw file: part of the key of its documents
SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("doc_id", "source", *FIELDS, "text")]
)

# Files of a raw file: `RawFile.file(MANIFEST)`. The manifest lists the shards that the raw file
# became; it is written last, so it marks the file as done.
MANIFEST = "documents/{name}.json"
QUARANTINE = "quarantine/{name}.jsonl"  # what could not be read, and why

# Files of a shard: `Shard.file(DOCUMENTS)`.
DOCUMENTS = "documents/{name}.parquet"  # as they were read; never changed again
ATTRIBUTES = "attributes/{tagger}/{name}.parquet"  # a row a document, in their order
VERDICTS = "verdicts/{stage}/{name}.parquet"  # what a stage removed, see `hclx.corpus.verdicts`
HASHES = "hashes/{stage}/{name}.parquet"  # of the documents or paragraphs that reach a stage
SIGNATURES = "signatures/{name}.parquet"  # MinHash of the documents that reach that stage
CONTENT = "content"  # the digest of a table that is read again, see `Store.write_table`
CLEAN = "corpus/{name}.parquet"  # the documents that were kept, cleaned
FIGURES = "figures/{name}.json"  # numbers that the corpus card adds up
AVAILABLE = "mixture/{name}.json"  # documents and bytes that a mixture can take
SAMPLED = "mixture/{name}.jsonl.gz"  # the documents that the mixture takes
SAMPLED_DONE = "mixture/{name}.done.json"  # the key of that file; written after it
TOKENS = "tokens/{name}.{split}.parquet"  # token ids of the mixture's documents
COUNTS = "counts/{name}.parquet"  # pre-tokens of its documents of the mixture
COUNTS_SUMMARY = "counts/{name}.json"  # the sample that was counted; written after it
COUNTS_PARTITION = "counts/{index:05d}.parquet"  # counts of all shards for some of the pre-tokens
# The folders of these files that every build fills.
PER_SHARD = (
    *("documents", "quarantine", "attributes", "verdicts", "hashes", "signatures"),
    *("contamination/hits", "corpus", "figures"),
)

# Files of the corpus.
SKIPPED = "skipped.json"  # source -> number of files of other kinds, and the first ones; if any
SETTINGS = "settings.json"  # every setting, also those that the YAML file omits
CONTAMINATION_INDEX = "contamination/index.parquet"  # n-grams of the evaluation items
CONTAMINATION_ITEMS = "contamination/items.json"
CONTAMINATION_HITS = "contamination/hits/{name}.parquet"  # which items a shard's documents hold
CONTAMINATION_FOUND = "contamination/found.json"  # the texts of the items that were found
CONTAMINATION_REPORT = "contamination/report.json"
CACHES = "caches.json"  # path -> fingerprint of the token caches that were made from it
MIXTURE = "mixture/mixture.json"  # the share and the files of every source

# Folders.
MANIFESTS = "documents/{source}"  # of the raw files of a source
VERDICTS_OF_STAGE = "verdicts/{stage}"
ERRORS = "errors"  # what Beam's workers raise, while a stage runs

# Evaluation set -> the texts of each example.
Evaluation = Mapping[str, Sequence[tuple[str, ...]]]


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file of a source.

    Attributes:
      source: the name of its source.
      path, shown: its full path, and the path below the input folder.
      document_name: the name that documents without an id have of it: its path below the folder
        that all patterns of the source begin with.
      size: in bytes.
      modified: in nanoseconds since 1970.
      reading: how it is read.
      shard_bytes: bytes of text after which a shard ends.
    """

    source: str
    path: str
    shown: str
    document_name: str
    size: int
    modified: int
    reading: Reading
    shard_bytes: int

    @property
    def name(self) -> str:
        """Returns its name in the folder of the corpus, SOURCE/FILE: its source and 12 digits of a
        hash of `shown`, so that it does not depend on other files.
        """
        return f"{self.source}/{key_of(self.shown)[:12]}"

    @property
    def key(self) -> str:
        """A hash of all that the documents made from this file depend on: its path below the input
        folder, size and time, its source, and how it is read. Documents written under another hash
        are out of date.
        """
        return key_of(
            FORMAT, READING, self.shown, self.document_name, self.size, self.modified, self.source,
            self.reading, self.shard_bytes,
        )  # fmt: skip

    def file(self, pattern: str) -> str:
        """Returns the path below the folder of the corpus of one of its files.

        Args:
          pattern: MANIFEST or QUARANTINE.
        """
        return pattern.format(name=self.name)

    def shard_name(self, index: int) -> str:
        """Returns the name of one of its shards, SOURCE/FILE-SHARD, such as
        wiki/5f0c1d2e3a4b-00012.

        Args:
          index: the place of the shard among those of this file.
        """
        return f"{self.name}-{index:05d}"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard of a corpus: the documents of one Parquet file, and one unit of work.

    Attributes:
      name: SOURCE/FILE-SHARD.
      index: its place in the order of all shards.
      size: bytes of its texts.
    """

    name: str
    index: int
    size: int = 0

    @property
    def source(self) -> str:
        """The name of its source."""
        return self.name.split("/")[0]

    def file(self, pattern: str, **names: str) -> str:
        """Returns the path below the folder of the corpus of one of its files.

        Args:
          pattern: a constant of this module, such as DOCUMENTS.
          names: the other names in the pattern: `tagger`, `stage` or `split`.
        """
        return pattern.format(name=self.name, index=self.index, **names)


def mixture_shards(files: Sequence[str]) -> list[Shard]:
    """Makes the shards of the files of a mixture, in their order.

    Args:
      files: names below mixture/, or full paths.
    Returns:
      A shard for each file; its index is the place in `files`.
    """
    names = ["/".join(file.split("/")[-2:]).removesuffix(".jsonl.gz") for file in files]
    return [Shard(name, index) for index, name in enumerate(names)]


class DocumentId(NamedTuple):
    """Documents by shard and row: int64 arrays of equal shape, or integers.

    Packed into one int64, ids sort by shard and row. Shards are in the order of sources and files,
    so of several equal documents the one with the smallest id comes first in the corpus.
    """

    shard: np.ndarray | int
    row: np.ndarray | int

    def pack(self) -> np.ndarray:
        """Packs each id into one int64, (shard << 32) + row.

        Returns:
          int64, of the same shape, ascending by shard and then by row.
        """
        return (np.asarray(self.shard, np.int64) << 32) + np.asarray(self.row, np.int64)

    @classmethod
    def unpack(cls, packed: np.ndarray | int) -> "DocumentId":
        """Restores the ids that `pack` gave.

        Args:
          packed: int64 of any shape, or an integer.
        """
        return cls(packed >> 32, packed & 0xFFFFFFFF)


@dataclasses.dataclass(frozen=True)
class Build:
    """The inputs that the stages of a corpus, the steps of the pipeline, share.

    Attributes:
      settings: of the corpus.
      store: the folder of the corpus.
      runner: calls functions of shards.
      files: the raw files of all sources, in order.
      taggers: name -> file of its model, "" if it has none.
      models: name of a model -> fingerprint of its file.
      evaluation: evaluation set -> the texts of each example; empty without decontamination.
    """

    settings: CorpusSettings
    store: Store
    runner: Runner
    files: tuple[RawFile, ...]
    taggers: Mapping[str, str]
    models: Mapping[str, str]
    evaluation: Evaluation

    @functools.cached_property
    def shards(self) -> list[Shard]:
        """The shards of all files, in order; they exist after the stage `documents`.

        Raises:
          DataError: no document was found.
        """
        shards = shards_of(self.store.read_json(file.file(MANIFEST)) for file in self.files)
        if not shards:
            raise DataError(
                "no document was found in any source; see quarantine/ for what could not be read"
            )
        return shards

    @property
    def n_partitions(self) -> int:
        """The number of partitions of a shuffle: that of shards, but at least 16; results do not
        depend on it.

        Raises:
          DataError: no document was found.
        """
        return max(16, len(self.shards))

    def map_shards(self, function: Callable, description: str) -> None:
        """Calls `function(shard)` for every shard, in any order, perhaps in other processes.

        Args:
          function: can be pickled; its result is not used.
          description: the name of the stage, for the progress bar.
        Raises:
          HclxError: a call raised it, wherever it ran; or no document was found (`DataError`).
        """
        self.runner.map(function, largest_first(self.shards), description)

    def shuffle(self, rounds: Sequence[tuple], collect: Callable, description: str) -> None:
        """Runs rounds of map and reduce over every shard, see `Runner.map_reduce`.

        Args:
          rounds: (map, reduce) of each round; both can be pickled. `map(shard)`, in a later round
            `map(shard, blocks)`, yields (key, block); `reduce(blocks)` takes the blocks of a key
            and yields (index of a shard, block).
          collect: `collect(shard, blocks)` takes what the last round sent to a shard.
          description: the name of the stage, for the progress bar.
        Raises:
          HclxError: a call raised it, wherever it ran; or no document was found (`DataError`).
        """
        self.runner.map_reduce(rounds, collect, largest_first(self.shards), description)


def shards_of(manifests: Iterable[dict]) -> list[Shard]:
    """Makes the shards that the manifests of raw files name, in their order.

    Args:
      manifests: contents of the files MANIFEST, in the order of sources and files. `parts` of each
        lists its shards, with `name` and `bytes`, the size of the texts.
    """
    named = [shard for manifest in manifests for shard in manifest["parts"]]
    return [Shard(shard["name"], index, shard["bytes"]) for index, shard in enumerate(named)]


def largest_first(items: Sequence) -> list:
    """Sorts items by their `size`, the largest first and equal ones in their order, so that no
    worker begins a large one last.
    """
    return sorted(items, key=lambda item: -item.size)


def write_settings(store: Store, settings: CorpusSettings) -> None:
    """Writes settings.json, unless the folder has equal settings; others are replaced. The order
    of sources and rules counts.

    Args:
      store: the folder of the corpus.
      settings: of the corpus.
    """
    text = lambda value: json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    if text(store.read_json(SETTINGS)) != text(dataclasses.asdict(settings)):
        store.write_text(SETTINGS, text(dataclasses.asdict(settings)))


def write_skipped(store: Store, skipped: Mapping[str, Sequence[str]]) -> None:
    """Writes skipped.json; without such files it is removed.

    Args:
      store: the folder of the corpus.
      skipped: source -> files below its folders that are of no known format.
    """
    shown = {name: {"files": len(own), "first": own[:3]} for name, own in skipped.items()}
    if shown:
        store.write_json(SKIPPED, shown)
    elif store.exists(SKIPPED):
        store.remove(SKIPPED)


def read_settings(store: Store) -> CorpusSettings:
    """Reads the settings of a corpus.

    Args:
      store: the folder of the corpus.
    Returns:
      Those that it was built with: rules that defaults.yaml got later are not among them.
    Raises:
      DataError: the folder holds no corpus, or its settings are of another version.
    """
    recorded = store.read_json(SETTINGS)
    if recorded is None:
        raise DataError(
            f"{store.path(SETTINGS)} is missing; --output must be the folder of a corpus that"
            " hclx build_corpus made"
        )
    try:
        _complete(recorded)
        settings = parse_settings(recorded)
    except ConfigError as error:
        raise DataError(f"{store.path(SETTINGS)}: {error}; build the corpus again") from error
    # Rules that were added to defaults.yaml later are no rules of this corpus.
    sources = {
        name: dataclasses.replace(
            source,
            rules={rule: source.rules[rule] for rule in recorded["sources"][name]["rules"]},
        )
        for name, source in settings.sources.items()
    }
    return dataclasses.replace(settings, sources=sources)


def _complete(recorded: dict) -> None:
    """Gives recorded rules the fields that rules did not have then, which defaults.yaml may set."""
    for source in recorded.get("sources", {}).values():
        for rule in filter(None, source.get("rules", {}).values()):
            rule.setdefault("where", "")


def read_shards(store: Store, settings: CorpusSettings) -> list[Shard]:
    """Reads which shards a corpus has, in the order in which it was built.

    Args:
      store: the folder of the corpus.
      settings: of the corpus, see `read_settings`.
    Returns:
      The shards; none of a raw file whose manifest is missing or damaged.
    """
    return shards_of(
        manifest for name in settings.sources for _, manifest in read_manifests(store, name)
    )


def read_manifests(store: Store, source: str) -> list[tuple[str, dict]]:
    """Reads the manifests of the raw files of a source.

    Returns:
      (SOURCE/FILE, content) of each, in the order of the raw files; none that is damaged.
    """
    folder, manifests = MANIFESTS.format(source=source), []
    for path in store.list(folder, ".json"):
        if manifest := store.read_json(path):
            manifests.append((path.removeprefix("documents/").removesuffix(".json"), manifest))
    return sorted(manifests, key=lambda entry: (entry[1].get("file", ""), entry[0]))
