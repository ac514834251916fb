"""Pre-tokenizers: lossless, at morphemes, digits in threes from the right."""

import pytest

from hclx.errors import ConfigError
from hclx.text.pretokenizers import EojeolPretokenizer, MorphemePretokenizer, resolve_morphemes
from tests.helpers.unicode_samples import STRANGE, random_texts


@pytest.fixture(scope="module")
def morphemes():
    return MorphemePretokenizer()


@pytest.mark.parametrize("make", [MorphemePretokenizer, EojeolPretokenizer])
def test_chunks_join_to_the_text(make, sample_texts):
    pretokenizer = make()
    for text in [*STRANGE, *sample_texts, *random_texts(200, seed=3)]:
        chunks = pretokenizer.split(text)
        assert "".join(chunks) == text and all(chunks)


def test_a_particle_is_split_off_and_the_space_goes_with_the_word_after_it(morphemes):
    assert morphemes.split("학교에서 책을 읽는다")[:4] == ["학교", "에서", " 책", "을"]


def test_fused_syllables_stay_whole(morphemes):
    # 갔 holds a stem and the past tense; splitting it would need bytes, and bytes are not
    # morphemes.
    assert all(
        not 0xDC00 <= ord(c) < 0xE000 for chunk in morphemes.split("나는 집에 갔다") for c in chunk
    )
    assert " 갔" in morphemes.split("나는 집에 갔다")


def test_digits_are_grouped_from_the_right(morphemes):
    assert morphemes.split("1234567") == ["1", "234", "567"]
    assert morphemes.split("123") == ["123"]


def test_newlines_stand_alone(morphemes):
    assert morphemes.split("가\n\n나") == ["가", "\n\n", "나"]


def test_eojeol_pretokenizer_keeps_the_space_before_a_word():
    assert EojeolPretokenizer().split("나는  집에\n갔다") == ["나는", " ", " 집에", "\n갔다"]


def test_two_names_of_one_setting_may_not_contradict_each_other():
    assert resolve_morphemes(None) == resolve_morphemes(None, "train") == "merges"
    assert resolve_morphemes("none", "plain") == "none"
    with pytest.raises(ConfigError, match="mode=plain and morphemes=merges contradict each other"):
        resolve_morphemes("merges", "plain")
