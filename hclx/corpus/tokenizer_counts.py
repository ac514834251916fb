"""Chunk counts of a mixture, to train a tokenizer from: files are counted wherever Beam runs, then
their counts meet.

  counts/SOURCE/FILE-PART.parquet    the chunks of a file's sample, as bytes, and how often each
  occurs counts/SOURCE/FILE-PART.json       how many documents and bytes that sample has; written
  last counts/NNNNN.parquet               the same of all files, for a share of the chunks by hash,
  in order; as many as there are files

Every document of the mixture counts once, however often a source is repeated. The tokenizer is the
one that `launch/train_tokenizer.py --input='CORPUS/mixture/*/*.jsonl.gz'` makes, byte for byte.
"""

import functools
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute

from hclx.corpus.dedup import partition
from hclx.corpus.hashing import RangeHash
from hclx.corpus.mixing import MIXTURE
from hclx.corpus.runner import Engine
from hclx.corpus.stages import Part
from hclx.corpus.store import Store, key_of
from hclx.errors import ConfigError, DataError
from hclx.text import Tokenizer
from hclx.text.byte_level import to_bytes, to_text
from hclx.text.pretokenizers import pretokenizer_identity
from hclx.text.training import count_chunks, sample, train_counted

FORMAT = 1  # of the files, and of how chunks are counted: part of every key
_LOG = logging.getLogger(__name__)
_SCHEMA = pyarrow.schema([("chunk", pyarrow.binary()), ("count", pyarrow.int64())])


def train_on_mixture(
    store: Store,
    output_dir: str | Path,
    engine: Engine,
    *,
    vocab_size: int,
    morphemes: str,
    sample_rate: float,
    seed: int,
) -> Tokenizer:
    """Trains a tokenizer on the mixture of a corpus, and writes its folder.

    Args:
      store: of a corpus with a mixture; takes the counts.
      output_dir, vocab_size, morphemes, sample_rate, seed: see `hclx.text.train_tokenizer`. The
        tokenizer is trained in this process; another vocabulary, or `merges_and_text` for `merges`,
        takes the counts that are there.
      engine: what runs the counting.
    Raises:
      ConfigError: a value is out of range, the folder is taken, or a worker splits with another
        version of the analyser.
      DataError: there is no mixture, a file of it cannot be read, or it is too little for the
        vocabulary.
    """
    count = functools.partial(count_mixture, store, engine, morphemes, sample_rate, seed)
    return train_counted(
        count,
        output_dir,
        vocab_size=vocab_size,
        morphemes=morphemes,
        sample_rate=sample_rate,
        seed=seed,
    )


def count_mixture(
    store: Store, engine: Engine, morphemes: str, sample_rate: float, seed: int, totals: Counter
) -> Counter:
    """How often each chunk occurs in the sample of a mixture; what was counted before is read.

    Args:
      totals: takes the numbers of `hclx.text.training.sample`.
    """
    begin, pretokenizer = time.perf_counter(), pretokenizer_identity(morphemes)
    base = key_of(FORMAT, pretokenizer, sample_rate, seed)
    keys = {name: key_of(base, _key_of_file(name, store)) for name in _mixture_files(store)}
    found, key = [Part(name, index) for index, name in enumerate(keys)], key_of(base, keys)
    made = {_partition(part.index): key for part in found} | {
        _about(part.name): keys[part.name] for part in found
    }
    if not all(store.is_done(name, own) for name, own in made.items()):
        for name in {*store.list("counts")} - {*made, *(_own(part.name) for part in found)}:
            # of files that are gone, or of a process that was killed while it wrote
            store.remove(name)
        count = functools.partial(
            count_file,
            store=store,
            keys=keys,
            morphemes=morphemes,
            pretokenizer=pretokenizer,
            sample_rate=sample_rate,
            seed=seed,
        )
        engine.each(count, list(keys))
        give = functools.partial(give_counts, store=store, n=len(found))
        engine.meet(
            [(give, meet_counts)], functools.partial(write_counts, store=store, key=key), found
        )
        _LOG.info("chunk counts: %.1f s", time.perf_counter() - begin)
    for part in found:
        totals.update(
            {name: n for name, n in store.read_json(_about(part.name)).items() if name != "key"}
        )
    # no chunk is in two of them
    tables = (store.read_table(_partition(part.index)) for part in found)
    return Counter(
        {
            to_text(chunk): n
            for table in tables
            for chunk, n in zip(table["chunk"].to_pylist(), table["count"].to_pylist())
        }
    )


