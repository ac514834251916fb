"""Any requests that arrive, are cancelled and run out of time in any order, and what a row keeps of
those before it: nothing.
"""

import dataclasses
import time

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, RequestError, SamplingConfig, ScoreRequest
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

CONFIG = ModelConfig(vocab_size=128, n_layers=1, d_model=16, n_heads=2, max_length=128)
ROWS = 3
TOKENS = np.random.default_rng(0).integers(2, 128, 128).tolist()


@pytest.fixture(scope="module")
def engine():
    params = noisy_params(CONFIG)
    with engine_of(params, CONFIG, ByteTokenizer(128), rows=ROWS, prefix_tokens=96) as engine:
        engine.warm_up()
        yield engine


# Tokens of the prompt; whether it begins like others; tokens to generate, or 0 for a score; after
# how many more requests it is cancelled; its deadline in seconds; its tenant.
ARRIVAL = st.tuples(
    st.integers(1, 100),
    st.booleans(),
    st.integers(0, 25),
    st.one_of(st.none(), st.integers(0, 3)),
    st.one_of(st.none(), st.floats(0, 0.05)),
    st.sampled_from(["", "a"]),
)


@hypothesis.settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(arrivals=st.lists(ARRIVAL, min_size=1, max_size=12))
def test_every_request_has_a_result_and_every_row_is_free_afterwards(engine, arrivals):
    tickets, to_cancel = [], []
    for i, (length, is_shared, n, cancel_after, deadline, tenant) in enumerate(arrivals):
        prompt = tuple(TOKENS[:length] if is_shared else TOKENS[-length:])
        if n:
            sampling = SamplingConfig(max_tokens=n, min_tokens=n, temperature=1.0, seed=i)
            request = GenerateRequest(prompt, sampling, deadline=deadline, tenant=tenant)
        else:
            request = ScoreRequest(prompt, tuple(TOKENS[:5]), tenant=tenant)
        tickets.append(engine.submit(request))
        if cancel_after is not None:
            to_cancel.append((i + cancel_after, tickets[-1]))
        for at, ticket in to_cancel:
            if at == i:
                ticket.cancel()
    for (_, _, n, cancel_after, deadline, _), ticket in zip(arrivals, tickets):
        try:
            result = ticket.result(60)
        except RequestError as error:
            assert not n and cancel_after is not None and "cancelled" in str(error)
            result = None
        # Whoever knows that a request has ended knows that its row is free.
        assert all(task is None or task.ticket is not ticket for task in [*engine._rows])
        if result is None:
            continue
        if not n:
            assert len(result.tokens) == 5
        elif cancel_after is None and deadline is None:
            assert result.stop_reason == "length" and len(result.tokens) == n
        else:
            assert len(result.tokens) <= n
            assert result.stop_reason in ("length", "cancelled", "deadline")
    for _ in range(1000):
        if not (any(engine._rows) or engine._waiting or engine._unread):
            break
        time.sleep(0.01)
    assert engine._rows == [None] * ROWS and not engine._waiting and not engine._unread


WILD = SamplingConfig(max_tokens=100, min_tokens=100, temperature=1.0)


def test_a_text_ends_when_its_time_is_up_and_no_other_does(engine, monkeypatch):
    decode = engine._device.decode

    def slow(*arguments):
        time.sleep(0.05)
        return decode(*arguments)

    monkeypatch.setattr(engine._device, "decode", slow)
    prompt = tuple(TOKENS[:3])
    # Two of them run and two wait for a row.
    requests = [
        GenerateRequest(prompt, WILD, deadline=seconds) for seconds in (None, 0.2, 60, 0.2, 0.01)
    ]
    tickets = [engine.submit(request) for request in requests]
    first, late, patient, waiting, never = [ticket.result(60) for ticket in tickets]
    assert (first.stop_reason, patient.stop_reason) == ("length", "length")
    assert late.stop_reason == waiting.stop_reason == never.stop_reason == "deadline"
    assert 0 < len(late.tokens) < 100 and never.tokens == ()
    assert late.tokens == first.tokens[: len(late.tokens)]


