"""Texts that break tokenizers."""

import base64
import random
import sys

STRANGE = [
    "",
    " ",
    "   앞뒤 공백과\t탭 \n\n\n줄바꿈\r\n  ",
    "나랏말ᄊᆞ미 듕귁에 달아 ᄒᆞᆯᄊᆡ",  # old Hangul, conjoining jamo
    "ㄱㄴㄷ ㅏㅑㅓ ㅋㅋㅋㅋ",
    "가족 👨‍👩‍👧‍👦 국기 🇰🇷 손 👍🏽 하트 ❤️",
    "끝에 \x00 널과 \x01\x7f 제어 문자",
    "\u2581밑줄\u2581 \ufeff BOM \u200b 폭 없는 공백 \u3000 전각",
    "한글 한글",  # composed, then decomposed
    "\ud800 홀로 선 대리 문자 \udfff",
    "<|endoftext|><pad><unk> 는 글자일 뿐",
    "1234567890 3.14159 2026년 11월 21일",
    "漢字と日本語 العربية עברית ไทย русский",
    "\U0010ffff\ufffd\ufffe",
]

# Without a place where a chunk ends; sentencepiece ends the process at one of 65,536 bytes.
LONG_RUNS = {
    "newlines": "\n" * 70_000,
    "spaces": " " * 100_000,
    "syllables": "가" * 22_000,
    "base64": base64.b64encode(random.Random(0).randbytes(150_000)).decode(),
    "nul": "\x00" * 70_000,
    "emoji": "👍🏽" * 10_000,
    "surrogates": "\ud800" * 25_000,
}


def random_texts(n: int, seed: int):
    """Strings over all of Unicode, lone surrogates included, with some weight on Korean and white
    space.
    """
    draw = random.Random(seed)
    ranges = [
        (0, 0x7F),
        (0x20, 0x20),
        (0xAC00, 0xD7A3),
        (0x1100, 0x11FF),
        (0x3130, 0x318F),
        (0xD800, 0xDFFF),
        (0, sys.maxunicode),
    ]
    for _ in range(n):
        yield "".join(chr(draw.randint(*draw.choice(ranges))) for _ in range(draw.randint(0, 60)))
