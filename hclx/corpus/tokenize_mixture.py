"""The token cache of a mixture: shards are encoded where the runner runs, then put in order here.

The cache is the one that `hclx build_cache --corpus=...` makes, byte for byte.
"""

import functools
import hashlib
import itertools
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow

from hclx.config import DataConfig
from hclx.corpus.layout import CACHES, SAMPLED, SAMPLED_DONE, TOKENS, Shard, mixture_shards
from hclx.corpus.runner import Runner
from hclx.corpus.store import Store, key_of
from hclx.data import TokenCache
from hclx.data.cache_builder import EncodedDocument, build_cache
from hclx.data.prepare import check_cache
from hclx.data.source import ReadSettings, Source, corpus_sources
from hclx.data.token_cache import MANIFEST, SPLITS
from hclx.errors import ConfigError, DataError
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.documents import Document, read_documents
from hclx.text.tokenizer import to_bytes

_LOG = logging.getLogger(__name__)
_TOGETHER = 1000  # texts that are encoded in one call: their ids are Python numbers until it ends


@functools.lru_cache(maxsize=1)
def _load(directory: str) -> Tokenizer:
    """The tokenizer of this process: loading it for each shard would cost more than encoding."""
    return load_tokenizer(directory)


def check_tokenizing(
    store: Store, tokenizer_dir: str, cache_dir: str, settings: ReadSettings
) -> None:
    """Refuses what `tokenize_mixture` would refuse, before the mixture is made.

    Args:
      store, tokenizer_dir, cache_dir, settings: see there.
    Raises:
      ConfigError: the store is not a local folder, or `settings.max_documents` is not 0.
      DataError: the tokenizer cannot be read, or the folder holds a cache that was not made from
        this corpus.
    """
    if "://" in store.root:
        raise ConfigError(
            f"{store.root}: the token cache is made from a mixture in a local folder; copy mixture/"
            " to one"
        )
    if settings.max_documents:
        raise ConfigError(
            "max_documents goes with hclx build_cache; a mixture takes less by `cap` or `epochs`"
        )
    load_tokenizer(tokenizer_dir)
    if (Path(cache_dir) / MANIFEST).exists() and not _is_own(store, cache_dir):
        raise DataError(
            f"{cache_dir} holds a token cache that was not made from {store.root}; name another"
            " cache_dir or remove it"
        )


def _is_own(store: Store, cache_dir: str) -> bool:
    """Whether a cache was made from this corpus, so that it may be made again."""
    path = os.path.abspath(cache_dir)
    if path == os.path.join(os.path.abspath(store.root), "cache"):
        return True
    made = (store.read_json(CACHES) or {}).get("made", {})
    return path in made and made[path] == TokenCache(cache_dir).fingerprint


def tokenize_mixture(
    store: Store, tokenizer_dir: str, cache_dir: str, settings: ReadSettings, runner: Runner
) -> TokenCache:
    """Makes the token cache of a mixture, unless it exists. One that was made from this corpus when
    its texts, the tokenizer or the settings were others is made again.

    Args:
      store: of a corpus with a mixture, in a local folder; takes the tokens of its shards, see
        `encode_shard`.
      tokenizer_dir, cache_dir: see `hclx.data.cache_builder.build_cache`.
      settings: how documents are read and divided into splits.
      runner: runs the encoding.
    Returns:
      The cache; one that exists in `cache_dir` and is what would be made is opened.
    Raises:
      HclxError: see `check_tokenizing`.
      DataError: there is no mixture, or it is empty.
    """
    check_tokenizing(store, tokenizer_dir, cache_dir, settings)
    begin, tokenizer = time.perf_counter(), load_tokenizer(tokenizer_dir)
    sources = corpus_sources(store.root)
    if (Path(cache_dir) / MANIFEST).exists():
        cache = TokenCache(cache_dir)
        data = DataConfig(
            mixture="",
            corpus=store.root,
            validation_permille=settings.validation_permille,
            invalid_utf8=settings.invalid_utf8,
        )
        try:
            check_cache(cache, tokenizer, data)
            return cache
        except DataError as error:
            _LOG.info("the token cache is made again: %s", error)
            del cache
            shutil.rmtree(cache_dir)
    paths = [path for source in sources for path in source.files()]
    shards = mixture_shards(sorted(paths, key=os.path.getsize, reverse=True))
    current = {shard.file(TOKENS, split=split) for shard in shards for split in SPLITS}
    for name in {*store.list("tokens")} - current:
        store.remove(name)
    encode = functools.partial(
        encode_shard,
        store=store,
        tokenizer_dir=os.path.abspath(tokenizer_dir),
        settings=settings,
        key=key_of(tokenizer.fingerprint, settings),
    )
    runner.map(encode, shards, "tokens")
    encoded = functools.partial(_read_encoded, store=store, tokenizer=tokenizer, settings=settings)
    cache = build_cache("corpus", sources, tokenizer_dir, cache_dir, settings, encoded=encoded)
    made = (store.read_json(CACHES) or {}).get("made", {})
    made[os.path.abspath(cache_dir)] = cache.fingerprint
    store.write_json(CACHES, {"made": made})
    _LOG.info("tokens: %.1f s", time.perf_counter() - begin)
    return cache


