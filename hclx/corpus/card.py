"""The corpus card: what was found, what was removed and why, with examples; card.json for programs, card.html to read.

The page is one file without scripts, and equal corpora give equal bytes. Every text in it comes from the raw files, so
nothing reaches the page but through `_tag`, which escapes it.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from hclx.corpus.figures import add_up, bounds, number
from hclx.corpus.meetings import STAGES, Part
from hclx.corpus.pii import PLACEHOLDERS
from hclx.corpus.settings import CorpusSettings
from hclx.corpus.store import Store

_STAGES = {
    "filter": "rules",
    "exact": "exact duplicates",
    "paragraph": "paragraphs",
    "near": "near-duplicates",
    "contamination": "contamination",
}
_RULES = {  # that a document follows which such a stage keeps, and what the value of a removed one says
    "exact": ("no earlier document is equal", "documents that are equal"),
    "paragraph": ("enough is left without paragraphs that stood before", "share that stood before"),
    "near": ("no earlier document is nearly equal", "documents of the cluster"),
    "contamination": ("no item of an evaluation set is in it", "largest share of an item that is in it"),
}
_SIZES = ((2, 2), (3, 3), (4, 4), (5, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 1_000), (1_001, None))
_COLORS = ("found", "kept", "cut", "quarantined", *_STAGES)
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_STYLE = """
:root{color-scheme:light dark;--ink:#22282c;--soft:#667078;--line:#dfe4e7;--page:#fff;--tint:#f5f7f8;--found:#c3ccd1;--kept:#2c7a78;
--filter:#c98b3c;--exact:#6e7fa6;--paragraph:#a9b6d3;--near:#a98db5;--contamination:#b4524a;--cut:#d9dfe2;--quarantined:#82898d}
@media(prefers-color-scheme:dark){:root{--ink:#dfe4e7;--soft:#98a2a9;--line:#343b40;--page:#15191c;--tint:#1d2226;--found:#59646b;
--kept:#4fa5a2;--cut:#3d454a}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:62rem;background:var(--page);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI","Apple SD Gothic Neo","Malgun Gothic","Noto Sans KR","Noto Sans CJK KR",sans-serif}
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.2rem;margin:3rem 0 .5rem;padding-top:.7rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.6rem 0 .4rem}p{margin:.4rem 0;max-width:46rem}
p.note,figcaption,.about{color:var(--soft);font-size:.875rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.875rem;margin:.8rem 0 0}nav a{color:inherit}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1.4rem 0 0;padding:0}
.tile{padding:.7rem .9rem;background:var(--tint);border-radius:.4rem;border-left:.25rem solid}
.tile dt{color:var(--soft);font-size:.875rem}.tile dd{margin:0}.tile dd:nth-of-type(1){font-size:1.45rem;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .8rem .3rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--soft)}th.n,td.n{text-align:right}td.n{white-space:nowrap}th{vertical-align:bottom}tr.sum td{font-weight:600}
.bars{display:grid;grid-template-columns:minmax(5rem,auto) 1fr auto;gap:.35rem .8rem;align-items:center;margin:.5rem 0 1rem;font-size:.875rem}
.bars .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.bars svg{display:block;width:100%;height:1rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.875rem;color:var(--soft)}
.legend svg{width:.7rem;height:.7rem;margin-right:.35rem}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1.2rem;margin:1rem 0}
figure{margin:0}figure svg{display:block;width:100%;height:auto}figure text{font-size:9.5px;fill:var(--soft);text-anchor:middle}
details{border-bottom:1px solid var(--line)}summary{cursor:pointer;padding:.45rem 0}summary .about{margin-left:.5rem}
article{margin:.2rem 0 1rem;padding-left:.9rem;border-left:2px solid var(--line)}
code{font:.875rem ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
blockquote{margin:.2rem 0 0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;font-size:.875rem}
@media print{html{font-size:70%}body{max-width:none;padding:0}nav{display:none}h2{break-after:avoid}figure,article,tr,.bars{break-inside:avoid}
svg,.tile{print-color-adjust:exact;-webkit-print-color-adjust:exact}.wide{overflow:visible}}
.axis{stroke:var(--line)}
""" + "".join(f".{name}{{fill:var(--{name});border-color:var(--{name})}}" for name in _COLORS)


def write_card(store: Store, settings: CorpusSettings, parts: Sequence[Part]) -> dict:
    """Writes card.json and card.html of a corpus that was built; gives what is in card.json.

    Raises:
      DataError: see `hclx.corpus.figures.add_up`.
    """
    card = add_up(store, settings, parts)
    store.write_json("card.json", card)
    store.write_text("card.html", _page(card))
    return card


class _Html(str):
    """Text that is HTML already."""


class _Right(str):
    """Text that stands at the right of its cell, as numbers do."""


def _tag(name: str, *children: str, **attributes) -> _Html:
    """An element; text in it is escaped. `class_` and `stroke_width` are written as `class` and `stroke-width`."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for key, value in attributes.items())
    inside = "".join(child if isinstance(child, _Html) else _escaped(child) for child in children)
    return _Html(f"<{name}{given}>{inside}</{name}>")


def _escaped(text: str) -> str:
    return html.escape(_INVISIBLE.sub(lambda found: chr(0x2400 + ord(found[0]) % 0x5E), text))


def _joined(items: Iterable[str]) -> _Html:
    return _Html("".join(items))


def size(n_bytes: int) -> str:
    """A number of bytes as it is read: 12.3 MB."""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def _share(part: int, whole: int) -> _Right:
    share = f"{100 * part / whole:.1f}%" if whole else "–"
    return _Right("< 0.1%" if part and share == "0.0%" else share)


def _table(head: Sequence[str], rows: Sequence[Sequence], sums: bool = False) -> _Html:
    """A table; numbers are at the right. `sums`: the last row adds up the others."""

    def cell(value, name="td"):
        right = isinstance(value, (int, float, _Right))
        text = value if isinstance(value, str) else "–" if value is None else number(value)
        return _tag(name, text, class_="n") if right else _tag(name, text)

    first = rows[0] if rows else head
    top = _joined(cell(_Right(name) if isinstance(value, (int, float, _Right)) else name, "th") for name, value in zip(head, first))
    body = [_joined(map(cell, row)) for row in rows]
    lines = [_tag("tr", row, class_="sum") if sums and i == len(body) - 1 else _tag("tr", row) for i, row in enumerate(body)]
    return _tag("div", _tag("table", _tag("thead", _tag("tr", top)), _tag("tbody", *lines)), class_="wide")


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
        "Contamination": _by_name(card["contamination"], "evaluation set"),
        "Mixture": _by_name(card["mixture"], "source"),
    }
    sections = {name: body for name, body in sections.items() if body}
    key = lambda name: name.lower().replace(" ", "-")
    links = _tag("nav", *(_tag("a", name, href=f"#{key(name)}") for name in sections))
    body = [_tag("section", _tag("h2", name, id=key(name)), text) for name, text in sections.items()]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Corpus card</title>'
    main = _tag("body", _tag("h1", "Corpus card"), _tag("p", _summary(card["all"])), links, _tiles(card["all"]), *body)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n{main}</html>\n'


