"""Adds up what became of every document, over all parts: what the corpus card shows.

A corpus has many parts, so their figures are read one at a time, and of examples only the sample is
held.
"""

import json
import math
from collections.abc import Mapping, Sequence

from hclx.corpus.layout import (
    CONTAMINATION_REPORT,
    FIGURES,
    MANIFESTS,
    MIXTURE,
    VERDICTS_OF_STAGE,
    Shard,
)
from hclx.corpus.pii import masked
from hclx.corpus.readers import general_reason
from hclx.corpus.settings import CorpusSettings, MixSettings
from hclx.corpus.store import Store
from hclx.corpus.verdicts import STAGES
from hclx.corpus.write_clean import HISTOGRAMS, SAMPLES, sample_order
from hclx.errors import DataError

_SUMMED = (
    "documents",
    "bytes",
    "kept",
    "removed",
    "masked",
    "histograms",
    "clusters",
    "cut_paragraphs",
    "contamination",
)


def add_up(store: Store, settings: CorpusSettings, shards: Sequence[Shard]) -> dict:
    """The figures of a corpus that was built.

    Returns:
      sources: name -> what was found, removed, kept; "after": what was left after each stage, in
        bytes as found.
      all: the same over all sources.
      quarantine: reason -> documents and examples. samples: rule -> removed documents. edges: of
        the histograms' bars.
      contamination: evaluation set -> counts. mixture: source -> its share. None where there is no
        such stage.
      mixture_target: see `target_of`; None where the mixture has no target.
    Raises:
      DataError: figures are missing, or a document is not exactly one of kept, removed and
        quarantined.
    """
    quarantine: dict[str, dict] = {}
    samples: dict[str, list[dict]] = {}
    found: dict[str, int] = {}
    sources = {}
    for name in settings.sources:
        sources[name] = _source(store, settings, name)
        for file in store.list(MANIFESTS.format(source=name), ".json"):
            found |= _file(store, file, sources[name], quarantine, settings.seed)
    for shard in shards:
        figures = _read(store, shard, found.get(shard.name))
        _add(
            sources[shard.source],
            {name: figures[name] for name in _SUMMED if name in figures},
        )
        for rule, removed in figures["samples"].items():
            samples[rule] = sorted(
                samples.get(rule, []) + removed, key=lambda one: (one["order"], one["doc_id"])
            )[:SAMPLES]
    stages = [stage for stage in STAGES if store.list(VERDICTS_OF_STAGE.format(stage=stage))]
    everything: dict = {}
    for source in sources.values():
        _add(
            everything,
            {name: source[name] for name in (*_SUMMED, "files", "quarantined") if name in source},
        )
    for one in (everything, *sources.values()):
        one["after"] = _after(one, stages)
    result = {
        "sources": sources,
        "all": everything,
        "samples": samples,
        "edges": {name: list(edges) for name, edges in HISTOGRAMS.items()},
    }
    result["quarantine"] = {reason: _shown(entry) for reason, entry in sorted(quarantine.items())}
    report = store.read_json(CONTAMINATION_REPORT) if "contamination" in stages else None
    result["contamination"] = everything.pop("contamination", None) or (report or {}).get("sets")
    mixture = store.read_json(MIXTURE) or {}
    result["mixture"] = mixture.get("sources")
    result["mixture_target"] = target_of(mixture, settings.mix)
    return result


def target_of(mixture: Mapping, mix: MixSettings) -> dict | None:
    """What a mixture was to have, and has: all in tokens.

    Args:
      mixture: what mixture/mixture.json holds.
    Returns:
      tokens: of the target. given: of the mixture. max_epochs: how often a source may be seen.
      domains: name -> share (of the target), wanted, exist, given; the greatest first. absent:
        domains of the table that no source is of.
      None where there was no target.
    """
    if not mixture.get("target_tokens"):
        return None
    target, domains = mixture["target_tokens"], {}
    for one in mixture["sources"].values():
        wanted, given = one["wanted"], one["tokens"] * one["epochs"]
        _add(
            domains.setdefault(one["domain"], {}),
            {"share": wanted / target, "wanted": wanted, "exist": one["tokens"], "given": given},
        )
    absent = [name for name, share in mix.shares.items() if share and name not in domains]
    domains = dict(sorted(domains.items(), key=lambda item: (-item[1]["wanted"], item[0])))
    given = sum(one["given"] for one in domains.values())
    return {
        "tokens": target,
        "given": given,
        "max_epochs": mix.max_epochs,
        "domains": domains,
        "absent": absent,
    }


