"""Rules for telephone numbers, e-mail addresses and IP addresses."""

import ipaddress
import re

from hclx.text.pii.context import (
    CLOSED,
    FREE,
    Candidate,
    Rule,
    has_unit,
    is_document,
    is_labelled_other,
    is_other_number,
    is_part,
)

_MOBILE = "1[016789]"
_AREA = "(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|70|80|50[0-9])"  # without the zero before it
_GAP = r"(?: ?[-·/] ?|[ ._])"
_MOBILE_GAP = r"(?: ?[-·/._~]{1,2} ?| {0,2})"
_COUNTRY = rf"(?:\(\+? ?82\)|\+ ?82\)?|00(?:[127]|700)?-?82){_GAP}?(?:\(0\) ?|0)?"
_PHONE_BEFORE = re.compile(
    r"(?:전화|연락|[Tt][Ee][Ll]|☎|☏|📞|📱|휴대|핸드폰|폰|[Hh]\.?[Pp]|팩스|[Ff][Aa][Xx]|문의|상담|예약|대표|직통|사무실|매장|번호"
    r"|[Pp]hone|[Cc]all)[^0-9\n]{0,12}$"
)
# An office, a year and a counter. Four digits in the middle begin with 2 in Seoul (02) alone.
_DOCUMENT = re.compile(r"02-(?:19|20)[0-9]{2}-0[0-9]{3}|0[3-6][1-5]-(?:19|20)[0-9]{2}-[0-9]{4}")
_YEAR = re.compile("-(?:19|20)[0-9]{2}-")
_TOLL_FREE = re.compile(r"무료|수신|광고|\bARS\b")  # numbers of companies, which everybody may know
_FILE_SUFFIXES = frozenset(
    "png jpg jpeg gif webp svg bmp ico css js jsx ts tsx py html htm xml json csv txt pdf mp3 mp4"
    " zip tgz gz tar jar whl apk deb rpm git exe dmg hwp docx xlsx pptx yaml yml toml log avif"
    " heic".split()
)
# No part of a longer local part before it; a full stop before it may end a sentence.
_LOCAL_FREE = r"(?<![A-Za-z0-9_%+*@-])(?<![A-Za-z0-9_%+*@-]\.)"
_NO_PERSON = frozenset("git hg svn 아이디 이메일 메일".split())  # local parts that name nobody
# Domains for examples, which nobody can have (RFC 2606).
_RESERVED_DOMAIN = re.compile(r"(?i)\bexample\.(?:com|net|org)$|\.(?:example|invalid|test)$")
_AT = r"(?: ?[(\[{<] ?(?:at|At|AT|앳|엣|골뱅이|@) ?[)\]}>] ?| ?@ ?| ?골뱅이 ?)"
# hong@naver닷컴 needs no sign between the two.
_DOT = r"(?:\.| ?[(\[{<] ?(?:dot|Dot|DOT|닷|점|\.) ?[)\]}>] ?|(?=닷[컴넷]))"
_DOMAIN = (
    rf"(?:(?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}|[가-힣][가-힣A-Za-z0-9-]{{0,62}}){_DOT}){{1,5}}"
    r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,18}|한국|삼성|닷컴|닷넷)(?![A-Za-z0-9@])"
)

_ADDRESS_WORD = re.compile(
    r"IP|\bip|[Ii]pv|아이피|주소|접속|서버|DNS|네임서버|호스트|[Hh]ost|로그인|차단|공인|대역|[Pp]ing|핑"
)
_VERSION_BEFORE = re.compile(
    r"(?:버전|버젼|판올림|펌웨어|빌드|릴리스|릴리즈|서비스팩|패치|업데이트|드라이버|커널|크롬|파이어폭스|사파리|오페라"
    r"|윈도우즈?|안드로이드|리눅스|iOS|제|§|\bEC|OID|(?<![가-힣])(?:표|그림|식|절|별표|부록|규칙|조항|항목|날짜|일자)"
    r"|[Vv]ersion|[Vv]er\.?|\b[Vv]|[Rr]elease|[Bb]uild|[Tt]able|[Ff]igure|[Ff]ig\."
    r"|[Ss]ection|[Cc]hapter)"
    r"[ :]{0,2}$"
)
_VERSION_AFTER = re.compile(r"^ ?(?:버전|버젼|빌드|릴리[스즈]|판\b|업데이트|펌웨어|패치)")
# 1.2.3.4 as the number of a section
_SECTION_AFTER = re.compile(r"^(?:[.)] | ?(?:절|항|장|조|목)(?![가-힣]{2}))")
# Bytes of addresses are rarely all so small, and addresses rarely so short; numbers of sections and
# versions, and dates, are.
_SMALL, _SHORT = 32, 5
_PRODUCT_BEFORE = re.compile(
    r"(?:[A-Z][A-Za-z]+|플레이어|플래시|자바|포토샵|오피스|한글|엑셀|엣지|웨일|익스플로러|브라우저|프로그램|앱"
    r"|소프트웨어|카카오톡|파이썬) $"
)


