"""Makes the tokenizer and the token cache of a run if they are missing; refuses ones that were made
from something else.
"""

import dataclasses
import logging
import re
from pathlib import Path

import numpy as np

from hclx.config import DataConfig, TokenizerConfig
from hclx.data.build_lock import build_lock
from hclx.data.cache_builder import build_cache
from hclx.data.cache_files import check_files
from hclx.data.file_descriptions import describe_files, is_same_text
from hclx.data.source import ReadSettings, label_of, sources_of
from hclx.data.token_cache import MANIFEST, TOKEN_BYTES, TokenCache
from hclx.data.tokenizer_text import training_texts
from hclx.errors import ConfigError, DataError, MissingExtraError
from hclx.progress import counted
from hclx.text import Tokenizer, has_tokenizer, load_tokenizer, train_tokenizer
from hclx.text.tokenizer import FOREIGN_MODE
from hclx.text.training import REQUESTED_VOCAB_SIZE

_LOG = logging.getLogger(__name__)
_REMEDY = "name another cache_dir or remove it"
_SHOWN_DIFFERENCES = 2  # of a cache, in a message; an old one may differ in the rate of each source
_SHOWN_HASH = 12  # characters


def prepare(
    data: DataConfig,
    tokenizer: TokenizerConfig,
    vocab_size: int,
    tokenizer_dir: str,
    cache_dir: str,
    *,
    remedy: str = _REMEDY,
) -> TokenCache:
    """Returns the token cache of a run, opened for reading. A tokenizer that is missing is trained
    first, and a cache that is missing is built; one that exists is checked by `check_cache`.

    Args:
      data: the text.
      tokenizer: how a missing tokenizer is trained, on the documents of the training split alone.
      vocab_size: tokens of a tokenizer that is trained; fewer, if the text is too little. The
        manifest of the cache has the number.
      tokenizer_dir, cache_dir: folders, made if they are missing.
      remedy: what to do about a cache of something else, for the error.
    Raises:
      ConfigError: the tokenizer of the run has other settings or another size, a name is unknown,
        or a library is not installed.
      DataError: text cannot be read, or the cache has another vocabulary, mode, text or setting.
    """
    if not has_tokenizer(tokenizer_dir):
        if data.tokenizer_dir == tokenizer_dir:
            _LOG.warning("%s", untrained(tokenizer_dir))
        with build_lock(Path(tokenizer_dir)):
            if not has_tokenizer(tokenizer_dir):
                _train_tokenizer(data, tokenizer, vocab_size, tokenizer_dir)
    loaded = load_tokenizer(tokenizer_dir)
    check_tokenizer(loaded, tokenizer, data, tokenizer_dir)
    size = _vocabulary_size(loaded, data, vocab_size)
    if loaded.vocab_size != size and loaded.metadata["mode"] != FOREIGN_MODE:
        raise ConfigError(
            f"ModelConfig.vocab_size={vocab_size}, but the tokenizer in {tokenizer_dir} has"
            f" {loaded.vocab_size} tokens; give --gin.ModelConfig.vocab_size={loaded.vocab_size},"
            " or another folder"
        )
    if (Path(cache_dir) / MANIFEST).is_file():
        cache = TokenCache(cache_dir)
    else:
        check_no_part(cache_dir)
        settings = ReadSettings.of(data)
        cache = build_cache(label_of(data), sources_of(data), tokenizer_dir, cache_dir, settings)
    check_cache(
        cache, loaded, data, remedy
    )  # also of a new one, which another process may have made
    return cache


def check_no_part(cache_dir: str) -> None:
    """Checks that a folder without a manifest, where a token cache is to be made, is empty.

    Raises:
      DataError: it is not: a copy of a cache that was interrupted, or a folder of something else.
    """
    folder = Path(cache_dir)
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(
            f"{folder} has files and no {MANIFEST}, so that it is no whole token cache; copy the"
            " cache again, or name another cache_dir"
        )


def untrained(tokenizer_dir: str) -> str:
    """Returns a warning that the folder which a run names for its tokenizer holds none, as a path
    may be misspelt.
    """
    return (
        f"--gin.DataConfig.tokenizer_dir={tokenizer_dir} holds no tokenizer: one is trained there;"
        " if there should be one, check the path"
    )


def vocabulary_size(data: DataConfig, vocab_size: int, tokenizer_dir: str) -> int:
    """Returns the number of tokens that a run has, as far as it is known before `prepare`.

    A tokenizer that `data` names decides it, as no other number would fit. The run's own one
    decides it where its text was too little for `vocab_size`.

    Args:
      data, vocab_size, tokenizer_dir: as in `prepare`.
    Returns:
      `vocab_size`, while there is no tokenizer, and where another size is refused.
    Raises:
      DataError, StorageError: the tokenizer cannot be read.
    """
    if not has_tokenizer(tokenizer_dir):
        return vocab_size
    return _vocabulary_size(load_tokenizer(tokenizer_dir), data, vocab_size)


def _vocabulary_size(loaded: Tokenizer, data: DataConfig, vocab_size: int) -> int:
    if loaded.metadata["mode"] == FOREIGN_MODE:  # its model may have more rows than it has tokens
        return max(loaded.vocab_size, vocab_size)
    is_shrunk = loaded.metadata.get(REQUESTED_VOCAB_SIZE) == vocab_size
    return loaded.vocab_size if data.tokenizer_dir or is_shrunk else vocab_size


