"""Any requests that arrive, are cancelled and run out of time in any order."""

import time

import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

CONFIG = ModelConfig(vocab_size=1024, n_layers=1, d_model=16, n_heads=2, max_length=128)
ROWS = 3
TOKENS = np.random.default_rng(0).integers(64, 1000, 128).tolist()


@pytest.fixture(scope="module")
def engine(tokenizers):
    params = noisy_params(CONFIG)
    with engine_of(params, CONFIG, tokenizers["train"], rows=ROWS, prefix_tokens=96) as engine:
        engine.warm_up()
        yield engine


# Tokens of the prompt; whether it begins like others; tokens to generate, or 0 for a score; after
# how many more requests it is cancelled; its deadline in seconds.
ARRIVAL = st.tuples(
    st.integers(1, 100),
    st.booleans(),
    st.integers(0, 25),
    st.one_of(st.none(), st.integers(0, 3)),
    st.one_of(st.none(), st.floats(0, 0.05)),
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
    for i, (length, is_shared, n, cancel_after, deadline) in enumerate(arrivals):
        prompt = tuple(TOKENS[:length] if is_shared else TOKENS[-length:])
        if n:
            sampling = SamplingConfig(max_tokens=n, min_tokens=n, temperature=1.0, seed=i)
            request = GenerateRequest(prompt, sampling, deadline=deadline)
        else:
            request = ScoreRequest(prompt, tuple(TOKENS[:5]))
        tickets.append(engine.submit(request))
        if cancel_after is not None and n:
            to_cancel.append((i + cancel_after, tickets[-1]))
        for at, ticket in to_cancel:
            if at == i:
                ticket.cancel()
    for (_, _, n, cancel_after, deadline), ticket in zip(arrivals, tickets):
        result = ticket.result(60)
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
