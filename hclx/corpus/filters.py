"""Attributes of documents, and the rules on them: the stages `attributes` and `filter`.

Both write tables for each shard, with a row for each document.

  attributes/TAGGER/...   the columns of a tagger
  verdicts/filter/...     `rule`, the name of the first rule of its source that the document
                          violates, or null; `value`, what that rule saw, float32; 0 if none
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow

from hclx.corpus.expression import evaluate, is_text
from hclx.corpus.layout import ATTRIBUTES, CONTENT, DOCUMENTS, FORMAT, VERDICTS, Build, Shard
from hclx.corpus.quality_models import fingerprint
from hclx.corpus.settings import CorpusSettings, Rule
from hclx.corpus.settings_errors import SettingsError
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers import Tagger, all_taggers
from hclx.corpus.text_batch import TextBatch, batches
from hclx.corpus.verdicts import write_verdict
from hclx.errors import ConfigError, guess

VERSION = 3  # of what taggers compute, and of what is masked: part of the keys of both
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
    documents = store.digest(shard.file(DOCUMENTS), CONTENT)
    keys = {
        name: key_of(FORMAT, VERSION, name, documents, fingerprint(path) if path else "")
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
      key: not used; the verdicts on a shard have a key of their own, a hash of its documents and
        of the rules of its source.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    rules, base = rules_of(build.settings), key_of(FORMAT, build.models)
    build.map_shards(
        functools.partial(filter_shard, store=build.store, rules=rules, key=base), "filter"
    )


def filter_shard(shard: Shard, store: Store, rules: Mapping[str, Rules], key: str) -> None:
    """Writes the verdicts on a shard, a row for each document: `rule`, the first rule of its source
    that it violates, or null; `value`, what that rule saw, float32; 0 if it violates none.

    Args:
      shard: its attributes are already written.
      store: the folder of the corpus.
      rules: source -> its rules, see `rules_of`.
      key: hash of all that the result depends on beside documents and rules; a file that was made
        with all of these is not written again.
    Raises:
      DataError: the documents, or attributes that a rule names, cannot be read.
    """
    rules_in_order = list(rules[shard.source].items())
    key = key_of(key, VERSION, store.digest(shard.file(DOCUMENTS), CONTENT), rules_in_order)
    if store.is_done(shard.file(VERDICTS, stage="filter"), key):
        return
    own = {name: rule for name, rule in rules[shard.source].items() if rule is not None}

    @functools.cache
    def column(attribute: str) -> np.ndarray:
        tagger, name = attribute.split(".")
        return store.read_table(shard.file(ATTRIBUTES, tagger=tagger), [name])[name].to_numpy()

    n = store.n_rows(shard.file(DOCUMENTS))
    reasons, values = np.full(n, None, object), np.zeros(n, np.float32)
    for name, rule in own.items():
        removed = np.equal(reasons, None) & breaks(rule, column)
        reasons[removed], values[removed] = name, column(rule.attribute)[removed]
    table = pyarrow.table({"rule": pyarrow.array(reasons, pyarrow.string()), "value": values})
    write_verdict(store, shard, "filter", table, key)


def breaks(rule: Rule, column: Callable[[str], np.ndarray]) -> np.ndarray:
    """Returns which of d documents a rule removes, bool [d]: those that it judges, and whose value
    is outside of its bounds.

    Args:
      rule: the rule.
      column: takes the name of an attribute, and returns its values, [d].
    """
    broken = violates(rule, column(rule.attribute))
    return broken & evaluate(rule.where, column) if rule.where else broken


def violates(rule: Rule, values: np.ndarray) -> np.ndarray:
    """Returns which values are below `min` or above `max` of a rule, bool [d]; NaN is neither.

    Args:
      rule: its `min` and `max`; None is no bound.
      values: of its attribute, numbers, [d].
    """
    below = values < rule.min if rule.min is not None else False
    above = values > rule.max if rule.max is not None else False
    return np.zeros(len(values), bool) | below | above


def check_rules(rules: Rules, models: Mapping[str, str], where: list[str]) -> None:
    """Refuses rules on attributes that no tagger computes, and conditions that are no expressions.

    Args:
      rules: of a source.
      models: name of a trained model -> its file, as in the settings.
      where: the path of the field of the settings that holds the rules.
    Raises:
      SettingsError: names the rule, and the attributes that exist.
    """
    for name, rule in rules.items():
        if rule:
            place = [*where, name]
            if is_text(_example(rule.attribute, models, place)):
                raise SettingsError(
                    f"{'.'.join(place)}: {rule.attribute} is a string, and a rule bounds numbers;"
                    " compare it in a `where`",
                    place,
                )
            check_expression(rule.where, models, [*place, "where"])


def check_expression(text: str, models: Mapping[str, str], where: list[str]) -> None:
    """Refuses a `where` that is no expression, or names an attribute that no tagger computes.

    Args:
      text: the expression; "" is none.
      models: name of a trained model -> its file, as in the settings.
      where: the path of its field in the settings.
    Raises:
      SettingsError: says what is wrong with it.
    """
    try:
        if text:
            evaluate(text, lambda attribute: _example(attribute, models, where))
    except SettingsError:
        raise
    except ConfigError as error:
        raise SettingsError(f"{'.'.join(where)}: {error}", where) from error


def _example(attribute: str, models: Mapping[str, str], where: list[str]) -> np.ndarray:
    """The value, [1], that an attribute, `tagger.column`, has for some text.

    Raises:
      SettingsError: no tagger computes it; names the nearest, and those that exist.
    """
    tagger, _, column = attribute.partition(".")
    taggers = all_taggers(models)
    if tagger not in taggers:
        nearest = guess(tagger, taggers)
        known = f"taggers: {', '.join(taggers)}"
    else:
        columns = _columns_of(taggers[tagger])
        if column in columns:
            return columns[column]
        nearest = guess(column, columns, f"{tagger}.")
        known = f"{tagger}: {', '.join(columns)}"
    place = ".".join(where)
    raise SettingsError(f"{place}: no attribute {attribute!r}{nearest}; {known}", where)


@functools.lru_cache
def _columns_of(tagger: Tagger) -> dict[str, np.ndarray]:
    return tagger(TextBatch.of(["가"]))