def _summary(every: Mapping) -> str:
    kept, found = every["kept"], every["documents"]
    removed = number(found - kept["documents"])
    return (
        f"Of {number(found)} documents in {number(every['files'])} files, {number(kept['documents'])} were kept and {removed} removed; "
        f"{number(every['quarantined'])} more could not be read and were set aside. Every document is exactly one of the three."
    )


def _tiles(every: Mapping) -> _Html:
    kept, last = every["kept"], list(every["after"].values())[-1:] or [every]
    removed = {unit: every[unit] - last[0][unit] for unit in ("documents", "bytes")}
    tiles = [("found", "found", every), ("kept", "kept", kept), ("removed", "filter", removed), ("set aside", "quarantined", {"documents": every["quarantined"]})]
    about = lambda n: f"{size(n['bytes'])} of text" if "bytes" in n else "could not be read"
    return _tag(
        "dl",
        *(
            _tag("div", _tag("dt", name), _tag("dd", number(n["documents"])), _tag("dd", about(n), class_="about"), class_=f"tile {color}")
            for name, color, n in tiles
        ),
        class_="tiles",
    )


def _sources(card: Mapping) -> _Html:
    rows = [
        (name, one["licence"] or "not stated", one["input"], one["files"], _share(one["kept"]["bytes"], card["all"]["kept"]["bytes"]))
        for name, one in card["sources"].items()
    ]
    return _table(("source", "licence", "files of", "files", "share of what is kept"), rows)


