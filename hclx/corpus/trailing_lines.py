"""Removes the lines that news sites put below an article: its rights, who wrote it and their
address, when it was sent, its source, who took the pictures, the words with which a reporter ends,
calls to subscribe or to send tips, and headlines of other articles. They are the same below
thousands of articles.

A line counts only at the end of a text that has sentences above it, and only as a whole: a sentence
about a reporter, about copyright or about subscriptions stays, and so does all that stands in the
middle of a text.
"""

import itertools
import re

_LONGEST = 200  # characters of such a line
_MOST_LINES = 20  # below one article; more are a list
_RELATED_WITHIN = 2000  # characters from the end, in which headlines of other articles are listed
_HEADLINE = 80  # characters

# Signs that stand around a line, or between the parts of one.
_SIGNS = "▶▷►▻☞☎■□●○◆◇★☆※→▲△◎📢"
_AROUND = _SIGNS + " \t\xa0[](){}<>〈〉《》【】‹›=/-–—―·•|,:*~!\"'“”‘’"
_BETWEEN = re.compile(rf"[{_SIGNS}|]+")
_GAP = r"[\s/=|(\[<\])>·,:：-]{0,4}"
_NO_SENTENCE = r"(?:[^.!?]|[.](?=\w))"  # a dot may stand in an address

_MAIL = r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"
_PHONE = r"\+?\d[\d\s()~,·-]{3,40}"
_MAILS = rf"{_MAIL}(?:[,·/ ]{{1,2}}{_MAIL}){{0,3}}"
_ACCOUNT = r"@[\w.]{2,30}"
_URL = r"(?:https?://|www\.)\S+"
_DAY = r"(?:19|20)\d\d ?[-./년] ?\d{1,2} ?[-./월] ?\d{1,2}[.일]?"
_TIME = r"(?:(?:오전|오후) ?)?\d{1,2} ?[:시] ?\d{2}분?(?:[: ]?\d{2}초?)?"


def _one_of(words: str) -> str:
    """Returns a pattern for words that are separated by blanks; an underscore is a possible one."""
    return "(?:" + "|".join(word.replace("_", " ?") for word in words.split()) + ")"


