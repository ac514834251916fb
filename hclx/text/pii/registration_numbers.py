"""Rules for numbers that the state gives to people: resident and foreigner registration, driver's
licences, passports.
"""

import re

from hclx.text.pii.check_digits import is_bar_code, is_company_number, is_resident_number
from hclx.text.pii.context import (
    CLOSED,
    FREE,
    Candidate,
    Rule,
    grouped,
    is_other_number,
    is_part,
)

_BIRTHDAY = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_SEPARATOR = r"(?: ?[-·/._] ?| {0,2})"
_RESIDENT_BEFORE = re.compile(r"(?:주민|주번|민번|RRN|외국인|거소|등록증)[^0-9\n]{0,14}$")
_REGISTRATION_BEFORE = re.compile(r"등록번호[^0-9\n]{0,12}$")
_COMPANY_BEFORE = re.compile(r"(?:법인|등기)[^0-9\n]{0,12}$")
_COMPANY = re.compile(
    r"법인|등기|회사|㈜|\(주\)|\(유\)|조합|재단|사단|전자|건설|산업|물산|상사|테크|본점|자본금"
)
# The number of a company begins with four digits of the registry and two of the kind of company,
# which can look like a birthday; few people who were born on one of these are left.
_LIKE_COMPANY = re.compile(r"(?:0[1-9]|1[0-9]|2[0-8])(?:0[1-9]|1[0-2])(?:1[1-5]|2[12])")
_BAR_CODE_BEFORE = re.compile(r"(?:바코드|상품|제품|EAN|GTIN|UPC|코드)[^0-9\n]{0,10}$")
_LICENCE_BEFORE = re.compile(r"면허[^0-9\n]{0,14}$")
_PASSPORT = r"여권|旅券|护照|護照|[Pp]assport|PASSPORT"
# One keyword is enough for a list of passports, hence the 40 characters.
_PASSPORT_BEFORE = re.compile(rf"(?:{_PASSPORT})[^\n]{{0,40}}$|[A-Z]{{2,}}/[A-Z]{{2,}}[ ,]{{1,3}}$")
_PASSPORT_JUST_BEFORE = re.compile(rf"(?:{_PASSPORT})[^0-9\n]{{0,12}}$")
_REGIONS = "서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산"


def _is_company(candidate: Candidate) -> bool:
    """Returns whether a number in the shape of a resident number is that of a company."""
    if _COMPANY_BEFORE.search(candidate.before):
        return True
    digits = candidate.digits
    if not _LIKE_COMPANY.match(digits):
        return False
    is_old = digits[6] in "09" or (digits[6] in "1256" and digits[:2] < "25")
    return (
        is_old
        or bool(_COMPANY.search(candidate.before[-30:] + " " + candidate.after))
        or (is_company_number(digits) and not is_resident_number(digits))
    )


def _is_resident(candidate: Candidate) -> bool:
    before, digits = candidate.before, candidate.digits
    if _RESIDENT_BEFORE.search(before):
        return True
    if _is_company(candidate) or is_part(candidate):
        return False
    if _REGISTRATION_BEFORE.search(before):
        return True
    if "." in candidate.value:  # a coordinate in metres has this shape
        return False
    # The number of a thing may be a date and a counter.
    if re.search(r"[·/_]", candidate.value) or is_other_number(candidate):
        return is_resident_number(digits)
    if len(candidate.value) > 13:
        return True
    # Thirteen digits without a hyphen are often a bar code, and those of Korean goods begin as the
    # birthdays of 1988 do.
    if is_bar_code(digits) and (digits.startswith("880") or _BAR_CODE_BEFORE.search(before)):
        return False
    return is_resident_number(digits) or (digits[6] in "3478" and 20 <= int(digits[:2]) <= 35)


def _is_licence(candidate: Candidate) -> bool:
    if _LICENCE_BEFORE.search(candidate.before):
        return True
    usual = re.search("[- ]", candidate.value) and not re.search("[·/._]", candidate.value)
    return bool(usual) and not is_other_number(candidate)


def _is_passport(candidate: Candidate) -> bool:
    value = candidate.value
    if re.search("[-·/._ ]", value):  # M 12345678, M·1234-5678
        return bool(_PASSPORT_JUST_BEFORE.search(candidate.before))
    if _PASSPORT_BEFORE.search(candidate.before):
        return True
    # The pattern of passports issued since December 2021 occurs nowhere else.
    return value[0] == "M" and value[4].isalpha() and not is_other_number(candidate)


_LICENCE = grouped("[0-9]{2}", "[0-9]{6}", "[0-9]{2}")
RESIDENT_RULES = (
    Rule("rrn", rf"{FREE}{_BIRTHDAY}{_SEPARATOR}[012349][0-9]{{6}}{CLOSED}", _is_resident),
    Rule("frn", rf"{FREE}{_BIRTHDAY}{_SEPARATOR}[5678][0-9]{{6}}{CLOSED}", _is_resident),
)
LICENCE_RULES = (
    Rule(
        "driver",
        FREE + grouped("(?:1[1-9]|2[0-8])", "[0-9]{2}", "[0-9]{6}", "[0-9]{2}") + CLOSED,
        _is_licence,
    ),
    Rule(
        "driver",
        rf"(?:{_REGIONS}) ?-? ?[0-9]{{2}} ?- ?[0-9]{{6}} ?- ?[0-9]{{2}}{CLOSED}",
        lambda candidate: not is_part(candidate),
    ),
)
PASSPORT_RULES = (
    Rule(
        "passport",
        r"(?<![0-9A-Za-z])(?:[Mm][0-9]{3}[A-Za-z][0-9]{4}"
        rf"|M{_SEPARATOR}[0-9]{{3}}{_SEPARATOR}[A-Z]{_SEPARATOR}[0-9]{{4}}"
        rf"|[MSRODGm]{_SEPARATOR}(?:[0-9]{{8}}|[0-9]{{4}}{_SEPARATOR}[0-9]{{4}}"
        rf"|[0-9]{{3}}{_SEPARATOR}[0-9]{{5}})|[A-Z]{{2}}{_SEPARATOR}[0-9]{{7}})(?![0-9A-Za-z])",
        _is_passport,
    ),
)