def _stages(card: Mapping) -> _Html:
    named = [*card["sources"].items(), *([("all", card["all"])] if len(card["sources"]) > 1 else [])]
    result = []
    for unit, show in (("documents", lambda n: _Right(number(n))), ("bytes", lambda n: _Right(size(n)))):
        aside = unit == "documents"
        head = ["source", "found", *(["set aside"] if aside else []), *(f"after {_STAGES[s]}" for s in card["all"]["after"]), "kept", "kept of found"]
        rows = [
            (name, show(one[unit]), *([one["quarantined"]] if aside else []), *(show(n[unit]) for n in one["after"].values()),
             show(one["kept"][unit]), _share(one["kept"][unit], one[unit]))
            for name, one in named
        ]  # fmt: skip
        bars = [_bar(name, one, unit, show) for name, one in named]
        result += [_tag("h3", unit.capitalize()), _table(head, rows, len(named) > 1), _tag("div", *bars, class_="bars")]
    colors = ["kept", *card["all"]["after"], "cut", "quarantined"]
    words = {"kept": "kept", "cut": "cut or masked in what is kept", "quarantined": "set aside"}
    names = {stage: f"removed: {word}" for stage, word in _STAGES.items()} | words
    result.append(_tag("div", *(_tag("span", _tag("svg", _rect(color, 0, 100)), names[color]) for color in colors), class_="legend"))
    note = "A removed document counts with its bytes as found; what is kept counts as it was written, without cut paragraphs and masked."
    return _joined([*result, _tag("p", note, class_="note")])


def _rect(color: str, start: float, width: float, title: str = "") -> _Html:
    inside = [_tag("title", title)] if title else []
    return _tag("rect", *inside, x=f"{start:.3f}%", width=f"{width:.3f}%", height="100%", class_=color)


def _bar(name: str, one: Mapping, unit: str, show: Callable) -> _Html:
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
    return _joined([_tag("span", name), _tag("svg", *rects, role="img", aria_label=f"what became of {name}"), _tag("span", total, class_="n")])


def _removals(one: Mapping) -> list[tuple[str, str, dict]]:
    """(stage, rule, documents and bytes) of a source or of all, in the order of stages, most documents first."""
    flat = [(stage, rule, entry) for stage, rules in one["removed"].items() for rule, entry in rules.items()]
    return sorted(flat, key=lambda item: (STAGES.index(item[0]), -item[2]["documents"], item[1]))


def _reasons(card: Mapping) -> _Html:
    result = []
    for name, one in card["sources"].items():
        rows = []
        for stage, rule, entry in _removals(one):
            bound = one["rules"][rule] if stage == "filter" else {}
            text = f"{bound['attribute']} {bounds(bound)}".replace(" ", "\xa0") if bound else _RULES[stage][0]
            rows.append((rule, text, entry["documents"], _Right(size(entry["bytes"])), _share(entry["documents"], one["documents"])))
        result.append(_tag("h3", name))
        result.append(_table(("reason", "rule", "documents", "bytes", "share of documents"), rows) if rows else _tag("p", "Nothing was removed."))
        if idle := [rule for rule in one["rules"] if rule not in one["removed"].get("filter", {})]:
            result.append(_tag("p", f"Rules that removed nothing: {', '.join(idle)}.", class_="note"))
    return _joined(result)


def _examples(card: Mapping) -> _Html | None:
    result = []
    for stage, rule, entry in _removals(card["all"]):
        shown = card["samples"].get(rule, [])
        about = f"{number(entry['documents'])} removed, {len(shown)} shown"
        articles = []
        for one in shown:
            value = f"{one['attribute']} {bounds(one)}: it is" if "attribute" in one else f"{_RULES[stage][1]}:" if stage in _RULES else "value:"
            line = _tag("div", _tag("code", one["doc_id"]), _tag("span", f" · {value} {number(one['value'])}", class_="about"))
            articles.append(_tag("article", line, _tag("blockquote", one["text"])))
        summary = _tag("summary", _tag("strong", rule), _tag("span", about, class_="about"))
        result.append(_tag("details", summary, *articles))
    note = "Sampled by a hash of the document's name and the seed, so the sample does not depend on parts and workers. Personal data is masked."
    return _joined([_tag("p", note, class_="note"), *result]) if result else None