_ROLE = _one_of("기자 특파원 통신원 리포터")
_WRITER = f"(?:인턴|수습|선임|전문|객원|논설|시민|명예)? ?{_ROLE}"
_STAFF = f"(?:{_WRITER}|{_one_of('PD 피디 앵커 아나운서 논설위원 에디터 기상캐스터 작가')})"
# They are no names: occupations in a list, and labels before an address.
_OCCUPATIONS = _one_of(
    "전직 현직 담당 신문 잡지 방송 사진 취재 종군 여성 정치 사회 경제 문화 연예 스포츠"
)
_LABELS = _one_of("문의 신청 접수 연락 연락처 주소 지원 담당 계좌 예약 상담 메일 이메일 홈페이지")
_NO_LABEL = rf"(?!(?:.*\s)?{_LABELS})"
_NAME = (
    rf"(?!{_OCCUPATIONS} ?{_ROLE})[가-힣]{{2,4}}(?<![는를의에])(?<!줘)(?<!니다|일보|신문|방송|뉴스)"
)
# Without a blank it could be a verb: "뛰어넘기자".
_WRITTEN_BY = (
    f"(?:{_NAME} {_WRITER}|(?!{_OCCUPATIONS})[가-힣]{{3}}"
    f"(?<![넘남즐당옮챙숨이새여벗웃맡안땡생풍섬튕엉뜯감씻])(?<!일보|신문|방송)(?! ){_WRITER})"
)
_OUTLET = "(?:(?:글·)?사진 ?[=/ ] ?)?(?:[가-힣A-Za-z0-9]{2,10} ?[=/·,) ] ?){0,3}"
_TEAM = (
    f"{_one_of('온라인 디지털 인터넷 모바일')} ?"
    f"{_one_of('뉴스 이슈 콘텐츠 컨텐츠 속보 편집 미디어')}? ?{_one_of('팀 부 국')}"
)
_PLACES = _one_of(
    """네이버 카카오 카톡 유튜브 페이스북 인스타 트위터 텔레그램 다음 포털 뉴스 신문 일보 채널
    모바일 앱"""
)
_CALL = _one_of("구독 채널_추가 친구_추가 이웃_추가 팔로우 팔로잉 좋아요 제보")
_POLITE = _one_of(
    "하기 하세요 하러가기 해_주세요 해_두세요 신청 신청_하기 클릭 바로가기 누르기 부탁드립니다"
)
_SITES = _one_of(
    """페이스북 홈페이지 유튜브 인스타그램 트위터 텔레그램 카카오스토리 카카오채널 네이버채널
    공식_채널"""
)
_COPYING = "무단[ ·,]*(?:전재|복제|배포|도용|사용|수집|게재)"
_READERS = _one_of("당신의 여러분의 시청자의 독자의 독자_여러분의 시청자_여러분의")
_CONTACT = _one_of(
    """카카오톡 카톡 카카오 라인 전화 휴대폰 문자 팩스 이메일 메일 e-?mail 홈페이지 사이트 누리집
    페이스북 유튜브 인스타그램 트위터 텔레그램 네이버 앱"""
)
_CREDIT = _one_of(
    """영상_취재 영상_편집 영상_제공 촬영_기자 취재_기자 화면_제공 화면_출처 사진_제공 사진_출처"""
)
_SOURCES = _one_of("기사 뉴스 원문 글 사진 자료 이미지 그림 영상")
_PLACE = "[가-힣A-Za-z0-9]{2,12}(?: [가-힣A-Za-z0-9]{1,8})?에서 "
_STATION = "(?:[A-Z]{2,5}|[가-힣]{1,6}(?:방송|TV))"
_ON_AIR = f"(?:{_STATION}(?: ?뉴스)?,? )"
_OTHERS = _one_of(
    """관련_기사 관련_뉴스 많이_본_기사 많이_본_뉴스 인기_기사 인기_뉴스 추천_기사 이_시각_주요_뉴스
    함께_보면_좋은_기사 이_기자의_다른_기사 핫_클릭"""
)


