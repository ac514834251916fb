"""The corpus card: what was read, kept and removed, for which reasons, with examples.

  card.json     all figures, for programs
  card.html     the same as a page, in one file without scripts; equal corpora give equal bytes

The page is the template templates/card.html.j2; this module prepares what the template shows.
"""

import itertools
import re
from collections.abc import Mapping, Sequence

import jinja2

from hclx.corpus import formatting
from hclx.corpus.formatting import format_number
from hclx.corpus.layout import Shard
from hclx.corpus.readers import main_reasons
from hclx.corpus.settings import HYPERCLOVA, CorpusSettings
from hclx.corpus.stats import add_up
from hclx.corpus.store import Store
from hclx.progress import counted
from hclx.text.pii import ACCURACY, PLACEHOLDERS

_SECTIONS = {
    "sources": "Sources",
    "stages": "Kept and removed",
    "reasons": "Reasons for removal",
    "examples": "Examples",
    "quarantine": "Quarantine",
    "distributions": "Distributions",
    "duplicates": "Duplicates",
    "personal-data": "Personal data",
    "contamination": "Contamination",
    "mixture": "Mixture",
}
_STAGES = {
    "filter": "rules",
    "exact": "exact duplicates",
    "paragraph": "paragraphs",
    "near": "near-duplicates",
    "contamination": "contamination",
}
# Stage -> the condition under which it keeps a document, and the meaning of the value that it
# records with a removed one. Rules have their own, so `filter` is not here.
_CONDITIONS = {
    "exact": ("no earlier document is equal", "equal documents"),
    "paragraph": ("enough text is left without repeated paragraphs", "share of repeated text"),
    "near": (
        "no earlier document that stays is nearly equal",
        "estimated similarity to the document that stays",
    ),
    "contamination": (
        "evaluation items, and what is removed around them, are not most of it",
        "largest share of an item in the document",
    ),
}
# Smallest and largest size of the clusters in one line.
_CLUSTER_SIZES = (
    (2, 2),
    (3, 3),
    (4, 4),
    (5, 5),
    (6, 10),
    (11, 20),
    (21, 50),
    (51, 100),
    (101, 1_000),
    (1_001, None),
)
_ATTRIBUTES = {
    "length.chars": "characters of a document",
    "length.mean_word": "characters of a word, mean of a document",
    "script.hangul": "share of Hangul in the letters",
    "repetition.dup_5": "share of characters in repeated runs of 5 words",
    "spam.profane_words": "share of swear words in the words",
    "quality.score": "score of the quality model",
    "perplexity.bits": "bits per byte of the language model",
}
_KINDS = {
    "rrn": "resident number",
    "frn": "foreigner number",
    "driver": "driver licence",
    "passport": "passport",
    "card": "payment card",
    "brn": "business number",
    "phone": "telephone number",
    "account": "bank account",
    "email": "e-mail address",
    "ip": "IP address",
}
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def write_card(store: Store, settings: CorpusSettings, shards: Sequence[Shard]) -> dict:
    """Writes card.json and card.html of a corpus that was built.

    Args:
      store: the folder of the corpus, which takes both files.
      settings: of the corpus.
      shards: all shards of the corpus.
    Returns:
      The content of card.json: see `hclx.corpus.stats.add_up`; `pii_accuracy`, the published
      accuracy of `hclx.text.pii`; and `warnings`, see `warnings_of`.
    Raises:
      DataError: see `hclx.corpus.stats.add_up`.
    """
    card = add_up(store, settings, shards) | {"pii_accuracy": ACCURACY}
    card["warnings"] = warnings_of(card, settings)
    store.write_json("card.json", card)
    store.write_text("card.html", render(card))
    return card


def warnings_of(card: Mapping, settings: CorpusSettings) -> list[str]:
    """Explains in sentences which sources give nothing, and why, and which settings have no effect.

    Args:
      card: what `hclx.corpus.stats.add_up` returns.
      settings: of the corpus.
    """
    lines, without_share, mixture = [], [], card["mixture"] or {}
    shares = settings.mix.shares if card["mixture_target"] else None
    for name, source in card["sources"].items():
        if not source["kept"]["documents"]:
            counts = {
                rule: entry["documents"]
                for rules in source["removed"].values()
                for rule, entry in rules.items()
            }
            removed = "its only document was" if source["documents"] == 1 else "all of its"
            if source["documents"] != 1:
                removed += f" {counted(source['documents'], 'document')} were"
            lines.append(f"nothing is left of {name}: {removed} removed, {main_reasons(counts)}")
        elif name in mixture and not mixture[name].get("sampled", 1):
            share, nothing = mixture[name], f"the mixture takes nothing of {name}"
            if not share["documents"]:
                where = settings.sources[name].where
                lines.append(f"{nothing}: `where: {where}` selects none of its documents")
            elif shares and share["domain"] not in shares:
                without_share.append(name)
            elif share["epochs"]:
                n = counted(share["documents"], "document")
                asked = f"it is to give {share['kept']:.2%} of {n}"
                domain = share["domain"]
                advice = f"the share of {domain} in mix.shares, or the target" if shares else ""
                lines.append(f"{nothing}: {asked}; raise {advice or 'its `epochs` or its `cap`'}")
    if without_share:
        lines.append(
            f"the mixture takes nothing of {', '.join(without_share)}: mix.shares has no such"
            " domain; write a `domain` of the source, or a share"
        )
    if mixture and not card["mixture_target"] and settings.mix.shares != HYPERCLOVA:
        lines.append("mix.shares has no effect: it divides --target_tokens, which is not given")
    return lines


