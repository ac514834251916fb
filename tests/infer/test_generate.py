"""From prompt to text: streaming in whole characters, stop texts, room, what no model may say."""

import dataclasses

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer import SamplingConfig, generate, generate_batch, prepare_params
from hclx.infer.generate import TextCollector
from hclx.model import init_params

CONFIG = ModelConfig(vocab_size=1024, n_layers=1, d_model=32, n_heads=2, max_length=128)
SAMPLING = SamplingConfig(max_tokens=60, temperature=1.0, top_p=1.0, seed=5)


@pytest.fixture(scope="module")
def params():
    return prepare_params(init_params(CONFIG, jax.random.key(0)), CONFIG)


@pytest.fixture(scope="module")
def tokenizer(tokenizers):
    return tokenizers["train"]


def test_the_stream_is_the_text_in_whole_characters(params, tokenizer):
    """An untrained model writes random bytes: what streams must be the same text all the same."""
    shown = []
    streamed = generate(
        params, CONFIG, tokenizer, "서울은", SAMPLING, stream_every=3, on_text=shown.append
    )
    whole = generate(params, CONFIG, tokenizer, "서울은", SAMPLING)
    assert streamed == whole and "".join(shown) == whole.text and len(shown) > 3
    assert whole.text == tokenizer.decode_bytes(whole.tokens).decode("utf-8", errors="replace")


def test_a_syllable_is_held_back_until_it_is_whole(tokenizer):
    ids = [tokenizer.encode_bytes(bytes([b]))[0] for b in "한글👍".encode()]
    shown = []
    output = TextCollector(tokenizer, (), 100, shown.append)
    for token in ids:
        output.add(np.array([token]))
    assert shown == ["한", "글", "👍"] and output.finish().text == "한글👍"


def test_no_control_symbol_is_ever_written(params, tokenizer):
    result = generate(
        params,
        CONFIG,
        tokenizer,
        "",
        dataclasses.replace(SAMPLING, max_tokens=100, temperature=3.0),
    )
    assert min(result.tokens) >= 64


def test_stop_text_ends_generation_and_is_not_part_of_it(params, tokenizer):
    whole = generate(params, CONFIG, tokenizer, "서울은", SAMPLING)
    stop = whole.text[10:13]
    at = whole.text.index(stop)
    for every in (0, 2):
        shown = []
        result = generate(
            params,
            CONFIG,
            tokenizer,
            "서울은",
            dataclasses.replace(SAMPLING, stop=(stop, "없는 글")),
            stream_every=every,
            on_text=shown.append,
        )
        assert result.stop_reason == "stop" and result.text == whole.text[:at] == "".join(shown)


def test_the_beginning_of_a_stop_text_is_shown_only_when_it_is_none(tokenizer):
    shown = []
    output = TextCollector(tokenizer, ("###",), 100, shown.append)
    for char in ("가", "#", "#", "나", "#"):
        output.add(np.array(tokenizer.encode(char)))
    assert "".join(shown) == "가##나"
    assert output.finish().text == "가##나#" and "".join(shown) == "가##나#"


def test_a_limit_beyond_the_length_of_the_model_is_told(params, tokenizer, caplog):
    generate(params, CONFIG, tokenizer, "가", dataclasses.replace(SAMPLING, max_tokens=7))
    assert not caplog.messages
    n = len(tokenizer.encode("가")) + 1
    generate(params, CONFIG, tokenizer, "가", dataclasses.replace(SAMPLING, max_tokens=100_000))
    assert f"max_tokens=100000 is limited to {128 - n}, because the model reads 128" in caplog.text


def test_length_and_room(params, tokenizer):
    assert (
        len(
            generate(
                params, CONFIG, tokenizer, "가", dataclasses.replace(SAMPLING, max_tokens=7)
            ).tokens
        )
        <= 7
    )
    long = "가나다라마바사아자차카타파하" * 6
    n = len(tokenizer.encode(long)) + 1
    assert n < 128
    assert (
        len(
            generate(
                params, CONFIG, tokenizer, long, dataclasses.replace(SAMPLING, max_tokens=999)
            ).tokens
        )
        <= 128 - n
    )
    with pytest.raises(ConfigError, match="the model reads 128; shorten"):
        generate(params, CONFIG, tokenizer, long * 4, SAMPLING)


PROMPTS = ["서울은", "", "가나다라마바사아자차카타파하" * 2]
SETTINGS = [
    SAMPLING,
    SamplingConfig(max_tokens=9, temperature=0.0),
    SamplingConfig(max_tokens=33, top_k=20, seed=11, repetition_penalty=1.3),
]


@pytest.mark.parametrize("every", [0, 4])
def test_a_batch_gives_the_texts_that_its_prompts_give_alone(params, tokenizer, every):
    """Whatever the lengths and settings of the others are, and however many tokens a call makes."""
    alone = [generate(params, CONFIG, tokenizer, *row) for row in zip(PROMPTS, SETTINGS)]
    settings = [
        dataclasses.replace(SETTINGS[0], stop=(alone[0].text[5:8],)),
        *SETTINGS[1:],
    ]
    shown = ["", "", ""]

    def show(row, text):
        shown[row] += text

    together = generate_batch(
        params, CONFIG, tokenizer, PROMPTS, settings, stream_every=every, on_text=show
    )
    assert together[1:] == alone[1:] and [result.text for result in together] == shown
    assert together[0].stop_reason == "stop" and alone[0].text.startswith(together[0].text)


def test_the_prompt_that_is_too_long_is_named(params, tokenizer):
    with pytest.raises(ConfigError, match="prompt 1 has .* the model reads 128; shorten"):
        generate_batch(params, CONFIG, tokenizer, ["가", "가나다라" * 40], [SAMPLING] * 2)
