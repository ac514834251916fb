"""Rules for payment cards, business registration numbers and bank accounts."""

import re

from hclx.text.pii.check_digits import is_business_number, is_luhn
from hclx.text.pii.context import (
    CLOSED,
    FREE,
    Candidate,
    Rule,
    grouped,
    has_unit,
    is_date,
    is_document,
    is_other_number,
    is_part,
    label_of,
)

_CARD_BEFORE = re.compile(r"카드[^0-9\n]{0,14}$|[Cc]ard[^0-9\n]{0,8}$")
_BUSINESS_BEFORE = re.compile(r"사업자[^0-9\n]{0,12}$")
_REGISTRATION_BEFORE = re.compile(r"(?:사업자|등록|고유)[^0-9\n]{0,12}$")

# Words that mean a bank or a payment wherever they stand.
_BANKS = (
    "[가-힣A-Za-z]{0,6}은행(?!나무|잎|알|열매|동)|[가-힣A-Za-z]{0,4}뱅크|카뱅|케뱅|토뱅|농협|수협|신협|새마을금고"
    "|우체국|저축은행"
)
_ACCOUNT_WORDS = re.compile(rf"(?:계좌|구좌|입금|송금|이체|예금주|통장|{_BANKS})[^0-9\n]{{0,15}}$")
# Names of banks that are words of everyday language too: 우리는, 하나의, 국민 여러분.
# Before a number they count if only a name in brackets stands between, or the owner's name and the
# number has groups.
_SAFE_NAMES = "(?:KB)?국민|신한|기업|토스|카카오|KB|NH|IBK|SC|MG"
_NAMES = f"{_SAFE_NAMES}|우리|하나|씨티|새마을|케이"
_CITIES = "부산|대구|광주|전북|경남|제주|산업|제일"
_NAME_BEFORE = re.compile(
    rf"(?<![가-힣A-Za-z])(?:{_NAMES})(?: ?\([가-힣*]{{2,6}}\))?[\s:/()\[\]-]{{0,3}}$"
)
_NAME_AND_OWNER = re.compile(rf"(?<![가-힣A-Za-z])(?:{_NAMES}) [가-힣]{{2,4}} $")
_OWNER_AND_BANK = re.compile(r" [^\s0-9]{2,8} [가-힣A-Za-z]{1,6}(?:은행|뱅크)(?![가-힣]{3})")
_FOUR_BYTES = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")  # an IP address
_BANK_AFTER = re.compile(
    rf"^ ?[(\[/,:]? ?(?:{_BANKS}|예금주)|^ ?[(\[/] ?(?:{_NAMES}|{_CITIES})"
    rf"|^[ ,]{{0,2}}(?:{_SAFE_NAMES})(?: [가-힣]{{2,4}})?(?![가-힣])"
)


def _is_card(candidate: Candidate) -> bool:
    digits = candidate.digits
    return (
        is_luhn(digits)
        and len(set(digits)) > 1
        and not is_part(candidate)
        and (bool(_CARD_BEFORE.search(candidate.before)) or not is_other_number(candidate))
    )


def _is_business(candidate: Candidate) -> bool:
    if not is_business_number(candidate.digits) or is_part(candidate):
        return False
    if _REGISTRATION_BEFORE.search(candidate.before):
        return not candidate.value.isdigit() or bool(_BUSINESS_BEFORE.search(candidate.before))
    return not candidate.value.isdigit() and not is_other_number(candidate)


def _is_account(candidate: Candidate) -> bool:
    if (
        not 10 <= len(candidate.digits) <= 14
        or is_date(candidate.value)
        or has_unit(candidate)
        or is_document(candidate)
        or _FOUR_BYTES.fullmatch(candidate.value)
        or is_part(candidate)
        or is_other_number(candidate)
    ):
        return False
    label = label_of(candidate)
    if label and not label.endswith(("계좌", "구좌", "통장", "입금", "은행", "뱅크")):
        return False
    groups = re.findall("[0-9]+", candidate.value)
    if max(map(len, groups)) < 4:
        return False
    if _ACCOUNT_WORDS.search(candidate.before) or _NAME_BEFORE.search(candidate.before):
        return True
    if len(groups) > 2 and (
        _NAME_AND_OWNER.search(candidate.before) or _OWNER_AND_BANK.match(candidate.after)
    ):
        return True
    return bool(_BANK_AFTER.match(candidate.after))


CARD_RULES = (
    Rule(
        "card",
        FREE
        + grouped("(?:[3-69][0-9]{3}|2[2-7][0-9]{2})", "[0-9]{4}", "[0-9]{4}", "[0-9]{4}")
        + CLOSED,
        _is_card,
    ),
    Rule("card", FREE + grouped("3[47][0-9]{2}", "[0-9]{6}", "[0-9]{5}") + CLOSED, _is_card),
)
BUSINESS_RULES = (
    Rule(
        "brn",
        FREE + grouped("[1-9][0-9]{2}", "[0-9]{2}", "[0-9]{5}") + CLOSED,
        _is_business,
    ),
)
ACCOUNT_RULES = (
    Rule(
        "account",
        rf"{FREE}(?:[0-9]{{2,6}} ?(?P<sign>[-·/]) ?[0-9]{{1,8}}(?: ?(?P=sign) ?[0-9]{{1,8}}){{0,3}}"
        r"|[0-9]{2,6}(?P<gap>[ ._])[0-9]{1,8}(?:(?P=gap)[0-9]{1,8}){0,3}"
        rf"|[0-9]{{10,14}}){CLOSED}",
        _is_account,
    ),
)
