"""From sampled tokens to text: whole characters, and stop texts that are never shown."""

import itertools

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


@pytest.mark.parametrize("stop", [("ab",), ("aab", "ba"), ("aaaa", "b" * 9), ("abab", "bab")])
def test_what_is_held_back_is_the_longest_beginning_of_a_stop_text(tokenizer, stop):
    """Against all ends of the text, one by one; some texts may not stop."""
    token = {char: tokenizer.encode_bytes(char.encode())[0] for char in "ab"}
    for text in map("".join, itertools.product("ab", repeat=9)):
        shown = []
        collector = TextCollector(tokenizer, stop, shown.append)
        for i, char in enumerate(text):
            collector.add(token[char], may_stop=i >= 5)
            collector.show()
            if collector.is_stopped:
                assert i >= 5 and any(collector.text + end == text[: i + 1] for end in stop)
                break
            so_far = text[: i + 1]
            held = [n for end in stop for n in range(1, len(end)) if so_far.endswith(end[:n])]
            assert "".join(shown) == so_far[: len(so_far) - max(held, default=0)]
        assert collector.finish() == "".join(shown)
