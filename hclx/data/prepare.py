"""Makes a run's tokenizer and token cache where they are missing, and refuses ones that are of
something else.
"""

import dataclasses
import itertools
import logging
from collections import Counter
from pathlib import Path

from hclx.config import MORPHEMES_BY_MODE, DataConfig, TokenizerConfig
from hclx.data.cache_builder import build_cache, describe_files
from hclx.data.read_settings import ReadSettings
from hclx.data.source import Source, corpus_sources, input_source
from hclx.data.token_cache import MANIFEST, TokenCache
from hclx.errors import ConfigError, DataError
from hclx.text import Tokenizer, load_tokenizer, train_tokenizer
from hclx.text.tokenizer import METADATA_FILE

_LOG = logging.getLogger(__name__)
MODE_BY_MORPHEMES = {morphemes: mode for mode, morphemes in MORPHEMES_BY_MODE.items()}


def prepare(
    data: DataConfig,
    tokenizer: TokenizerConfig,
    vocab_size: int,
    tokenizer_dir: str,
    cache_dir: str,
) -> TokenCache:
    """The token cache of a run.

    Args:
      data: where text is.
      tokenizer: how a missing tokenizer is trained: on the documents of the training split alone.
      vocab_size: of the model.
      tokenizer_dir, cache_dir: folders, made where they are missing.
    Raises:
      ConfigError: the vocabulary is not of the model's size, or a name is unknown.
      DataError: text cannot be read, or the cache is of another vocabulary, mode, text or setting.
    """
    if not (Path(tokenizer_dir) / METADATA_FILE).is_file():
        train_tokenizer(
            _training_texts(data),
            tokenizer_dir,
            vocab_size=vocab_size,
            mode=MODE_BY_MORPHEMES[tokenizer.morphemes],
            sample_rate=tokenizer.sample_rate,
            seed=tokenizer.seed,
        )
    loaded = load_tokenizer(tokenizer_dir)
    if loaded.vocab_size != vocab_size:
        raise ConfigError(
            f"ModelConfig.vocab_size={vocab_size}, but the tokenizer in {tokenizer_dir} has"
            f" {loaded.vocab_size} pieces"
        )
    if not (Path(cache_dir) / MANIFEST).is_file():
        return build_cache(
            data.label, sources_of(data), tokenizer_dir, cache_dir, ReadSettings.of(data)
        )
    cache = TokenCache(cache_dir)
    check_cache(cache, loaded, data)
    return cache


def sources_of(data: DataConfig) -> list[Source]:
    """The corpora that a run reads."""
    if data.input:
        return [input_source(data.input)]
    if data.corpus:
        return corpus_sources(data.corpus)
    from hclx.data import (
        seqio_bridge,  # seqio and TensorFlow: only for mixtures that are registered
    )

    return seqio_bridge.mixture_sources(data.mixture)


def _training_texts(data: DataConfig):
    settings = ReadSettings.of(data)
    documents = itertools.chain.from_iterable(
        source.documents("train", settings, Counter()) for source in sources_of(data)
    )
    return (document.text for document in documents)


def check_cache(cache: TokenCache, tokenizer: Tokenizer, data: DataConfig) -> None:
    """Refuses a cache that is not what this run would build.

    The text is compared by its files, where they can still be found: a machine may have the cache
    alone.

    Raises:
      DataError: names each difference.
    """
    manifest = cache.manifest
    expected = {
        "mixture": data.label,
        "vocabulary": tokenizer.fingerprint,
        "mode": tokenizer.mode,
        **dataclasses.asdict(ReadSettings.of(data)),
    }
    found = {
        "mixture": manifest["mixture"],
        "vocabulary": manifest["tokenizer"]["fingerprint"],
        "mode": manifest["tokenizer"]["mode"],
        **manifest["settings"],
    }
    differences = [
        f"{name}: {found[name]!r} there, {value!r} now"
        for name, value in expected.items()
        if found[name] != value
    ]
    if not differences:
        differences = _text_differences(cache, data)
    if differences:
        raise DataError(
            f"{cache.directory} is a token cache of something else ({'; '.join(differences)}); name"
            " another cache_dir or remove it"
        )


def _text_differences(cache: TokenCache, data: DataConfig) -> list[str]:
    try:
        sources = sources_of(data)
        files = {source.name: describe_files(source.files()) for source in sources}
    except (ImportError, DataError) as error:
        _LOG.warning(
            "%s: the text that it was built from is not compared (%s)", cache.directory, error
        )
        return []
    rates = {source.name: float(source.rate) for source in sources}
    differences = []
    for entry in cache.manifest["sources"]:
        if files.get(entry["name"]) != entry["files"]:
            differences.append(f"text of {entry['name']}: other files than it was built from")
        if rates.get(entry["name"]) != entry["rate"]:
            differences.append(
                f"rate of {entry['name']}: {entry['rate']} there, {rates.get(entry['name'])} now"
            )
    return differences
