"""Normalises the texts of documents as they are read, so that every later stage judges, compares,
counts and keeps the same characters.

In order: text that was decoded wrongly is mended, markup is stripped if the source asks for it, all
line ends become \\n, characters that nobody sees are dropped, the text becomes NFC, and lines of
blank letters become empty. Every step takes linear time.
"""

import dataclasses
import html as html_entities
import re
import unicodedata
from collections.abc import Collection, Iterator

from hclx.corpus.trailing_lines import remove_trailing_lines
from hclx.text.decoding import BLANK_LETTERS, JOINERS, UNSEEN
from hclx.text.records import Document, Unreadable

_LINE_ENDS = "\r\x0b\x0c\x85\u2028\u2029"
_LINE_END = re.compile(f"\r\n|[{_LINE_ENDS}]")

# The scripts of Arabic, of India and of South East Asia spell with joiners, and so do sequences of
# emoji; elsewhere a joiner is not seen.
_SPELT = "\u0600-\u08ff\u0900-\u109f\u1780-\u18af\ua800-\uaaff\U00011000-\U00011fff"
_EMOJI = "\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f"
_EMOJI += "\U0001f000-\U0001faff\U000e0020-\U000e007f"
_MONGOLIAN = "\u1820-\u18aa"  # whose last vowel may stand apart, behind U+180E
_DROPPED = re.compile(
    f"(?!(?<=[{_MONGOLIAN}])\u180e)[{UNSEEN}]|(?<![{_SPELT}{_EMOJI}])\u200d"
    f"|(?<=[{_EMOJI}])\u200d(?![{_EMOJI}])"
    f"|(?<![{_SPELT}])\u200c"
)
_BLANK = re.compile(f"(?m)^[^\\S\n]*[{BLANK_LETTERS}][\\s{BLANK_LETTERS}]*?$")
# Each step with the characters without which it changes nothing: a search for single characters is
# an order of magnitude faster than a replacement.
_STEPS = (
    (re.compile(f"[{_LINE_ENDS}]"), _LINE_END, "\n"),
    (re.compile(f"[{UNSEEN}{JOINERS}]"), _DROPPED, ""),
    (re.compile(f"[{BLANK_LETTERS}]"), _BLANK, ""),
)

# What UTF-8 looks like where it was read as Latin-1 or CP1252, EUC-KR where it was read as Latin-1,
# and what a decoder leaves in place of bytes that it cannot read. A letter such as the first of
# "XÃ HỘI", or in "SÃO", is none.
_NEXT = "\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac"
_NEXT += "\u2122"
# The pattern begins with one set of characters, because such a search is several times as fast as
# one for alternatives; behind it, each alternative looks back at the character.
MOJIBAKE = re.compile(
    "[\ufffd\xb0-\xc8\xe1-\xf0](?:(?<=\ufffd)|(?<=[\xc2\xc3])[\x80-\xbf]"
    f"|(?<=[\xe1-\xef])(?![\u2013-\u203a]{{2}})[{_NEXT}][{_NEXT} ]"
    f"|(?<=\xf0)[{_NEXT}]{{3}}"
    "|(?<=[\xb0-\xc8])[\xa1-\xfe](?:[\xb0-\xc8][\xa1-\xfe])+)"
)
# The byte A0 of a syllable becomes a common space where no-break spaces were replaced.
_LOST_BYTE = re.compile(f"(?<=[\xea-\xed][{_NEXT}]) |(?<=[\xea-\xed]) (?=[{_NEXT}])")
_HIGH_CHARS = "\xb0-\xb6\xb8-\xd6\xd8-\xf0\ufffd"  # without · and ×, which are common
_HIGH = re.compile(f"[{_HIGH_CHARS}]")
# Without one of these a text needs nothing but NFC; most texts have none.
_SPECIAL = re.compile(f"[{_LINE_ENDS}{UNSEEN}{JOINERS}{BLANK_LETTERS}{_HIGH_CHARS}]")

