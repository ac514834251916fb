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
    ("이든", "든"): "(이)든",
    ("이야", "야"): "(이)야",
    ("이었", "였"): "이었(였)",
    ("이에요", "예요"): "이에요(예요)",
}
PARTICLES = {
    f"{a}/{b}": pair for pair in _PAIRS for a, b in (pair, pair[::-1])
}  # in either order, as people write them
_RIEUL = 8  # the number of the final consonant ㄹ among the 28 of a syllable
_NO_FINAL, _OTHER_FINAL = 0, 1
# The final sounds of digits: 영 일 이 삼 사 오 육 칠 팔 구.
_DIGITS = dict(zip("0123456789", (1, 8, 0, 1, 0, 0, 1, 8, 8, 0), strict=True))
# By the number of zeros that end a number: of 십 백 천 만, 억, 조 and 경.
_ZEROS = dict.fromkeys((*range(1, 12), *range(16, 20)), _OTHER_FINAL)
_ZEROS |= dict.fromkeys(range(12, 16), _NO_FINAL)
# The final sounds of the names of letters (엘, 엠, 엔, 알); all others end in a vowel.
_LETTERS = {"L": _RIEUL, "M": _OTHER_FINAL, "N": _OTHER_FINAL, "R": _RIEUL}
# 퍼센트, 도, 달러, 유로, 파운드, 플러스; 엔, 원, 샵.
_SYMBOLS = {**dict.fromkeys("%°$€£+", _NO_FINAL), **dict.fromkeys("¥₩#", _OTHER_FINAL)}
_UNITS = {
    **dict.fromkeys("km m cm mm nm ha L l mL ml kL kcal Hz kHz MHz GHz".split(), _NO_FINAL),
    **dict.fromkeys("W kW MW V kV A mA B kB KB MB GB TB s ms".split(), _NO_FINAL),
    **dict.fromkeys("g kg mg t".split(), _OTHER_FINAL),  # 그램, 톤
    **dict.fromkeys("dB kJ J hPa".split(), _RIEUL),  # 데시벨, 줄, 파스칼
}
_NUMBER = re.compile(r"([$€£¥₩]?) ?([0-9,.]*[0-9])$")
_UNIT = re.compile(r"[0-9] ?([A-Za-z]+)$")
_SPELT = re.compile(r"(?<![A-Za-z])(?:[A-Z]+|[a-z])$")
# Categories of characters that are not heard at the end of a word: marks, emoji, spaces, controls.
_SILENT = {"Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "So", "Sk", "Mn", "Me"}
_SILENT |= {"Zs", "Zl", "Zp", "Cc", "Cf"}
_TAIL = 1000  # characters of a text that are looked at


def with_particle(word: str, particle: str) -> str:
    """Returns a word with the particle that its last sound asks for.

    Closing marks, emoji, and brackets behind a word are not heard: 삼성(三星) takes 은. Digits,
    units behind them, Latin capitals and single letters are read by their Korean names. Behind a
    sound that is not known, such as that of an English word, both forms are written: 은(는).

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
    # NFKC has "TM" for the sign of a trademark, and plain characters for those of full width.
    tail = unicodedata.normalize("NFKC", word[-_TAIL:].replace("™", ""))
    heard = _heard(tail)[-50:]
    last = heard[-1:]
    if "가" <= last <= "힣":
        return (ord(last) - ord("가")) % 28
    if last in _SYMBOLS:
        return _SYMBOLS[last]
    if match := _NUMBER.search(heard):
        return _SYMBOLS[match[1]] if match[1] else _final_of_number(match[2])
    if (match := _UNIT.search(heard)) and match[1] in _UNITS:
        return _UNITS[match[1]]
    return _LETTERS.get(last.upper(), _NO_FINAL) if _SPELT.search(heard) else None


def _heard(text: str) -> str:
    """Returns a text without what is not heard at its end."""
    while text:
        before = _before_bracket(text)
        if before:
            text = before
        elif text[-1] in ")]}>~" or (
            text[-1] not in _SYMBOLS and unicodedata.category(text[-1]) in _SILENT
        ):
            text = text[:-1]
        else:
            break
    return text


def _before_bracket(text: str) -> str:
    """Returns the words before the bracket that ends a text; "" if it ends with none, or begins
    with it.
    """
    depth = 0
    for start in range(len(text) - 1, -1, -1):
        depth += (text[start] == ")") - (text[start] == "(")
        if depth == 0:
            is_behind_words = text[-1] == ")" and any(map(str.isalnum, text[:start]))
            return text[:start] if is_behind_words else ""
    return ""


def _final_of_number(number: str) -> int | None:
    whole, _, decimals = number.replace(",", "").partition(".")
    if decimals or not whole.strip("0"):  # digits are read each on their own
        return _DIGITS[number[-1]]
    zeros = len(whole) - len(whole.rstrip("0"))
    return _ZEROS.get(zeros) if zeros else _DIGITS[whole[-1]]
