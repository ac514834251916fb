"""Strange texts, and what taggers compute said again in plain Python: over str, one document at a
time.
"""

import random
import unicodedata

import numpy as np

from hclx.corpus.text_batch import TextBatch

STRANGE = [
    "",
    " ",
    "\n",
    "\u3000\xa0\t\r\n",  # nothing but white space
    "가",
    "a",
    "ㅋ",
    "7",
    "😀",
    ".",
    "\ufeff",
    "\u200b",
    "가나",
    "...",
    "··",
    "한 줄\n한 줄\n 한 줄 \r\n다른 줄...\n",
    "나랏말ᄊᆞ미 듕귁에 달아 ᄒᆞᆯᄊᆡ",  # old Hangul, conjoining jamo
    "한글 \u1112\u1161\u11ab\u1100\u1173\u11af cafe\u0301",  # composed, then decomposed
    "가족 👨‍👩‍👧‍👦 국기 🇰🇷 손 👍🏽 하트 ❤️",
    "끝에 \x00 널과 \x01\x7f 제어 문자, \x1c \x85 \u2028 는 공백",
    "漢字と日本語 العربية עברית ไทย русский 𠀀𠀁 𝕏 \U0010ffff",
    "- 목록\n• 목록\n※ 참고 ···\n“인용”\n끝.",
    "ㅋㅋㅋㅋ ㅋㅎㅋㅎ ㅠㅠ ㅇㅇ ㄴㄴ ㅏㅏㅏ",
    "https://www.naver.com www.daum.net http://a.kr https:// www",
    "가 나 다\n가  나 다\t가 나 다",  # one run of eojeol, other white space
    "1111111 aaaaaaa 아아아아아아 !!!!!!!      \n\n\n\n\n",
]
_PIECES = [
    "가나다라마바사",
    "하늘",
    "ㄱㄴㅋㅎㅠㅜㅏㅡ",
    "ᄒᆞᄀ",
    "abcXYZé",
    "0123456789",
    "漢字",
    "かなカナ",
    "яж",
    ".?!…,·\"'”)-•※",
    "😀👍❤",
    "𠀀𠀁𝕏",
    "\u200b\ufeff\x01",
    " ",
    "  ",
    "\t\u3000\xa0",
    "\n",
    "\r\n",
]


def random_texts(n: int, seed: int) -> list[str]:
    """Every third a mix of all kinds of characters, every third of few eojeol, every third of few
    lines and characters.
    """
    draw = random.Random(seed)
    mix = lambda length: "".join(draw.choice(draw.choice(_PIECES)) for _ in range(length))
    result = []
    for i in range(n):
        if i % 3 == 0:
            result.append(mix(draw.randint(0, 80)))
        elif i % 3 == 1:
            words = [mix(draw.randint(1, 4)) for _ in range(draw.randint(1, 4))]
            result.append(
                "".join(
                    draw.choice(words) + draw.choice([" ", " ", " ", "  ", "\n"])
                    for _ in range(draw.randint(0, 60))
                )
            )
        else:
            lines = [mix(draw.randint(0, 12)) for _ in range(3)] + [
                draw.choice("가ㅋa1!") * draw.randint(1, 9)
            ]
            result.append(
                draw.choice(["\n", "\r\n", "\n\n"]).join(
                    draw.choice(lines) for _ in range(draw.randint(1, 12))
                )
            )
    return result


def batched(items: list, seed: int = 0) -> list[list]:
    """The items in batches of one to forty."""
    draw, batches, start = random.Random(seed), [], 0
    while start < len(items):
        size = draw.choice([1, 1, 2, 7, 40])
        batches.append(items[start : start + size])
        start += size
    return batches


def assert_tags(tagger, oracle, texts, titles=None) -> None:
    """A tagger gives to every document of every batch what `oracle(text, title)` says: name ->
    value.
    """
    pairs = list(zip(texts, titles or [""] * len(texts)))
    for batch in [*batched(pairs), []]:
        columns = tagger(TextBatch.of([text for text, _ in batch], [title for _, title in batch]))
        assert all(len(column) == len(batch) for column in columns.values())
        for i, (text, title) in enumerate(batch):
            expected = {
                name: np.float32(value) if isinstance(value, float) else value
                for name, value in oracle(text, title).items()
            }
            assert {name: column[i] for name, column in columns.items()} == expected, (text, title)


def share(part: float, whole: float) -> float:
    """part / whole, 0 where there is no whole."""
    return part / whole if whole else 0.0


def lines_of(text: str) -> list[str]:
    """Lines that are not blank, stripped."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def paragraphs_of(text: str) -> list[str]:
    """What stands between blank lines, stripped."""
    paragraphs, lines = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            paragraphs.append("\n".join(lines).strip())
            lines = []
    return paragraphs


def kind(char: str) -> str:
    """What kind of character it is, by its name and category."""
    name, category = unicodedata.name(char, ""), unicodedata.category(char)
    if char.isspace():
        return "space"
    if category[0] in "LM":
        starts = {
            "HANGUL SYLLABLE": "hangul",
            "HANGUL ": "jamo",
            "CJK ": "han",
            "HIRAGANA": "kana",
            "KATAKANA": "kana",
        }
        script = next(
            (
                kind
                for start, kind in starts.items()
                if name.removeprefix("HALFWIDTH ").startswith(start)
            ),
            "",
        )
        return script or ("latin" if "LATIN" in name else "other")
    if category == "Cf":
        return "format"
    return {"N": "digit", "P": "punctuation", "S": "symbol", "C": "control"}[category[0]]


def visible(text: str) -> int:
    """Characters that are no white space."""
    return sum(not char.isspace() for char in text)


def phrases(text: str) -> list[tuple[str, str]]:
    """(mark, phrase) of each line of a word list that has one."""
    lines = [line.partition("#")[0].strip() for line in text.split("\n")]
    return [(line[0], line[1:]) if line[0] in "^!" else ("", line) for line in lines if line]


def count_phrases(listed: list[tuple[str, str]], text: str) -> int:
    """How often a document holds one of a list's phrases, not counting those that an exception
    hides; phrases that overlap, directly or by others between them, count once.
    """
    count = 0
    for word in text.split():
        word = "".join(
            c for c in word if kind(c) in ("hangul", "jamo", "latin", "han", "digit")
        ).lower()
        candidates = [(mark, phrase) for mark, phrase in listed if phrase.lower() in word]
        spans = [
            (mark, i, i + len(p))
            for mark, p in candidates
            for i in range(len(word))
            if word.startswith(p.lower(), i)
        ]
        hidden = [(start, end) for mark, start, end in spans if mark == "!"]
        groups = []  # sets of the letters that phrases cover
        for mark, start, end in spans:
            if mark == "" or (mark == "^" and start == 0):
                if not any(a <= start and end <= b for a, b in hidden):
                    near = [group for group in groups if group & {*range(start, end)}]
                    groups = [group for group in groups if group not in near]
                    groups.append(set().union({*range(start, end)}, *near))
        count += len(groups)
    return count