def _partition(index: int) -> str:
    return f"counts/{index:05d}.parquet"


def _own(name: str) -> str:
    return f"counts/{name}.parquet"


def _about(name: str) -> str:
    return f"counts/{name}.json"


def _mixture_files(store: Store) -> list[str]:
    """SOURCE/FILE-PART of each."""
    mixture = store.read_json(MIXTURE)
    if mixture is None:
        raise DataError(
            f"{store.path(MIXTURE)} cannot be read; make the mixture with launch/build_corpus.py"
        )
    return [name.removesuffix(".jsonl.gz") for names in mixture["files"].values() for name in names]


def _key_of_file(name: str, store: Store) -> str:
    done = f"mixture/{name}.done.json"
    if key := store.key(done):
        return key
    raise DataError(f"{store.path(done)} cannot be read; run launch/build_corpus.py again")


def count_file(
    name: str,
    store: Store,
    keys: dict[str, str],
    morphemes: str,
    pretokenizer: str,
    sample_rate: float,
    seed: int,
) -> None:
    """Writes the counts of a mixture's file.

    Args:
      name: SOURCE/FILE-PART.
      keys: name -> key of its counts.
      pretokenizer: the name and version that chunks must be split with, wherever this runs.
      morphemes, sample_rate, seed: see `hclx.text.train_tokenizer`.
    """
    if all(store.is_done(target, keys[name]) for target in (_own(name), _about(name))):
        return
    totals: Counter = Counter(seen=0, documents=0, bytes=0)
    counts = count_chunks(
        sample(_texts(name, store), sample_rate, seed, totals), morphemes, workers=1
    )
    if pretokenizer_identity(morphemes) != pretokenizer:
        raise ConfigError(
            f"a worker splits text with {pretokenizer_identity(morphemes)}, and this command with"
            f" {pretokenizer}; install one version everywhere"
        )
    table = pyarrow.table(
        [[to_bytes(chunk) for chunk in counts], list(counts.values())], schema=_SCHEMA
    )
    store.write_table(_own(name), table, keys[name])
    store.write_json(_about(name), dict(totals), keys[name])


def _texts(name: str, store: Store) -> Iterator[str]:
    path = f"mixture/{name}.jsonl.gz"
    try:
        for line in store.read_lines(path):
            if text := json.loads(line)["text"]:
                yield text
    except (OSError, ValueError, KeyError) as error:
        again = "remove its .done.json and run launch/build_corpus.py again"
        raise DataError(f"{store.path(path)} cannot be read ({error}); {again}") from error


def give_counts(part: Part, store: Store, n: int) -> Iterator[tuple[int, tuple]]:
    """(partition, (partition, table of chunk and count)) of a file's counts."""
    table = store.read_table(_own(part.name))
    for place, rows in partition(_hashes(table["chunk"]), n):
        yield place, (place, table.take(rows))


def _hashes(chunks: pyarrow.ChunkedArray) -> np.ndarray:
    """uint64 [c]: of each chunk's bytes."""
    ends = np.cumsum(pyarrow.compute.binary_length(chunks).to_numpy(), dtype=np.int64)
    return RangeHash(np.frombuffer(b"".join(chunks.to_pylist()), np.uint8)).of(
        np.append(0, ends)[:-1], ends
    )


def meet_counts(blocks: Iterable[tuple[int, pyarrow.Table]]) -> Iterator[tuple[int, pyarrow.Table]]:
    """(partition, its chunks, each once and in their order, with the sum of its counts)"""
    places, tables = zip(*blocks)
    total = pyarrow.concat_tables(tables).group_by("chunk").aggregate([("count", "sum")])
    yield (
        places[0],
        total.select(["chunk", "count_sum"])
        .rename_columns(_SCHEMA.names)
        .sort_by("chunk")
        .combine_chunks(),
    )


def write_counts(part: Part, blocks: Iterable[pyarrow.Table], store: Store, key: str) -> None:
    """Writes the partition of a part's index; there is no block where no chunk fell there."""
    (table,) = [*blocks] or [_SCHEMA.empty_table()]
    store.write_table(_partition(part.index), table, key)
