"""The settings of a corpus: a YAML file read into frozen dataclasses; every field is checked once.

seed: 0
sources:
  wiki: {input: 'kowiki/*.jsonl.gz', licence: CC BY-SA, domain: encyclopaedia}
  talk: {input: 'comments/*.jsonl.gz', split: line, rules: {too_short: {min: 3}}}
rules: {digits: {max: 0.5}}        # for all sources; see defaults.yaml
near: {threshold: 0.72}

pydantic checks the fields by their annotations, types and bounds alike. The classes are dataclasses
of the standard library, so that workers need not import pydantic.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import yaml
from annotated_types import Ge, Gt, Le, Lt

from hclx.corpus.settings_errors import (
    SettingsError,
    check_names,
    load_yaml,
    locating,
    unknown,
)
from hclx.errors import ConfigError
from hclx.text.decoding import check_encoding
from hclx.text.records import EMPTY_BRACKETS, FIELDS, FORMATS, HTML, SPLITS, Reading

if typing.TYPE_CHECKING:
    import pydantic

MODELS = ("quality", "perplexity")
# Billions of tokens by domain (Kim et al. 2021, table 1).
HYPERCLOVA = {
    "blog": 273.6,
    "cafe": 83.3,
    "news": 73.8,
    "comments": 41.1,
    "kin": 27.3,
    "modu": 6.0,
    "wiki_en_jp": 5.2,
    "others": 51.5,
}

_MAPPING = "`name: value` lines"  # how a message calls a mapping
PositiveInt = Annotated[int, Gt(0)]
PositiveFloat = Annotated[float, Gt(0), Lt(math.inf)]
NotNegativeFloat = Annotated[float, Ge(0), Lt(math.inf)]
Seed = Annotated[int, Ge(-(1 << 63)), Lt(1 << 63)]
PositiveFraction = Annotated[float, Gt(0), Le(1)]


class _Settings:
    """Refuses fields that the class does not have."""

    __pydantic_config__ = {"extra": "forbid"}


@dataclasses.dataclass(frozen=True)
class Rule(_Settings):
    """Bounds of one attribute, `tagger.column`; documents outside of them are removed.

    min, max: the least and the largest value that are kept; None is no bound.
    where: the documents that the rule judges, as an expression over attributes, see
      `hclx.corpus.expression`, such as `length.lines >= 6`; "" is every document.
    advice: what the owner of the source can do, which is told with the documents that are removed.
    """

    attribute: str
    min: float | None = None
    max: float | None = None
    where: str = ""
    advice: str = ""

    @property
    def tagger(self) -> str:
        """The name of the tagger of its attribute."""
        return self.attribute.split(".")[0]

    @property
    def column(self) -> str:
        """The column of that tagger, without the tagger's name."""
        return self.attribute.split(".")[1]


@dataclasses.dataclass(frozen=True)
class SourceSettings(_Settings):
    """One source of text.

    input: GLOB[,GLOB...] under the folder of `--input`.
    format, split, fields, licence, max_bytes, max_chars, html, empty_brackets, encoding: see
      `hclx.text.records.Reading`.
    rules: name -> rule for the documents of this source; None switches the rule off.
    domain: row of the mixture's table; default: the name of the source.
    where: expression over attributes that selects the documents of the mixture, see
      `hclx.corpus.expression`.
    epochs: how often the mixture repeats the documents if no target is set.
    cap: number of bytes that the mixture takes at most; 0: no limit.
    """

    input: str
    format: typing.Literal[("", *FORMATS)] = ""
    split: typing.Literal[("", *SPLITS)] = ""
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    licence: str = ""
    max_bytes: PositiveInt = Reading.max_bytes
    max_chars: PositiveInt = Reading.max_chars
    html: typing.Literal[HTML] = "keep"
    empty_brackets: typing.Literal[EMPTY_BRACKETS] = "keep"
    encoding: str = ""
    rules: Mapping[str, Rule | None] = dataclasses.field(default_factory=dict)
    domain: str = ""
    where: str = ""
    epochs: NotNegativeFloat = 1.0
    cap: Annotated[int, Ge(0)] = 0

    @property
    def reading(self) -> Reading:
        """The way in which the files of this source are read."""
        return Reading(
            format=self.format,
            split=self.split,
            fields=tuple(sorted(self.fields.items())),
            licence=self.licence,
            max_bytes=self.max_bytes,
            max_chars=self.max_chars,
            html=self.html,
            empty_brackets=self.empty_brackets,
            encoding=self.encoding,
        )


@dataclasses.dataclass(frozen=True)
class NearSettings(_Settings):
    """Near-duplicates: MinHash over `shingle` characters without spaces, `bands` x `rows` hashes
    (Broder 1997).

    threshold: estimated Jaccard similarity from which two documents count as duplicates.
    """

    shingle: PositiveInt = 10
    bands: PositiveInt = 14
    rows: PositiveInt = 8
    threshold: PositiveFraction = 0.72


