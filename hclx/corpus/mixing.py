"""The mixture of a corpus: the share of each source, and the documents that it gives.

Shares follow a table of domains and what exists, or the sources' own epochs. A share below one
epoch is a sample of documents by hash of their ids, so that larger samples are supersets of smaller
ones. Above one epoch the mixture holds the documents once, and the rates of the token cache repeat
them.

  mixture/mixture.json                  `target_tokens`; `sources`, name -> fields of its `Share`,
                                        `kept`, and `sampled`, the number of its documents that the
                                        mixture takes; `files`, name -> its files below mixture/
  mixture/SOURCE/FILE-SHARD.jsonl.gz    a JSON object for each document that the mixture takes:
                                        doc_id, source, url, title, date, licence, text
  mixture/SOURCE/FILE-SHARD.json        `documents`, `bytes`: those that a mixture can take
  mixture/SOURCE/FILE-SHARD.done.json   `documents`: the number of lines; written last
"""

import dataclasses
import functools
import gzip
import json
from collections.abc import Mapping

import numpy as np
import pyarrow

from hclx.corpus.expression import evaluate
from hclx.corpus.layout import (
    ATTRIBUTES,
    AVAILABLE,
    CLEAN,
    CONTENT,
    MIXTURE,
    SAMPLED,
    SAMPLED_DONE,
    Build,
    Shard,
)
from hclx.corpus.settings import MixSettings, SourceSettings
from hclx.corpus.settings_errors import SettingsError
from hclx.corpus.store import Store, key_of
from hclx.corpus.verdicts import removals
from hclx.corpus.write_clean import sample_order, text_bytes
from hclx.errors import ConfigError, guess
from hclx.text import load_tokenizer

BYTES_PER_TOKEN = 4.5  # of a tokenizer of 32,000 pieces in the default mode, rounded
_MEASURED = 200  # documents of a source that are encoded to measure it


@dataclasses.dataclass(frozen=True)
class Share:
    """The share of a source in a mixture.

    Attributes:
      domain: the domain of the table that the source belongs to; without one, its own name.
      documents, bytes: the documents that exist of the source, and the bytes of their texts.
      tokens: an estimate of what exists, from its bytes.
      epochs: how often the mixture repeats each byte.
      requested: tokens that the table asks of the source; without a target, those that it gives.
      rate: its share of the mixture's tokens.
    """

    domain: str
    documents: int
    bytes: int
    tokens: float
    epochs: float
    requested: float
    rate: float

    @property
    def kept(self) -> float:
        """The share of its documents that the mixture holds, from 0 to 1."""
        return min(1.0, self.epochs)


def solve(
    available: Mapping[str, tuple[int, int]],
    sources: Mapping[str, SourceSettings],
    mix: MixSettings,
    target: float,
) -> dict[str, Share]:
    """Computes the shares of all sources.

    Args:
      available: source -> (documents, bytes of their texts) that a mixture can take.
      sources: source -> its settings, for its domain, epochs and cap.
      mix: the table, and how far a source may be repeated.
      target: tokens of the mixture; 0: every source as often as its `epochs` says.
    Returns:
      source -> Share. With a target, domains follow the table; what one cannot give is taken from
      the others, as far as `mix.max_epochs` allows, and stays missing beyond that;
      a source of a domain that the table lacks gives nothing.
    """
    tokens, bytes_per_token = {}, mix.bytes_per_token or BYTES_PER_TOKEN
    for name, (_, size) in available.items():
        size = min(size, sources[name].cap) if sources[name].cap else size
        tokens[name] = size / bytes_per_token
    if target:
        requested, taken = _by_table(tokens, sources, mix, target)
    else:
        requested = taken = _tempered(
            {name: n * sources[name].epochs for name, n in tokens.items()}, mix.temperature
        )
    total = sum(taken.values()) or 1.0
    exists = {name: size / bytes_per_token for name, (_, size) in available.items()}
    return {
        name: Share(
            domain=sources[name].domain or name,
            documents=available[name][0],
            bytes=available[name][1],
            tokens=exists[name],
            epochs=taken[name] / exists[name] if exists[name] else 0.0,
            requested=requested[name],
            rate=taken[name] / total,
        )
        for name in available
    }


