"""What a corpus folder knows of itself: the settings that it was built with, and the order of its
parts.

  settings.json     every setting, those that were left out of the YAML file too
"""

import dataclasses
import json
from collections.abc import Iterable

from hclx.corpus.settings import CorpusSettings, parse_settings
from hclx.corpus.stages import Part
from hclx.corpus.store import Store
from hclx.errors import ConfigError, DataError

_NAME = "settings.json"


def write_settings(store: Store, settings: CorpusSettings) -> None:
    """Writes the settings, unless they are there; sources and rules keep their order, which
    counts.
    """
    text = lambda value: json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    if text(store.read_json(_NAME)) != text(dataclasses.asdict(settings)):
        store.write_text(_NAME, text(dataclasses.asdict(settings)))


def read_settings(store: Store) -> CorpusSettings:
    """The settings of a corpus.

    Raises:
      DataError: there is no corpus, or its settings are of another version.
    """
    given = store.read_json(_NAME)
    if given is None:
        raise DataError(
            f"{store.path(_NAME)} is missing; --output must be the folder of a corpus that"
            " launch/build_corpus.py made"
        )
    try:
        settings = parse_settings(given)
    except ConfigError as error:
        raise DataError(f"{store.path(_NAME)}: {error}; build the corpus again") from error
    # A rule that is new in defaults.yaml since then is none of this corpus's.
    rules = {
        name: {rule: source.rules[rule] for rule in given["sources"][name]["rules"]}
        for name, source in settings.sources.items()
    }
    sources = {
        name: dataclasses.replace(source, rules=rules[name])
        for name, source in settings.sources.items()
    }
    return dataclasses.replace(settings, sources=sources)


def read_parts(store: Store, settings: CorpusSettings) -> list[Part]:
    """The parts of a corpus, in the order in which it was built."""
    manifests = [
        store.read_json(file)
        for name in settings.sources
        for file in store.list(f"documents/{name}", ".json")
    ]
    return parts_of(manifest for manifest in manifests if manifest)


def parts_of(manifests: Iterable[dict]) -> list[Part]:
    """The parts that the manifests of raw files name, in their order."""
    about = [part for manifest in manifests for part in manifest["parts"]]
    return [Part(part["name"], index, part["bytes"]) for index, part in enumerate(about)]