def render(card: Mapping) -> str:
    """The page of a card, as HTML.

    Args:
      card: what `write_card` returns. Its sources are shown in their order, that of the settings;
        card.json itself holds them sorted by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hclx.corpus"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=format_number,
        count=counted,
        difference=formatting.format_difference,
        bytes=formatting.format_bytes,
        share=formatting.format_share,
        bounds=formatting.format_bounds,
        tick=formatting.format_tick,
    )
    target, clusters = card["mixture_target"], _cluster_rows(card["all"].get("clusters", {}))
    return environment.get_template("card.html.j2").render(
        card,
        every=card["all"],
        sections=_sections(card, clusters),
        stage_names=_STAGES,
        conditions=_CONDITIONS,
        attribute_names=_ATTRIBUTES,
        pii_kinds={kind: (name, PLACEHOLDERS[kind]) for kind, name in _KINDS.items()},
        cluster_rows=clusters,
        histograms=_histograms(card),
        shortage=shortage(target) if target else (),
        bar=_bar,
    )


def _visible(value):
    """Replaces control characters, which HTML does not allow, by their symbols; what a macro has
    written stays as it is.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _CONTROL.sub(lambda match: chr(0x2400 + ord(match[0]) % 0x5E), value)


def _sections(card: Mapping, clusters: list) -> dict[str, str]:
    """Anchor -> title of the sections that have something to show."""
    optional = {
        "examples": any(card["all"]["removed"].values()),
        "quarantine": card["quarantine"],
        "duplicates": clusters or card["all"].get("cut_paragraphs"),
        "contamination": card["contamination"],
        "mixture": card["mixture"],
    }
    return {name: title for name, title in _SECTIONS.items() if optional.get(name, True)}


def _bar(source: Mapping, unit: str) -> list[tuple[str, float, float]]:
    """(name, start, width) of the segments of a bar of 100 that shows what became of the input of a
    source: kept, removed by each stage, removed within kept documents, quarantined.

    Args:
      unit: "documents" or "bytes".
    """
    lengths, left = {"kept": source["kept"][unit]}, source[unit]
    for stage, after in source["after"].items():
        lengths[stage], left = left - after[unit], after[unit]
    lengths["trimmed"] = max(0, left - source["kept"][unit])
    lengths["quarantined"] = source["quarantined"] if unit == "documents" else 0
    lengths = {name: length for name, length in lengths.items() if length}
    scale = 100 / max(1, sum(lengths.values()))
    ends = list(itertools.accumulate(lengths.values()))
    return [
        (name, scale * (end - length), scale * length)
        for (name, length), end in zip(lengths.items(), ends)
    ]


def _cluster_rows(clusters: Mapping[str, Mapping]) -> list[tuple[str, list[int]]]:
    """Range of sizes -> how many clusters of each stage have such a size; ranges without a cluster
    are left out.

    Args:
      clusters: stage -> size -> number of clusters.
    """
    rows = []
    for low, high in _CLUSTER_SIZES:
        counts = [
            sum(n for size, n in sizes.items() if low <= int(size) <= (high or int(size)))
            for sizes in clusters.values()
        ]
        if any(counts):
            rows.append((formatting.format_range(low, high), counts))
    return rows


def _histograms(card: Mapping) -> list[dict]:
    """Name, highest count and bins for each attribute; a bin is (lower edge, documents of the
    input, kept documents).
    """
    return [
        {
            "name": name,
            "highest": max(1, *counts["all"]),
            "bins": list(zip(card["edges"][name], counts["all"], counts["kept"])),
        }
        for name, counts in card["all"].get("histograms", {}).items()
    ]


def shortage(target: Mapping) -> list[str]:
    """Explains in sentences what a mixture with a target has less than was requested, and why.

    Args:
      target: `mixture_target` of the card, see `hclx.corpus.stats.target_of`.
    Returns:
      The sentences: first the requested and the actual tokens, also if nothing is missing.
    """
    domains = target["domains"]
    missing = round(target["tokens"] - target["actual"])
    line = (
        f"The mixture was to have {format_number(target['tokens'])} tokens, and has"
        f" {format_number(target['actual'])}"
    )
    lines = [f"{line}: {format_number(missing)} are missing." if missing > 0 else f"{line}."]
    for name, domain in domains.items():
        if domain["difference"] < 0:
            lines.append(
                f"{name} gives {format_number(domain['actual'])} of the"
                f" {format_number(domain['requested'])} tokens that the table requests from it:"
                f" {format_number(domain['available'])} are available, and mix.max_epochs"
                f" ({format_number(target['max_epochs'])}) and the caps of its sources allow no"
                " more."
            )
    if more := [name for name, domain in domains.items() if domain["difference"] > 0]:
        lines.append(f"The difference was taken from {', '.join(more)}.")
    if unused := [name for name, domain in domains.items() if not domain["requested"]]:
        lines.append(f"The table requests nothing from {', '.join(unused)}.")
    if target["absent"]:
        lines.append(
            f"No source belongs to the domains {', '.join(target['absent'])}: their share of the"
            " table was divided among the others."
        )
    return lines
