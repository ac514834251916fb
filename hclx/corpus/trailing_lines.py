"""Removes the lines that news sites put below an article: its rights, who wrote it and their
address, and calls to subscribe or to send tips. They are the same below thousands of articles.

A line counts only at the end of a text, below a line that is none, and only as a whole: a sentence
about a reporter, about copyright or about subscriptions stays, and so does all that stands in the
middle of a text.
"""

import re

_LONGEST = 200  # characters of such a line
# Nearly all texts have none of these near their end.
_SIGN = re.compile("기자|특파원|@|무단|구독|제보|채널|추가|팔로우|[ⓒ©]|(?i:copyright|\\(c\\))")
_NEAR_END = 400

_MARKS = r"[\s▶▷►▻☞☎■□●○◆◇★☆※→▲△\[\](){}<>〈〉【】=/\-·•|,.:'\"“”‘’]*"
_MAIL = r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"
_PLACES = """
    네이버 카카오 카톡 유튜브 페이스북 인스타 트위터 텔레그램 다음 포털
    뉴스 신문 일보 채널 모바일 앱
""".split()
_CALL = "구독|(?:채널|친구|이웃) ?추가|팔로우|팔로잉|좋아요|제보"
_POLITE = """
    하기 하세요 하러가기 해주세요 해두세요 신청 클릭 바로가기 누르기 부탁드립니다
""".split()
_COPYING = "무단[ ·,]*(?:전재|복제|배포|도용|사용|수집|게재)"
_WRITER = "(?:인턴|수습|선임|전문|객원|논설)? ?(?:기자|특파원|통신원|리포터)"
_GAP = r"[\s/=|(\[<·,:]{0,3}"
_LINES = tuple(
    re.compile(f"{_MARKS}(?:{pattern}){_MARKS}", re.IGNORECASE)
    for pattern in (
        # ⓒ 아무개일보, 무단전재 및 재배포 금지
        rf"[^.!?]{{0,80}}{_COPYING}[^.!?]{{0,60}}(?:금지|금합니다|불허)",
        r"(?:[ⓒ©]|(?:저작권자|copyrights?)[\s:]*(?:[ⓒ©]|\(c\))).{0,120}",
        r"copyrights?\b.{0,80}reserved",
        # 아무개일보 홍길동 기자 gildong@example.com
        r"(?:[가-힣]{2,10} ?[=/·, ] ?){0,3}[가-힣]{2,4}(?<![는를의에]) ?"
        + rf"{_WRITER}{_GAP}(?:{_MAIL})?",
        rf"(?:{_WRITER}{_GAP})?{_MAIL}",
        # 네이버에서 아무개일보 구독하기
        rf"(?:.{{0,60}}(?:{'|'.join(_PLACES)}).{{0,40}})?(?:{_CALL}) ?(?:{'|'.join(_POLITE)})",
        # 제보는 카카오톡 아무개제보
        rf"(?:기사 ?|뉴스 ?)?제보(?:는|하기)?{_GAP}(?:카카오톡|카톡|전화|이메일|{_MAIL}).{{0,100}}",
        rf"(?:기사 ?|뉴스 ?)?제보 및 보도 ?자료{_GAP}(?:{_MAIL})?",
    )
)


def remove_trailing_lines(text: str) -> str:
    """Returns a text without such lines below it; a text that consists of them stays as it is.

    Args:
      text: normalised, so that its line ends are \\n.
    """
    if "\n" not in text or not _SIGN.search(text, max(0, len(text) - _NEAR_END)):
        return text
    end, kept = len(text), len(text)
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end].strip() if end - start <= 2 * _LONGEST else text[start:end]
        if line and not _is_trailing(line):
            return text if kept == len(text) else text[:end]
        kept = start if line else kept
        end = start - 1
    return text


def _is_trailing(line: str) -> bool:
    return len(line) <= _LONGEST and any(pattern.fullmatch(line) for pattern in _LINES)
