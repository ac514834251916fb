"""An HTML page from text: elements, numbers and tables, in one file without scripts.

What is on a page may come from anywhere, so nothing reaches it but through `tag`, which escapes
text and attributes.
"""

import html
import re
from collections.abc import Iterable, Sequence

from hclx.corpus.stats import number

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
th{font-weight:600;color:var(--soft)}th.n,td.n{text-align:right}td.n{white-space:nowrap}td{word-break:keep-all}.whole{white-space:nowrap}th{vertical-align:bottom}tr.sum td{font-weight:600}
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
"""


class Html(str):
    """Text that is HTML already."""


class Right(str):
    """Text that stands at the right of its cell, as numbers do."""


def tag(name: str, *children: str, **attributes) -> Html:
    """An element; text in it is escaped. `class_` and `stroke_width` are written as `class` and
    `stroke-width`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    inside = "".join(child if isinstance(child, Html) else _escaped(child) for child in children)
    return Html(f"<{name}{given}>{inside}</{name}>")


def _escaped(text: str) -> str:
    return html.escape(_INVISIBLE.sub(lambda found: chr(0x2400 + ord(found[0]) % 0x5E), text))


def joined(items: Iterable[str]) -> Html:
    """Elements, one after the other."""
    return Html("".join(items))


def size(n_bytes: int) -> str:
    """A number of bytes as it is read: 12.3 MB."""
    value, unit = float(n_bytes), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.5 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def share(part: float, whole: float) -> Right:
    """A share in percent, as it is read."""
    text = f"{100 * part / whole:.1f}%" if whole else "–"
    return Right("< 0.1%" if part and text == "0.0%" else text)


def table(head: Sequence[str], rows: Sequence[Sequence], sums: bool = False) -> Html:
    """A table; numbers are at the right, None is a dash.

    Args:
      sums: the last row adds up the others.
    """

    def cell(value, name="td"):
        right = isinstance(value, (int, float, Right))
        text = value if isinstance(value, str) else "–" if value is None else number(value)
        return tag(name, text, class_="n") if right else tag(name, text)

    first = rows[0] if rows else head
    top = joined(
        cell(Right(name) if isinstance(value, (int, float, Right)) else name, "th")
        for name, value in zip(head, first)
    )
    body = [joined(map(cell, row)) for row in rows]
    lines = [
        tag("tr", row, class_="sum") if sums and i == len(body) - 1 else tag("tr", row)
        for i, row in enumerate(body)
    ]
    return tag(
        "div", tag("table", tag("thead", tag("tr", top)), tag("tbody", *lines)), class_="wide"
    )


def document(title: str, *body: str, colors: Sequence[str]) -> str:
    """A whole page.

    Args:
      colors: the classes of elements that have a colour of their own, of those in the style above.
    """
    style = _STYLE + "".join(
        f".{name}{{fill:var(--{name});border-color:var(--{name})}}" for name in colors
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport"'
        f' content="width=device-width,initial-scale=1">{tag("title", title)}'
    )
    return (
        "<!DOCTYPE html>\n<html"
        f' lang="en"><head>{head}<style>{style}</style></head>\n{tag("body", tag("h1", title), *body)}</html>\n'
    )
