"""The corpus card: what was found, what was removed and why, with examples; card.json for programs,
card.html to read.

The page is one file without scripts, see `hclx.corpus.html`, and equal corpora give equal bytes.
"""

from collections.abc import Callable, Mapping, Sequence

from hclx.corpus.html import Html, Right, document, joined, share, size, table, tag
from hclx.corpus.layout import Shard
from hclx.corpus.pii import PLACEHOLDERS
from hclx.corpus.pii_accuracy import accuracy
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.stats import add_up, bounds, number
from hclx.corpus.store import Store
from hclx.corpus.verdicts import STAGES

_STAGES = {
    "filter": "rules",
    "exact": "exact duplicates",
    "paragraph": "paragraphs",
    "near": "near-duplicates",
    "contamination": "contamination",
}
# that a document follows which such a stage keeps, and what the value of a removed one says
_RULES = {
    "exact": ("no earlier document is equal", "documents that are equal"),
    "paragraph": ("enough is left without paragraphs that stood before", "share that stood before"),
    "near": ("no earlier document is nearly equal", "documents of the cluster"),
    "contamination": (
        "no item of an evaluation set is in it",
        "largest share of an item that is in it",
    ),
}
_SIZES = (
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
    "perplexity.bits": "bits a byte of the language model",
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
_COLORS = ("found", "kept", "cut", "quarantined", *_STAGES)


def write_card(store: Store, settings: CorpusSettings, parts: Sequence[Shard]) -> dict:
    """Writes card.json and card.html of a corpus that was built; gives what is in card.json.

    Raises:
      DataError: see `hclx.corpus.stats.add_up`.
    """
    card = add_up(store, settings, parts) | {"pii_accuracy": accuracy()}
    store.write_json("card.json", card)
    store.write_text("card.html", _page(card))
    return card


def _page(card: Mapping) -> str:
    sections = {
        "Sources": _sources(card),
        "What became of it": _stages(card),
        "Reasons": _reasons(card),
        "Examples": _examples(card),
        "Set aside": _quarantine(card),
        "Distributions": _histograms(card),
        "Duplicates": _duplicates(card),
        "Personal data": _masked(card),
        "Contamination": _contamination(card),
        "Mixture": _mixture(card),
    }
    sections = {name: body for name, body in sections.items() if body}
    key = lambda name: name.lower().replace(" ", "-")
    links = tag("nav", *(tag("a", name, href=f"#{key(name)}") for name in sections))
    body = [tag("section", tag("h2", name, id=key(name)), text) for name, text in sections.items()]
    return document(
        "Corpus card",
        tag("p", _summary(card["all"])),
        links,
        _tiles(card["all"]),
        *body,
        colors=_COLORS,
    )


def _summary(every: Mapping) -> str:
    kept, found = every["kept"], every["documents"]
    removed = number(found - kept["documents"])
    return (
        f"Of {number(found)} documents in {number(every['files'])} files,"
        f" {number(kept['documents'])} were kept and {removed} removed;"
        f" {number(every['quarantined'])} more could not be read and were set aside. Every document"
        " is exactly one of the three."
    )


def _tiles(every: Mapping) -> Html:
    kept, last = every["kept"], list(every["after"].values())[-1:] or [every]
    removed = {unit: every[unit] - last[0][unit] for unit in ("documents", "bytes")}
    tiles = [
        ("found", "found", every),
        ("kept", "kept", kept),
        ("removed", "filter", removed),
        ("set aside", "quarantined", {"documents": every["quarantined"]}),
    ]
    about = lambda n: f"{size(n['bytes'])} of text" if "bytes" in n else "could not be read"
    return tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", name),
                tag("dd", number(n["documents"])),
                tag("dd", about(n), class_="about"),
                class_=f"tile {color}",
            )
            for name, color, n in tiles
        ),
        class_="tiles",
    )


def _sources(card: Mapping) -> Html:
    rows = [
        (
            name,
            one["licence"] or "not stated",
            one["input"],
            one["files"],
            share(one["kept"]["bytes"], card["all"]["kept"]["bytes"]),
        )
        for name, one in card["sources"].items()
    ]
    return table(("source", "licence", "files of", "files", "share of what is kept"), rows)