_NAMES = frozenset(
    "a abbr address article aside audio b big blockquote body br button canvas caption center cite"
    " code col colgroup dd del details dfn div dl dt em embed fieldset figcaption figure font"
    " footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html i iframe img input ins kbd"
    " label legend li link main map mark meta nav noscript object ol option p param picture pre q"
    " ref rp rt ruby s samp script section select small source span strike strong style sub summary"
    " sup svg table tbody td template textarea tfoot th thead time title tr tt u ul var video"
    " wbr".split()
)
_LINES = frozenset(
    "address article aside blockquote br caption center dd details div dl dt fieldset figcaption"
    " figure footer form h1 h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section"
    " summary table tbody tfoot thead title tr ul".split()
)  # elements that begin and end lines
_UNREAD = ("script", "style", "template", "svg")  # elements whose content is no text
# A quoted value may hold < and >. Its quotation mark follows a =, so that a tag which lacks one
# ends where it seems to. Of attempts that begin at several < no more than three are within
# different quotes, and the others end at the next <, so that no text is read many times.
_NAME = "[A-Za-z][A-Za-z0-9]*(?:[:-][A-Za-z0-9]+)*"
_VALUE = "(?<==)\"[^\"]{0,2000}+\"|(?<==)'[^']{0,2000}+'"
_MARKUP = re.compile(
    r"<!--|<!(?i:DOCTYPE|ELEMENT|ATTLIST|ENTITY|NOTATION)\b[^<>]*>"
    rf"|<!\[(?:if|endif)\b[^<>]*>|<\?php|<\?xml[^<>]*>|<(/?)({_NAME})(?=[\s/>])"
    rf"(?:(?:[^<>\"']++|{_VALUE})*+>|[^<>]*>)"
)
_MARKUP_OF_FEEDS = re.compile(rf"{_MARKUP.pattern}|<!\[CDATA\[|\]\]>")
# What begins with the head of a page, and goes on with a tag; comments may stand before both.
_COMMENTS = r"\s*+(?:<!--(?>(?s:.*?)-->)\s*+)*+"
_PAGE = re.compile(
    rf"{_COMMENTS}(?:<\?xml[^<>]*>{_COMMENTS})?+<(?i:!DOCTYPE\s+html|html|head|body|frameset)\b"
    rf"[^<>]*>({_COMMENTS}<[A-Za-z])?"
)
_PAGE_END = re.compile(r"</(?:html|body)\s*>\s*$", re.IGNORECASE)
_TITLE = re.compile(r"<title\b[^<>]*>([^<]*)</title\b", re.IGNORECASE)
_PREFORMATTED = re.compile(r"<(?:pre|textarea)\b", re.IGNORECASE)
_ATTRIBUTE = re.compile("=[\"']")
_CLOSED = re.compile(rf"</({_NAME})\s*>")
_ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPED_TAG = re.compile("&lt;/?[a-z][a-z0-9]*(?: [^&<>]*=[^&<>]*)? ?/?&gt;")
_ESCAPES = ("&lt;", "&gt;", "&amp;", "&quot;")
_BRACKETS = re.compile(r"\([ \t,;·/]*\)|（[ \t,;·/]*）")


def normalize_text(text: str, html: str = "keep", empty_brackets: str = "keep") -> str:
    """Returns a text as every stage sees it.

    Args:
      text: as it was read.
      html: "strip" removes tags, comments and scripts, and replaces entities by the characters that
        they denote; "keep" leaves all of them.
      empty_brackets: "remove" removes brackets that hold nothing but spaces and commas, which
        WikiExtractor leaves in place of templates; "keep" leaves them.
    Returns:
      The text in NFC. Its line ends are \\n; it holds no soft hyphens, zero-width spaces, marks of
      direction or byte order marks, and joiners only in emoji and in scripts that need them.
    """
    if html == "strip":
        text = strip_html(mend_encoding(text))
    if _SPECIAL.search(text):
        # The line end U+0085 and the soft hyphen are also parts of text that was decoded wrongly.
        text = mend_encoding(text)
        for has, pattern, replacement in _STEPS:
            if has.search(text):
                text = pattern.sub(replacement, text)
    if empty_brackets == "remove":
        text = _remove_empty_brackets(text)
    return unicodedata.normalize("NFC", text)


def _remove_empty_brackets(text: str) -> str:
    """Returns a text without empty brackets and the spaces before them.

    An empty pair directly behind a small letter or digit stays: it is a function's, as in `main()`.
    """
    parts, position = [], 0
    for match in _BRACKETS.finditer(text):
        before = text[position : match.start()]
        is_function = match[0] == "()" and re.fullmatch("[a-z0-9_]", before[-1:])
        parts.append(before + "()" if is_function else before.rstrip(" \t"))
        position = match.end()
    return "".join([*parts, text[position:]])


def normalize_document(
    document: Document, html: str = "keep", empty_brackets: str = "keep"
) -> Document | Unreadable:
    """Returns a document with its text and title normalised and without the lines below a news
    article, or Unreadable if no text is left.

    Args:
      document: as it was read.
      html, empty_brackets: see `normalize_text`.
    """
    text = remove_trailing_lines(normalize_text(document.text, html, empty_brackets))
    if not text.strip():
        return Unreadable(document.line, "no text")
    title = document.title and normalize_text(document.title, html, empty_brackets)
    if html == "strip" and not title:
        title = normalize_text(page_title(document.text))
    if (text, title) == (document.text, document.title):
        return document
    return dataclasses.replace(document, text=text, title=title)


def mend_encoding(text: str) -> str:
    """Returns a text in which lines that were decoded wrongly are decoded again, where ftfy can."""
    if not _HIGH.search(text) or not MOJIBAKE.search(text):
        return text
    return "\n".join(_mend_line(line) if _HIGH.search(line) else line for line in text.split("\n"))


