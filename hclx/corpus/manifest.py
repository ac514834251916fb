"""The settings of a corpus and the order of its shards, as its folder records them."""

import dataclasses
import json

from hclx.corpus.layout import SETTINGS, Shard, manifest_folder, shards_of
from hclx.corpus.settings import CorpusSettings, parse_settings
from hclx.corpus.store import Store
from hclx.errors import ConfigError, DataError


def write_settings(store: Store, settings: CorpusSettings) -> None:
    """Writes the settings, unless the folder has them; the order of sources and rules counts."""
    text = lambda value: json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    if text(store.read_json(SETTINGS)) != text(dataclasses.asdict(settings)):
        store.write_text(SETTINGS, text(dataclasses.asdict(settings)))


def read_settings(store: Store) -> CorpusSettings:
    """The settings of a corpus.

    Raises:
      DataError: the folder holds no corpus, or its settings are of another version.
    """
    recorded = store.read_json(SETTINGS)
    if recorded is None:
        raise DataError(
            f"{store.path(SETTINGS)} is missing; --output must be the folder of a corpus that"
            " launch/build_corpus.py made"
        )
    try:
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


def read_shards(store: Store, settings: CorpusSettings) -> list[Shard]:
    """The shards of a corpus, in the order in which it was built."""
    manifests = [
        store.read_json(file)
        for name in settings.sources
        for file in store.list(manifest_folder(name), ".json")
    ]
    return shards_of(manifest for manifest in manifests if manifest)
