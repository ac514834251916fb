"""The types of the pipeline, and the path of every file in the folder of a corpus.

settings.json                                 every setting, also those that the YAML file omits
documents/SOURCE/FILE.json                    what a raw file became; written last, so it marks
                                              the file as done
documents/SOURCE/FILE-SHARD.parquet           documents as they were found; never changed again
quarantine/SOURCE/FILE.jsonl                  what could not be read, and why
attributes/TAGGER/SOURCE/FILE-SHARD.parquet   a row a document, in the order of documents/
verdicts/STAGE/SOURCE/FILE-SHARD.parquet      which documents a stage removed, see `verdicts`
signatures/SOURCE/FILE-SHARD.parquet          MinHash of the documents that reach that stage
contamination/                                n-grams of the evaluation items, and a report
corpus/SOURCE/FILE-SHARD.parquet              the documents that were kept, cleaned
figures/SOURCE/FILE-SHARD.json                numbers that the corpus card adds up
mixture/mixture.json                          the share and the files of every source
mixture/SOURCE/FILE-SHARD.jsonl.gz            the documents that the mixture takes
mixture/SOURCE/FILE-SHARD.json, .done.json    what the mixture can take; the key of the file
tokens/SOURCE/FILE-SHARD.SPLIT.parquet        token ids of a file of the mixture
counts/                                       pre-tokens of the mixture, see `tokenizer_counts`
errors/                                       errors of Beam's workers, while a stage runs
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow

from hclx.corpus.runner import Runner
from hclx.corpus.settings import CorpusSettings, Reading
from hclx.corpus.store import Store, key_of
from hclx.errors import DataError

FORMAT = 2  # of these files, and of what taggers compute: part of every key
FIELDS = ("url", "title", "date", "licence")
SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("doc_id", "source", *FIELDS, "text")]
)

SETTINGS = "settings.json"
CONTAMINATION_INDEX = "contamination/index.parquet"
CONTAMINATION_ITEMS = "contamination/items.json"
CONTAMINATION_REPORT = "contamination/report.json"
MIXTURE = "mixture/mixture.json"
ERRORS = "errors"
# The folders that hold a file for every shard, or for every raw file.
PER_SHARD = ("documents", "quarantine", "attributes", "verdicts", "signatures", "corpus", "figures")
MIXTURE_SUFFIX = ".jsonl.gz"

# Evaluation set -> the texts of each example.
Evaluation = Mapping[str, Sequence[tuple[str, ...]]]


@dataclasses.dataclass(frozen=True)
class RawFile:
    """A raw file of a source.

    Attributes:
      index: its place among the files of its source.
      path, shown: its full path, and the path below the input folder.
      size: in bytes.
      modified: in nanoseconds since 1970.
      reading: how it is read.
      shard_bytes: bytes of text after which a shard ends.
    """

    source: str
    index: int
    path: str
    shown: str
    size: int
    modified: int
    reading: Reading
    shard_bytes: int

    @property
    def name(self) -> str:
        """SOURCE/FILE"""
        return f"{self.source}/{self.index:05d}"

    @property
    def key(self) -> str:
        """The key of the documents that it gives."""
        return key_of(
            FORMAT, self.shown, self.size, self.modified, self.source, self.index, self.reading,
            self.shard_bytes,
        )  # fmt: skip

    @property
    def manifest(self) -> str:
        """The path of the JSON file that lists its shards."""
        return f"documents/{self.name}.json"

    @property
    def quarantine(self) -> str:
        """The path of the records that could not be read."""
        return f"quarantine/{self.name}.jsonl"

    def shard_name(self, index: int) -> str:
        """The name of one of its shards."""
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

    @property
    def documents(self) -> str:
        """The path of its documents as they were found."""
        return f"documents/{self.name}.parquet"

    def attributes(self, tagger: str) -> str:
        """The path of the columns of a tagger."""
        return f"attributes/{tagger}/{self.name}.parquet"

    def verdict(self, stage: str) -> str:
        """The path of the verdicts of a stage."""
        return f"verdicts/{stage}/{self.name}.parquet"

    @property
    def signatures(self) -> str:
        """The path of its MinHash signatures."""
        return f"signatures/{self.name}.parquet"

    @property
    def clean(self) -> str:
        """The path of the documents that were kept."""
        return f"corpus/{self.name}.parquet"

    @property
    def figures(self) -> str:
        """The path of its numbers for the corpus card."""
        return f"figures/{self.name}.json"

    @property
    def available(self) -> str:
        """The path of the number of documents and bytes that a mixture can take."""
        return f"mixture/{self.name}.json"

    @property
    def mixture(self) -> str:
        """The path of the documents that the mixture takes."""
        return f"mixture/{self.name}{MIXTURE_SUFFIX}"

    @property
    def mixture_done(self) -> str:
        """The path of the key of `mixture`; written after it."""
        return f"mixture/{self.name}.done.json"

    def tokens(self, split: str) -> str:
        """The path of the token ids of its part of a split."""
        return f"tokens/{self.name}.{split}.parquet"

    @property
    def counts(self) -> str:
        """The path of its pre-token counts."""
        return f"counts/{self.name}.parquet"

    @property
    def counts_summary(self) -> str:
        """The path of the size of the sample that was counted; written after `counts`."""
        return f"counts/{self.name}.json"

    @property
    def counts_partition(self) -> str:
        """The path of the counts of all shards, for the share of pre-tokens with its index."""
        return f"counts/{self.index:05d}.parquet"


def verdict_folder(stage: str) -> str:
    """The folder of the verdicts of a stage."""
    return f"verdicts/{stage}"


def manifest_folder(source: str) -> str:
    """The folder of the manifests of a source's raw files."""
    return f"documents/{source}"


