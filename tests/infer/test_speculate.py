"""Guesses change how many steps a text takes, and never the text."""

import dataclasses

import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer import EngineConfig, GenerateRequest, SamplingConfig
from hclx.infer.random_model import NumberTokenizer
from hclx.infer.speculate import NgramLookup
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

CONFIG = ModelConfig(vocab_size=64, n_layers=1, d_model=32, n_heads=4, max_length=128)
GREEDY = SamplingConfig(temperature=0.0, max_tokens=60)
PHRASE = tuple(range(10, 30))


@pytest.fixture(scope="module")
def engines():
    params, tokenizer = noisy_params(CONFIG), NumberTokenizer(CONFIG.vocab_size)
    sizes = {"rows": 3, "prefix_tokens": 0}
    with (
        engine_of(params, CONFIG, tokenizer, **sizes) as plain,
        engine_of(params, CONFIG, tokenizer, **sizes, guesses=5) as guessing,
    ):
        yield plain, guessing


def test_the_text_is_the_same_under_all_settings(engines):
    changes = [
        {},
        {"min_tokens": 40, "logprobs": 3},
        {"temperature": 1.5, "top_p": 0.9, "seed": 3},
        {"temperature": 0.3, "top_k": 4, "repetition_penalty": 1.3, "logprobs": 0},
        {"frequency_penalty": 0.7, "presence_penalty": 0.2, "max_tokens": 17},
        {"stop": ("<12><13>",), "logit_bias": {12: 30.0, 13: 30.0}},
        {"stop_ids": (20,), "max_tokens": 100},
        {"allowed_tokens": (5, 6), "max_tokens": 90},
        {"max_tokens": 1},
        {"max_tokens": 500},
    ]
    requests = [
        GenerateRequest((*PHRASE, 40, *PHRASE[: 5 + i]), dataclasses.replace(GREEDY, **change))
        for i, change in enumerate(changes)
    ]
    plain, guessing = (engine.generate(requests) for engine in engines)
    for (expected,), (result,) in zip(plain, guessing):
        assert (result.tokens, result.text) == (expected.tokens, expected.text)
        assert result.stop_reason == expected.stop_reason
        for mine, theirs in zip(result.logprobs or (), expected.logprobs or (), strict=True):
            assert mine.token == theirs.token and len(mine.top) == len(theirs.top)
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-4)


def test_a_text_that_repeats_its_prompt_takes_fewer_steps(engines, monkeypatch):
    _, guessing = engines
    n_tokens = []
    for name in ("decode", "verify"):
        call = getattr(guessing._device, name)
        monkeypatch.setattr(
            guessing._device,
            name,
            lambda *a, call=call, name=name: n_tokens.append(name) or call(*a),
        )
    bias = {token: 40.0 for token in (5, 6)}  # the text is 5 and 6 in some order that repeats
    sampling = dataclasses.replace(GREEDY, logit_bias=bias, min_tokens=60)
    (result,) = guessing.generate([GenerateRequest((5, 6) * 10, sampling)])[0]
    assert len(result.tokens) == 60
    assert n_tokens.count("verify") >= 5
    # A decode call has eight steps, one that checks guesses a single one.
    assert 8 * n_tokens.count("decode") + n_tokens.count("verify") < 60


def test_the_look_up_is_that_of_a_search_from_the_end():
    ids = np.random.default_rng(0).integers(0, 3, 200).tolist()

    def searched(ids, n):
        for length in (4, 3, 2):
            for begin in range(len(ids) - length - 1, -1, -1):
                if ids[begin : begin + length] == ids[-length:]:
                    return ids[begin + length : begin + length + n]
        return []

    lookup = NgramLookup(ids[:50])
    for i in range(50, 200):
        assert lookup.guess(7) == searched(ids[:i], 7)
        lookup.add(ids[i])
    assert (
        NgramLookup([]).guess(3) == NgramLookup([1]).guess(3) == NgramLookup([1, 2]).guess(3) == []
    )


def test_too_many_guesses_are_refused():
    with pytest.raises(ConfigError, match="guesses=16"):
        EngineConfig(guesses=16)
