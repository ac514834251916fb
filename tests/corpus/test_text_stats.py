"""Scripts, lengths, punctuation and normalisation: values equal a plain count for each document."""

import functools
import re
import unicodedata
from collections import Counter

import numpy as np
import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from hclx.corpus.taggers.text_stats import length, normalisation, punctuation, script
from hclx.corpus.text_batch import TextBatch
from tests.helpers.tagger_oracles import (
    STRANGE,
    assert_tags,
    kind,
    lines_of,
    random_texts,
    share,
    visible,
)


@pytest.fixture(scope="module")
def texts(sample_texts) -> list[str]:
    return [*STRANGE, *sample_texts, *random_texts(400, seed=5)]


@functools.cache
def model() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def model_says(text: str) -> str:
    """The language of ISO 639-1 that has more than half of the probability that all of these and
    "no language" have.
    """
    probabilities = {
        code: p for code, p in model().rank(text[:1000]) if len(code) == 2 or code == "zxx"
    }
    code = max(probabilities, key=probabilities.get)
    return (
        code if probabilities[code] > sum(probabilities.values()) / 2 and code != "zxx" else "und"
    )


def script_oracle(text: str, title: str) -> dict:
    counts = Counter(map(kind, text))
    hangul = counts["hangul"] + counts["jamo"]
    letters = hangul + counts["latin"] + counts["han"] + counts["kana"] + counts["other"]
    seen = len(text) - counts["space"]
    kinds = [kind(char) for char in text]
    behind = [after for before, after in zip(kinds, kinds[1:]) if before == "han" != after]
    is_mixed = behind and 4 * behind.count("hangul") >= len(behind) and 20 * hangul >= letters
    korean = hangul + (counts["han"] if is_mixed else 0)
    links = re.findall(r"(?:https?://|www\.)[!-~]+", text)
    unlinked = letters - sum(char.isalpha() for link in links for char in link)
    if not letters:
        language = "und"
    elif unlinked and 5 * korean >= unlinked:
        language = "ko"
    elif 10 * counts["kana"] >= letters:
        language = "ja"
    elif 2 * counts["han"] >= letters:
        language = "zh"
    else:
        language = model_says(text) if letters >= 20 else "und"
    return {
        "hangul": share(hangul, letters),
        "korean": share(korean, unlinked),
        **{name: share(counts[name], letters) for name in ("latin", "han", "kana", "other")},
        "letters": share(letters, seen),
        "digits": share(counts["digit"], seen),
        "symbols": share(counts["symbol"] + counts["punctuation"], seen),
        "control": share(counts["control"], seen),
        "language": language,
    }


def length_oracle(text: str, title: str) -> dict:
    words, lines = text.split(), lines_of(text)
    others = ("control", "format", "punctuation", "symbol")
    spoken = [word for word in words if any(kind(char) not in others for char in word)]
    unlike = [c for a, b, c in zip("  " + text, " " + text, text) if not a == b == c]
    letters = ("hangul", "latin", "han", "kana", "other")
    return {
        "letters": sum(kind(char) in letters for char in unlike),
        "alphanumerics": sum(kind(char) in (*letters, "digit") for char in unlike),
        "chars": len(text),
        "words": len(words),
        "lines": len(lines),
        "mean_word": share(visible("".join(spoken)), len(spoken)),
        "mean_line": share(sum(map(len, lines)), len(lines)),
        "short_lines": share(sum(len(line) < 20 for line in lines), len(lines)),
    }


def punctuation_oracle(text: str, title: str) -> dict:
    lines = lines_of(text)
    among = lambda test: share(sum(map(test, lines)), len(lines))
    return {
        "line_end": among(lambda line: line[-1] in ".?!…。？！\"'”’」』)]】"),
        "sentence_end": among(
            lambda line: line[-1] in ".?!…。？！\"'”’」』)]】다요까죠네라자함음임됨"
        ),
        "ellipsis": among(lambda line: line.endswith(("...", "…", "‥", "···"))),
        "bullet": among(lambda line: line[0] in "-*•·ㆍ∙◦‣▪■□◆◇●○▶▷★☆※"),
    }