def _source(store: Store, settings: CorpusSettings, name: str) -> dict:
    source = settings.sources[name]
    rules = {
        rule: {"attribute": r.attribute, "min": r.min, "max": r.max}
        for rule, r in source.rules.items()
        if r
    }
    zero = {"documents": 0, "bytes": 0}
    return {
        "input": source.input,
        "licence": source.licence,
        "rules": rules,
        "files": 0,
        "quarantined": 0,
        **zero,
        "kept": dict(zero),
        "removed": {},
    }


def _file(store: Store, name: str, source: dict, quarantine: dict, seed: int) -> dict[str, int]:
    """Counts what could not be read of a raw file; gives its parts and how many documents each
    has.
    """
    manifest = store.read_json(name)
    if manifest is None:
        raise DataError(f"{store.path(name)} is missing or damaged; build the corpus again")
    file, lines = name.removeprefix("documents/").removesuffix(".json"), 0
    for line in store.read_lines(f"quarantine/{file}.jsonl"):
        one, lines = json.loads(line), lines + 1
        entry = quarantine.setdefault(
            general_reason(one["reason"]), {"documents": 0, "examples": []}
        )
        entry["documents"] += 1
        entry["examples"].append((sample_order(f"{file}:{one['line']}", seed), file, one))
        if len(entry["examples"]) > 2 * SAMPLES:
            entry["examples"] = _least(entry["examples"])
    if lines != (expected := sum(manifest["quarantined"].values())):
        raise DataError(
            f"{store.path(f'quarantine/{file}.jsonl')} has {lines} lines, and {expected} were set"
            f" aside; remove {name} and build again"
        )
    source["files"] += 1
    source["quarantined"] += lines
    return {part["name"]: part["documents"] for part in manifest["parts"]}


def _least(examples: list[tuple]) -> list[tuple]:
    return sorted(examples, key=lambda one: one[:2])[:SAMPLES]


def _shown(entry: dict) -> dict:
    examples = sorted(_least(entry["examples"]), key=lambda one: (one[1], one[2]["line"]))
    return {
        "documents": entry["documents"],
        "examples": [{**one, "beginning": masked(one["beginning"])} for _, _, one in examples],
    }


def _read(store: Store, shard: Shard, documents: int | None) -> dict:
    """A shard's figures.

    Raises:
      DataError: they are missing, or do not add up.
    """
    name = shard.file(FIGURES)
    figures = store.read_json(name)
    if figures is None:
        raise DataError(f"{store.path(name)} is missing or damaged; build the corpus again")
    removed = sum(
        rule["documents"] for rules in figures["removed"].values() for rule in rules.values()
    )
    kept = figures["kept"]["documents"]
    if not figures["documents"] == documents == kept + removed:
        raise DataError(
            f"{store.path(name)}: of {documents} documents, {kept} were kept and {removed} removed;"
            " remove it and build again"
        )
    return figures


def _add(total: dict, more: Mapping) -> None:
    """Adds numbers, and those in mappings and lists, to what is at the same place."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, list):
            total[name] = [a + b for a, b in zip(total.get(name, [0] * len(value)), value)]
        elif isinstance(value, (int, float)):
            total[name] = total.get(name, 0) + value


def _after(one: dict, stages: Sequence[str]) -> dict[str, dict[str, int]]:
    left, result = {"documents": one["documents"], "bytes": one["bytes"]}, {}
    for stage in stages:
        for entry in one["removed"].get(stage, {}).values():
            left = {unit: left[unit] - entry[unit] for unit in left}
        result[stage] = left
    return result


def bounds(rule: Mapping) -> str:
    """The bounds of a rule, "≥ 50" or "2.2 to 10"; "" where it has none."""
    low, high = rule.get("min"), rule.get("max")
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    return (
        f"≥ {number(low)}" if low is not None else f"≤ {number(high)}" if high is not None else ""
    )


def number(value: float) -> str:
    """A number as it is read: thousands apart, four digits of a small one."""
    return f"{value:,.0f}" if value % 1 == 0 or 1000 <= abs(value) < math.inf else f"{value:.4g}"
