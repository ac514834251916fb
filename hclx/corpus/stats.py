"""Adds up the statistics of all parts of a corpus: the figures of the corpus card, as plain data.

A corpus has many parts, so their statistics are read one at a time, and only the sample of the
examples is held in memory.

The figures of a source, as `add_up` returns them:

  input, licence, rules   as in the settings; of each rule `attribute`, `min`, `max`
                          and `where`
  files, quarantined      number of raw files, and of their records that are no documents
  aside, notes            reason -> number of these records; see `hclx.corpus.readers.notes`
  documents, bytes        of the input
  kept                    `documents` and `bytes` of the clean corpus
  removed                 stage -> rule -> `documents` and `bytes` of the input; most removed first
  after                   stage -> `documents` and `bytes` of the input that are left after it
  masked                  kind of personal data -> number of items
  histograms              attribute -> number of documents in each bin, of `all` and of `kept`
  clusters                "exact" or "near" -> number of documents -> number of such clusters
  cut_paragraphs          number of `paragraphs` that were removed, and of their `chars`
  cut_windows             number of `documents` that lost something around an evaluation item, of
                          such `windows`, and of their `chars`
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from hclx.corpus.layout import (
    CONTAMINATION_REPORT,
    FIGURES,
    MANIFESTS,
    MIXTURE,
    SKIPPED,
    VERDICTS_OF_STAGE,
    Shard,
    read_manifests,
)
from hclx.corpus.readers import LISTED, general_reason, notes
from hclx.corpus.settings import CorpusSettings, MixSettings
from hclx.corpus.store import Store
from hclx.corpus.verdicts import STAGES
from hclx.corpus.write_clean import HISTOGRAMS, SAMPLES, sample_order
from hclx.errors import DataError
from hclx.text.inputs import others
from hclx.text.pii import masked

_SUMMED = (
    "documents",
    "bytes",
    "kept",
    "removed",
    "masked",
    "histograms",
    "clusters",
    "cut_paragraphs",
    "cut_windows",
    "contamination",
)


def add_up(store: Store, settings: CorpusSettings, shards: Sequence[Shard]) -> dict:
    """Adds up the statistics of a corpus that was built.

    Args:
      store, settings, shards: the folder, the settings and all shards of the corpus.
    Returns:
      sources: name -> its figures, see the head of this module.
      all: the sums of all numbers in them.
      quarantine: reason -> number of `documents`, and `examples`: see `hclx.corpus.readers`.
      samples: rule -> removed documents: `doc_id`, `value`, begin of `text`, and the rule's bounds.
      edges: attribute -> lower edges of the bins of its histogram.
      contamination: set -> counts, see `decontamination.write_report`; None without that stage.
      stock_phrases: items that removed nothing from some document, see there.
      mixture: source -> fields of its `hclx.corpus.mixing.Share`; None without a mixture.
      mixture_target: see `target_of`; None if the mixture has no target.
    Raises:
      DataError: statistics are missing, or a document is not in exactly one of the groups kept,
        removed and quarantined.
    """
    quarantine: dict[str, dict] = {}
    samples: dict[str, list[dict]] = {}
    n_documents: dict[str, int] = {}
    sources = {}
    for name in settings.sources:
        sources[name] = _empty_source(settings, name)
        n_documents |= _add_files(store, name, sources[name], quarantine, settings.seed)
    for shard in shards:
        stats = _read(store, shard, n_documents.get(shard.name))
        _add(sources[shard.source], {name: stats[name] for name in _SUMMED if name in stats})
        for rule, examples in stats["samples"].items():
            samples[rule] = sorted(
                samples.get(rule, []) + examples, key=lambda e: (e["order"], e["doc_id"])
            )[:SAMPLES]
    everything: dict = {"removed": {}}
    for source in sources.values():
        _add(
            everything,
            {name: source[name] for name in (*_SUMMED, "files", "quarantined") if name in source},
        )
    stages = [stage for stage in STAGES if store.list(VERDICTS_OF_STAGE.format(stage=stage))]
    for source in sources.values():
        source["notes"] += _advice(source)
    for source in (everything, *sources.values()):
        source["removed"] = _by_frequency(source["removed"])
        source["after"] = _after(source, stages)
    report = store.read_json(CONTAMINATION_REPORT) if "contamination" in stages else None
    mixture = store.read_json(MIXTURE) or {}
    return {
        "sources": sources,
        "contamination": everything.pop("contamination", None) or (report or {}).get("sets"),
        "stock_phrases": (report or {}).get("stock_phrases", []),
        "all": everything,
        "samples": samples,
        "edges": {name: list(edges) for name, edges in HISTOGRAMS.items()},
        "quarantine": {reason: _shown(entry) for reason, entry in sorted(quarantine.items())},
        "mixture": mixture.get("sources"),
        "mixture_target": target_of(mixture, settings.mix),
    }


def _advice(source: Mapping) -> list[str]:
    """A sentence for each rule of a source that removed documents and has advice for its owner."""
    return [
        f"{counts['documents']:,} removed by {name}: {advice}"
        for name, counts in source["removed"].get("filter", {}).items()
        if (advice := source["rules"].get(name, {}).get("advice"))
    ]


def target_of(mixture: Mapping, mix: MixSettings) -> dict | None:
    """Computes the requested and the actual tokens of a mixture, by domain.

    Args:
      mixture: the content of mixture/mixture.json; {} without a mixture.
      mix: the table of domains, and how often a source may be repeated.
    Returns:
      None if the mixture has no target; else:
      tokens: requested tokens. actual: tokens of the mixture. max_epochs: how often a source may be
        repeated.
      domains: name -> share (of the target), requested, available, actual, and the difference of
        actual and requested, in tokens; most requested first.
      absent: domains of the table that no source belongs to.
    """
    if not mixture.get("target_tokens"):
        return None
    target, domains = mixture["target_tokens"], {}
    for source in mixture["sources"].values():
        requested = source["requested" if "requested" in source else "wanted"]  # its old name
        tokens = {
            "share": requested / target,
            "requested": requested,
            "available": source["tokens"],
            "actual": source["tokens"] * source["epochs"],
        }
        _add(domains.setdefault(source["domain"], {}), tokens)
    for domain in domains.values():
        domain["difference"] = round(domain["actual"] - domain["requested"])
    domains = dict(sorted(domains.items(), key=lambda item: (-item[1]["requested"], item[0])))
    return {
        "tokens": target,
        "actual": sum(domain["actual"] for domain in domains.values()),
        "max_epochs": mix.max_epochs,
        "domains": domains,
        "absent": [name for name, share in mix.shares.items() if share and name not in domains],
    }


def _empty_source(settings: CorpusSettings, name: str) -> dict:
    """The figures of a source before anything is added."""
    source = settings.sources[name]
    rules = {name: dataclasses.asdict(rule) for name, rule in source.rules.items() if rule}
    return {
        "input": source.input,
        "licence": source.licence,
        "rules": rules,
        "files": 0,
        "quarantined": 0,
        "aside": {},
        "documents": 0,
        "bytes": 0,
        "kept": {"documents": 0, "bytes": 0},
        "removed": {},
    }


def _add_files(
    store: Store, name: str, source: dict, quarantine: dict, seed: int
) -> dict[str, int]:
    """Adds what the manifests of the raw files of a source tell to `source` and `quarantine`.

    Returns:
      Shard -> number of its documents.
    """
    manifests, n_documents = dict(read_manifests(store, name)), {}
    for path in store.list(MANIFESTS.format(source=name), ".json"):
        if path.removeprefix("documents/").removesuffix(".json") not in manifests:
            raise DataError(f"{store.path(path)} is missing or damaged; build the corpus again")
    for file, manifest in manifests.items():
        _add_file(store, file, manifest, source, quarantine, seed)
        n_documents |= {part["name"]: part["documents"] for part in manifest["parts"]}
    source["notes"] = notes(list(manifests.values()))
    if entry := (store.read_json(SKIPPED) or {}).get(name):
        more = ", ..." if entry["files"] > len(entry["first"]) else ""
        source["notes"] += [f"{others(entry['files'])} skipped: {', '.join(entry['first'])}{more}"]
    return n_documents


def _add_file(
    store: Store, file: str, manifest: Mapping, source: dict, quarantine: dict, seed: int
) -> None:
    """Adds the unreadable records of a raw file, SOURCE/FILE, to `source` and `quarantine`."""
    lines, counts = 0, manifest["quarantined"]
    for reason, n in counts.items():
        quarantine.setdefault(reason, {"documents": 0, "examples": []})["documents"] += n
    for line in store.read_lines(f"quarantine/{file}.jsonl") if counts else ():
        record, lines = json.loads(line), lines + 1
        entry = quarantine.setdefault(
            general_reason(record["reason"]), {"documents": 0, "examples": []}
        )
        place = (record["file"], record["line"])
        entry["examples"].append((sample_order(f"{file}:{record['line']}", seed), place, record))
        if len(entry["examples"]) > 2 * SAMPLES:
            entry["examples"] = _least(entry["examples"])
    if lines != (expected := sum(min(n, LISTED) for n in counts.values())):
        raise DataError(
            f"{store.path(f'quarantine/{file}.jsonl')} has {lines} lines, and {expected} records"
            f" were quarantined; remove documents/{file}.json and build again"
        )
    source["files"] += 1
    source["quarantined"] += sum(counts.values())
    _add(source["aside"], counts)


def _least(examples: list[tuple]) -> list[tuple]:
    """The sample of examples (order, (file, line), record): those first by order, then by file."""
    return sorted(examples, key=lambda example: example[:2])[:SAMPLES]


def _shown(entry: dict) -> dict:
    """A reason's count and sample; examples in the order of files and lines, masked."""
    examples = sorted(_least(entry["examples"]), key=lambda e: e[1])
    return {
        "documents": entry["documents"],
        "examples": [{**e, "beginning": masked(e["beginning"])} for _, _, e in examples],
    }