def _table(*patterns: str) -> tuple[re.Pattern, ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


_RIGHTS = _table(
    # ⓒ 아무개일보, 무단전재 및 재배포 금지
    rf"{_NO_SENTENCE}{{0,80}}{_COPYING}{_NO_SENTENCE}{{0,60}}(?:금지|금합니다|불허)\.?",
    r"(?:[ⓒ©](?![ⓐ-ⓩ])|(?:저작권자|copyrights?)[\s:]*(?:[ⓒ©@]|\(c\))).{0,120}",
    r"copyrights?\b.{0,80}reserved\.?",
)
_WRITERS = _table(
    # 아무개일보 홍길동 기자 gildong@example.com
    rf"{_OUTLET}{_WRITTEN_BY}{_GAP}(?:{_MAILS})?",
    rf"{_NO_LABEL}{_OUTLET}{_NAME}(?: [가-힣A-Za-z]{{2,10}})? ?{_STAFF}?{_GAP}{_MAILS}",
    rf"(?:{_STAFF}{_GAP})?{_MAILS}",
    r"(?:인턴|시민|명예|객원) ?기자 [가-힣]{3}",
    # 온라인뉴스팀
    rf"(?:[가-힣A-Za-z0-9]{{2,10}} ?)?{_TEAM}{_GAP}(?:{_NAME} ?(?:{_WRITER})?{_GAP})?(?:{_MAILS})?",
)
_SENT = _table(
    rf"{_DAY},? ?{_TIME} ?(?:송고|기사 ?입력|입력|수정)",
    rf"{_DAY} ?송고",
    rf"(?:(?:기사 ?)?(?:송고(?: ?시간)?|입력|등록)|(?:최종 ?)?수정)[\s:]{{0,3}}{_DAY},? ?{_TIME}",
)
_CREDITS = _table(
    rf"{_CREDIT} ?[:：=/|] ?{_NO_SENTENCE}{{1,60}}",
    # 출처 : 아무개일보, [출처] https://news.example.kr/1
    rf"(?:{_SOURCES} ?)?출처(?: ?[:：=/\])]){{1,2}} ?(?:{_URL}|{_NO_SENTENCE}{{1,60}})",
    # 사진=아무개통신, 홍길동 기자/사진=아무개통신
    rf"(?:{_OUTLET}{_WRITTEN_BY} ?[/,] ?)?사진 ?= ?{_NO_SENTENCE}{{1,40}}",
    rf"(?:취재|편집|촬영|구성) ?[:：] ?[가-힣 ·,]{{2,20}}[/,|] ?{_CREDIT} ?[:：=/|] ?.{{1,60}}",
    r"(?:연합뉴스|뉴시스|뉴스1|게티이미지(?:뱅크|코리아)?) ?(?:제공|자료 ?사진)",
)
_SIGN_OFFS = _table(
    # 지금까지 나루터에서 아무방송 홍길동이었습니다.
    rf"지금까지 (?:{_PLACE})?{_ON_AIR}?{_NAME} {_STAFF}(?:이었|였)습니다\.?",
    rf"지금까지 (?:(?:{_PLACE})?{_ON_AIR}|{_PLACE})[가-힣]{{3}}(?:이었|였)습니다\.?",
    rf"(?:지금까지|이상) (?:{_PLACE})?{_ON_AIR}?(?:{_NAME} {_STAFF}가 )?전해 ?드렸습니다\.?",
    rf"(?:{_PLACE})?{_STATION} ?뉴스,? {_NAME}(?: ?{_STAFF})?입니다\.?",
    # 나루터에서 홍길동 기자가 보도합니다.
    rf"(?:보도에 )?{_NAME} {_STAFF}입니다\.?",
    rf"(?:{_NO_SENTENCE}{{0,40}} )?{_NAME} {_STAFF}(?:가|이) (?:보도|취재|전|정리)합니다\.?",
    rf"(?:{_NO_SENTENCE}{{0,40}} )?{_NAME} {_STAFF}(?:가|이) (?:보도|전)해 ?드립니다\.?",
)
_CALLS = _table(
    # 네이버에서 아무개일보 구독하기
    rf"(?!.*(?:에게|한테|사람))(?:.{{0,60}}{_PLACES}.{{0,40}})?{_CALL} ?{_POLITE}[.!]?",
    # 카카오톡: 아무개제보 검색, 채널 추가
    rf"{_NO_SENTENCE}{{0,60}}검색 ?(?:해서|해|하고|후)?[, ]{{0,2}}(?:채널|친구) ?추가.{{0,6}}",
    rf"{_NO_SENTENCE}{{0,40}}{_SITES} ?(?:채널 ?|페이지 ?)?(?:바로 ?가기|방문하기)",
    rf"{_NO_SENTENCE}{{0,40}}\b(?:앱|어플) ?(?:다운로드|내려받기|설치하기|바로 ?가기)",
    # 네이버 메인에서 아무개뉴스를 만나보세요
    r"(?=.*(?:네이버|카카오|다음 |포털))(?=.*(?:메인|뉴스|신문|일보)).{4,50} 만나 ?보세요[.!]?",
    r"[^!?]{0,60}구독 ?신청 ?하기|기자 ?페이지\]? ?바로 ?가기",
)
_TIPS = _table(
    # 제보는 카카오톡 아무개제보
    r"(?:기사 ?|뉴스 ?)?제보(?:는|하기|처|전화)?"
    rf"{_GAP}(?:{_MAIL}|{_PHONE}|{_ACCOUNT}).{{0,100}}",
    r"(?:기사 ?|뉴스 ?)?제보(?:는|하기)? ?:? ?(?:카카오톡|카톡|전화|이메일)"
    rf"(?:{_GAP}(?:[^.!?]{{0,20}}(?:제보|jebo)|[\"'‘“@A-Za-z0-9])[^.!?]{{0,60}}(?<!다))?",
    rf"{_OUTLET}(?:기사|뉴스) ?제보{_GAP}(?:(?:및|·|/) ?(?:보도 ?자료|문의|광고 ?문의))?{_GAP}"
    rf"(?:{_MAIL})?",
    rf"제보 (?:및 보도 ?자료|문의){_GAP}(?:{_MAIL})?",
    rf"{_CONTACT}{_GAP}[\"'‘“]?[\w@.-]{{0,12}}(?:제보|jebo).{{0,60}}",
    rf"{_OUTLET}기사 ?문의 및 제보.{{0,60}}",
    # 아무개뉴스는 여러분의 제보를 기다립니다.
    rf"(?!.{{0,40}}목격)[^.!?]{{0,40}}{_READERS} (?:소중한 )?제보(?:가|로|를) ?[^.!?]{{0,20}}"
    r"(?:됩니다|바꿉니다|만듭니다|기다립니다|기다리고 있습니다|받습니다)"
    r"(?:[.!] ?[^.!?]{0,60}(?:알려 ?주세요|연락 ?주세요|보내 ?주세요))?[.!]?",
)
# They alone are no end of an article: notices of others end with them, too.
_CONTACTS = _table(
    rf"(?:온라인 ?제보|원본 ?링크|{_CONTACT}){_GAP}(?:{_MAIL}|{_PHONE}|{_ACCOUNT}|{_URL}).{{0,40}}",
    rf"{_CONTACT} ?[\]:：] ?{_NO_SENTENCE}{{1,40}}",
    # 영상취재 홍길동 / 영상편집 임꺽정
    r"영상 ?(?:취재|편집) ?[가-힣 ]{2,9}(?:[/,] ?영상 ?편집 ?[가-힣 ]{2,9})?",
)
_BEFORE_HEADLINES = _table(rf"{_OTHERS}(?: ?[:\]>)]+ ?{_NO_SENTENCE}{{1,80}})?")

# They have their signs; the bare words could be the last of a story.
_WHOLE_LINES = _table(
    r"[(\[<]끝[)\]>]",
    r"[▶☞※■◆★☆●→] ?[^.!?]{2,60}(?:구독|팔로우|좋아요)(?:하기| 하기|하러 ?가기)",
    r"\[[가-힣]{2,4} ?= ?(?:뉴시스|뉴스1|연합뉴스)\]",
    r"[/(\[<=] ?(?:연합뉴스|뉴시스|뉴스1|노컷뉴스|오마이뉴스)(?:TV)? ?[)\]>]?",
)
_THE_END = re.compile(r"(?<=\S) ?[(\[]끝[)\]]")

_KINDS = (_RIGHTS, _WRITERS, _SENT, _CREDITS, _SIGN_OFFS, _CALLS, _TIPS)
_OTHERS_NAMED = re.compile(_OTHERS, re.IGNORECASE)
# Nearly all texts have none of these in their last line. Each begins with a letter or sign that is
# given, and not with a set of them: the search is several times as fast.
_SIGN = re.compile(
    _one_of(
        """@ ⓒ © \\([cC]\\) copyright Copyright COPYRIGHT 무단 기자 특파원 통신원 리포터
        송고 입력 수정 끝[)\\]>] 구독 추가 팔로 좋아요 제보 바로_가기 방문하기 앱 어플 만나_보세요
        온라인 디지털 인터넷 모바일
        사진_= 사진_제공 사진_출처 자료_사진 제공 영상 촬영 취재 화면 게티 뉴스 뉴시스 기사 클릭
        카톡 카카오 라인 전화 휴대폰 문자 팩스 메일 e-?mail E-?[mM]ail 링크 페이지 사이트 누리집
        페이스북 유튜브 인스타 트위터 텔레그램 네이버 출처 지금까지 입니다 드렸습니다"""
    )
)
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]]*(?=\s|$)")
_IS_SENTENCE = re.compile(r"(?:[다요죠까음함임][.!?]|\.)[\"'”’)\]]*$")


