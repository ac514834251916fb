"""From a mixture to the token cache of pretraining: files are encoded wherever Beam runs, then put in order in one place.

  tokens/SOURCE/FILE-PART.SPLIT.parquet    a row a document: its ids, and what the cache's manifest says of its text

The cache is the one that `launch/build_cache.py --corpus=...` makes, byte for byte.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow

from hclx.corpus.engine import Engine
from hclx.corpus.store import Store, key_of
from hclx.data import TokenCache
from hclx.data.build import EncodedDocument, build_cache
from hclx.data.cache import SPLITS
from hclx.data.settings import ReadSettings
from hclx.data.source import Source, corpus_sources, split_documents
from hclx.errors import ConfigError
from hclx.text import Tokenizer, load_tokenizer
from hclx.text.alphabet import to_bytes

_tokenizer: tuple[str, Tokenizer] | None = None  # of this process: loading it for each file would cost more than encoding


def _load(directory: str) -> Tokenizer:
    global _tokenizer
    if _tokenizer is None or _tokenizer[0] != directory:
        _tokenizer = directory, load_tokenizer(directory)
    return _tokenizer[1]


def encode_file(name: str, store: Store, tokenizer_dir: str, settings: ReadSettings, key: str) -> None:
    """Writes the tokens of a mixture's file, a table a split.

    Args:
      name: SOURCE/FILE-PART.
      key: of the tokens.
    """
    tokenizer = _load(tokenizer_dir)
    path = store.path(f"mixture/{name}.jsonl.gz")
    for split in SPLITS:
        target = f"tokens/{name}.{split}.parquet"
        if store.is_done(target, key):
            continue
        documents = list(split_documents(lambda: [path], split, settings))
        texts = [to_bytes(document.text) for document in documents]
        columns = {
            "ids": pyarrow.array([np.array(tokenizer.encode(d.text), np.uint32) for d in documents], pyarrow.list_(pyarrow.uint32())),
            "n_bytes": np.array([len(text) for text in texts], np.int64),
            "sha256": pyarrow.array([hashlib.sha256(text).digest() for text in texts], pyarrow.binary(32)),
            "line": np.array([document.line for document in documents], np.int64),
        }
        store.write_table(target, pyarrow.table(columns), key)


def _encoded(source: Source, split: str, counts: Counter, *, store: Store) -> Iterator[EncodedDocument]:
    """The documents of a split in the order of the source's files; a mixture has none that is empty or not UTF-8."""
    del counts
    for index, path in enumerate(source.files()):
        name = "/".join(Path(path).parts[-2:]).removesuffix(".jsonl.gz")
        table = store.read_table(f"tokens/{name}.{split}.parquet")
        columns = [table[column].to_pylist() for column in ("n_bytes", "sha256", "line")]
        for ids, (n_bytes, sha256, line) in zip(table["ids"], zip(*columns)):
            yield EncodedDocument(ids.values.to_numpy(), n_bytes, sha256, index, line)


def serialize(store: Store, tokenizer_dir: str, cache_dir: str, settings: ReadSettings, engine: Engine) -> TokenCache:
    """Makes the token cache of a mixture.

    Args:
      store: of a corpus with a mixture, in a local folder.
      tokenizer_dir, cache_dir: see `hclx.data.build.build_cache`.
      settings: how documents are divided.
      engine: what runs the encoding.
    Raises:
      ConfigError: the store is not a local folder, or documents of a source are limited in number.
      DataError: there is no mixture.
    """
    if "://" in store.root:
        raise ConfigError(f"{store.root}: the token cache is made from a mixture in a local folder; copy mixture/ to one")
    if settings.max_documents:
        raise ConfigError("max_documents goes with launch/build_cache.py; a mixture takes less by `cap` or `epochs`")
    sources = corpus_sources(store.root)
    names = ["/".join(Path(path).parts[-2:]).removesuffix(".jsonl.gz") for source in sources for path in source.files()]
    own = {name: store.key(f"mixture/{name}.done.json") for name in names}
    key = key_of(load_tokenizer(tokenizer_dir).fingerprint, settings, own)
    engine.each(functools.partial(encode_file, store=store, tokenizer_dir=tokenizer_dir, settings=settings, key=key), names)
    return build_cache("corpus", sources, tokenizer_dir, cache_dir, settings, encoded=functools.partial(_encoded, store=store))
