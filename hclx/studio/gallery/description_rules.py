"""The outline of a prompt, by plain rules, from a sentence that says in Korean what it is for.

Rules see what is named: classes, as in "긍정과 부정으로 나눠 줘", the thing that is read, and words
of common tasks, such as 요약 and 번역. All else is left to a model.
"""

import dataclasses
import re

from hclx.prompts import with_particle
from hclx.text.documents import composed

_MOST_LABELS, _LONGEST_LABEL, _LONGEST_FIELD = 12, 15, 10
_LONGEST_TITLE = 30
_BETWEEN = ("과/와", "이랑/랑", "이나/나")  # particles between classes
_AMONG = re.compile(r"(중|가운데)(에서|에|의)?$")
_CHOOSES = re.compile(
    r"나누|나눠|나눈|분류|구분|구별|가르|갈라|가려|고르|골라|고른|판별|판단|판정|맞혀|맞히|태그|붙여"
)
# Words of a task -> the name of what is read, that of the answer, how bold the answer may be, and
# the prompt of the gallery that does such a thing.
_TASKS = (
    (r"요약|줄여|줄이|간추", "글", "요약", 0.2, "article-summary"),
    (r"영어로", "문장", "번역", 0.0, "translate-ko-en"),
    (r"(한국어|우리말)로", "문장", "번역", 0.0, "translate-en-ko"),
    (r"번역|옮겨|옮기", "문장", "번역", 0.0, ""),
    (r"답장|회신|답글|댓글|응대", "받은 글", "답글", 0.5, ""),
    (r"제목", "핵심어", "제목", 0.8, "event-titles"),
    (r"문구|광고|홍보|소개|카피", "상품", "소개", 0.8, ""),
    (r"핵심어|키워드", "글", "핵심어", 0.0, "keyword-extraction"),
    (r"뽑아|추출|찾아", "글", "찾은 것", 0.0, ""),
    (r"맞춤법|띄어쓰기|고쳐|고치|교정", "문장", "고친 문장", 0.0, "spelling"),
    (r"존댓말|높임말", "문장", "바꾼 문장", 0.0, "polite-speech"),
    (r"반말|말투|문체|다듬|바꿔|바꾸", "문장", "바꾼 문장", 0.2, ""),
    (r"질문|물음|대답|답해|답하|알려", "질문", "답", 0.2, ""),
    (r"예문|지어|써 줘|써줘|쓰", "주제", "글", 0.8, ""),
)
_ANY_TASK = ("입력", "결과", 0.5, "")
# Behind the object of these verbs the sentence names what is made, and not what is read.
_MADE = re.compile(r"지어|짓|써|쓰|만들|달아|뽑|추출|골라|찾|답|알려|붙")


@dataclasses.dataclass(frozen=True)
class Outline:
    """The outline of a prompt.

    Attributes:
      title: what it may be called.
      chooses: whether it chooses a class; else it writes a text.
      labels: the classes that are named; empty: none are.
      field: the name of what is read; it is no name of a class.
      answer: the name of the answer.
      directive: says what is to be done.
      temperature: of an answer that is written.
      kin: the slug of a prompt of the gallery that does such a thing; "": there is none.
    """

    title: str
    chooses: bool
    labels: tuple[str, ...]
    field: str
    answer: str
    directive: str
    temperature: float
    kin: str


def outline_of(text: str) -> Outline:
    """Returns the outline of a prompt that does what a sentence says."""
    text = " ".join(composed(text).split())
    labels = named_labels(text)
    chooses = bool(labels) or bool(_CHOOSES.search(text))
    field, answer, temperature, kin = ("글", "갈래", 0.0, "") if chooses else _task_of(text)
    field = _object_of(text, chooses) or field
    if field in (answer, *labels):
        field = "입력"
    directive = f"다음 요청에 따른다: {text}"
    if labels:
        listed = ", ".join(labels)
        directive = f"{with_particle(field, '을/를')} 읽고 {listed} 가운데 하나를 고른다."
    title = text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…"
    return Outline(title, chooses, labels, field, answer, directive, temperature, kin)


def named_labels(text: str) -> tuple[str, ...]:
    """Returns the classes that a sentence names, in their order; none if it does not name two."""
    words = re.sub(r"\s*[,/·|]\s*", ", ", re.sub(r"['\"‘’“”]", "", text)).split()
    for end in range(len(words) - 1, -1, -1):
        last = _last_label(words, end)
        if last is None:
            continue
        label, place = last
        labels = [label]
        while place > 0 and (before := _label_before(words[place - 1])) is not None:
            labels.insert(0, before)
            place -= 1
        if _are_labels(labels):
            return tuple(labels)
    return _asked_labels(words)


def _last_label(words: list[str], end: int) -> tuple[str, int] | None:
    """Returns the last class of a list that ends at a word, and the place of its own word."""
    rest = " ".join(words[end + 1 : end + 4])
    without = _without(words[end], "으로/로")
    if without and _CHOOSES.search(rest):
        return without, end
    if match := _AMONG.search(words[end]):
        if end and words[end] == match[0]:  # it stands alone, as in "과학 중에서"
            return words[end - 1], end - 1
        if words[end][: match.start()]:
            return words[end][: match.start()], end
    return None


def _label_before(word: str) -> str | None:
    """Returns the class of a word that another class follows; None if none does."""
    if word.endswith(","):
        return word[:-1]
    return next((bare for pair in _BETWEEN if (bare := _without(word, pair))), None)


def _asked_labels(words: list[str]) -> tuple[str, ...]:
    """Returns the classes of "스팸인지 아닌지" and "긍정인지 부정인지"."""
    labels: list[str] = []
    for word in words:
        if not word.endswith("인지") and word != "아닌지":
            if len(labels) > 1:
                break
            labels = []
            continue
        labels.append(f"{labels[-1]} 아님" if word == "아닌지" and labels else word[:-2])
    return tuple(labels) if _are_labels(labels) else ()


def _are_labels(labels: list[str]) -> bool:
    are_short = all(0 < len(label) <= _LONGEST_LABEL for label in labels)
    are_plain = all(re.fullmatch(r"[\w ]+", label) for label in labels)
    is_many = 2 <= len(labels) <= _MOST_LABELS
    return is_many and are_short and are_plain and len(set(labels)) == len(labels)


def _task_of(text: str) -> tuple[str, str, float, str]:
    for pattern, *task in _TASKS:
        if re.search(pattern, text):
            return tuple(task)
    return _ANY_TASK


def _object_of(text: str, chooses: bool) -> str:
    """Returns the noun that is read, such as 후기 in "영화 후기를 긍정과 부정으로 나눠 줘", and
    메일 in "메일이 스팸인지 아닌지"; "" if it is not named.
    """
    words = text.split()
    for pair in ("을/를", "이/가") if chooses else ("을/를",):
        for place, word in enumerate(words):
            noun, following = _without(word, pair), words[place + 1 :][:1]
            is_name = re.fullmatch(r"\w+", noun) and len(noun) <= _LONGEST_FIELD
            if is_name and (chooses or not (following and _MADE.match(following[0]))):
                return noun
    return ""


def _without(word: str, pair: str) -> str:
    """Returns a word without the particle that its last sound asks for; "" if it has none."""
    for particle in pair.split("/"):
        bare = word.removesuffix(particle)
        if bare and bare != word and with_particle(bare, pair) == word:
            return bare
    return ""