def remove_trailing_lines(text: str) -> str:
    """Returns a text without such lines below it; without sentences above them they stay.

    Args:
      text: normalised, so that its line ends are \\n.
    """
    if text[-2:] == "다." and text[-3:] != "니다.":  # most texts end so, and none of the lines
        return text
    before = text.rfind("\n", 0, len(text) if text[-1:].strip() else len(text.rstrip()))
    last = text[before + 1 : before + 2 + _LONGEST].rstrip()
    if before < 0 or len(last) > _LONGEST:
        return text
    has_sign = _SIGN.search(last)
    if not has_sign and (len(last) > _HEADLINE or last[-1:] in ".?!"):
        return text
    near_end = text[-_RELATED_WITHIN:]
    is_named = "기사" in near_end or "뉴스" in near_end or "클릭" in near_end
    named = is_named and _OTHERS_NAMED.search(text, max(0, len(text) - _RELATED_WITHIN))
    if not has_sign and not named:
        return text
    start = _start_of_end(text, named.end() if named else len(text))
    body = text[:start].rstrip() if start < len(text) else text
    return body if body != text and _is_article(body) else text


def _start_of_end(text: str, headlines_from: int) -> int:
    """Returns where the lines below an article begin; the length of the text if there are none.

    Args:
      text: of several lines.
      headlines_from: the least place of headlines of other articles.
    """
    kept, end, lines = len(text), len(text), 0
    has_headlines = False  # below; they count only if a line above says what they are
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end].strip() if end - start <= 2 * _LONGEST else text[start:end]
        end = start - 1
        if not line:
            continue
        kind = _kind(line)
        if not kind or (kind == "headline" and start < headlines_from):
            break
        lines += 1
        if lines > _MOST_LINES:
            return len(text)
        has_headlines = kind == "headline" or (has_headlines and kind != "before headlines")
        if not has_headlines and (kind != "contact" or kept < len(text)):
            kept = start
    return kept


