"""Korean particles that depend on the sound before them: 은/는, 이/가, 을/를, 으로/로."""

import re
import unicodedata

# After a final consonant, after a vowel, and as it is written after a word of unknown sound.
_PAIRS = {
    ("은", "는"): "은(는)",
    ("이", "가"): "이(가)",
    ("을", "를"): "을(를)",
    ("과", "와"): "과(와)",
    ("아", "야"): "아(야)",
    ("으로", "로"): "(으)로",
    ("이나", "나"): "(이)나",
    ("이란", "란"): "(이)란",
    ("이라", "라"): "(이)라",
    ("이랑", "랑"): "(이)랑",
    ("이며", "며"): "(이)며",
    ("이여", "여"): "(이)여",
}
PARTICLES = {
    f"{a}/{b}": pair for pair in _PAIRS for a, b in (pair, pair[::-1])
}  # in either order, as people write them
_RIEUL = 8  # the number of the final consonant ㄹ among the 28 of a syllable
_NO_FINAL, _OTHER_FINAL = 0, 1
# The final sounds of digits (영 일 이 삼 사 오 육 칠 팔 구), and of 십 백 천 만 억 조 behind zeros.
_DIGITS = dict(zip("0123456789", (1, 8, 0, 1, 0, 0, 1, 8, 8, 0), strict=True))
_ZEROS = (None, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0)
# The final sounds of the names of letters (엘, 엠, 엔, 알); all others end in a vowel.
_LETTERS = {"L": _RIEUL, "M": _OTHER_FINAL, "N": _OTHER_FINAL, "R": _RIEUL}
_CLOSING = re.compile(r"(?:\s|[\"'”’»›>」』》〉\]}.,!?…~%])+$")
_BRACKETS = re.compile(r"(?<=\S)\s*[(（][^()（）]*[)）]$")
_JAMO_FIRST, _JAMO_LAST = "가", "힣"


def with_particle(word: str, particle: str) -> str:
    """Returns a word with the particle that its last sound asks for.

    Closing quotes, and brackets behind a word, are not heard: 삼성(三星) takes 은. Digits and Latin
    capitals are read by their Korean names. Behind a sound that is not known, such as that of an
    English word, both forms are written: 은(는).

    Args:
      word: any text.
      particle: of `PARTICLES`, in either order, such as "은/는".
    """
    after_consonant, after_vowel = pair = PARTICLES[particle]
    final = _final_sound(word)
    if final is None:
        return word + _PAIRS[pair]
    if final == _NO_FINAL or (final == _RIEUL and after_vowel == "로"):
        return word + after_vowel
    return word + after_consonant


def _final_sound(word: str) -> int | None:
    """Returns the number of the last syllable's final consonant, 0 if it has none, and None if it
    is not known how the word ends.
    """
    heard = unicodedata.normalize("NFC", word)
    while (shorter := _BRACKETS.sub("", _CLOSING.sub("", heard))) != heard:
        heard = shorter
    heard = heard.rstrip(")）")
    if not heard:
        return None
    last = heard[-1]
    if _JAMO_FIRST <= last <= _JAMO_LAST:
        return (ord(last) - ord(_JAMO_FIRST)) % 28
    if last in _DIGITS:
        return _final_of_number(re.search(r"[\d,.]+$", heard)[0])
    if re.search(r"(?<![A-Za-z])[A-Z]+$", heard):
        return _LETTERS.get(last, _NO_FINAL)
    return None


def _final_of_number(number: str) -> int | None:
    whole, _, decimals = number.replace(",", "").partition(".")
    if decimals or not whole.rstrip("0"):  # digits are read each on their own
        return _DIGITS[number[-1]]
    zeros = len(whole) - len(whole.rstrip("0"))
    if zeros == 0:
        return _DIGITS[whole[-1]]
    return _ZEROS[zeros] if zeros < len(_ZEROS) else None