def encode_shard(
    shard: Shard, store: Store, tokenizer_dir: str, settings: ReadSettings, key: str
) -> None:
    """Writes the tokens of a shard of the mixture: tokens/SOURCE/FILE-SHARD.SPLIT.parquet for each
    SPLIT, train and validation, with a row for each of its documents, maybe none: `ids`, a list of
    uint32, the tokens of its text without an end-of-document token; `n_bytes` and `line`, the bytes
    of its text in UTF-8 and its line in the file, from 1, int64; `sha256` of its text, 32 bytes.

    Args:
      shard: a file of the mixture, see `mixture_shards`.
      store: the folder of the corpus, which is local.
      tokenizer_dir: see `hclx.text.load_tokenizer`.
      settings: how documents are read and divided into splits.
      key: hash of the tokenizer and of the settings; files that were made with it of the same
        documents are not written again.
    Raises:
      DataError: a line of the file, or the tokenizer, cannot be read.
      OSError: there is no such file of the mixture.
    """
    tokenizer = _load(tokenizer_dir)
    key = key_of(key, store.key(shard.file(SAMPLED_DONE)))
    if all(store.is_done(shard.file(TOKENS, split=split), key) for split in SPLITS):
        return
    divided: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for document in read_documents([store.path(shard.file(SAMPLED))], settings.invalid_utf8):
        divided[settings.split_of(document.text)].append(document)
    for split, documents in divided.items():
        texts = [to_bytes(document.text) for document in documents]
        ids = _encode([document.text for document in documents], tokenizer)
        digests = [hashlib.sha256(text).digest() for text in texts]
        columns = {
            "ids": pyarrow.array(ids, pyarrow.list_(pyarrow.uint32())),
            "n_bytes": np.array([len(text) for text in texts], np.int64),
            "sha256": pyarrow.array(digests, pyarrow.binary(32)),
            "line": np.array([document.line for document in documents], np.int64),
        }
        store.write_table(shard.file(TOKENS, split=split), pyarrow.table(columns), key)


def _encode(texts: list[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    batches = (texts[i : i + _TOGETHER] for i in range(0, len(texts), _TOGETHER))
    encoded = itertools.chain.from_iterable(map(tokenizer.encode_batch, batches))
    return [np.array(ids, np.uint32) for ids in encoded]


def _read_encoded(
    source: Source,
    split: str,
    counts: Counter,
    *,
    store: Store,
    tokenizer: Tokenizer,
    settings: ReadSettings,
) -> Iterator[EncodedDocument]:
    """The documents of a split in the order of the source's files.

    Args:
      counts: takes `file_bytes` alone: no document of a mixture is empty or not UTF-8.
    """
    shards = mixture_shards(source.files())
    sizes = [sum(store.n_rows(s.file(TOKENS, split=name)) for s in shards) for name in SPLITS]
    if settings.validation_permille and 0 in sizes:  # the source divides so few by their length
        files = {path: index for index, path in enumerate(source.files())}
        for document in source.documents(split, settings, counts):
            text = to_bytes(document.text)
            place = files[document.path], document.line
            digest = hashlib.sha256(text).digest()
            (ids,) = _encode([document.text], tokenizer)
            yield EncodedDocument(ids, len(text), digest, *place)
        return
    for index, (path, shard) in enumerate(zip(source.files(), shards)):
        table = store.read_table(shard.file(TOKENS, split=split))
        columns = [table[column].to_pylist() for column in ("n_bytes", "sha256", "line")]
        for ids, (n_bytes, sha256, line) in zip(table["ids"], zip(*columns)):
            yield EncodedDocument(ids.values.to_numpy(), n_bytes, sha256, index, line)
        counts["file_bytes"] += os.path.getsize(path)
