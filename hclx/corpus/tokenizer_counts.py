"""Pre-token counts of a mixture, to train a tokenizer from: shards are counted wherever the runner
runs, then their counts are added up.

  counts/SOURCE/FILE-SHARD.parquet   the pre-tokens of a shard's sample, `chunk`, as bytes, and the
                                     number of each, `count`
  counts/SOURCE/FILE-SHARD.json      `documents` and `bytes` of that sample; `seen`, the number of
                                     all documents; written last
  counts/NNNNN.parquet               the counts of all shards, for a share of the pre-tokens by
                                     hash, sorted; as many files as there are shards

Every document of the mixture counts once, however often a source is repeated, or not at all if it
is one to validate on. The tokenizer is the one that
`hclx train_tokenizer --input='CORPUS/mixture/*/*.jsonl.gz'` makes, byte for byte.
"""

import functools
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus.layout import (
    COUNTS,
    COUNTS_PARTITION,
    COUNTS_SUMMARY,
    MIXTURE,
    SAMPLED,
    SAMPLED_DONE,
    Shard,
    mixture_shards,
)
from hclx.corpus.runner import Runner
from hclx.corpus.shuffle import partition_by_hash
from hclx.corpus.store import Store, key_of, open_bytes
from hclx.data.source import ReadSettings
from hclx.errors import ConfigError, DataError
from hclx.hashing import RangeHash
from hclx.text import Tokenizer
from hclx.text.documents import Unreadable, read_file
from hclx.text.pretokenizers import pretokenizer_identity
from hclx.text.tokenizer import to_bytes, to_text
from hclx.text.training import count_chunks, sample, train_counted

FORMAT = 2  # of the files and of the counting: part of every key
_LOG = logging.getLogger(__name__)
_SCHEMA = pyarrow.schema([("chunk", pyarrow.binary()), ("count", pyarrow.int64())])


def train_on_mixture(
    store: Store,
    output_dir: str | Path,
    runner: Runner,
    *,
    vocab_size: int,
    morphemes: str,
    sample_rate: float,
    seed: int,
    validation_permille: int = 0,
    may_shrink: bool = False,
) -> Tokenizer:
    """Trains a tokenizer on the mixture of a corpus, and writes its folder.

    Args:
      store: of a corpus with a mixture; takes the counts.
      output_dir, vocab_size, morphemes, sample_rate, seed, may_shrink: see
        `hclx.text.train_tokenizer`. The tokenizer is trained in this process; another vocabulary,
        or `merges_and_text` for `merges`, takes the counts that exist.
      runner: runs the counting.
      validation_permille: documents in 1,000 that do not count, those of the validation split of a
        run with this setting.
    Returns:
      The tokenizer that was written.
    Raises:
      ConfigError: a value is out of range, the folder is taken, or a worker has another version of
        the analyser.
      DataError: there is no mixture, a file of it cannot be read, or it is too small for the
        vocabulary.
    """

    def count(rate: float, totals: Counter) -> Counter:
        return count_mixture(store, runner, morphemes, rate, seed, totals, validation_permille)

    return train_counted(
        count,
        output_dir,
        vocab_size=vocab_size,
        morphemes=morphemes,
        sample_rate=sample_rate,
        seed=seed,
        may_shrink=may_shrink,
    )


def count_mixture(
    store: Store,
    runner: Runner,
    morphemes: str,
    sample_rate: float,
    seed: int,
    totals: Counter,
    validation_permille: int = 0,
) -> Counter:
    """Counts each pre-token in the sample of a mixture; counts that exist are read.

    Args:
      store: of a corpus with a mixture; takes the counts.
      runner: runs the counting.
      morphemes, sample_rate, seed: see `hclx.text.train_tokenizer`.
      totals: the number of all documents is added to `seen`, the number and the bytes of the sample
        to `documents` and `bytes`.
      validation_permille: see `train_on_mixture`.
    Returns:
      pre-token, a str -> its number.
    Raises:
      ConfigError: a worker has another pre-tokenizer.
      DataError: there is no mixture, or a file of it cannot be read.
    """
    begin, pretokenizer = time.perf_counter(), pretokenizer_identity(morphemes)
    base = key_of(FORMAT, pretokenizer, sample_rate, seed, validation_permille)
    shards = _shards(store)
    keys = {shard.name: key_of(base, _mixture_key(shard, store)) for shard in shards}
    key = key_of(base, keys)
    complete = {shard.file(COUNTS_PARTITION): key for shard in shards}
    complete |= {shard.file(COUNTS_SUMMARY): keys[shard.name] for shard in shards}
    if not all(store.is_done(path, own) for path, own in complete.items()):
        current = {*complete, *(shard.file(COUNTS) for shard in shards)}
        for path in {*store.list("counts")} - current:
            # Its shard no longer exists, or a process was killed while it wrote.
            store.remove(path)
        count = functools.partial(
            count_shard,
            store=store,
            keys=keys,
            morphemes=morphemes,
            pretokenizer=pretokenizer,
            sample_rate=sample_rate,
            seed=seed,
            validation_permille=validation_permille,
        )
        runner.map(count, shards, "pre-token counts")
        split = functools.partial(map_counts, store=store, n=len(shards))
        write = functools.partial(write_counts, store=store, key=key)
        runner.map_reduce([(split, reduce_counts)], write, shards, "pre-token counts")
        _LOG.info("pre-token counts: %.1f s", time.perf_counter() - begin)
    for shard in shards:
        summary = store.read_json(shard.file(COUNTS_SUMMARY))
        totals.update({name: n for name, n in summary.items() if name != "key"})
    counts: dict[str, int] = {}
    for shard in shards:  # no pre-token is in two partitions
        table = store.read_table(shard.file(COUNTS_PARTITION))
        counts |= zip(map(to_text, table["chunk"].to_pylist()), table["count"].to_pylist())
    return Counter(counts)


