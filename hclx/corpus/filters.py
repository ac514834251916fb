"""Attributes of documents, and the rules on them: the stages `attributes` and `filter`.

Both write tables for each shard, with a row for each document.

  attributes/TAGGER/...   the columns of a tagger
  verdicts/filter/...     `rule`, the name of the first rule of its source that the document
                          violates, or null; `value`, what that rule saw, float32; 0 if none
"""

import functools
from collections.abc import Mapping

import numpy as np
import pyarrow

from hclx.corpus.layout import ATTRIBUTES, DOCUMENTS, FORMAT, VERDICTS, Build, Shard
from hclx.corpus.quality_models import fingerprint
from hclx.corpus.settings import CorpusSettings, Rule
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import all_taggers
from hclx.corpus.text_batch import TextBatch, batches
from hclx.errors import ConfigError

Rules = Mapping[str, Rule | None]  # rule -> its bounds; None: switched off


def write_attributes(build: Build, key: str) -> None:
    """Writes the attributes of every shard: the values that taggers compute of each document.

    Args:
      build: the inputs of the corpus; its documents are already written.
      key: not used; each file of attributes has a key of its own, a hash of its tagger, its
        documents and its model.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    tag = functools.partial(tag_shard, store=build.store, taggers=build.taggers)
    build.map_shards(tag, "attributes")


def tag_shard(shard: Shard, store: Store, taggers: Mapping[str, str]) -> None:
    """Writes the attributes of a shard that do not exist yet: a table for each tagger, with the
    columns that it returns and a row for each document.

    Args:
      shard: the documents.
      store: the folder of the corpus.
      taggers: name -> file of its model, "" if it has none.
    Raises:
      DataError: the documents, or the file of a model, cannot be read.
    """
    files = {name: path for name, path in taggers.items() if path}
    documents_key = store.key(shard.file(DOCUMENTS))
    keys = {
        name: key_of(FORMAT, name, documents_key, fingerprint(path) if path else "")
        for name, path in taggers.items()
    }
    missing = [
        name
        for name in taggers
        if not store.is_done(shard.file(ATTRIBUTES, tagger=name), keys[name])
    ]
    if not missing:
        return
    functions = {name: tagger for name, tagger in all_taggers(files).items() if name in missing}
    table = store.read_table(shard.file(DOCUMENTS), ["text", "title"])
    columns: dict[str, list[dict]] = {name: [] for name in missing}
    for batch in batches(table["text"].to_pylist(), table["title"].to_pylist()):
        for name, tagger in functions.items():
            columns[name].append(tagger(batch))
    for name in missing:
        joined = {
            column: np.concatenate([values[column] for values in columns[name]])
            for column in columns[name][0]
        }
        store.write_table(shard.file(ATTRIBUTES, tagger=name), pyarrow.table(joined), keys[name])


def rules_of(settings: CorpusSettings) -> dict[str, Rules]:
    """Returns source -> its rules: rule -> bounds, or None if the rule is switched off. Those that
    sources share, as of defaults.yaml, are among them.
    """
    return {name: source.rules for name, source in settings.sources.items()}


def filter_settings(build: Build) -> tuple:
    """Collects the settings that the result of the stage `filter` depends on. If they change, the
    stage runs again.

    Returns:
      source -> list of (name, rule; None if it is switched off) in the order of the settings, which
      counts, as a document is removed by the first rule that it violates; and name of
      a model -> fingerprint of its file.
    """
    rules = {name: list(own.items()) for name, own in rules_of(build.settings).items()}
    return rules, build.models


def apply_rules(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `filter`: documents that violate a rule of their source are
    removed.

    Args:
      build: the inputs of the corpus; its attributes are already written.
      key: hash of all that the result depends on; a shard whose file has it is not done again.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    rules = rules_of(build.settings)
    build.map_shards(
        functools.partial(filter_shard, store=build.store, rules=rules, key=key), "filter"
    )


def filter_shard(shard: Shard, store: Store, rules: Mapping[str, Rules], key: str) -> None:
    """Writes the verdicts on a shard, a row for each document: `rule`, the first rule of its source
    that it violates, or null; `value`, what that rule saw, float32; 0 if it violates none.

    Args:
      shard: its attributes are already written.
      store: the folder of the corpus.
      rules: source -> its rules, see `rules_of`.
      key: hash of the settings and inputs of the result; a file that has it is not written again.
    Raises:
      DataError: the documents, or attributes that a rule names, cannot be read.
    """
    if store.is_done(shard.file(VERDICTS, stage="filter"), key):
        return
    own = {name: rule for name, rule in rules[shard.source].items() if rule is not None}
    taggers = sorted({rule.tagger for rule in own.values()})
    columns = {name: store.read_table(shard.file(ATTRIBUTES, tagger=name)) for name in taggers}
    n = store.n_rows(shard.file(DOCUMENTS))
    reasons, values = np.full(n, None, object), np.zeros(n, np.float32)
    for name, rule in own.items():
        value = columns[rule.tagger][rule.column].to_numpy()
        removed = np.equal(reasons, None) & violates(rule, value)
        reasons[removed], values[removed] = name, value[removed]
    table = pyarrow.table({"rule": pyarrow.array(reasons, pyarrow.string()), "value": values})
    store.write_table(shard.file(VERDICTS, stage="filter"), table, key)


def violates(rule: Rule, values: np.ndarray) -> np.ndarray:
    """Returns which values are below `min` or above `max` of a rule, bool [d]; NaN is neither.

    Args:
      rule: its `min` and `max`; None is no bound.
      values: of its attribute, numbers, [d].
    """
    below = values < rule.min if rule.min is not None else False
    above = values > rule.max if rule.max is not None else False
    return np.zeros(len(values), bool) | below | above


def check_rules(rules: Rules, models: Mapping[str, str], where: str) -> None:
    """Refuses rules on attributes that no tagger computes.

    Args:
      rules: of a source.
      models: name of a trained model -> its file, as in the settings.
      where: the field of the settings that holds the rules, for the message.
    Raises:
      ConfigError: names the rule, and the attributes that exist.
    """
    for name, rule in rules.items():
        if rule:
            check_attribute(rule.attribute, models, f"{where}.rules.{name}")


def check_attribute(attribute: str, models: Mapping[str, str], where: str) -> None:
    """Refuses an attribute, `tagger.column`, that no tagger computes.

    Args:
      attribute: its name.
      models: name of a trained model -> its file, as in the settings.
      where: the field of the settings that names it, for the message.
    Raises:
      ConfigError: names the attributes that exist.
    """
    tagger, _, column = attribute.partition(".")
    taggers = all_taggers(models)
    columns = list(taggers[tagger](TextBatch.of(["가"]))) if tagger in taggers else []
    if column not in columns:
        known = f"{tagger}: {', '.join(columns)}" if columns else f"taggers: {', '.join(taggers)}"
        raise ConfigError(f"{where}: no attribute {attribute!r}; {known}")