def _stages(card: Mapping) -> Html:
    named = [
        *card["sources"].items(),
        *([("all", card["all"])] if len(card["sources"]) > 1 else []),
    ]
    result = []
    for unit, show in (
        ("documents", lambda n: Right(number(n))),
        ("bytes", lambda n: Right(size(n))),
    ):
        aside = unit == "documents"
        head = [
            "source",
            "found",
            *(["set aside"] if aside else []),
            *(f"after {_STAGES[s]}" for s in card["all"]["after"]),
            "kept",
            "kept of found",
        ]
        rows = [
            (name, show(one[unit]), *([one["quarantined"]] if aside else []), *(show(n[unit]) for n in one["after"].values()),
             show(one["kept"][unit]), share(one["kept"][unit], one[unit]))
            for name, one in named
        ]  # fmt: skip
        bars = [_bar(name, one, unit, show) for name, one in named]
        result += [
            tag("h3", unit.capitalize()),
            table(head, rows, len(named) > 1),
            tag("div", *bars, class_="bars"),
        ]
    colors = ["kept", *card["all"]["after"], "cut", "quarantined"]
    words = {"kept": "kept", "cut": "cut or masked in what is kept", "quarantined": "set aside"}
    names = {stage: f"removed: {word}" for stage, word in _STAGES.items()} | words
    result.append(
        tag(
            "div",
            *(tag("span", tag("svg", _rect(color, 0, 100)), names[color]) for color in colors),
            class_="legend",
        )
    )
    note = (
        "A removed document counts with its bytes as found; what is kept counts as it was written,"
        " without cut paragraphs and masked."
    )
    return joined([*result, tag("p", note, class_="note")])


def _rect(color: str, start: float, width: float, title: str = "") -> Html:
    inside = [tag("title", title)] if title else []
    return tag(
        "rect", *inside, x=f"{start:.3f}%", width=f"{width:.3f}%", height="100%", class_=color
    )


def _bar(name: str, one: Mapping, unit: str, show: Callable) -> Html:
    """Name, bar and total of a source: what became of all that is in its files."""
    lengths, before = {"kept": one["kept"][unit]}, one[unit]
    for stage, after in one["after"].items():
        lengths[stage], before = before - after[unit], after[unit]
    lengths["cut"] = max(0, before - one["kept"][unit])
    lengths["quarantined"] = one["quarantined"] if unit == "documents" else 0
    whole, start, rects = sum(lengths.values()), 0.0, []
    for color, length in lengths.items():
        if length:
            width = 100 * length / whole
            rects.append(_rect(color, start, width, f"{_STAGES.get(color, color)}: {width:.1f}%"))
            start += width
    total = show(whole if unit == "documents" else one[unit])
    return joined(
        [
            tag("span", name),
            tag("svg", *rects, role="img", aria_label=f"what became of {name}"),
            tag("span", total, class_="n"),
        ]
    )


def _removals(one: Mapping) -> list[tuple[str, str, dict]]:
    """(stage, rule, documents and bytes) of a source or of all, in the order of stages, most
    documents first.
    """
    flat = [
        (stage, rule, entry)
        for stage, rules in one["removed"].items()
        for rule, entry in rules.items()
    ]
    return sorted(flat, key=lambda item: (STAGES.index(item[0]), -item[2]["documents"], item[1]))


def _reasons(card: Mapping) -> Html:
    result = []
    for name, one in card["sources"].items():
        rows = []
        for stage, rule, entry in _removals(one):
            bound = one["rules"][rule] if stage == "filter" else {}
            text = (
                f"{bound['attribute']} {bounds(bound)}".replace(" ", "\xa0")
                if bound
                else _RULES[stage][0]
            )
            rows.append(
                (
                    rule,
                    text,
                    entry["documents"],
                    Right(size(entry["bytes"])),
                    share(entry["documents"], one["documents"]),
                )
            )
        result.append(tag("h3", name))
        result.append(
            table(
                ("reason", "what a document must meet", "documents", "bytes", "share of documents"),
                rows,
            )
            if rows
            else tag("p", "Nothing was removed.")
        )
        if idle := [rule for rule in one["rules"] if rule not in one["removed"].get("filter", {})]:
            result.append(
                tag("p", f"Rules that removed nothing: {', '.join(idle)}.", class_="note")
            )
    return joined(result)


def _examples(card: Mapping) -> Html | None:
    result = []
    for stage, rule, entry in _removals(card["all"]):
        shown = card["samples"].get(rule, [])
        about = f"{number(entry['documents'])} removed, {len(shown)} shown"
        articles = []
        for one in shown:
            value = (
                f"{one['attribute']} {bounds(one)}: it is"
                if "attribute" in one
                else f"{_RULES[stage][1]}:"
                if stage in _RULES
                else "value:"
            )
            line = tag(
                "div",
                tag("code", one["doc_id"]),
                tag("span", f" · {value} {number(one['value'])}", class_="about"),
            )
            articles.append(tag("article", line, tag("blockquote", one["text"])))
        summary = tag("summary", tag("strong", rule), tag("span", about, class_="about"))
        result.append(tag("details", summary, *articles))
    note = (
        "Sampled by a hash of the document's name and the seed, so the sample does not depend on"
        " parts and workers. Personal data is masked."
    )
    return joined([tag("p", note, class_="note"), *result]) if result else None