def _quarantine(card: Mapping) -> _Html | None:
    result = []
    for reason, entry in card["quarantine"].items():
        rows = [(one["file"], one["line"], one["reason"], _tag("code", one["beginning"])) for one in entry["examples"]]
        about = f"{number(entry['documents'])} set aside, {len(rows)} shown"
        summary = _tag("summary", _tag("strong", reason), _tag("span", about, class_="about"))
        result.append(_tag("details", summary, _table(("file", "line", "reason", "beginning"), rows)))
    return _joined(result) if result else None


def _histograms(card: Mapping) -> _Html:
    figures = [
        _tag("figure", _plot(name, card["edges"][name], counts), _tag("figcaption", name)) for name, counts in card["all"].get("histograms", {}).items()
    ]
    legend = [_tag("span", _tag("svg", _rect(color, 0, 100)), word) for color, word in (("found", "found"), ("kept", "kept"))]
    note = "Documents by the value of an attribute; each bar begins at the number to its left, the last one has all above."
    return _joined([_tag("p", note, class_="note"), _tag("div", *legend, class_="legend"), _tag("div", *figures, class_="plots")])


def _plot(name: str, edges: Sequence[float], counts: Mapping) -> _Html:
    """Bars of what was found, and before them those of what was kept."""
    width, height, highest = 300 / len(edges), 90, max([*counts["all"], 1])
    marks = []
    for i, (edge, found, kept) in enumerate(zip(edges, counts["all"], counts["kept"])):
        title = _tag("title", f"from {number(edge)}: found {number(found)}, kept {number(kept)}")
        bars = []
        for color, n in (("found", found), ("kept", kept)):
            tall = height * n / highest
            bars.append(_tag("rect", x=f"{i * width + 1:.2f}", y=f"{height - tall + 12:.2f}", width=f"{width - 2:.2f}", height=f"{tall:.2f}", class_=color))
        label = f"{edge / 1000:g}k" if edge >= 1000 else f"{edge:g}"
        marks += [_tag("g", title, *bars), _tag("text", label, x=f"{max(i * width, 4):.2f}", y=height + 23)]
    top = _tag("text", number(highest), x=298, y=8, style="text-anchor:end")
    axis = _tag("line", x1=0, x2=300, y1=height + 12, y2=height + 12, class_="axis")
    return _tag("svg", top, axis, *marks, viewBox=f"0 0 300 {height + 27}", role="img", aria_label=f"distribution of {name}")


def _duplicates(card: Mapping) -> _Html | None:
    every, result = card["all"], []
    clusters = {stage: {int(n): times for n, times in sizes.items()} for stage, sizes in every.get("clusters", {}).items()}
    rows = []
    for low, high in _SIZES:
        label = f"{number(low)}" if low == high else f"{number(low)} to {number(high)}" if high else f"{number(low)} or more"
        counts = [sum(times for n, times in sizes.items() if low <= n <= (high or n)) for sizes in clusters.values()]
        if any(counts):
            rows.append((_Right(label), *counts))
    if rows:
        words = {"exact": "equal", "near": "nearly equal"}
        result.append(_table(("documents in a cluster", *(f"clusters, {words.get(stage, stage)}" for stage in clusters)), rows))
        result.append(_tag("p", "Of each cluster the first document stays, in the order of sources and files.", class_="note"))
    if cut := every.get("cut_paragraphs"):
        text = f"{number(cut['paragraphs'])} paragraphs that stood before, of {number(cut['chars'])} characters, were cut out of documents."
        result.append(_tag("p", text))
    return _joined(result) if result else None


def _masked(card: Mapping) -> _Html:
    every = card["all"].get("masked", {})
    if not every:
        return _tag("p", "Nothing was found that had to be masked.")
    sources = card["sources"]
    rows = [(kind, PLACEHOLDERS.get(kind, ""), *(one.get("masked", {}).get(kind, 0) for one in sources.values()), n) for kind, n in sorted(every.items())]
    return _table(("kind", "mask", *sources, "all"), rows)


def _by_name(table: Mapping | None, name: str) -> _Html | None:
    """A table of name -> numbers and words."""
    if not table:
        return None
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    return _table((name, *columns), [(key, *(row.get(column) for column in columns)) for key, row in table.items()])
