"""Finds and masks personal data (PII) in Korean text.

An item is detected by its pattern, then by the words around it, then by its check digits if every
valid number of its kind has them (resident numbers issued since October 2020 have none). Dates,
prices, law articles, version numbers and company registrations in the shape of a resident number
are not masked, and neither are the particles that follow an item.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Sequence

import numpy as np

from hclx.corpus.spans import replace_spans

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
# sets of labelled Korean texts (tests/corpus/pii_cases.txt). Their authors had not seen the rules,
# which were improved after each run; so the last run is the figure for unseen text.
ACCURACY = {
    "measured": "2026-11-22",
    "first_runs": [
        {"texts": 841, "items": 465, "f1": 0.975},
        {"texts": 408, "items": 263, "f1": 0.947},
        {"texts": 240, "items": 146, "f1": 0.980},
    ],
}

# Characters around a candidate that can belong to it: the local part of an address, a keyword.
_NEAR = 70
# Every item of the kinds below contains one of these: digits with separators, signs of an e-mail
# address, a passport number. Each pattern begins with one character or one set of characters, which
# Python's `re` finds several times as fast as alternatives.
_CANDIDATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"[0-9](?:(?:[ .()\-–—‐−－ㅡ．]{0,3}[0-9]){6,}|\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9])",
        r"[０-９](?:[ .()\-–—‐−－ㅡ．]{0,3}[０-９]){6,}",
        r"[@＠]",
        r"골뱅이",
        r"[(\[{] ?(?:at|AT|앳) ?[)\]}]",
        r"[A-Z][0-9]{3}[A-Z0-9][0-9]{3}",
        r"2[0-9a-fA-F]{3}:[0-9a-fA-F:]*",
    )
)
# Other forms of digits and separators; each is one character, so that offsets do not change.
_TYPED, _MEANT = "０１２３４５６７８９–—‐−－ㅡ．", "0123456789------."
_UNUSUAL, _PLAIN = re.compile(f"[{_TYPED}]"), str.maketrans(_TYPED, _MEANT)
# Dates are no items, and statutes are full of them.
_DATES = re.compile(r"[12][0-9]{3}\. ?[0-9]{1,2}\. ?[0-9]{1,2}")
_FREE = r"(?<![0-9A-Za-z])(?<![0-9][-.,:])"  # no part of a longer number before it
_CLOSED = r"(?![0-9])(?![-.,:][0-9])"  # nor after it
_DATE6 = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_BANKS = (
    "국민은행|신한은행|우리은행|하나은행|기업은행|농협|수협|신협|새마을금고|우체국|산업은행|제일은행|씨티은행|카카오뱅크|토스뱅크|케이뱅크|"
    "대구은행|부산은행|광주은행|전북은행|경남은행|제주은행|국민|신한|우리|하나|기업|카뱅|토스|은행|뱅크"
)
_ACCOUNT_WORDS = re.compile(rf"(?:계좌|입금|송금|이체|예금주|통장|{_BANKS})[^0-9\n]{{0,15}}$")
_BANK_AFTER = re.compile(rf"^ ?[(\[/] ?(?:{_BANKS}|예금주)")
_UNIT_AFTER = re.compile(
    r"^ ?(?:원|달러|불|엔|유로|만|억|조|%|퍼센트|건|명(?!의)|개|주\b|년|월|일|호|번지|페이지|쪽"
    r"|위|배|톤|kg|km|㎡|번째)"
)
_COMPANY_BEFORE = re.compile(r"(?:법인|등기)[^0-9\n]{0,12}$")
_RRN_BEFORE = re.compile(r"(?:주민|등록번호|주번|민번|RRN|외국인)[^0-9\n]{0,12}$")
_OTHER_NUMBER_BEFORE = re.compile(
    r"(?:접수|주문|예약|송장|관리|문서|사건|견적|계약|거래|승인|상품|고객|회원|발주|일련)번호[^0-9\n]{0,4}$"
)
_LICENCE_BEFORE = re.compile(r"면허[^0-9\n]{0,14}$")
_BUSINESS_BEFORE = re.compile(r"사업자[^0-9\n]{0,12}$")
# One keyword is enough for a list of passports, hence the 40 characters.
_PASSPORT_BEFORE = re.compile(
    r"(?:여권|[Pp]assport|PASSPORT)[^\n]{0,40}$|[A-Z]{2,}/[A-Z]{2,}[ ,]{1,3}$"
)
_VERSION_BEFORE = re.compile(
    r"(?:버전|버젼|판올림|펌웨어|빌드|릴리스|[Vv]ersion|[Vv]er\.?|\b[Vv]|[Rr]elease|[Bb]uild|제|§)["
    r" :]{0,2}$"
)
_TIME = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]"
    r"|2[0-3])[0-5][0-9](?:[0-5][0-9])?"
)
_FILE_SUFFIXES = frozenset(
    "png jpg jpeg gif webp svg bmp ico css js ts py html htm pdf mp3 mp4 zip".split()
)
_SECTION_AFTER = re.compile(r"^(?:[.)] | ?(?:절|항|장))")  # 1.2.3.4 as the number of a section
_REGIONS = "서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산"


@dataclasses.dataclass(frozen=True)
class Span:
    """An item: its kind, and its characters [start, end) in the text.

    The kinds are rrn (resident number), frn (foreigner number), driver (licence), passport, card
    (payment card), brn (business number), phone, account (bank account), email and ip.
    """

    kind: str
    start: int
    end: int


def digits_of(text: str) -> str:
    """ASCII digits of a text, in order; all other characters are left out."""
    return "".join(char for char in text if "0" <= char <= "9")


def is_luhn(digits: str) -> bool:
    """Returns whether the last digit is the check digit of the others (ISO/IEC 7812-1).

    Args:
      digits: one or more ASCII digits, see `digits_of`.
    """
    doubled = [int(d) * 2 if i % 2 else int(d) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def is_business_number(digits: str) -> bool:
    """Returns whether ten digits have the check digit of a Korean business registration number.

    Args:
      digits: exactly ten ASCII digits, see `digits_of`.
    """
    total = (
        sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5)))
        + int(digits[8]) * 5 // 10
    )
    return (10 - total % 10) % 10 == int(digits[9])


def is_resident_number(digits: str) -> bool:
    """Returns whether thirteen digits have the check digit of a resident or foreigner registration
    number issued before October 2020.
    Args:
      digits: exactly thirteen ASCII digits, see `digits_of`.
    """
    total = sum(int(d) * w for d, w in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)))
    offset = 13 if digits[6] in "5678" else 11
    return (offset - total % 11) % 10 == int(digits[12])


def _before(match: re.Match) -> str:
    return match.string[max(0, match.start() - _NEAR) : match.start()]


def _after(keyword: re.Pattern) -> Callable[[re.Match], bool]:
    return lambda match: bool(keyword.search(_before(match)))


def _resident(match: re.Match) -> bool:
    before = _before(match)
    if _COMPANY_BEFORE.search(before):
        return False
    digits = digits_of(match[0])
    if _RRN_BEFORE.search(before):
        return True
    if _OTHER_NUMBER_BEFORE.search(before):  # a date and a counter
        return is_resident_number(digits)
    if len(match[0]) > 13:
        return True
    # Thirteen digits without a hyphen are often a bar code.
    return is_resident_number(digits) or (digits[6] in "3478" and 20 <= int(digits[:2]) <= 35)


def _card(match: re.Match) -> bool:
    return is_luhn(digits_of(match[0])) and len(set(digits_of(match[0]))) > 1


def _account(match: re.Match) -> bool:
    text, digits = match.string, digits_of(match[0])
    if (
        not 10 <= len(digits) <= 14
        or _TIME.fullmatch(match[0])
        or _UNIT_AFTER.match(text[match.end() : match.end() + 8])
    ):
        return False
    before = _before(match)
    return bool(
        _ACCOUNT_WORDS.search(before) or _BANK_AFTER.match(text[match.end() : match.end() + 12])
    )


def _passport(match: re.Match) -> bool:
    # The pattern of passports issued since December 2021 occurs nowhere else.
    if match[0][0] == "M" and match[0][4].isalpha():
        return True
    return _after(_PASSPORT_BEFORE)(match)


def _business(match: re.Match) -> bool:
    return is_business_number(digits_of(match[0])) and (
        not match[0].isdigit() or _after(_BUSINESS_BEFORE)(match)
    )


def _phone(match: re.Match) -> bool:
    text, digits = match.string, digits_of(match[0])
    if digits.endswith("00000000") or (
        text[match.start() - 1 : match.start()],
        text[match.end() : match.end() + 1],
    ) == ("제", "호"):
        return False  # a template such as 010-0000-0000, or the number of a certificate
    if match[0].isdigit() and digits.startswith("010") and len(digits) < 11:
        return False
    return not match[0].isdigit() or not _UNIT_AFTER.match(
        match.string[match.end() : match.end() + 8]
    )


def _address(match: re.Match) -> bool:
    """Returns whether an IP address is public; private addresses, versions and section numbers
    identify nobody.
    """
    if "." in match[0] and _VERSION_BEFORE.search(_before(match)):
        return False
    if (
        _SECTION_AFTER.match(match.string[match.end() : match.end() + 4])
        and match.string[match.start() - 1 : match.start()] != "("
    ):
        return False
    around = (
        match.string[match.start() - 1 : match.start()],
        match.string[match.end() : match.end() + 1],
    )
    if len(match[0]) == 7 and around in (("", " "), ("\n", " ")):
        return False  # a heading: 3.2.1.4
    try:
        return ipaddress.ip_address(match[0]).is_global
    except ValueError:
        return False


def _email(match: re.Match) -> bool:
    return match[0].rsplit(".", 1)[-1].lower() not in _FILE_SUFFIXES  # logo@2x.png


def _always(match: re.Match) -> bool:
    return True


# (kind, pattern, check), in order of precedence: characters of an earlier item belong to no other.
_RULES: tuple[tuple[str, str, Callable[[re.Match], bool]], ...] = (
    ("rrn", rf"{_FREE}{_DATE6} ?[-–]? ?[012349][0-9]{{6}}{_CLOSED}", _resident),
    ("frn", rf"{_FREE}{_DATE6} ?[-–]? ?[5678][0-9]{{6}}{_CLOSED}", _resident),
    (
        "driver",
        rf"{_FREE}(?:1[1-9]|2[0-8])[- ][0-9]{{2}}[- ][0-9]{{6}}[- ][0-9]{{2}}{_CLOSED}",
        _always,
    ),
    ("driver", rf"{_FREE}(?:1[1-9]|2[0-8])[0-9]{{10}}{_CLOSED}", _after(_LICENCE_BEFORE)),
    ("driver", rf"(?:{_REGIONS})[- ]?[0-9]{{2}}-[0-9]{{6}}-[0-9]{{2}}{_CLOSED}", _always),
    ("card", rf"{_FREE}[3-69][0-9]{{3}}([-. ]?)[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{4}}{_CLOSED}", _card),
    ("card", rf"{_FREE}3[47][0-9]{{2}}([- ]?)[0-9]{{6}}\1[0-9]{{5}}{_CLOSED}", _card),
    (
        "phone",
        (
            rf"{_FREE}(?:\(\+82\)|\+ ?82|0082|82)[ -]?\(?0?\)?1[016789][-. ]?[0-9]{{3,4}}[-."
            rf" ]?[0-9]{{4}}{_CLOSED}"
        ),
        _always,
    ),
    (
        "phone",
        (
            rf"{_FREE}(?:\+ ?82|0082)[ -]?\(?0?\)?(?:2|[3-6][1-5]|70|50[0-9])[-. ][0-9]{{3,4}}[-."
            rf" ][0-9]{{4}}{_CLOSED}"
        ),
        _always,
    ),
    (
        "phone",
        (
            r"(?<![0-9A-Za-z])\(0(?:1[016789]|2|[3-6][1-5]|70|50[0-9])\) ?[0-9]{3,4}[-."
            rf" ][0-9]{{4}}{_CLOSED}"
        ),
        _always,
    ),
    (
        "phone",
        rf"{_FREE}01[016789][-. )]{{0,2}}[0-9]{{3,4}}[-. ]{{0,2}}[0-9]{{4}}{_CLOSED}",
        _phone,
    ),
    (
        "phone",
        rf"{_FREE}0(?:2|[3-6][1-5]|70|50[0-9])(?:[-. ]|\) ?)[0-9]{{3,4}}[-. ][0-9]{{4}}{_CLOSED}",
        _phone,
    ),
    ("brn", rf"{_FREE}[1-9][0-9]{{2}}( - |[- ]?)[0-9]{{2}}\1[0-9]{{5}}{_CLOSED}", _business),
    (
        "account",
        rf"{_FREE}(?:[0-9]{{2,6}}(?:[- ][0-9]{{1,8}}){{1,4}}|[0-9]{{10,14}}){_CLOSED}",
        _account,
    ),
    (
        "passport",
        r"(?<![0-9A-Za-z])(?:M[0-9]{3}[A-Z][0-9]{4}|[MSRODGm][0-9]{8}|[A-Z]{2}[0-9]{7})"
        r"(?![0-9A-Za-z])",
        _passport,
    ),
    (
        "email",
        r"(?<![A-Za-z0-9._%+*-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63} ?(?:[@＠]|[(\[{] ?(?:at|AT|앳)"
        r" ?[)\]}]|골뱅이) ?"
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,5}[A-Za-z]{2,18}(?![A-Za-z0-9@])",
        _email,
    ),
    ("ip", r"(?<![0-9A-Za-z.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z])(?!\.[0-9])", _address),
    ("ip", r"(?<![0-9A-Za-z:])2[0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}(?![0-9A-Za-z:])", _address),
)
_COMPILED = tuple((kind, re.compile(pattern), check) for kind, pattern, check in _RULES)


def _windows(text: str) -> list[tuple[int, int]]:
    """Ranges of characters that can contain items: candidates with their surroundings, merged if
    they overlap.
    """
    windows: list[tuple[int, int]] = []
    candidates = (match for pattern in _CANDIDATES for match in pattern.finditer(text))
    for first, last in sorted(
        match.span() for match in candidates if not _DATES.fullmatch(match[0])
    ):
        start, end = max(0, first - _NEAR), min(len(text), last + _NEAR)
        if windows and start <= windows[-1][1]:
            windows[-1] = windows[-1][0], max(end, windows[-1][1])
        else:
            windows.append((start, end))
    return windows


def find_pii(text: str) -> list[Span]:
    """Finds the personal data of a text.

    Returns:
      Items in the order of the text; none overlaps another; [] if there is none.
    """
    windows = _windows(text)
    if not windows:
        return []
    spans, taken = [], bytearray(len(text))
    if _UNUSUAL.search(text):
        text = text.translate(_PLAIN)
    for kind, pattern, holds in _COMPILED:
        for start, end in windows:
            for match in pattern.finditer(text, start, end):
                first, last = match.span()
                if not any(taken[first:last]) and holds(match):
                    spans.append(Span(kind, first, last))
                    taken[first:last] = b"\1" * (last - first)
    return sorted(spans, key=lambda span: span.start)


def candidate_rows(texts: Sequence[str]) -> list[int]:
    """Ascending indices of the texts that may contain an item; the others contain none. All
    texts are searched as one string, because most of them are short.
    """
    whole = "\n".join(texts)
    ends = np.cumsum([len(text) + 1 for text in texts])
    places = [match.start() for pattern in _CANDIDATES for match in pattern.finditer(whole)]
    return np.unique(np.searchsorted(ends, places, "right")).tolist()


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