def _quarantine(card: Mapping) -> Html | None:
    result = []
    for reason, entry in card["quarantine"].items():
        rows = [
            (one["file"], one["line"], one["reason"], tag("code", one["beginning"]))
            for one in entry["examples"]
        ]
        about = f"{number(entry['documents'])} set aside, {len(rows)} shown"
        summary = tag("summary", tag("strong", reason), tag("span", about, class_="about"))
        result.append(tag("details", summary, table(("file", "line", "reason", "beginning"), rows)))
    return joined(result) if result else None


def _histograms(card: Mapping) -> Html:
    figures = [
        tag(
            "figure",
            _plot(name, card["edges"][name], counts),
            tag("figcaption", _ATTRIBUTES.get(name, name), title=name),
        )
        for name, counts in card["all"].get("histograms", {}).items()
    ]
    legend = [
        tag("span", tag("svg", _rect(color, 0, 100)), word)
        for color, word in (("found", "found"), ("kept", "kept"))
    ]
    note = (
        "Documents by the value of an attribute; each bar begins at the number to its left, the"
        " last one has all above."
    )
    return joined(
        [
            tag("p", note, class_="note"),
            tag("div", *legend, class_="legend"),
            tag("div", *figures, class_="plots"),
        ]
    )


def _plot(name: str, edges: Sequence[float], counts: Mapping) -> Html:
    """Bars of what was found, and before them those of what was kept."""
    width, height, highest = 300 / len(edges), 90, max([*counts["all"], 1])
    marks = []
    for i, (edge, found, kept) in enumerate(zip(edges, counts["all"], counts["kept"])):
        title = tag("title", f"from {number(edge)}: found {number(found)}, kept {number(kept)}")
        bars = []
        for color, n in (("found", found), ("kept", kept)):
            tall = height * n / highest
            bars.append(
                tag(
                    "rect",
                    x=f"{i * width + 1:.2f}",
                    y=f"{height - tall + 12:.2f}",
                    width=f"{width - 2:.2f}",
                    height=f"{tall:.2f}",
                    class_=color,
                )
            )
        label = f"{edge / 1000:g}k" if edge >= 1000 else f"{edge:g}"
        marks += [
            tag("g", title, *bars),
            tag("text", label, x=f"{max(i * width, 4):.2f}", y=height + 23),
        ]
    top = tag("text", number(highest), x=298, y=8, style="text-anchor:end")
    axis = tag("line", x1=0, x2=300, y1=height + 12, y2=height + 12, class_="axis")
    return tag(
        "svg",
        top,
        axis,
        *marks,
        viewBox=f"0 0 300 {height + 27}",
        role="img",
        aria_label=f"distribution of {name}",
    )


def _duplicates(card: Mapping) -> Html | None:
    every, result = card["all"], []
    clusters = {
        stage: {int(n): times for n, times in sizes.items()}
        for stage, sizes in every.get("clusters", {}).items()
    }
    rows = []
    for low, high in _SIZES:
        label = (
            f"{number(low)}"
            if low == high
            else f"{number(low)} to {number(high)}"
            if high
            else f"{number(low)} or more"
        )
        counts = [
            sum(times for n, times in sizes.items() if low <= n <= (high or n))
            for sizes in clusters.values()
        ]
        if any(counts):
            rows.append((Right(label), *counts))
    if rows:
        words = {"exact": "equal", "near": "nearly equal"}
        result.append(
            table(
                (
                    "documents in a cluster",
                    *(f"clusters, {words.get(stage, stage)}" for stage in clusters),
                ),
                rows,
            )
        )
        result.append(
            tag(
                "p",
                "Of each cluster the first document stays, in the order of sources and files.",
                class_="note",
            )
        )
    if cut := every.get("cut_paragraphs"):
        text = (
            f"{number(cut['paragraphs'])} paragraphs that stood before, of {number(cut['chars'])}"
            " characters, were cut out of documents."
        )
        result.append(tag("p", text))
    return joined(result) if result else None