@dataclasses.dataclass(frozen=True)
class ParagraphSettings(_Settings):
    """Duplicate paragraphs: a paragraph of at least `min_chars` characters that occurred anywhere
    before is removed from later documents, however it is spaced.

    max_share: a document that loses more than this share of its characters is removed as a whole,
      because only a fragment of it is left,
    min_new: unless its other paragraphs of this length have so many characters.
    """

    min_chars: PositiveInt = 50
    max_share: Annotated[float, Ge(0), Le(1)] = 0.7
    min_new: PositiveInt = 1000


@dataclasses.dataclass(frozen=True)
class ContaminationSettings(_Settings):
    """Decontamination: what a document holds of an evaluation item is removed, if it is at least
    `coverage` of the item's n-grams, with the text around it. An n-gram has `ngram` letters.

    tasks: the evaluation sets; all of them if empty.
    min_chars: letters of the shortest item that is searched for within a document, as whole words;
      a shorter item is only compared with whole documents.
    window: characters around a copy that are removed with it, half of them on either side, to the
      end of a sentence or line; a rest of fewer characters is removed, too.
    max_share: a document of which more than this share would be removed, or is items, is removed as
      a whole; so is one that falls into more than `max_pieces` short parts.
    """

    tasks: tuple[str, ...] = ()
    ngram: int = 13
    coverage: PositiveFraction = 0.8
    min_chars: PositiveInt = 8
    window: PositiveInt = 200
    max_share: Annotated[float, Ge(0), Le(1)] = 0.5
    max_pieces: PositiveInt = 10


@dataclasses.dataclass(frozen=True)
class MixSettings(_Settings):
    """The shares of the sources in a mixture.

    shares: domain -> its share, in any unit; a domain that is not listed adds nothing to a mixture
      with a target.
    max_epochs: how often a mixture with a target may repeat a source.
    temperature: shares within a domain, and of a mixture without a target, are raised to 1 /
      temperature.
    bytes_per_token: estimates tokens from bytes; default: measured where a tokenizer is given, else
      4.5, as 32,000 pieces trained on such a mixture have.
    """

    shares: Mapping[str, NotNegativeFloat] = dataclasses.field(
        default_factory=lambda: dict(HYPERCLOVA)
    )
    max_epochs: PositiveFloat = 4.0
    temperature: PositiveFloat = 1.0
    bytes_per_token: PositiveFloat | None = None


@dataclasses.dataclass(frozen=True)
class CorpusSettings(_Settings):
    """A whole corpus.

    sources: name -> its settings.
    seed: of the hash functions of `near`, and of all samples of documents.
    near, paragraph, contamination: None switches the stage off.
    part_bytes: bytes of text in one Parquet file, which is also one unit of work.
    models: `quality` or `perplexity` -> file of a model that hclx train_filter trained; rules
      may then use `quality.score` and `perplexity.bits`.
    """

    sources: Mapping[str, SourceSettings]
    models: Mapping[typing.Literal[MODELS], str] = dataclasses.field(default_factory=dict)
    seed: Seed = 0
    part_bytes: PositiveInt = 32 << 20
    near: NearSettings | None = NearSettings()
    paragraph: ParagraphSettings | None = ParagraphSettings()
    contamination: ContaminationSettings | None = None
    mix: MixSettings = MixSettings()


def load_settings(path: str | Path) -> CorpusSettings:
    """Reads the settings of a corpus from a YAML file.

    Raises:
      ConfigError: the file cannot be read, or a field is unknown, missing, or of the wrong type or
        value; the message names the file, the field and the value.
    """
    content, node = load_yaml(path)
    with locating(path, node):
        return parse_settings(content)


def parse_settings(content) -> CorpusSettings:
    """Settings from the content of a YAML file. Each source gets the rules of defaults.yaml,
    changed by the file's `rules` and then by its own.

    Args:
      content: mappings, lists and scalars, as `yaml.safe_load` returns them.
    Raises:
      ConfigError: names the field and its value.
    """
    import pydantic
    from pydantic_core import to_json

    try:
        settings = pydantic.TypeAdapter(CorpusSettings).validate_json(
            to_json(_with_rules(content), inf_nan_mode="constants"), strict=True
        )
    except pydantic.ValidationError as error:
        raise _error(error) from error
    _check(settings)
    return settings