def _is_mobile(candidate: Candidate) -> bool:
    digits, value = candidate.digits, candidate.value
    if digits.endswith("00000000"):
        return False  # a template: 010-0000-0000
    around = candidate.before[-1:], candidate.after[:1]
    if (
        around == ("제", "호")
        or re.search(r"[A-Za-z]-$", candidate.before)
        and is_other_number(candidate)
    ):
        return False
    if value.isdigit():
        if digits.startswith("010") and len(digits) < 11:
            return False
        return not has_unit(candidate)
    return not is_part(candidate)


def _is_landline(candidate: Candidate) -> bool:
    value, before = candidate.value, candidate.before
    if is_labelled_other(candidate) or is_part(candidate) or is_document(candidate):
        return False
    if value.startswith(("080", "(080")) and _TOLL_FREE.search(
        before[-20:] + " " + candidate.after
    ):
        return False
    if _PHONE_BEFORE.search(before):
        return not (value.isdigit() and has_unit(candidate))
    is_joined = re.match("0[0-9]{4}", value) or (re.search("[0-9]{7}", value) and ")" not in value)
    is_counted = _DOCUMENT.fullmatch(value) or (_YEAR.search(value) and is_other_number(candidate))
    return not (is_joined or is_counted)


def _is_email(candidate: Candidate) -> bool:
    if _RESERVED_DOMAIN.search(candidate.value):
        return False
    local = re.match("[가-힣A-Za-z0-9._%+-]*", candidate.value)[0].lower()
    suffix = candidate.value.rsplit(".", 1)[-1].lower()
    return (
        suffix not in _FILE_SUFFIXES  # logo@2x.png
        and local not in _NO_PERSON
        and not re.match(r":[A-Za-z0-9._~-]*/", candidate.after)  # a path on another machine
    )


def _is_address(candidate: Candidate) -> bool:
    """Returns whether an IP address is public; private addresses, versions and section numbers
    identify nobody.
    """
    try:
        if not ipaddress.ip_address(candidate.value).is_global:
            return False
    except ValueError:
        return False
    if ":" in candidate.value:
        return True
    before, after = candidate.before, candidate.after
    if candidate.value.endswith(".0") and re.match("/[0-9]", after):
        return False  # a network
    if _VERSION_BEFORE.search(before) or _VERSION_AFTER.match(after):
        return False
    if _SECTION_AFTER.match(after) and not before.endswith("("):
        return False
    if _ADDRESS_WORD.search(f"{before[-30:]} {after}"):
        return True
    values = [int(part) for part in candidate.value.split(".")]
    if len(candidate.digits) <= _SHORT or max(values) < _SMALL:
        return False
    return not (_PRODUCT_BEFORE.search(before) and sorted(values)[1] < _SMALL)


PHONE_RULES = (
    Rule(
        "phone",
        rf"{FREE}(?:{_COUNTRY}|82[ -]?\(?0?\)?){_MOBILE}{_MOBILE_GAP}[0-9]{{3,4}}{_MOBILE_GAP}"
        rf"[0-9]{{4}}{CLOSED}",
        lambda candidate: not is_part(candidate),
    ),
    Rule(
        "phone",
        rf"{FREE}{_COUNTRY}{_AREA}{_GAP}?[0-9]{{3,4}}{_GAP}?[0-9]{{4}}{CLOSED}",
        lambda candidate: not is_part(candidate),
    ),
    Rule(
        "phone",
        rf"{FREE}(?:\([0Oo]1[016789Oo]\)|[0Oo]1[016789Oo]\)?){_MOBILE_GAP}[0-9]{{3,4}}"
        rf"{_MOBILE_GAP}[0-9]{{4}}{CLOSED}",
        _is_mobile,
    ),
    Rule(
        "phone",
        rf"{FREE}(?:\(0{_AREA}\)|0{_AREA}(?:\)|{_GAP})){_GAP}?[0-9]{{3,4}}(?:\) ?|{_GAP})?"
        rf"[0-9]{{4}}{CLOSED}",
        _is_landline,
    ),
    Rule("phone", rf"{FREE}0{_AREA}[0-9]{{3,4}}{_GAP}?[0-9]{{4}}{CLOSED}", _is_landline),
)
EMAIL_RULES = (
    Rule(
        "email",
        rf"{_LOCAL_FREE}[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}{_AT}{_DOMAIN}",
        _is_email,
    ),
    Rule(
        "email",
        rf"(?<![가-힣A-Za-z0-9_%+*-])[가-힣][가-힣0-9]{{1,5}}@{_DOMAIN}",
        _is_email,
    ),
    Rule(
        "email",
        rf"{_LOCAL_FREE}[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}} at [A-Za-z0-9-]{{1,63}}"
        r"(?: dot [A-Za-z]{2,18}){0,2} dot (?:com|net|org|edu|kr|io|me|info)(?![A-Za-z0-9@])",
        _is_email,
    ),
)
ADDRESS_RULES = (
    Rule(
        "ip",
        r"(?<![0-9A-Za-z.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z])(?!\.[0-9])",
        _is_address,
    ),
    Rule(
        "ip",
        r"(?<![0-9A-Za-z:])2[0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7}(?![0-9A-Za-z:])",
        _is_address,
    ),
)