def _masked(card: Mapping) -> Html:
    sources, every, scores = card["sources"], card["all"].get("masked", {}), card["pii_accuracy"]
    rows = []
    for kind in (*PLACEHOLDERS, "all"):
        masked = [*(one.get("masked", {}) for one in sources.values()), every]
        counts = [sum(one.values()) if kind == "all" else one.get(kind, 0) for one in masked]
        one = scores["kinds"][kind]
        found = [
            None if one[name] is None else Right(f"{100 * one[name]:.1f}")
            for name in ("precision", "recall", "f1")
        ]
        mask = tag("span", PLACEHOLDERS.get(kind, ""), class_="whole")
        rows.append((_KINDS.get(kind, "all kinds"), mask, *counts, *found, one["items"]))
    runs = ", ".join(f"{100 * one:.1f}%" for one in scores["first_runs_f1"])
    head = (
        "kind",
        "mask",
        *sources,
        "all sources",
        "precision, %",
        "recall, %",
        "F1, %",
        "labelled items",
    )
    note = (
        f"Precision, recall and F1 are those of the rules on {number(scores['texts'])} short Korean"
        f" texts that were written for this, {number(scores['with_items'])} of them with items and"
        " the others with what may look like one; kind and place have to be exact. They were"
        " written in sets without the rules in view, which were mended after each: the first run"
        f" on each had an F1 of {runs}, and the last of these is the one for text that the rules"
        " have not seen."
    )
    counted = "How many items were masked in what is kept, and how well the rules find such items."
    return joined([tag("p", counted), table(head, rows, sums=True), tag("p", note, class_="note")])


def _contamination(card: Mapping) -> Html | None:
    sets = card["contamination"]
    if not sets:
        return None
    columns = {
        "items": "items",
        "too_short": "too short to find within a document",
        "found": "found in documents",
        "documents": "documents that held one",
    }
    rows = [(name, *(one.get(column) for column in columns)) for name, one in sets.items()]
    note = (
        "Documents that held an item of an evaluation set were removed. An item counts as found"
        " where a document has most of its letters in runs, however spaced or punctuated; one that"
        " is too short for that could be anybody's words, and counts where a document says nothing"
        " else. A document that held items of several sets counts for each."
    )
    return joined(
        [table(("evaluation set", *columns.values()), rows), tag("p", note, class_="note")]
    )


def _mixture(card: Mapping) -> Html | None:
    if not card["mixture"]:
        return None
    tokens = lambda one: one["tokens"] * one["epochs"]
    rows = [
        (
            name,
            one["domain"],
            one["documents"],
            Right(size(one["bytes"])),
            one["tokens"],
            Right(f"{one['epochs']:.2f}"),
            tokens(one),
            share(one["rate"], 1),
        )
        for name, one in card["mixture"].items()
    ]
    head = (
        "source",
        "domain",
        "documents there are",
        "bytes there are",
        "tokens there are",
        "times seen",
        "tokens of the mixture",
        "share of the mixture",
    )
    note = (
        "Tokens are estimated from bytes. A source that is seen less than once gives that share of"
        " its documents."
    )
    result = [table(head, rows), tag("p", note, class_="note")]
    return joined(
        [*_by_domain(card["mixture_target"]), *result] if card["mixture_target"] else result
    )


def shortage(target: Mapping) -> list[str]:
    """What a mixture with a target lacks, in sentences.

    Args:
      target: `mixture_target` of the card.
    """
    domains, lines, over = target["domains"], [], _over(target)
    missing = round(target["tokens"] - target["given"])
    says = (
        f"The mixture was to have {number(target['tokens'])} tokens, and has"
        f" {number(target['given'])}"
    )
    lines.append(f"{says}: {number(missing)} are missing." if missing > 0 else f"{says}.")
    for name in (name for name in domains if over[name] < 0):
        one = domains[name]
        why = (
            f"{number(one['exist'])} exist, and mix.max_epochs ({number(target['max_epochs'])}) and"
            " its sources' caps let no more be taken"
        )
        lines.append(
            f"{name} gives {number(one['given'])} of the {number(one['wanted'])} tokens that the"
            f" table asks of it: {why}."
        )
    if more := [name for name in domains if over[name] > 0]:
        lines.append(f"What they lack was taken from {', '.join(more)}.")
    if unasked := [name for name, one in domains.items() if not one["wanted"]]:
        lines.append(f"The table asks for nothing of {', '.join(unasked)}.")
    if target["absent"]:
        lines.append(
            f"No source is of the domains {', '.join(target['absent'])}: their share of the table"
            " was divided among the others."
        )
    return lines


def _over(target: Mapping) -> dict[str, int]:
    """Domain -> tokens that it gives more than were asked of it."""
    return {name: round(one["given"] - one["wanted"]) for name, one in target["domains"].items()}


def _by_domain(target: Mapping) -> list[Html]:
    """What a mixture with a target lacks, in words and by domain."""
    over, rows = _over(target), []
    for name, one in target["domains"].items():
        difference = Right(f"{over[name]:+,}" if over[name] else "0")
        row = (
            name,
            share(one["share"], 1),
            one["wanted"],
            one["exist"],
            one["given"],
            difference,
            share(one["given"], target["given"]),
        )
        rows.append(row)
    head = (
        "domain",
        "share asked",
        "tokens asked",
        "tokens there are",
        "tokens of the mixture",
        "more or less than asked",
        "share of the mixture",
    )
    return [*(tag("p", line) for line in shortage(target)), table(head, rows)]
