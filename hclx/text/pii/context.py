"""Looks at what stands around a candidate: labels, units, separators and dates."""

import dataclasses
import re
from collections.abc import Callable

from hclx.text.pii.check_digits import digits_of

NEAR = 70  # characters around a candidate that can belong to it
FREE = r"(?<![0-9A-Za-z])(?<![0-9][-.,:])"  # no part of a longer number before it
CLOSED = r"(?![0-9])(?![-.,:][0-9])"  # nor after it


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """Characters [start, end) of a line in plain characters that have the form of an item."""

    line: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """The characters of the candidate."""
        return self.line[self.start : self.end]

    @property
    def digits(self) -> str:
        """The digits of the candidate."""
        return digits_of(self.value)

    @property
    def before(self) -> str:
        """At most 70 characters before the candidate."""
        return self.line[max(0, self.start - NEAR) : self.start]

    @property
    def after(self) -> str:
        """At most 20 characters after the candidate."""
        return self.line[self.end : self.end + 20]


@dataclasses.dataclass(frozen=True)
class Rule:
    """A kind of item, the pattern of its candidates, and whether a candidate is an item."""

    kind: str
    pattern: str
    holds: Callable[[Candidate], bool]


def grouped(*groups: str) -> str:
    """A pattern of groups of digits with the same separator between all of them, or none.

    Spaces may stand around a hyphen, a middle dot and a slash, but not around a full stop, as the
    end of a sentence or of an item of a list has one.

    Args:
      groups: patterns without groups of their own.
    """
    first, second, *others = groups
    spaced = rf"{first} ?(?P<sign>[-·/]) ?{second}" + "".join(rf" ?(?P=sign) ?{g}" for g in others)
    close = rf"{first}(?P<gap>[ ._]?){second}" + "".join(rf"(?P=gap){g}" for g in others)
    return f"(?:{spaced}|{close})"


_URL = re.compile(r"(?:://|www\.)[^\s<>\"]*$")


def is_part(candidate: Candidate) -> bool:
    """Returns whether the separator of a candidate joins it to further digits, as in 1/2/3/4, or
    the candidate is a part of a URL.
    """
    if _URL.search(candidate.before):
        return True
    sign = re.search(r"[-·/._]", candidate.value)
    if not sign:
        return False
    sign = re.escape(sign[0])
    return bool(
        re.search(f"[0-9]{sign}$", candidate.before[-2:])
        or re.match(f"{sign}[0-9]", candidate.after)
    )


# A label names what the number after it is: 관리번호 02-2023-0154, 주문 번호: 2023...
_LABEL = re.compile(
    r"([가-힣A-Za-z]*) ?(?:번호|코드|넘버|[Nn][Oo]\.?|№)(?:는|은|가|이|를|로|란)?"
    r"[\s:=#(\[\"'’‘“.]{0,4}$"
)
_OTHER_NUMBERS = tuple(
    """
    관리 문서 접수 주문 예약 송장 운송장 사건 견적 계약 거래 승인 상품 고객 회원
    발주 일련 등기 허가 신고 특허 출원 공개 등록 공고 모델 제품 부품 도면 시리얼
    품목 자재 증권 민원 수험 고유 산재 보험 쿠폰 핀 바코드 우편 건물 지번 좌석
    항공권 필지 설비 시편 공사 시험지 성적서 과제 연구 청구 판매 처리 신청 결재
    자격증 차대 차량 학번 사번 군번 법인 전산 고시 심의 인증 검사 조회 추적 화물
    택배 입찰 개찰 기관 통관 조달 물품 자산 장비 롯트 로트 제조 생산 작업 회차 순번
    """.split()
)
# These name a number without 번호.
_OTHER_WORDS = re.compile(
    r"(?:운송장|송장|택배|등기(?:우편)?|보험증권|바코드|시리얼|특허|상표|출원|문서|관리|승인|입찰|고유|사건|학번|사번"
    r"|군번|부품|모델|상품권|교환권|쿠폰|주문|좌표|위도|경도|IS[BS]N|IMEI|ICCID|ISIN|EAN|UPC|GTIN|DOI|CAS|PMID|DHL|S/N|SN"
    r"|LOT|Lot|GPS)(?:[-\s:=#(.][\s:=#(.]{0,2})?$"
)
_LETTERS_JOINED = re.compile(r"(?:^|[^A-Za-z])([A-Za-z]+)-$")
_LETTERS = frozenset(
    "TEL HP H P T M C F FAX PHONE MOBILE CELL CALL KB NH IBK SC MG RRN ID CARD".split()
)
_UNITS = (
    "원|달러|불|엔|유로|만(?!\\s)|억|조|%|퍼센트|건|명(?!의)|개|주|주년|년|월|일|호(?!텔)|시|분|초|번지|페이지|쪽"
    "|위|배|톤|점|회|석|세|살|판|권|kg|km|cm|mm|㎡|m²|번째|차전|경기|라운드|포인트"
)
# After a space a longer word is none: 배송, or the name 권하늘.
_UNIT = re.compile(rf"(?:{_UNITS})| (?:{_UNITS})(?:[은는이가을를의도만에])?(?![가-힣A-Za-z])")
_YEAR, _MONTH, _DAY = r"(?:19|20)[0-9]{2}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12][0-9]|3[01])"
_MMDD = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
# Groups of digits, with a space after each, that begin as a date or a list of years does.
_DATE = re.compile(
    rf"{_YEAR} {_MONTH} {_DAY} |[0-9]{{2}} {_MONTH} {_DAY} |{_MONTH} {_DAY} {_YEAR} "
    rf"|{_YEAR} {_YEAR} |{_YEAR} (?:0[1-9]|1[0-2]) |{_YEAR}{_MMDD} |{_YEAR} {_MMDD} "
    rf"|{_YEAR}{_MMDD}(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9])? "
)


def is_date(value: str) -> bool:
    """Returns whether groups of digits begin with a date, with a date and time in one group, or
    with two years.
    """
    return bool(_DATE.match("".join(f"{digits} " for digits in re.findall("[0-9]+", value))))


def has_unit(candidate: Candidate) -> bool:
    """Returns whether a unit or a counter follows digits without a separator, or with spaces, as in
    12345678901원.
    """
    return not re.search(r"[-·/._]", candidate.value) and bool(_UNIT.match(candidate.after))


def is_document(candidate: Candidate) -> bool:
    """Returns whether 호 follows, as in 032-2023-0007호."""
    return bool(re.match(" ?호(?!텔|프|실|선)", candidate.after))


def label_of(candidate: Candidate) -> str | None:
    """The word before 번호, 코드 or No. directly before a candidate; "" if there is only 번호, and
    None without a label.
    """
    label = _LABEL.search(candidate.before)
    return label[1] if label else None


def is_labelled_other(candidate: Candidate) -> bool:
    """Returns whether a label such as 관리번호, or letters as in SN-010-1234-5678, say that a
    candidate is the number of a document, an order, a part or another thing.
    """
    label = label_of(candidate)
    if label is not None:
        return label.endswith(_OTHER_NUMBERS)
    joined = _LETTERS_JOINED.search(candidate.before)
    return bool(joined) and joined[1].upper() not in _LETTERS


def is_other_number(candidate: Candidate) -> bool:
    """Returns whether a label, or a word such as 운송장 without 번호, says that a candidate is the
    number of another thing.
    """
    return is_labelled_other(candidate) or bool(_OTHER_WORDS.search(candidate.before))