def _with_rules(content):
    """Gives every source all its rules: those of defaults.yaml for its `split`, changed by the
    file's `rules`, then by the source's own. Content without sources is left for the check of
    types to refuse.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("sources"), Mapping):
        return content
    defaults = resources.files("hclx.corpus") / "defaults.yaml"
    defaults = yaml.safe_load(defaults.read_text(encoding="utf-8"))

    def rules_of(name: str, source: Mapping) -> dict:
        is_line = source.get("split") == "line"
        rules = known = defaults["rules"]
        rules = _updated(rules, defaults["split_line"] if is_line else {}, known, [])
        rules = _updated(rules, content.get("rules"), known, ["rules"])
        return _updated(rules, source.get("rules"), known, ["sources", name, "rules"])

    sources = {
        name: {**source, "rules": rules_of(name, source)} if isinstance(source, Mapping) else source
        for name, source in content["sources"].items()
    }
    others = {name: value for name, value in content.items() if name != "rules"}
    return {**others, "sources": sources}


def _updated(rules: Mapping, changes, known: Mapping, where: list) -> dict:
    """Rules after changes by name: a changed rule keeps its attribute and those bounds that the
    change does not set; None switches a rule off. A new rule has an attribute; bounds alone
    switch a rule on again, with its attribute in `known`.
    """
    if not isinstance(changes or {}, Mapping):
        raise SettingsError(f"{_path(where)} must be {_MAPPING}, and is {changes!r}", where)
    result = dict(rules)
    for name, change in (changes or {}).items():
        is_update = isinstance(change, Mapping)
        is_whole = is_update and "attribute" in change
        if name not in rules and (change is None or is_update and not is_whole):
            message = f"{unknown(_path([*where, name]), rules)}; a new rule needs an attribute"
            raise SettingsError(message, [*where, name])
        before = rules.get(name) or ({} if is_whole else known.get(name, {}))
        result[name] = {**before, **change} if is_update else change
    return result


def _path(names: list) -> str:
    return ".".join(map(str, names))


def _error(error: "pydantic.ValidationError") -> SettingsError:
    """The first problem; unknown fields come first, as a missing field is often misspelt."""
    is_unknown = "unexpected_keyword_argument"
    first = min(error.errors(), key=lambda problem: problem["type"] != is_unknown)
    path = [str(name) for name in first["loc"] if name != "[key]"]
    where = _path(path) or "the file"
    if first["type"] == is_unknown:
        return SettingsError(unknown(where, _fields(path[:-1])), path)
    if first["type"] == "missing":
        return SettingsError(f"{where} is missing", path)
    text = first["msg"].replace("Input should be", "must be")
    text = text.replace("'', ", "")  # the value of a field that is left out
    text = text.replace("an object", _MAPPING).replace("a valid array", "a list")
    if first["input"] is False and (len(path) == 1 or "rules" in path):
        text += ", or null, which switches it off"
    return SettingsError(f"{where} {text}, and is {first['input']!r}", path)


def _fields(path: list[str]) -> list[str]:
    """Names of the fields of the dataclass at a path of fields and keys."""
    kind = CorpusSettings
    for name in path:
        is_mapping = typing.get_origin(kind) is Mapping
        kind = typing.get_args(kind)[1] if is_mapping else typing.get_type_hints(kind)[name]
        if isinstance(kind, types.UnionType):
            kind = typing.get_args(kind)[0]  # of `Rule | None`
    return [field.name for field in dataclasses.fields(kind)]


def _check(settings: CorpusSettings) -> None:
    """Checks what no single field's annotation can say."""
    if not settings.sources:
        raise SettingsError("sources is empty; name at least one", ["sources"])
    if (dirt := settings.contamination) and dirt.min_chars > dirt.ngram:
        raise SettingsError(
            f"contamination needs min_chars <= ngram, and has {dirt.min_chars} and {dirt.ngram}",
            ["contamination", "min_chars"],
        )
    for name, source in settings.sources.items():
        _check_source(["sources", name], source)


def _check_source(where: list[str], source: SourceSettings) -> None:
    if not where[-1].replace("_", "").replace("-", "").isalnum():
        message = f"{_path(where)}: a source's name is letters, digits, _ and -"
        raise SettingsError(message, where)
    check_names([*where, "fields"], source.fields, ("id", "text", *FIELDS))
    if source.encoding:
        try:
            check_encoding(source.encoding)
        except ConfigError as error:
            raise SettingsError(f"{_path(where)}: {error}", [*where, "encoding"]) from error
    for rule, bounds in source.rules.items():
        place = [*where, "rules", rule]
        if bounds and bounds.min is None and bounds.max is None:
            raise SettingsError(f"{_path(place)} needs min or max", place)
        if bounds and any(math.isnan(bound or 0) for bound in (bounds.min, bounds.max)):
            raise SettingsError(f"{_path(place)} has a bound that is no number", place)
        if bounds and None not in (bounds.min, bounds.max) and bounds.min > bounds.max:
            raise SettingsError(
                f"{_path(place)} has min {bounds.min:g} above max {bounds.max:g}, which removes"
                " every document",
                place,
            )
    longest = source.rules.get("too_long")
    # A smaller bound beside the default says that longer documents are not wanted.
    if source.max_chars != Reading.max_chars and longest and longest.max is not None:
        if source.max_chars > longest.max:
            raise SettingsError(
                f"{_path(where)}.max_chars is {source.max_chars:,}, so that the rule too_long (max"
                f" {longest.max:,.0f}) would remove parts of long documents; lower max_chars",
                [*where, "max_chars"],
            )