@pytest.mark.parametrize(
    "tagger, oracle",
    [(script, script_oracle), (length, length_oracle), (punctuation, punctuation_oracle)],
)
def test_columns_are_those_of_a_plain_reading(texts, tagger, oracle):
    assert_tags(tagger, oracle, texts)


@pytest.mark.parametrize(
    "text, language",
    [
        ("한국어 문장이다.", "ko"),
        ("ㅋㅋㅋ", "ko"),
        ("ᄒᆞᆫ글", "ko"),
        ("대한민국(大韓民國, Republic of)", "ko"),
        ("其後 朝鮮은 國權을 喪失하고 民族 全體가 塗炭에 陷沒하였다", "ko"),
        ("大韓民國憲法 前文은 其精神 其目的 其理念을 明文化", "ko"),
        ("韓國的首都是首爾(서울)，人口約一千萬，是經濟文化的中心，亦爲最大都市。", "zh"),
        ("이 hangul", "und"),  # a seventh of the letters
        ("가 abcd", "ko"),  # a fifth
        ("これは日本語です", "ja"),
        ("漢字漢字漢字漢字漢あ", "ja"),
        ("这是中文", "zh"),
        ("An English sentence that is not short.", "en"),
        ("Это предложение написано по-русски", "ru"),
        ("Too short.", "und"),
        ("123 !? 😀", "und"),
        ("", "und"),
    ],
)
def test_language_by_example(text, language):
    assert script(TextBatch.of([text]))["language"].tolist() == [language]


def test_lengths_by_example():
    result = length(TextBatch.of(["하나 둘\n\n 셋넷다섯 \r\n" + "가" * 20, "나"]))
    assert [result[name].tolist() for name in ("chars", "words", "lines")] == [
        [34, 1],
        [4, 1],
        [3, 1],
    ]
    assert [result[name].tolist() for name in ("mean_word", "mean_line")] == [
        [6.75, 1],
        [np.float32(28 / 3), 1],
    ]
    assert result["short_lines"].tolist() == [np.float32(2 / 3), 1]


def test_line_ends_by_example():
    text = "끝났다.\n끝났다...\n그리고··· \n- 목록\n·\n··\n끝"
    result = {
        name: values.tolist()
        for name, values in punctuation(TextBatch.of([text, "··", "·"])).items()
    }
    assert result == {
        "line_end": [np.float32(2 / 7), 0, 0],
        "sentence_end": [np.float32(2 / 7), 0, 0],
        "ellipsis": [np.float32(2 / 7), 0, 0],
        "bullet": [np.float32(3 / 7), 1, 1],
    }


def test_short_last_lines_do_not_look_into_the_next_document():
    alone = punctuation(TextBatch.of(["가.", ".."]))
    assert alone["ellipsis"].tolist() == [0, 0]
    assert punctuation(TextBatch.of(["가", "..", ".", "…"]))["ellipsis"].tolist() == [0, 0, 0, 1]


def test_texts_that_were_decoded_wrongly_are_found(sample_texts):
    clean = [
        unicodedata.normalize("NFC", text.encode("cp949", "ignore").decode("cp949"))
        for text in sample_texts
    ]
    assert not normalisation(TextBatch.of(clean))["mojibake"].any()
    for written, read in (
        ("utf-8", "latin-1"),
        ("utf-8", "cp1252"),
        ("cp949", "latin-1"),
        ("cp949", "utf-8"),
    ):
        garbled = [text.encode(written).decode(read, "replace") for text in clean]
        assert normalisation(TextBatch.of(garbled))["mojibake"].min() >= 4, (written, read)
    assert normalisation(TextBatch.of(["\ufffd 둘 \ufffd", "하나"]))["mojibake"].tolist() == [2, 0]