def _mend_line(line: str) -> str:
    import ftfy

    signs = len(MOJIBAKE.findall(line))
    return ftfy.fix_encoding(_LOST_BYTE.sub("\xa0", line) if signs > 1 else line) if signs else line


def count_mojibake(text: str) -> int:
    """Counts the places of a text that show that it was decoded wrongly."""
    return len(MOJIBAKE.findall(text)) if _HIGH.search(text) else 0


def is_html_page(text: str) -> bool:
    """Returns whether a text is a whole page of HTML: it begins with the head of one and another
    tag, or ends as one. A text about `<html>` and `<body>` does neither.
    """
    if not (begin := _PAGE.match(text)):
        return False
    goes_on = begin[1] and ("</" in text or _ATTRIBUTE.search(text))
    return bool(goes_on or _PAGE_END.search(text[-100:]))


def count_html(text: str) -> tuple[int, int, int]:
    """Counts the tags of HTML, its entities, and the characters of markup.

    `<` and `&` count only where a tag, or an entity with its semicolon, begins; for what is a tag
    see `strip_html`. Comments and what stands between the tags of scripts and styles are markup
    too, and escaped tags count as tags. The entities of single characters that every escaped text
    has, as in `&lt;제목&gt;`, are no characters of markup.
    """
    if "<" not in text and "&" not in text:
        return 0, 0, 0
    tags = entities = chars = 0
    for start, end, _ in _find_markup(text, is_html_page(text)):
        tags, chars = tags + 1, chars + end - start
    if "&" in text:
        for match in _ESCAPED_TAG.finditer(text):
            tags, chars = tags + 1, chars + len(match[0])
        for match in _ENTITY.finditer(text):
            entities += 1
            chars += 0 if match[0] in _ESCAPES else len(match[0])
    return tags, entities, min(chars, len(text))


def strip_html(text: str) -> str:
    """Returns a text without the markup of HTML, and with its entities replaced by their
    characters.

    Markup is declarations, comments, scripts, styles and tags. A tag has a name of HTML, or one
    that the text closes (`</name>`), or an attribute; in a whole page every name is one. So
    `a < b`, `<제목>` and `List<T>` stay. Elements such as p, br and li end a line, cells of tables
    are set apart by a space, and of several blank lines that are left one stays. Lines are trimmed,
    on the left only without `<pre>`, and no line end is left at the ends. The title in the head of
    a whole page is none of its text, see `page_title`.
    """
    parts, position = [], 0
    is_page = is_html_page(text)
    unread = (*_UNREAD, "title") if is_page else _UNREAD
    for start, end, replacement in _find_markup(text, is_page, unread):
        parts += [text[position:start], replacement]
        position = end
    result = _ENTITY.sub(_character, "".join([*parts, text[position:]]))
    if result == text:
        return text
    # Spaces at the beginning of a line are those of the markup, but for preformatted text.
    trim = str.rstrip if not parts or _PREFORMATTED.search(text) else str.strip
    lines = [trim(line) for line in result.split("\n")]
    kept = [line for i, line in enumerate(lines) if line or not parts or i and lines[i - 1]]
    return "\n".join(kept).strip("\n")


def page_title(text: str) -> str:
    """Returns the title in the head of a whole page of HTML, in one line; "" elsewhere."""
    if "<" not in text or not is_html_page(text) or not (match := _TITLE.search(text)):
        return ""
    return " ".join(_ENTITY.sub(_character, match[1]).split())


def _find_markup(
    text: str, is_page: bool, unread: Collection[str] = _UNREAD
) -> Iterator[tuple[int, int, str]]:
    """Yields the start and end of all markup of a text, in order, and what replaces it; of the
    elements `unread` the content is markup, too.
    """
    if "<" not in text:
        return
    closed = {name.lower() for name in _CLOSED.findall(text)}
    pattern = _MARKUP_OF_FEEDS if "<![CDATA[" in text else _MARKUP
    position, endless = 0, set()
    while match := pattern.search(text, position):
        start, position = match.span()
        name = (match[2] or "").lower()
        is_known = not name or is_page or name in _NAMES or name in closed
        if not is_known and not _ATTRIBUTE.search(match[0]):
            position = start + 1
            continue
        end = {"<!--": "-->", "<?php": "?>"}.get(match[0], "")
        if name in unread and not match[1] and not match[0].endswith("/>"):
            end = f"</{name}"
        if end and end not in endless:
            begin = position - 2 if end == "-->" else position  # <!--> is a comment
            if closing := re.compile(re.escape(end), re.IGNORECASE).search(text, begin):
                position = closing.start() if name else closing.end()
            else:
                endless.add(end)  # so that a text of many open comments is not read once for each
        yield start, position, "\n" if name in _LINES else " " if name in ("td", "th") else ""


def _character(entity: re.Match) -> str:
    return html_entities.unescape(entity[0]).replace("\xa0", " ")