@pytest.mark.parametrize("call", [1, 2])
def test_scores_and_embeddings_are_whole_after_a_device_error(engine, monkeypatch, call):
    """A long text is read in several chunks; an error in one begins it anew, and what came out of
    those before it is forgotten.
    """
    monkeypatch.setattr("hclx.infer.engine_loop._MOST_CHUNKS", 1)  # and then results come out
    monkeypatch.setattr("hclx.infer.device.CHUNKS", (16, 32, 48, 64))
    # Of two tenants, so that they are not one task.
    requests = [ScoreRequest(tuple(TOKENS[:100])), ScoreRequest(tuple(TOKENS[:9]), tenant="b")]
    texts = ["".join(map(chr, TOKENS[:90])), "A"]
    expected = engine.score(requests), engine.embed(texts)
    read, calls = engine._device.read, []

    def failing(chunk):
        kind = type(chunk.rows[0][1])
        calls.append(kind)
        if calls.count(kind) == call:
            raise jax.errors.JaxRuntimeError("INTERNAL: a device is lost")
        return read(chunk)

    monkeypatch.setattr(engine._device, "read", failing)
    again = engine.score(requests), engine.embed(texts)
    assert len(calls) > 2 * call
    for score, other in zip(again[0], expected[0]):
        assert [t.token for t in score.tokens] == [t.token for t in other.tokens]
        assert abs(score.total - other.total) < 1e-3
    np.testing.assert_allclose(again[1], expected[1], atol=1e-5)


def test_a_row_keeps_nothing_of_the_request_before(engine):
    """Neither counts and occurrences of tokens, nor bias, ends, settings, or keys of a longer text:
    each text is what the first one is in rows that nobody has used.
    """
    settings = [
        {"frequency_penalty": 2.0, "presence_penalty": 1.0, "repetition_penalty": 1.5},
        {"logit_bias": {token: 30 for token in range(40, 50)}, "min_tokens": 20},
        {"stop_ids": tuple(range(2, 90)), "min_tokens": 0, "top_k": 5},
        {"allowed_tokens": (65, 66, 67), "top_p": 0.5, "temperature": 0.3},
        {"temperature": 0.0, "repetition_penalty": 1.3},
    ]
    requests = [
        GenerateRequest(
            tuple(TOKENS[i : i + (5, 90, 30)[i % 3]]),
            dataclasses.replace(WILD, max_tokens=25, min_tokens=25, seed=i)
            if n is None
            else dataclasses.replace(WILD, **{"max_tokens": 25, "min_tokens": 25, **settings[n]}),
            tenant=str(i),
        )
        for i, n in enumerate([0, 0, None, 1, None, 2, 0, 3, None, 4, 0, None])
    ]
    reused = [result.tokens for (result,) in engine.generate(requests)]
    backwards = [result.tokens for (result,) in engine.generate(requests[::-1])]
    assert reused == backwards[::-1]
    for request, tokens in zip(requests, reused):
        engine._recover(RuntimeError("as after a device error: all rows are new"))
        assert engine.generate([request])[0][0].tokens == tokens


def test_many_requests_that_the_device_fails_at_end_and_no_other(engine, monkeypatch):
    """Each is found by reading it alone; an error that does not come again ends nobody."""
    read, bad, n_calls = engine._device.read, (97, 98, 99), []

    def failing(chunk):
        n_calls.append(1)
        if len(n_calls) == 1 or any(tuple(task.ids[:3]) == bad for _, task in chunk.rows):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return read(chunk)

    sampling = dataclasses.replace(WILD, max_tokens=9, min_tokens=9)
    good = [GenerateRequest(tuple(TOKENS[i : 2 * i]), sampling) for i in range(1, 9)]
    expected = [result.tokens for (result,) in engine.generate(good)]
    monkeypatch.setattr(engine._device, "read", failing)
    tickets = []
    for i, request in enumerate(good):
        tickets.append(engine.submit(request))
        tickets.append(engine.submit(GenerateRequest((*bad, *range(2, 3 + i)), sampling)))
    for i, tokens in enumerate(expected):
        assert tickets[2 * i].result(60).tokens == tokens
        with pytest.raises(RequestError, match="the device failed at this request.*EXHAUSTED"):
            tickets[2 * i + 1].result(60)