def check_target(sources: Mapping[str, SourceSettings], mix: MixSettings, target: float) -> None:
    """Refuses a target for which the table asks nothing of any source, or of a source whose domain
    it does not have.

    Args:
      sources, mix, target: see `solve`.
    Raises:
      ConfigError: names the domains of the table and those of the sources.
      SettingsError: names the nearest domain of the table.
    """
    domains = {source.domain or name for name, source in sources.items()}
    if target and not any(mix.shares.get(domain) for domain in domains):
        raise ConfigError(
            f"--target_tokens divides tokens by the domains {', '.join(mix.shares)}, and no source"
            f" belongs to one (theirs are {', '.join(sorted(domains))}); give the sources a"
            " `domain`, or write `mix: {shares: ...}`"
        )
    for name, source in sources.items():
        if target and source.domain and source.domain not in mix.shares:
            raise SettingsError(
                f"sources.{name}.domain: mix.shares has no {source.domain!r}"
                f"{guess(source.domain, mix.shares)}; it has {', '.join(mix.shares)}; with"
                " --target_tokens a domain without a share gives nothing: give it one, 0 if that is"
                " meant",
                ["sources", name, "domain"],
            )


def _tempered(tokens: dict[str, float], temperature: float) -> dict[str, float]:
    """Tokens whose shares are raised to 1 / temperature, with the same sum."""
    raised = {name: n ** (1 / temperature) if n else 0.0 for name, n in tokens.items()}
    scale = sum(tokens.values()) / (sum(raised.values()) or 1.0)
    return {name: n * scale for name, n in raised.items()}


def _by_table(
    tokens: dict[str, float], sources, mix: MixSettings, target: float
) -> tuple[dict, dict]:
    """Tokens that the table asks of each source, and those that the source gives."""
    domains: dict[str, dict[str, float]] = {}
    for name, n in tokens.items():
        domains.setdefault(sources[name].domain or name, {})[name] = n
    shares = {domain: mix.shares.get(domain, 0.0) for domain in domains}
    limits = {domain: sum(members.values()) * mix.max_epochs for domain, members in domains.items()}
    by_domain = allocate_with_caps(target, shares, limits)
    total = sum(shares.values()) or 1.0
    requested, taken = {}, {}
    for domain, members in domains.items():
        tempered = _tempered(members, mix.temperature)
        caps = {name: n * mix.max_epochs for name, n in members.items()}
        taken |= allocate_with_caps(by_domain[domain], tempered, caps)
        whole = sum(tempered.values()) or 1.0
        asked = target * shares[domain] / total
        requested |= {name: asked * tempered[name] / whole for name in members}
    return requested, taken


def allocate_with_caps(
    amount: float, shares: Mapping[str, float], limits: Mapping[str, float]
) -> dict[str, float]:
    """Divides an amount by shares, with a limit for each (water-filling).

    Args:
      amount: to divide.
      shares: name -> its share; they need not add up to 1.
      limits: every name -> the most that it takes. What exceeds a limit goes to the others by their
        shares, while they are below theirs.
    Returns:
      name -> its part, 0 if its share or limit is 0; the parts add up to less than the amount if
      the limits do.
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


def measure_bytes_per_token(build: Build, tokenizer_dir: str, sizes: Mapping[str, int]) -> float:
    """Measures the bytes of a token on the first clean documents of every source.

    Args:
      build: the inputs of the corpus; its clean documents are already written.
      tokenizer_dir: see `hclx.text.load_tokenizer`.
      sizes: source -> bytes that a mixture can take of it, by which the sources are weighted.
    Raises:
      DataError: the tokenizer or the documents cannot be read.
    """
    tokenizer, tokens = load_tokenizer(tokenizer_dir), 0.0
    for name, size in sizes.items():
        texts: list[str] = []
        for shard in build.shards:
            if shard.source == name and len(texts) < _MEASURED:
                texts += build.store.read_table(shard.file(CLEAN), ["text"])["text"].to_pylist()
        texts = texts[:_MEASURED]
        n_bytes = sum(len(text.encode()) for text in texts)
        n_tokens = sum(map(len, tokenizer.encode_batch(texts)))
        tokens += size * n_tokens / n_bytes if n_bytes else 0
    total = sum(sizes.values())
    return round(total / tokens, 3) if tokens else BYTES_PER_TOKEN


def write_mixture(build: Build, target_tokens: float, tokenizer_dir: str = "") -> dict[str, Share]:
    """Writes the files of mixture/: the documents of the mixture, and the share of every source.

    Args:
      build: the inputs of the corpus; its clean documents are already written.
      target_tokens: tokens of the mixture, see `solve`.
      tokenizer_dir: a tokenizer to measure `mix.bytes_per_token` with, if the settings name none.
    Returns:
      source -> Share, as mixture.json has it.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    store, sources, seed = build.store, build.settings.sources, build.settings.seed
    count = functools.partial(count_available, store=store, sources=sources)
    build.map_shards(count, "mixture: available")
    available = {name: [0, 0] for name in sources}
    for shard in build.shards:
        counts = store.read_json(shard.file(AVAILABLE))
        available[shard.source][0] += counts["documents"]
        available[shard.source][1] += counts["bytes"]
    mix = build.settings.mix
    if tokenizer_dir and not mix.bytes_per_token:
        sizes = {name: size for name, (_, size) in available.items()}
        measured = measure_bytes_per_token(build, tokenizer_dir, sizes)
        mix = dataclasses.replace(mix, bytes_per_token=measured)
    shares = solve(available, sources, mix, target_tokens)
    kept = {name: share.kept for name, share in shares.items()}
    sample = functools.partial(sample_shard, store=store, sources=sources, kept=kept, seed=seed)
    build.map_shards(sample, "mixture")
    files, sampled = {name: [] for name in sources}, dict.fromkeys(sources, 0)
    for shard in build.shards:
        files[shard.source].append(shard.file(SAMPLED).removeprefix("mixture/"))
        sampled[shard.source] += store.read_json(shard.file(SAMPLED_DONE))["documents"]
    shares = _without_empty(shares, sampled)
    described = {
        name: {**dataclasses.asdict(share), "kept": share.kept, "sampled": sampled[name]}
        for name, share in shares.items()
    }
    mixture = {"target_tokens": target_tokens, "sources": described, "files": files}
    store.write_json(MIXTURE, mixture)
    return shares