def mixture_shards(files: Sequence[str]) -> list[Shard]:
    """The shards of the files of a mixture, in their order.

    Args:
      files: names below mixture/, or full paths.
    """
    names = ["/".join(file.split("/")[-2:]).removesuffix(MIXTURE_SUFFIX) for file in files]
    return [Shard(name, index) for index, name in enumerate(names)]


class DocumentId(NamedTuple):
    """Documents by shard and row: int64 arrays of equal shape, or integers.

    Packed into one int64, ids sort by shard and row. Shards are in the order of sources and files,
    so of several equal documents the one with the smallest id comes first in the corpus.
    """

    shard: np.ndarray | int
    row: np.ndarray | int

    def pack(self) -> np.ndarray:
        """The ids as int64, of the same shape."""
        return (np.asarray(self.shard, np.int64) << 32) + np.asarray(self.row, np.int64)

    @classmethod
    def unpack(cls, packed: np.ndarray | int) -> "DocumentId":
        """The ids that `pack` gave."""
        return cls(packed >> 32, packed & 0xFFFFFFFF)


@dataclasses.dataclass(frozen=True)
class Build:
    """What the stages of a corpus work on.

    Attributes:
      runner: calls functions of shards.
      files: the raw files of all sources, in order.
      taggers: name -> file of its model, "" if it has none.
      models: name of a model -> fingerprint of its file.
      evaluation: see `Evaluation`; empty without decontamination.
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
        shards = shards_of(self.store.read_json(file.manifest) for file in self.files)
        if not shards:
            raise DataError(
                "no document was found in any source; see quarantine/ for what could not be read"
            )
        return shards

    @property
    def n_partitions(self) -> int:
        """The number of partitions of a shuffle; results do not depend on it."""
        return max(16, len(self.shards))

    def map_shards(self, function: Callable, description: str) -> None:
        """Calls `function(shard)` for every shard."""
        self.runner.map(function, largest_first(self.shards), description)

    def shuffle(self, rounds: Sequence[tuple], collect: Callable, description: str) -> None:
        """Runs `Runner.map_reduce` over every shard."""
        self.runner.map_reduce(rounds, collect, largest_first(self.shards), description)


def shards_of(manifests: Iterable[dict]) -> list[Shard]:
    """The shards that the manifests of raw files name, in their order."""
    named = [shard for manifest in manifests for shard in manifest["parts"]]
    return [Shard(shard["name"], index, shard["bytes"]) for index, shard in enumerate(named)]


def largest_first(items: Sequence) -> list:
    """Items in the order of their `size`, so that no worker begins a large one last."""
    return sorted(items, key=lambda item: -item.size)
