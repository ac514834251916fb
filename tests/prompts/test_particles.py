"""Particles behind words of every kind, as a Korean reads them aloud."""

import unicodedata

import pytest

from hclx.prompts import with_particle
from hclx.prompts.particles import PARTICLES

# The word, and how its end is spelt out: the sound of the particle follows from that alone.
SPELT_OUT = {
    "사과": "사과",
    "수박": "수박",
    "물": "물",
    "서울": "서울",
    "부산": "부산",
    "제주": "제주",
    "값": "갑",
    "닭": "닥",
    "삶": "삼",
    "여덟": "여덟",  # 여덟으로: only ㄹ alone takes 로
    "한국어": "한국어",
    "꽃 ": "꼳",
    "뷁": "뷁",
    # digits and numbers
    "0": "영",
    "1": "일",
    "2": "이",
    "3": "삼",
    "4": "사",
    "5": "오",
    "6": "육",
    "7": "칠",
    "8": "팔",
    "9": "구",
    "10": "십",
    "17": "십칠",
    "100": "백",
    "2000": "이천",
    "30,000": "삼만",
    "500,000": "오십만",
    "7,000,000": "칠백만",
    "100000000": "일억",
    "3,000,000,000,000": "삼조",
    "20,000,000,000,000": "이십조",
    "10000000000000000": "일경",
    "1,234": "천이백삼십사",
    "1,230": "천이백삼십",
    "007": "영영칠",
    "000": "영영영",
    "0.5": "영점오",
    "3.14": "삼점일사",
    "2.0": "이점영",
    "1.10": "일점일영",
    "２０": "이십",
    "①": "일",
    # units and symbols
    "10%": "십퍼센트",
    "２０％": "이십퍼센트",
    "36℃": "삼십육도",
    "90°": "구십도",
    "3km": "삼킬로미터",
    "3 km": "삼킬로미터",
    "5kg": "오킬로그램",
    "5㎏": "오킬로그램",
    "10 cm": "십센티미터",
    "2L": "이리터",
    "16GB": "십육기가바이트",
    "60Hz": "육십헤르츠",
    "80dB": "팔십데시벨",
    "$100": "백달러",
    "5$": "오달러",
    "₩1,000": "천원",
    "¥300": "삼백엔",
    "€20": "이십유로",
    "C#": "씨샵",
    "C++": "씨플러스플러스",
    # brackets, quotes and marks
    "삼성(三星)": "삼성",
    "사과(apple)": "사과",
    "사과 (과일)": "사과",
    "나무（木）": "나무",
    "가(나(달))": "가",
    "배(과일) (여름)": "배",
    "(주)": "주",
    "(일)": "일",
    "1)": "일",
    '"사과"': "사과",
    "‘수박’": "수박",
    "“물”": "물",
    "《소나기》": "소나기",
    "「봄봄」": "봄봄",
    "<기생충>": "기생충",
    "[속보]": "속보",
    "정말?!": "정말",
    "끝…": "끝",
    "수박.": "수박",
    "수박\n": "수박",
    "사과🍎": "사과",
    "수박 🍉🍉": "수박",
    "가족👨‍👩‍👧": "가족",
    "1️⃣": "일",
    "갤럭시™": "갤럭시",
    # letters
    "A": "에이",
    "L": "엘",
    "M": "엠",
    "N": "엔",
    "R": "알",
    "X": "엑스",
    "URL": "유알엘",
    "ATM": "에이티엠",
    "TV": "티비",
    "CEO": "씨이오",
    "x": "엑스",
    "n": "엔",
    "A4": "에이사",
    "K팝": "케이팝",
    "5G": "오지",
    unicodedata.normalize("NFD", "사과"): "사과",
    unicodedata.normalize("NFD", "수박"): "수박",
    unicodedata.normalize("NFD", "서울"): "서울",
}
UNKNOWN = [
    "",
    " ",
    "apple",
    "iPhone",
    "三星",
    "ㅋㅋ",
    "ㅠㅠ",
    "🍎",
    "...",
    "()",
    "café",
    "5 apples",
]
JONGSEONG = "\u11af"  # ㄹ as a final consonant, as NFD writes it


def final(syllable):
    """The final consonant of a syllable, by Unicode's own decomposition; "" if it has none."""
    return unicodedata.normalize("NFD", syllable)[2:]


@pytest.mark.parametrize(("word", "aloud"), SPELT_OUT.items())
def test_the_particle_follows_the_sound(word, aloud):
    heard = final(aloud[-1])
    for particle, (consonant, vowel) in PARTICLES.items():
        expected = consonant if heard and (vowel != "로" or heard != JONGSEONG) else vowel
        assert with_particle(word, particle) == word + expected


@pytest.mark.parametrize(
    ("particle", "both"),
    [
        ("은/는", "은(는)"),
        ("가/이", "이(가)"),
        ("을/를", "을(를)"),
        ("과/와", "과(와)"),
        ("로/으로", "(으)로"),
        ("이나/나", "(이)나"),
        ("아/야", "아(야)"),
    ],
)
@pytest.mark.parametrize("word", UNKNOWN)
def test_behind_an_unknown_sound_both_forms_are_written(word, particle, both):
    assert with_particle(word, particle) == word + both


def test_either_order_is_the_same_particle():
    assert len(PARTICLES) == 2 * len(set(PARTICLES.values()))
    for particle, pair in PARTICLES.items():
        assert PARTICLES["/".join(reversed(particle.split("/")))] == pair


@pytest.mark.parametrize("filler", ["(", ")", "(가)", " ", ".", "1", "0", "A", "가 (", "\u0301"])
def test_a_long_text_takes_no_longer(filler):
    """Looking from each character to the end would take minutes."""
    text = filler * (1_000_000 // len(filler))
    assert with_particle(f"{text} 사과", "은/는") == f"{text} 사과는"
    assert with_particle(text, "은/는").startswith(text)