def _without_empty(shares: dict[str, Share], sampled: Mapping[str, int]) -> dict[str, Share]:
    """Shares of which the others have the rate of sources that are so small that no document of
    them was sampled.
    """
    total = sum(share.rate for name, share in shares.items() if sampled[name])
    if all(sampled[name] or not share.rate for name, share in shares.items()):
        return shares
    return {
        name: dataclasses.replace(share, rate=share.rate / total if sampled[name] else 0.0)
        for name, share in shares.items()
    }


def _is_chosen(shard: Shard, store: Store, source: SourceSettings) -> np.ndarray:
    """Returns which documents of the clean corpus satisfy the source's `where`, bool [d]."""
    kept = removals(shard, store).kept
    if not source.where:
        return np.ones(len(kept), bool)

    def column(attribute: str) -> np.ndarray:
        tagger, name = attribute.split(".")
        return store.read_table(shard.file(ATTRIBUTES, tagger=tagger), [name])[name].to_numpy()[
            kept
        ]

    return evaluate(source.where, column)


def count_available(shard: Shard, store: Store, sources: Mapping[str, SourceSettings]) -> None:
    """Writes FILE-SHARD.json: `documents`, the number of documents of a shard that a mixture can
    take, and `bytes`, the size of their texts.

    Args:
      shard: its clean documents, attributes and verdicts are already written.
      store: the folder of the corpus.
      sources: source -> its settings; its condition `where` decides which documents can be taken.
    Raises:
      DataError: one of these files cannot be read.
      ConfigError: `where` is no expression.
    """
    source = sources[shard.source]
    key = key_of(store.digest(shard.file(CLEAN), CONTENT), source.where)
    if store.is_done(shard.file(AVAILABLE), key):
        return
    chosen = _is_chosen(shard, store, source)
    n_bytes = text_bytes(store.read_table(shard.file(CLEAN), ["text"]))[chosen]
    counts = {"documents": len(n_bytes), "bytes": int(n_bytes.sum())}
    store.write_json(shard.file(AVAILABLE), counts, key)


def sample_shard(
    shard: Shard,
    store: Store,
    sources: Mapping[str, SourceSettings],
    kept: Mapping[str, float],
    seed: int,
) -> None:
    """Writes the documents of a shard that the mixture takes: FILE-SHARD.jsonl.gz, then
    FILE-SHARD.done.json.

    Args:
      shard: its clean documents, attributes and verdicts are already written.
      store: the folder of the corpus.
      sources: source -> its settings; its condition `where` decides which documents can be taken.
      kept: source -> share of its documents that the mixture takes, from 0 to 1.
      seed: of the sample.
    Raises:
      DataError: one of these files cannot be read.
      ConfigError: `where` is no expression.
    """
    source, share = sources[shard.source], kept[shard.source]
    key = key_of(store.digest(shard.file(CLEAN), CONTENT), source.where, share, seed)
    if store.is_done(shard.file(SAMPLED_DONE), key) and store.exists(shard.file(SAMPLED)):
        return
    table = store.read_table(shard.file(CLEAN)).filter(
        pyarrow.array(_is_chosen(shard, store, source))
    )
    if share < 1:
        limit, ids = int(share * (1 << 64)), table["doc_id"].to_pylist()
        chosen = [int(sample_order(doc_id, seed), 16) < limit for doc_id in ids]
        table = table.filter(pyarrow.array(chosen, pyarrow.bool_()))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()]
    store.write_bytes(shard.file(SAMPLED), gzip.compress("".join(lines).encode(), 1, mtime=0))
    store.write_json(shard.file(SAMPLED_DONE), {"documents": len(lines)}, key)