def _read(store: Store, shard: Shard, documents: int | None) -> dict:
    """Reads the statistics of a shard.

    Args:
      documents: how many documents the part has.
    Raises:
      DataError: they are missing, or do not add up.
    """
    name = shard.file(FIGURES)
    stats = store.read_json(name)
    if stats is None:
        raise DataError(f"{store.path(name)} is missing or damaged; build the corpus again")
    removed = sum(
        rule["documents"] for rules in stats["removed"].values() for rule in rules.values()
    )
    kept = stats["kept"]["documents"]
    if not stats["documents"] == documents == kept + removed:
        raise DataError(
            f"{store.path(name)}: of {documents} documents, {kept} were kept and {removed} removed;"
            " remove it and build again"
        )
    return stats


def _add(total: dict, more: Mapping) -> None:
    """Adds the numbers of a tree of mappings and lists to those at the same place in `total`."""
    for name, value in more.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, list):
            total[name] = [a + b for a, b in zip(total.get(name, [0] * len(value)), value)]
        elif isinstance(value, (int, float)):
            total[name] = total.get(name, 0) + value


def _by_frequency(removed: Mapping[str, Mapping]) -> dict[str, dict]:
    """Removals by stage and rule: stages in the order of the pipeline, rules with most documents
    first.
    """
    return {
        stage: dict(sorted(removed[stage].items(), key=lambda r: (-r[1]["documents"], r[0])))
        for stage in STAGES
        if removed.get(stage)
    }


def _after(source: Mapping, stages: Sequence[str]) -> dict[str, dict[str, int]]:
    """Stage -> documents and bytes that are left after it."""
    left, result = {"documents": source["documents"], "bytes": source["bytes"]}, {}
    for stage in stages:
        for entry in source["removed"].get(stage, {}).values():
            left = {unit: left[unit] - entry[unit] for unit in left}
        result[stage] = left
    return result
