"""What a corpus is made of: a YAML file as frozen dataclasses, every field checked once.

seed: 0
sources:
  wiki: {input: 'kowiki/*.jsonl.gz', licence: CC BY-SA, domain: encyclopaedia}
  talk: {input: 'comments/*.jsonl.gz', rules: {too_short: {min: 10}, line_end: null}}
rules: {digits: {max: 0.5}}        # of all sources; see defaults.yaml
near: {threshold: 0.72}
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import yaml

from hclx.errors import ConfigError
from hclx.text.documents import FORMATS, SPLITS, Reading


@dataclasses.dataclass(frozen=True)
class Rule:
    """Bounds of one attribute, `tagger.name`; a document outside of them is removed."""

    attribute: str
    min: float | None = None
    max: float | None = None

    @property
    def tagger(self) -> str:
        """The name of the tagger of its attribute."""
        return self.attribute.split(".")[0]

    @property
    def column(self) -> str:
        """The column of that tagger."""
        return self.attribute.split(".")[1]


@dataclasses.dataclass(frozen=True)
class SourceSettings:
    """One kind of text.

    input: GLOB[,GLOB...] under the folder of `--input`.
    format, split, fields, licence, max_bytes: see `hclx.text.documents.Reading`.
    rules: rule -> its bounds here; None switches it off.
    domain: row of the mixture's table; default: the source's name.
    where: expression over attributes that a document of the mixture must fulfil, see
      `hclx.corpus.expression`.
    epochs: how often the mixture sees its documents where no target is given.
    cap: bytes that the mixture takes at most; 0: no bound.
    """

    input: str
    format: str = ""
    split: str = "file"
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    licence: str = ""
    max_bytes: int = 64 << 20
    rules: Mapping[str, Rule | None] = dataclasses.field(default_factory=dict)
    domain: str = ""
    where: str = ""
    epochs: float = 1.0
    cap: int = 0

    @property
    def reading(self) -> Reading:
        """How its files are read."""
        return Reading(
            self.format,
            self.split,
            tuple(sorted(self.fields.items())),
            self.licence,
            self.max_bytes,
        )


@dataclasses.dataclass(frozen=True)
class NearSettings:
    """Near-duplicates: MinHash over `shingle` characters without spaces, `bands` x `rows` hashes
    (Broder 1997).

    threshold: estimated Jaccard similarity from which two documents are the same one.
    """

    shingle: int = 10
    bands: int = 14
    rows: int = 8
    threshold: float = 0.72


@dataclasses.dataclass(frozen=True)
class ParagraphSettings:
    """Paragraphs of at least `min_chars` characters that stood anywhere before are cut out of later
    documents.

    max_share: a document that loses more than this share of its characters goes as a whole: what is
      left is a fragment.
    """

    min_chars: int = 50
    max_share: float = 0.7


@dataclasses.dataclass(frozen=True)
class ContaminationSettings:
    """Documents that hold `coverage` of an evaluation item's runs of `ngram` letters are removed.

    tasks: the evaluation sets, all where empty.
    min_chars: letters of the shortest item that is looked for within a document, as whole words; a
      shorter one is looked for as a whole document.
    """

    tasks: tuple[str, ...] = ()
    ngram: int = 13
    coverage: float = 0.8
    min_chars: int = 8


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


@dataclasses.dataclass(frozen=True)
class MixSettings:
    """How sources share a mixture.

    shares: domain -> its share, in any unit; a domain that is not there gives nothing to a mixture
      with a target.
    max_epochs: how often a target may repeat a source.
    temperature: shares within a domain, and of a mixture without a target, are raised to 1 /
      temperature.
    bytes_per_token: turns bytes into tokens before there is a token.
    """

    shares: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict(HYPERCLOVA))
    max_epochs: float = 4.0
    temperature: float = 1.0
    bytes_per_token: float = 5.0


@dataclasses.dataclass(frozen=True)
class CorpusSettings:
    """A whole corpus.

    part_bytes: of text, that one Parquet part and one unit of work hold.
    models: `quality` or `perplexity` -> file of a model that launch/train_filter.py made; rules may
      then use `quality.score` and `perplexity.bits`.
    """

    sources: Mapping[str, SourceSettings]
    models: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seed: int = 0
    part_bytes: int = 32 << 20
    near: NearSettings | None = NearSettings()
    paragraph: ParagraphSettings | None = ParagraphSettings()
    contamination: ContaminationSettings | None = None
    mix: MixSettings = MixSettings()


def load_settings(path: str | Path) -> CorpusSettings:
    """Reads a corpus file.

    Raises:
      ConfigError: names the file and the field that is unknown, missing, or of the wrong type or
        value.
    """
    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    try:
        return parse_settings(given)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_settings(given) -> CorpusSettings:
    """Settings from the content of a corpus file.

    Raises:
      ConfigError: names the field.
    """
    given = dict(_mapping(given, "the file"))
    rules = yaml.safe_load(
        (resources.files("hclx.corpus") / "defaults.yaml").read_text(encoding="utf-8")
    )["rules"]
    rules = _changed(rules, given.pop("rules", None), "rules")
    sources = dict(_mapping(given.get("sources"), "sources"))
    for name, source in sources.items():
        source = dict(_mapping(source, f"sources.{name}"))
        source["rules"] = _changed(rules, source.get("rules"), f"sources.{name}.rules")
        sources[name] = source
    settings = _build(CorpusSettings, {**given, "sources": sources}, "")
    _check(settings)
    return settings


def _mapping(value, where: str) -> Mapping:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be `name: value` lines, and is {value!r}")
    return value


def _changed(rules: Mapping, changes, where: str) -> dict:
    """Rules after a source's changes: a rule of the same name keeps its attribute and the bounds
    that are not named.
    """
    result = dict(rules)
    for name, change in _mapping(changes or {}, where).items():
        result[name] = (
            None
            if change is None
            else {**(rules.get(name) or {}), **_mapping(change, f"{where}.{name}")}
        )
    return result


def _build(kind, value, where: str):
    """`value`, from YAML, as an instance of a type: a dataclass, a mapping, an optional or a
    scalar.
    """
    if isinstance(kind, types.UnionType):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        return None if value is None else _build(options[0], value, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be a list, and is {value!r}")
        return tuple(_build(typing.get_args(kind)[0], item, where) for item in value)
    if typing.get_origin(kind) is not None:
        inner = typing.get_args(kind)[1]
        return {
            str(name): _build(inner, item, f"{where}.{name}")
            for name, item in _mapping(value, where).items()
        }
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {kind.__name__}, and is {value!r}")
    return value


def _build_dataclass(kind, value, where: str):
    hints, prefix = typing.get_type_hints(kind), f"{where}." if where else ""
    for name in _mapping(value, where or "the file"):
        if name not in hints:
            raise ConfigError(
                f"{prefix}{name} is unknown; {where or 'the file'} has {', '.join(hints)}"
            )
    required = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is f.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in value:
            raise ConfigError(f"{prefix}{name} is missing")
    return kind(
        **{name: _build(hints[name], item, f"{prefix}{name}") for name, item in value.items()}
    )


def _check(settings: CorpusSettings) -> None:
    def need(holds: bool, message: str):
        if not holds:
            raise ConfigError(message)

    need(bool(settings.sources), "sources is empty; name at least one")
    need(settings.part_bytes > 0, f"part_bytes={settings.part_bytes} must be more than 0")
    if near := settings.near:
        need(0 < near.threshold <= 1, f"near.threshold={near.threshold} is not in (0, 1]")
        need(
            min(near.shingle, near.bands, near.rows) > 0,
            "near.shingle, near.bands and near.rows must be more than 0",
        )
    if paragraph := settings.paragraph:
        need(
            paragraph.min_chars > 0,
            f"paragraph.min_chars={paragraph.min_chars} must be more than 0",
        )
        need(
            0 <= paragraph.max_share <= 1,
            f"paragraph.max_share={paragraph.max_share} is not in [0, 1]",
        )
    if dirt := settings.contamination:
        need(0 < dirt.coverage <= 1, f"contamination.coverage={dirt.coverage} is not in (0, 1]")
        need(
            0 < dirt.min_chars <= dirt.ngram,
            f"contamination needs 0 < min_chars <= ngram, and has {dirt.min_chars} and"
            f" {dirt.ngram}",
        )
    for name in settings.models:
        need(name in MODELS, f"models.{name} is unknown; there are {', '.join(MODELS)}")
    mix = settings.mix
    need(
        min(mix.max_epochs, mix.temperature, mix.bytes_per_token) > 0,
        "mix.max_epochs, mix.temperature and mix.bytes_per_token must be more than 0",
    )
    need(min(mix.shares.values(), default=0) >= 0, "mix.shares must not be negative")
    for name, source in settings.sources.items():
        where = f"sources.{name}"
        need(
            name.replace("_", "").replace("-", "").isalnum(),
            f"{where}: a source's name is letters, digits, _ and -",
        )
        need(
            source.format in ("", *FORMATS),
            f"{where}.format={source.format!r} is not one of {', '.join(FORMATS)}",
        )
        need(
            source.split in SPLITS,
            f"{where}.split={source.split!r} is not one of {', '.join(SPLITS)}",
        )
        need(
            source.epochs >= 0 and source.cap >= 0, f"{where}: epochs and cap must not be negative"
        )
        need(source.max_bytes > 0, f"{where}.max_bytes={source.max_bytes} must be more than 0")
        for rule, bounds in source.rules.items():
            need(
                bounds is None or (bounds.min, bounds.max) != (None, None),
                f"{where}.rules.{rule} needs min or max",
            )
