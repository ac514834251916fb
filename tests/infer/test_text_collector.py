"""From sampled tokens to text: whole characters, and stop texts that are never shown."""

import pytest

from hclx.infer.text_collector import TextCollector


@pytest.fixture(scope="module")
def tokenizer(tokenizers):
    return tokenizers["train"]


def test_a_syllable_is_held_back_until_it_is_whole(tokenizer):
    ids = [tokenizer.encode_bytes(bytes([b]))[0] for b in "한글👍".encode()]
    shown = []
    collector = TextCollector(tokenizer, (), shown.append)
    for token in ids:
        collector.add(token)
        collector.show()
    assert shown == ["한", "글", "👍"] and collector.finish() == "한글👍"


def test_the_beginning_of_a_stop_text_is_shown_only_when_it_is_none(tokenizer):
    shown = []
    collector = TextCollector(tokenizer, ("###",), shown.append)
    for char in ("가", "#", "#", "나", "#"):
        (token,) = tokenizer.encode(char) if char == "#" else tokenizer.encode(char)[:1]
        collector.add(token)
        collector.show()
    assert "".join(shown) == "가##나"
    assert collector.finish() == "가##나#" and "".join(shown) == "가##나#"


def test_the_first_of_several_stop_texts_ends_the_text(tokenizer):
    shown = []
    collector = TextCollector(tokenizer, ("b", "ab"), shown.append)
    for token in tokenizer.encode_bytes(b"x") + tokenizer.encode_bytes(b"ab"):
        collector.add(token)
    assert collector.is_stopped and collector.finish() == "x" and shown == ["x"]


def test_a_stop_text_does_not_end_a_text_that_has_to_be_longer(tokenizer):
    collector = TextCollector(tokenizer, ("#",), lambda text: None)
    (token,) = tokenizer.encode_bytes(b"#")
    collector.add(token, may_stop=False)
    assert not collector.is_stopped
    collector.add(token)
    assert collector.is_stopped and collector.finish() == "#"


def test_half_a_character_at_the_end_is_told(tokenizer):
    collector = TextCollector(tokenizer, (), lambda text: None)
    collector.add(tokenizer.encode_bytes("한".encode()[:1])[0])
    assert collector.finish() == "\ufffd"
