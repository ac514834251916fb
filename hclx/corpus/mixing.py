"""Which share of a corpus each source has: from a table of domains and what exists, or from the
sources' own epochs.

A share below one epoch is a choice of documents by hash of their ids, so that a larger share holds
a smaller one. Above one epoch the documents stay once, and the token cache's rates repeat them.
"""

import dataclasses
import gzip
import json
from collections.abc import Mapping

import numpy as np
import pyarrow

from hclx.corpus.expression import evaluate
from hclx.corpus.settings import MixSettings, SourceSettings
from hclx.corpus.stages import Part
from hclx.corpus.store import Store, key_of
from hclx.corpus.write_clean import order_of, sizes, verdicts

MIXTURE = "mixture/mixture.json"


@dataclasses.dataclass(frozen=True)
class Share:
    """What a source gives. tokens and wanted are estimates from bytes; epochs: how often each byte
    is seen.
    """

    domain: str
    documents: int
    bytes: int
    tokens: float  # that exist
    epochs: float
    wanted: float  # tokens that the table asks of it; without a target, those it gives
    rate: float  # of the mixture's tokens

    @property
    def kept(self) -> float:
        """The share of its documents that the mixture holds."""
        return min(1.0, self.epochs)


def solve(
    available: Mapping[str, tuple[int, int]],
    sources: Mapping[str, SourceSettings],
    mix: MixSettings,
    target: float,
) -> dict[str, Share]:
    """The shares of all sources.

    Args:
      available: source -> documents and bytes after filters.
      sources: their domains, epochs and caps.
      mix: the table, and how far a source may be repeated.
      target: tokens of the mixture; 0: every source as often as its `epochs` says.
    Returns:
      source -> Share. With a target, domains follow the table; what one cannot give is taken from
      the others, as far as `mix.max_epochs` allows, and stays missing beyond that.
    """
    tokens = {}
    for name, (_, size) in available.items():
        size = min(size, sources[name].cap) if sources[name].cap else size
        tokens[name] = size / mix.bytes_per_token
    if target:
        wanted, given = _by_table(tokens, sources, mix, target)
    else:
        wanted = given = _tempered(
            {name: n * sources[name].epochs for name, n in tokens.items()}, mix.temperature
        )
    total = sum(given.values()) or 1.0
    exists = {name: size / mix.bytes_per_token for name, (_, size) in available.items()}
    return {
        name: Share(
            domain=sources[name].domain or name,
            documents=available[name][0],
            bytes=available[name][1],
            tokens=exists[name],
            epochs=given[name] / exists[name] if exists[name] else 0.0,
            wanted=wanted[name],
            rate=given[name] / total,
        )
        for name in available
    }


def _tempered(tokens: dict[str, float], temperature: float) -> dict[str, float]:
    """Tokens whose shares are raised to 1 / temperature, with the same sum."""
    raised = {name: n ** (1 / temperature) if n else 0.0 for name, n in tokens.items()}
    scale = sum(tokens.values()) / (sum(raised.values()) or 1.0)
    return {name: n * scale for name, n in raised.items()}


def _by_table(
    tokens: dict[str, float], sources, mix: MixSettings, target: float
) -> tuple[dict, dict]:
    """(wanted, given) of each source."""
    domains: dict[str, dict[str, float]] = {}
    for name, n in tokens.items():
        domains.setdefault(sources[name].domain or name, {})[name] = n
    shares = {domain: mix.shares.get(domain, 0.0) for domain in domains}
    limits = {domain: sum(members.values()) * mix.max_epochs for domain, members in domains.items()}
    by_domain = pour(target, shares, limits)
    total = sum(shares.values()) or 1.0
    wanted, given = {}, {}
    for domain, members in domains.items():
        asked = target * shares[domain] / total
        inside = {name: n * mix.max_epochs for name, n in members.items()}
        parts = pour(by_domain[domain], _tempered(members, mix.temperature), inside)
        whole = sum(_tempered(members, mix.temperature).values()) or 1.0
        for name in members:
            given[name] = parts[name]
            wanted[name] = asked * _tempered(members, mix.temperature)[name] / whole
    return wanted, given


def pour(
    amount: float, shares: Mapping[str, float], limits: Mapping[str, float]
) -> dict[str, float]:
    """Divides an amount by shares; what is beyond a limit goes to the others by their shares, while
    they have room.
    """
    result = dict.fromkeys(shares, 0.0)
    free = {name for name, share in shares.items() if share > 0 and limits[name] > 0}
    while free and amount > 0:
        scale = amount / sum(shares[name] for name in free)
        full = {name for name in free if shares[name] * scale >= limits[name]}
        if not full:
            result.update({name: shares[name] * scale for name in free})
            break
        for name in full:
            result[name] = limits[name]
        amount -= sum(limits[name] for name in full)
        free -= full
    return result


def _chosen_rows(part: Part, store: Store, source: SourceSettings) -> np.ndarray:
    """bool, of the rows of corpus/PART: where the source's `where` holds."""
    kept = np.array([one.rule is None for one in verdicts(part, store)])
    if not source.where:
        return np.ones(kept.sum(), bool)

    def column(attribute: str) -> np.ndarray:
        tagger, name = attribute.split(".")
        return store.read_table(f"attributes/{tagger}/{part.name}.parquet", [name])[
            name
        ].to_numpy()[kept]

    return evaluate(source.where, column)


def measure(part: Part, store: Store, sources: Mapping[str, SourceSettings], key: str) -> None:
    """mixture/SOURCE/FILE-PART.json: documents and bytes of a part that a mixture can take."""
    name = f"mixture/{part.name}.json"
    source = sources[part.name.split("/")[0]]
    key = key_of(key, source.where)
    if store.is_done(name, key):
        return
    rows = _chosen_rows(part, store, source)
    size = sizes(store.read_table(f"corpus/{part.name}.parquet", ["text"]))[rows]
    store.write_json(name, {"documents": len(size), "bytes": int(size.sum())}, key)


def take(
    part: Part,
    store: Store,
    sources: Mapping[str, SourceSettings],
    kept: Mapping[str, float],
    seed: int,
    key: str,
) -> None:
    """mixture/SOURCE/FILE-PART.jsonl.gz: the documents of a part that the mixture holds, as JSON
    lines.

    Args:
      kept: source -> share of its documents.
      seed: of the choice.
    """
    source = part.name.split("/")[0]
    done, mixture = f"mixture/{part.name}.done.json", f"mixture/{part.name}.jsonl.gz"
    key = key_of(key, sources[source].where, kept[source], seed)
    if store.is_done(done, key) and store.exists(mixture):
        return
    table = store.read_table(f"corpus/{part.name}.parquet").filter(
        pyarrow.array(_chosen_rows(part, store, sources[source]))
    )
    if kept[source] < 1:
        limit = int(kept[source] * (1 << 64))
        table = table.filter(
            pyarrow.array(
                [int(order_of(name, seed), 16) < limit for name in table["doc_id"].to_pylist()],
                pyarrow.bool_(),
            )
        )
    lines = [json.dumps(row, ensure_ascii=False) for row in table.to_pylist()]
    store.write_bytes(
        mixture, gzip.compress("".join(line + "\n" for line in lines).encode(), 1, mtime=0)
    )
    store.write_json(done, {"documents": len(lines)}, key)
