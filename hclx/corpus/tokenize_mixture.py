"""From a mixture to the token cache of pretraining: files are encoded wherever Beam runs, then put
in order in one place.

  tokens/SOURCE/FILE-PART.SPLIT.parquet    a row a document: its ids, and what the cache's manifest
    says of its text

The cache is the one that `launch/build_cache.py --corpus=...` makes, byte for byte.
"""

import functools
import hashlib
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow

from hclx.config import DataConfig
from hclx.corpus.runner import Engine
from hclx.corpus.store import Store, key_of
from hclx.data import TokenCache
from hclx.data.cache_builder import EncodedDocument, build_cache
from hclx.data.prepare import check_cache
from hclx.data.source import ReadSettings, Source, corpus_sources
from hclx.data.token_cache import MANIFEST, SPLITS
from hclx.errors import ConfigError
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.byte_level import to_bytes
from hclx.text.documents import Document, read_documents
from hclx.text.tokenizer import shared_tokenizer

_LOG = logging.getLogger(__name__)
_TOGETHER = 1000  # texts that are encoded in one call: their ids are Python numbers until it ends


def _target(name: str, split: str) -> str:
    return f"tokens/{name}.{split}.parquet"


def encode_file(
    name: str, store: Store, tokenizer_dir: str, settings: ReadSettings, key: str
) -> None:
    """Writes the tokens of a mixture's file, a table a split.

    Args:
      name: SOURCE/FILE-PART.
      key: of the tokens.
    """
    tokenizer = shared_tokenizer(tokenizer_dir)
    if all(store.is_done(_target(name, split), key) for split in SPLITS):
        return
    divided: dict[str, list[Document]] = {split: [] for split in SPLITS}
    for document in read_documents([store.path(f"mixture/{name}.jsonl.gz")], settings.invalid_utf8):
        divided[settings.split_of(document.text)].append(document)
    for split, documents in divided.items():
        texts = [to_bytes(document.text) for document in documents]
        columns = {
            "ids": pyarrow.array(
                _encode([document.text for document in documents], tokenizer),
                pyarrow.list_(pyarrow.uint32()),
            ),
            "n_bytes": np.array([len(text) for text in texts], np.int64),
            "sha256": pyarrow.array(
                [hashlib.sha256(text).digest() for text in texts], pyarrow.binary(32)
            ),
            "line": np.array([document.line for document in documents], np.int64),
        }
        store.write_table(_target(name, split), pyarrow.table(columns), key)


def _encode(texts: list[str], tokenizer: Tokenizer) -> list[np.ndarray]:
    some = (
        tokenizer.encode_batch(texts[i : i + _TOGETHER]) for i in range(0, len(texts), _TOGETHER)
    )
    return [np.array(ids, np.uint32) for ids in itertools.chain.from_iterable(some)]


def _encoded(
    source: Source, split: str, counts: Counter, *, store: Store
) -> Iterator[EncodedDocument]:
    """The documents of a split in the order of the source's files; a mixture has none that is empty
    or not UTF-8.
    """
    del counts
    for index, path in enumerate(source.files()):
        name = "/".join(Path(path).parts[-2:]).removesuffix(".jsonl.gz")
        table = store.read_table(_target(name, split))
        columns = [table[column].to_pylist() for column in ("n_bytes", "sha256", "line")]
        for ids, (n_bytes, sha256, line) in zip(table["ids"], zip(*columns)):
            yield EncodedDocument(ids.values.to_numpy(), n_bytes, sha256, index, line)


def serialize(
    store: Store, tokenizer_dir: str, cache_dir: str, settings: ReadSettings, engine: Engine
) -> TokenCache:
    """Makes the token cache of a mixture, unless it is there.

    Args:
      store: of a corpus with a mixture, in a local folder.
      tokenizer_dir, cache_dir: see `hclx.data.cache_builder.build_cache`.
      settings: how documents are divided.
      engine: what runs the encoding.
    Raises:
      ConfigError: the store is not a local folder, or documents of a source are limited in number.
      DataError: there is no mixture, or the cache is of another one.
    """
    if "://" in store.root:
        raise ConfigError(
            f"{store.root}: the token cache is made from a mixture in a local folder; copy mixture/"
            " to one"
        )
    if settings.max_documents:
        raise ConfigError(
            "max_documents goes with launch/build_cache.py; a mixture takes less by `cap` or"
            " `epochs`"
        )
    begin, tokenizer, sources = (
        time.perf_counter(),
        load_tokenizer(tokenizer_dir),
        corpus_sources(store.root),
    )
    if (Path(cache_dir) / MANIFEST).exists():
        cache = TokenCache(cache_dir)
        data = DataConfig(
            mixture="",
            corpus=store.root,
            validation_permille=settings.validation_permille,
            invalid_utf8=settings.invalid_utf8,
        )
        check_cache(cache, tokenizer, data)
        return cache
    # the largest first
    paths = sorted(
        (path for source in sources for path in source.files()), key=os.path.getsize, reverse=True
    )
    names = ["/".join(Path(path).parts[-2:]).removesuffix(".jsonl.gz") for path in paths]
    own = {name: store.key(f"mixture/{name}.done.json") for name in names}
    key = key_of(tokenizer.fingerprint, settings, own)
    for name in {*store.list("tokens")} - {
        _target(name, split) for name in names for split in SPLITS
    }:
        store.remove(name)
    encode = functools.partial(
        encode_file,
        store=store,
        tokenizer_dir=os.path.abspath(tokenizer_dir),
        settings=settings,
        key=key,
    )
    engine.each(encode, names)
    cache = build_cache(
        "corpus",
        sources,
        tokenizer_dir,
        cache_dir,
        settings,
        encoded=functools.partial(_encoded, store=store),
    )
    _LOG.info("tokens: %.1f s", time.perf_counter() - begin)
    return cache