def _shards(store: Store) -> list[Shard]:
    mixture = store.read_json(MIXTURE)
    if mixture is None:
        raise DataError(
            f"{store.path(MIXTURE)} cannot be read; make the mixture with hclx build_corpus"
        )
    return mixture_shards([file for files in mixture["files"].values() for file in files])


def _mixture_key(shard: Shard, store: Store) -> str:
    if key := store.key(shard.file(SAMPLED_DONE)):
        return key
    path = store.path(shard.file(SAMPLED_DONE))
    raise DataError(f"{path} cannot be read; run hclx build_corpus again")


def count_shard(
    shard: Shard,
    store: Store,
    keys: dict[str, str],
    morphemes: str,
    pretokenizer: str,
    sample_rate: float,
    seed: int,
    validation_permille: int = 0,
) -> None:
    """Writes the counts of a shard of the mixture: counts/SOURCE/FILE-SHARD.parquet and .json, see
    the head of this module.

    Args:
      shard: a file of the mixture.
      store: the folder of the corpus.
      keys: name of a shard -> key of its counts, a hash of the settings and inputs that they are
        made from; counts that have it are not made again.
      morphemes, sample_rate, seed: see `hclx.text.train_tokenizer`.
      pretokenizer: name and version of the pre-tokenizer that every worker must have.
      validation_permille: see `train_on_mixture`.
    Raises:
      ConfigError: this worker has another pre-tokenizer.
      DataError: the file of the mixture cannot be read.
    """
    key = keys[shard.name]
    if all(store.is_done(path, key) for path in (shard.file(COUNTS), shard.file(COUNTS_SUMMARY))):
        return
    totals: Counter = Counter(seen=0, documents=0, bytes=0)
    settings = ReadSettings(validation_permille)
    texts = (text for text in _texts(shard, store) if settings.split_of(text) == "train")
    counts = count_chunks(sample(texts, sample_rate, seed, totals), morphemes, workers=1)
    if pretokenizer_identity(morphemes) != pretokenizer:
        raise ConfigError(
            f"a worker splits text with {pretokenizer_identity(morphemes)}, and this command with"
            f" {pretokenizer}; install one version everywhere"
        )
    columns = [[to_bytes(chunk) for chunk in counts], list(counts.values())]
    store.write_table(shard.file(COUNTS), pyarrow.table(columns, schema=_SCHEMA), key)
    store.write_json(shard.file(COUNTS_SUMMARY), dict(totals), key)


def _texts(shard: Shard, store: Store) -> Iterator[str]:
    path = store.path(shard.file(SAMPLED))
    again = "remove its .done.json and run hclx build_corpus again"
    try:
        with open_bytes(path) as file:
            for record in read_file(file, path):
                if isinstance(record, Unreadable):
                    reason = f"line {record.line}: {record.reason}"
                    raise DataError(f"{path} cannot be read ({reason}); {again}")
                if record.text:
                    yield record.text
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); {again}") from error


def map_counts(shard: Shard, store: Store, n: int) -> Iterator[tuple[int, tuple]]:
    """Sends the counts of a shard to the partitions of their pre-tokens.

    Args:
      shard: its counts are already written.
      store: the folder of the corpus.
      n: the number of partitions.
    Yields:
      partition, and (partition, table): a row for each of its pre-tokens, `chunk` (bytes) and
      `count` (int64).
    Raises:
      DataError: the counts cannot be read.
    """
    table = store.read_table(shard.file(COUNTS))
    for partition, rows in partition_by_hash(_hashes(table["chunk"]), n):
        yield partition, (partition, table.take(rows))


def _hashes(chunks: pyarrow.ChunkedArray) -> np.ndarray:
    """Hashes of the bytes of each pre-token, uint64 [c]."""
    ends = np.cumsum(pyarrow.compute.binary_length(chunks).to_numpy(), dtype=np.int64)
    data = np.frombuffer(b"".join(chunks.to_pylist()), np.uint8)
    return RangeHash(data).of(np.append(0, ends)[:-1], ends)


def reduce_counts(
    blocks: Iterable[tuple[int, pyarrow.Table]],
) -> Iterator[tuple[int, pyarrow.Table]]:
    """Adds up the counts of a partition.

    Args:
      blocks: of one partition: (partition, table) of `map_counts`, from all shards; at least one.
    Yields:
      partition, which is also the index of the shard that writes it, and a table with the same
      columns: each pre-token once, ascending, and the sum of its counts.
    """
    partitions, tables = zip(*blocks)
    total = pyarrow.concat_tables(tables).group_by("chunk").aggregate([("count", "sum")])
    total = total.select(["chunk", "count_sum"]).rename_columns(_SCHEMA.names)
    yield partitions[0], total.sort_by("chunk").combine_chunks()


def write_counts(shard: Shard, blocks: Iterable[pyarrow.Table], store: Store, key: str) -> None:
    """Writes the partition whose number is the index of a shard: counts/NNNNN.parquet.

    Args:
      shard: its index is the number of the partition.
      blocks: the table of `reduce_counts`; none if no pre-token belongs to the partition, whose
        table is then empty.
      store: the folder of the corpus.
      key: hash of all that the counts depend on, which the file then has.
    """
    (table,) = [*blocks] or [_SCHEMA.empty_table()]
    store.write_table(shard.file(COUNTS_PARTITION), table, key)
