"""The settings of a corpus: a YAML file read into frozen dataclasses; every field is checked once.

seed: 0
sources:
  wiki: {input: 'kowiki/*.jsonl.gz', licence: CC BY-SA, domain: encyclopaedia}
  talk: {input: 'comments/*.jsonl.gz', rules: {too_short: {min: 10}, line_end: null}}
rules: {digits: {max: 0.5}}        # for all sources; see defaults.yaml
near: {threshold: 0.72}

pydantic checks the fields by their annotations, types and bounds alike. The classes are dataclasses
of the standard library, so that workers need not import pydantic.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import yaml
from annotated_types import Ge, Gt, Le

from hclx.errors import ConfigError
from hclx.text.documents import EMPTY_BRACKETS, FORMATS, HTML, SPLITS, Reading

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
PositiveFloat = Annotated[float, Gt(0)]
PositiveFraction = Annotated[float, Gt(0), Le(1)]


class _Settings:
    """Refuses fields that the class does not have."""

    __pydantic_config__ = {"extra": "forbid"}


@dataclasses.dataclass(frozen=True)
class Rule(_Settings):
    """Bounds of one attribute, `tagger.column`; documents outside of them are removed.

    min, max: the least and the largest value that are kept; None is no bound.
    """

    attribute: str
    min: float | None = None
    max: float | None = None

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
    format, split, fields, licence, max_bytes, html, empty_brackets: see
      `hclx.text.documents.Reading`.
    rules: name -> rule for the documents of this source; None switches the rule off.
    domain: row of the mixture's table; default: the name of the source.
    where: expression over attributes that selects the documents of the mixture, see
      `hclx.corpus.expression`.
    epochs: how often the mixture repeats the documents if no target is set.
    cap: number of bytes that the mixture takes at most; 0: no limit.
    """

    input: str
    format: typing.Literal[("", *FORMATS)] = ""
    split: typing.Literal[SPLITS] = "file"
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    licence: str = ""
    max_bytes: PositiveInt = 64 << 20
    html: typing.Literal[HTML] = "keep"
    empty_brackets: typing.Literal[EMPTY_BRACKETS] = "keep"
    rules: Mapping[str, Rule | None] = dataclasses.field(default_factory=dict)
    domain: str = ""
    where: str = ""
    epochs: Annotated[float, Ge(0)] = 1.0
    cap: Annotated[int, Ge(0)] = 0

    @property
    def reading(self) -> Reading:
        """The way in which the files of this source are read."""
        return Reading(
            self.format,
            self.split,
            tuple(sorted(self.fields.items())),
            self.licence,
            self.max_bytes,
            self.html,
            self.empty_brackets,
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
    before is removed from later documents.

    max_share: a document that loses more than this share of its characters is removed as a whole,
      because only a fragment of it is left.
    """

    min_chars: PositiveInt = 50
    max_share: Annotated[float, Ge(0), Le(1)] = 0.7


@dataclasses.dataclass(frozen=True)
class ContaminationSettings(_Settings):
    """Decontamination: documents that contain `coverage` of the n-grams of an evaluation item are
    removed. An n-gram has `ngram` letters.

    tasks: the evaluation sets; all of them if empty.
    min_chars: letters of the shortest item that is searched for within a document, as whole words;
      a shorter item is only compared with whole documents.
    """

    tasks: tuple[str, ...] = ()
    ngram: int = 13
    coverage: PositiveFraction = 0.8
    min_chars: PositiveInt = 8


@dataclasses.dataclass(frozen=True)
class MixSettings(_Settings):
    """The shares of the sources in a mixture.

    shares: domain -> its share, in any unit; a domain that is not listed adds nothing to a mixture
      with a target.
    max_epochs: how often a mixture with a target may repeat a source.
    temperature: shares within a domain, and of a mixture without a target, are raised to 1 /
      temperature.
    bytes_per_token: estimates tokens from bytes before a tokenizer exists.
    """

    shares: Mapping[str, Annotated[float, Ge(0)]] = dataclasses.field(
        default_factory=lambda: dict(HYPERCLOVA)
    )
    max_epochs: PositiveFloat = 4.0
    temperature: PositiveFloat = 1.0
    bytes_per_token: PositiveFloat = 5.0


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
    seed: int = 0
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
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    try:
        return parse_settings(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


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
        raise ConfigError(_message(error)) from error
    _check(settings)
    return settings


def _with_rules(content):
    """Gives every source all its rules: those of defaults.yaml, changed by the file's `rules`, then
    by the source's own. Content without sources is left for the check of types to refuse.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("sources"), Mapping):
        return content
    defaults = resources.files("hclx.corpus") / "defaults.yaml"
    rules = yaml.safe_load(defaults.read_text(encoding="utf-8"))["rules"]
    rules = _updated(rules, content.get("rules"), "rules")
    sources = {
        name: {**source, "rules": _updated(rules, source.get("rules"), f"sources.{name}.rules")}
        if isinstance(source, Mapping)
        else source
        for name, source in content["sources"].items()
    }
    others = {name: value for name, value in content.items() if name != "rules"}
    return {**others, "sources": sources}


def _updated(rules: Mapping, changes, where: str) -> dict:
    """Rules after changes by name: a changed rule keeps its attribute and those bounds that the
    change does not set; None switches a rule off.
    """
    if not isinstance(changes or {}, Mapping):
        raise ConfigError(f"{where} must be {_MAPPING}, and is {changes!r}")
    result = dict(rules)
    for name, change in (changes or {}).items():
        is_update = isinstance(change, Mapping)
        result[name] = {**(rules.get(name) or {}), **change} if is_update else change
    return result


def _message(error: "pydantic.ValidationError") -> str:
    """The first problem in one line; unknown fields come first, as a missing field is often
    misspelt.
    """
    unknown = "unexpected_keyword_argument"
    first = min(error.errors(), key=lambda problem: problem["type"] != unknown)
    path = [str(name) for name in first["loc"] if name != "[key]"]
    where, place = ".".join(path) or "the file", ".".join(path[:-1]) or "the file"
    if first["type"] == unknown:
        return f"{where} is unknown; {place} has {', '.join(_fields(path[:-1]))}"
    if first["type"] == "missing":
        return f"{where} is missing"
    text = first["msg"].replace("Input should be", "must be")
    text = text.replace("an object", _MAPPING).replace("a valid array", "a list")
    return f"{where} {text}, and is {first['input']!r}"


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
        raise ConfigError("sources is empty; name at least one")
    if (dirt := settings.contamination) and dirt.min_chars > dirt.ngram:
        raise ConfigError(
            f"contamination needs min_chars <= ngram, and has {dirt.min_chars} and {dirt.ngram}"
        )
    for name, source in settings.sources.items():
        if not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(f"sources.{name}: a source's name is letters, digits, _ and -")
        for rule, bounds in source.rules.items():
            if bounds and bounds.min is None and bounds.max is None:
                raise ConfigError(f"sources.{name}.rules.{rule} needs min or max")
