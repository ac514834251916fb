"""Finds and masks personal data (PII) in Korean text.

An item is detected by its pattern, then by the words around it, then by its check digits if every
valid number of its kind has them (resident numbers issued since October 2020 have none). Dates,
prices, law articles, version numbers, numbers of documents and companies in the shape of an item
are not masked, and neither are service numbers (1588-0000) and the particles that follow an item.

To add a kind, write its rules in a module of this package, name them in `RULES`, and give the kind
a placeholder. A kind whose items hold fewer than seven digits and no @ also needs a pattern in
`_CANDIDATES`.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np

from hclx.text.pii.contacts import ADDRESS_RULES, EMAIL_RULES, PHONE_RULES
from hclx.text.pii.context import NEAR, Candidate
from hclx.text.pii.payment_numbers import ACCOUNT_RULES, BUSINESS_RULES, CARD_RULES
from hclx.text.pii.plain_text import HYPHENS, MIDDLE_DOTS, SLASHES, SPACES, plain, visible
from hclx.text.pii.registration_numbers import LICENCE_RULES, PASSPORT_RULES, RESIDENT_RULES
from hclx.text.spans import replace_spans

PLACEHOLDERS = {
    "rrn": "<주민등록번호>",
    "frn": "<외국인등록번호>",
    "driver": "<운전면허번호>",
    "passport": "<여권번호>",
    "card": "<카드번호>",
    "brn": "<사업자등록번호>",
    "phone": "<전화번호>",
    "account": "<계좌번호>",
    "email": "<이메일>",
    "ip": "<IP주소>",
}
KINDS = tuple(PLACEHOLDERS)
# Published accuracy: F1 of all kinds, with exact kind and place, in the first run on each of three
# sets of labelled Korean texts (tests/text/pii_cases.txt). Their authors had not seen the rules,
# which were improved after each run; so the last run is the figure for unseen text.
ACCURACY = {
    "measured": "2026-11-22",
    "first_runs": [
        {"texts": 841, "items": 465, "f1": 0.975},
        {"texts": 408, "items": 263, "f1": 0.947},
        {"texts": 240, "items": 146, "f1": 0.980},
    ],
}

# In order of precedence: characters of an earlier item belong to no other.
RULES = (
    *EMAIL_RULES,
    *RESIDENT_RULES,
    *LICENCE_RULES,
    *CARD_RULES,
    *PHONE_RULES,
    *BUSINESS_RULES,
    *ACCOUNT_RULES,
    *PASSPORT_RULES,
    *ADDRESS_RULES,
)
_COMPILED = tuple((rule.kind, re.compile(rule.pattern), rule.holds) for rule in RULES)

# Every item contains one of these: digits with separators, signs of an e-mail address, a passport
# number with a letter. Python's `re` finds patterns that begin with a character ten times as fast
# as those that begin with a set of characters, and alternatives are slower still.
_SEPARATORS = (
    "[" + re.escape(f"{SPACES}{HYPHENS}{MIDDLE_DOTS}{SLASHES}.()_~－．／（）＿～") + "]{0,4}"
)
_CANDIDATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"[0-9](?:(?:{_SEPARATORS}[0-9]){{6,}}|\.[0-9]{{1,3}}\.[0-9]{{1,3}}\.[0-9])",
        rf"[０-９](?:{_SEPARATORS}[０-９]){{6,}}",
        *("@", "＠", "골뱅이", "dot "),
        *(rf"{at} ?[)\]}}>]" for at in ("at", "At", "AT", "앳", "엣")),
        *(rf"{letter}[ -]?[0-9]{{3}}[ -]?[A-Za-z][ -]?[0-9]{{4}}" for letter in "Mm"),
        r"2[0-9a-fA-F]{3}:[0-9a-fA-F:]*",
    )
)
# The most characters of digits and separators that are no candidate and may become a part of it.
_UNFINISHED = 6 * (1 + 4)
# Dates are no items, and statutes are full of them.
_DATES = re.compile(r"[12][0-9]{3}\. ?[0-9]{1,2}\. ?[0-9]{1,2}")


@dataclasses.dataclass(frozen=True)
class Span:
    """An item: its kind, and its characters [start, end) in the text.

    The kinds are rrn (resident number), frn (foreigner number), driver (licence), passport, card
    (payment card), brn (business number), phone, account (bank account), email and ip.
    """

    kind: str
    start: int
    end: int


def _candidates(text: str) -> Iterator[re.Match]:
    return (match for pattern in _CANDIDATES for match in pattern.finditer(text))


def _windows(text: str) -> list[tuple[int, int]]:
    """Ranges of characters that can contain items: candidates with their surroundings in the same
    line, merged if they overlap.
    """
    windows: list[tuple[int, int]] = []
    for first, last in sorted(
        match.span() for match in _candidates(text) if not _DATES.fullmatch(match[0])
    ):
        start, end = max(0, first - NEAR), min(len(text), last + NEAR)
        start = text.rfind("\n", start, first) + 1 or start
        line_end = text.find("\n", last, end)
        end = end if line_end < 0 else line_end
        if windows and start <= windows[-1][1]:
            windows[-1] = windows[-1][0], max(end, windows[-1][1])
        else:
            windows.append((start, end))
    return windows


def _items(line: str) -> Iterator[Span]:
    """Items of a part of a line in plain characters; none overlaps another."""
    taken = bytearray(len(line))
    for kind, pattern, holds in _COMPILED:
        for match in pattern.finditer(line):
            first, last = match.span()
            if not any(taken[first:last]) and holds(Candidate(line, first, last)):
                yield Span(kind, first, last)
                taken[first:last] = b"\1" * (last - first)


def find_pii(text: str) -> list[Span]:
    """Finds the personal data of a text.

    Characters that cannot be seen, such as zero-width spaces, do not hide an item: those between
    its characters are part of it. Hangul may be composed (NFC) or not (NFD).

    Returns:
      Items in the order of the text; none overlaps another; [] if there is none. Their places are
      those in `text`.
    """
    seen, starts, ends = visible(text)
    spans = [
        Span(span.kind, starts[start + span.start], ends[start + span.end - 1])
        for start, end in _windows(seen)
        for span in _items(plain(seen[start:end]))
    ]
    return sorted(spans, key=lambda span: span.start)


def has_candidate(seen: str) -> bool:
    """Returns whether characters, as `visible` shows them, may contain an item."""
    return any(pattern.search(seen) for pattern in _CANDIDATES)


def settled_length(seen: str) -> int:
    """Returns how many characters of a line that is not at its end have the items that they will
    have, whatever follows: no range in which items are looked for is open there, nor will be.

    Args:
      seen: the characters, as `visible` shows them.
    """
    ranges = [*_windows(seen), *(match.span() for match in _candidates(seen))]
    length, before = len(seen) - NEAR - _UNFINISHED - 1, None
    while length != before:
        before = length
        length = min((start for start, end in ranges if start < length <= end), default=length)
    return max(0, length)


def candidate_rows(texts: Sequence[str]) -> list[int]:
    """Ascending indices of the texts that may contain an item; the others contain none. All
    texts are searched as one string, because most of them are short.
    """
    texts = [visible(text)[0] for text in texts]
    whole = "\n".join(texts)
    ends = np.cumsum([len(text) + 1 for text in texts])
    starts = [match.start() for pattern in _CANDIDATES for match in pattern.finditer(whole)]
    return np.unique(np.searchsorted(ends, starts, "right")).tolist()


def mask_pii(text: str, spans: list[Span]) -> str:
    """Replaces each span of personal data by the placeholder of its kind, such as <전화번호>,
    and returns the text.

    Args:
      spans: sorted by start, and none overlaps another, as `find_pii` returns them.
    """
    return replace_spans(text, [(span.start, span.end, PLACEHOLDERS[span.kind]) for span in spans])


def masked(text: str) -> str:
    """Returns a text with its personal data, see `find_pii`, replaced by placeholders, such as
    <전화번호>.
    """
    return mask_pii(text, find_pii(text))
