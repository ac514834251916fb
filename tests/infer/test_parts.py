"""The parts of a text on its way, and the tokens that made them."""

import pytest

from hclx.infer import GenerateRequest, SamplingConfig, grammar
from hclx.text import StreamDecoder
from tests.helpers.serving import TextTokenizer, tiny_engine

PROMPT = (72, 105)


@pytest.fixture(scope="module")
def engine():
    with tiny_engine() as engine:
        yield engine


def parts_of(engine, rule=None, **settings):
    """The parts of a text, call by call, and the whole."""
    calls = []
    sampling = SamplingConfig(**{"max_tokens": 40, "logprobs": 1, **settings})
    ticket = engine.submit(GenerateRequest(PROMPT, sampling, grammar=rule))
    ticket.listen(calls.append)
    result = ticket.result()
    while not calls or calls[-1] is not None:
        pass
    return [part for call in calls[:-1] for part in call], len(calls) - 1, result


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_whole_characters_with_the_tokens_that_made_them(engine, seed):
    parts, n_calls, result = parts_of(engine, temperature=1.5, top_p=1.0, seed=seed, min_tokens=40)
    decoder = StreamDecoder(TextTokenizer(256))
    *parts, last = parts
    assert [part.text for part in parts] == [decoder.feed(part.tokens) for part in parts]
    assert last.text == decoder.feed(last.tokens) + decoder.flush()
    assert len(parts) > n_calls > 1
    parts.append(last)
    assert "".join(part.text for part in parts) == result.text
    n_tokens = sum(len(part.tokens) for part in parts)
    assert sum((part.tokens for part in parts), ()) == result.tokens[:n_tokens]
    assert sum((part.logprobs for part in parts), ()) == result.logprobs[:n_tokens]
    assert n_tokens == len(result.tokens)


def test_a_token_with_a_text_of_its_own_is_a_part_of_its_own(engine):
    allowed = tuple(range(97, 123))
    parts, n_calls, result = parts_of(engine, allowed_tokens=allowed, min_tokens=40)
    assert [part.tokens for part in parts] == [(token,) for token in result.tokens]
    assert n_calls < len(parts) == 40


@pytest.mark.parametrize(
    "text, stop, expected",
    [
        ("xyabd", "abc", ["x", "y", "abd"]),
        ("x가abcd", "abc", ["x", "가"]),
        ("xab", "abc", ["x", "ab"]),
        ("aabd", "abc", ["a", "abd"]),
    ],
)
def test_what_may_be_a_stop_text_comes_with_its_tokens(engine, text, stop, expected):
    parts, _, result = parts_of(engine, grammar.choices([text]), stop=(stop,))
    assert [part.text for part in parts] == expected
    assert [bytes(part.tokens).decode() for part in parts] == expected
    shown = "".join(expected)
    assert result.text == shown
    assert bytes(result.tokens).decode() == (text[: len(shown) + 3] if stop in text else text)


def test_a_text_without_log_probabilities_has_tokens_all_the_same(engine):
    parts, _, result = parts_of(engine, grammar.choices(["가나다"]), logprobs=None)
    assert all(part.logprobs is None for part in parts)
    assert sum((part.tokens for part in parts), ()) == result.tokens == tuple("가나다".encode())