def _kind(line: str) -> str:
    """Returns the kind of a line below an article; an empty string if it is text."""
    if len(line) > _LONGEST:
        return ""
    if any(pattern.fullmatch(line) for pattern in _WHOLE_LINES):
        return "end"
    if _SIGN.search(line):
        parts = [part.strip(_AROUND) for part in _BETWEEN.split(_THE_END.sub("", line))]
        kinds = {_kind_of_part(part) for part in parts if part}
        if kinds and kinds <= {"end", "contact"}:
            return "end" if "end" in kinds else "contact"
        if kind := _kind_of_part(line.strip(_AROUND)):
            return kind
    return "headline" if len(line) <= _HEADLINE and not _IS_SENTENCE.search(line) else ""


def _kind_of_part(part: str) -> str:
    if any(pattern.fullmatch(part) for table in _KINDS for pattern in table):
        return "end"
    if any(pattern.fullmatch(part) for pattern in _BEFORE_HEADLINES):
        return "before headlines"
    return "contact" if any(pattern.fullmatch(part) for pattern in _CONTACTS) else ""


def _is_article(text: str) -> bool:
    """Returns whether a text has sentences: three, or two on lines of their own."""
    sentences = sum(1 for _ in itertools.islice(_SENTENCE_END.finditer(text), 3))
    return sentences == 3 or (sentences == 2 and "\n" in text)