def _train_tokenizer(
    data: DataConfig, tokenizer: TokenizerConfig, vocab_size: int, tokenizer_dir: str
) -> None:
    """Trains a tokenizer on the documents of the training split."""
    train_tokenizer(
        training_texts(sources_of(data), ReadSettings.of(data), "text for the tokenizer"),
        tokenizer_dir,
        vocab_size=vocab_size,
        morphemes=tokenizer.morphemes,
        sample_rate=tokenizer.sample_rate,
        seed=tokenizer.seed,
        may_shrink=True,
    )


def check_tokenizer(
    loaded: Tokenizer, expected: TokenizerConfig, data: DataConfig, tokenizer_dir: str
) -> None:
    """Refuses a tokenizer that this run would not train.

    One that `data` names has its own sample and seed: only a setting of morphemes that is not the
    default is compared with it.

    Args:
      loaded: what the folder holds; a setting that an old one does not record is not compared.
      expected: the settings of the run.
      data: names the folder of the tokenizer, or none, and then it is the run's own.
      tokenizer_dir: the folder.
    Raises:
      ConfigError: names each difference.
    """
    settings = {"morphemes": loaded.morphemes}
    if not data.tokenizer_dir:
        settings |= {name: loaded.metadata.get(name) for name in ("sample_rate", "seed")}
    elif expected.morphemes == TokenizerConfig().morphemes:
        return
    differences = [
        f"TokenizerConfig.{name}={getattr(expected, name)!r}, but it has {value!r}"
        for name, value in settings.items()
        if value is not None and value != getattr(expected, name)
    ]
    if differences:
        raise ConfigError(
            f"{tokenizer_dir} holds a tokenizer of other settings ({'; '.join(differences)}); give"
            " its settings, or name another folder with DataConfig.tokenizer_dir"
        )


def check_cache(
    cache: TokenCache, tokenizer: Tokenizer, data: DataConfig, remedy: str = _REMEDY
) -> None:
    """Refuses a cache that this run would not build, or that is not whole.

    The text is compared by its files and rates if it can be found: a machine may have the cache
    alone, and then a warning is logged.

    Args:
      cache: what a folder holds.
      tokenizer: that of the run.
      data: names the text, and the settings by which it is read.
      remedy: what to do about a cache of something else, for the error.
    Raises:
      ConfigError: `data` names an unknown mixture or a file that cannot be read.
      DataError: names each difference, or a file that is missing or of another size.
      StorageError: its files cannot be looked at now.
    """
    manifest = cache.manifest
    expected = {
        "mixture": label_of(data),
        "vocabulary": tokenizer.fingerprint,
        "mode": tokenizer.metadata["mode"],
        **dataclasses.asdict(ReadSettings.of(data)),
    }
    actual = {
        "mixture": manifest.get("mixture"),
        "vocabulary": manifest["tokenizer"].get("fingerprint"),
        "mode": manifest["tokenizer"].get("mode"),
        **manifest["settings"],
    }
    differences = [
        f"{name}: {_shown(actual[name]) if name in actual else 'not recorded'} there,"
        f" {_shown(value)} now"
        for name, value in expected.items()
        if name not in actual or actual[name] != value
    ]
    if not differences:
        _check_token_bytes(cache, tokenizer)
        differences = _text_differences(cache, data)
    if differences:
        listed = "; ".join(differences[:_SHOWN_DIFFERENCES])
        more = len(differences) - _SHOWN_DIFFERENCES
        listed += f"; and {counted(more, 'other difference')}" if more > 0 else ""
        raise DataError(
            f"{cache.directory} is a token cache of something else ({listed}); {remedy}"
        )
    check_files(cache)


def _shown(value) -> str:
    """A value of a manifest in a message; fingerprints are shortened."""
    is_hash = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return (
        value[:_SHOWN_HASH] if is_hash else f"{value:.4g}" if type(value) is float else repr(value)
    )


def _check_token_bytes(cache: TokenCache, tokenizer: Tokenizer) -> None:
    """Compares what an old cache has no checksum of with the tokenizer that it was made with."""
    if not np.array_equal(cache.token_bytes, tokenizer.token_bytes()):
        raise DataError(
            f"{cache.directory / TOKEN_BYTES} is damaged: it is not that of the tokenizer; remove"
            " the cache, and it is built again"
        )


def _text_differences(cache: TokenCache, data: DataConfig) -> list[str]:
    try:
        sources = sources_of(data)
        files = {source.name: describe_files(source.files()) for source in sources}
    except (MissingExtraError, DataError) as error:
        _LOG.warning(
            "%s: the text that it was built from is not compared (%s)", cache.directory, error
        )
        return []
    rates = {source.name: float(source.rate) for source in sources}
    differences = []
    for entry in cache.manifest["sources"]:
        if not is_same_text(entry["files"], files.get(entry["name"], [])):
            differences.append(f"text of {entry['name']}: other files than it was built from")
        if rates.get(entry["name"]) != entry["rate"]:
            differences.append(
                f"rate of {entry['name']}: {_shown(entry['rate'])} there,"
                f" {_shown(rates.get(entry['name']))} now"
            )
    return differences
