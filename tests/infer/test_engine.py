"""The embedded engine against full forward passes: alone and in company, over chunks, cached
beginnings, cancellations, meshes and device errors.
"""

import dataclasses
import logging
import re
import threading
import time

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig, ModelConfig
from hclx.errors import ConfigError
from hclx.infer import EngineConfig, GenerateRequest, RequestError, SamplingConfig, ScoreRequest
from hclx.infer.prefix_cache import CHUNK
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import logprobs_function, noisy_params

CONFIG = ModelConfig(vocab_size=1024, n_layers=2, d_model=32, n_heads=4, max_length=512)
GREEDY = SamplingConfig(temperature=0.0, max_tokens=12)
RNG = np.random.default_rng(0)
PROMPTS = [tuple(RNG.integers(64, 1000, n).tolist()) for n in (1, 3, 16, 17, 40, 130, 300)]
SHARED = tuple(RNG.integers(64, 1000, 100).tolist())


@pytest.fixture(scope="module")
def params():
    return noisy_params(CONFIG)


@pytest.fixture(scope="module")
def tokenizer(tokenizers):
    return tokenizers["train"]


@pytest.fixture(scope="module")
def engine(params, tokenizer):
    with engine_of(params, CONFIG, tokenizer, rows=4, prefix_tokens=1024) as engine:
        yield engine


@pytest.fixture(scope="module")
def logprobs_of(params):
    return logprobs_function(params, CONFIG)


def check_greedy(generation, prompt, logprobs_of, sayable):
    """Each token is the likeliest that may be written, and its log-probability is right."""
    ids = [*prompt, *generation.tokens]
    rows = logprobs_of(ids)[len(prompt) - 1 :]
    for token, row, of_token in zip(generation.tokens, rows, generation.logprobs):
        assert row[token] >= row[sayable].max() - 1e-4
        assert of_token.token == token and abs(of_token.logprob - row[token]) < 1e-4
        best = np.argsort(-row)[:3]
        np.testing.assert_allclose([p for _, p in of_token.top], row[best], atol=1e-4)


def test_texts_in_company_are_those_of_full_forward_passes(engine, tokenizer, logprobs_of):
    sayable = np.flatnonzero(tokenizer.token_bytes() > 0)
    sampling = dataclasses.replace(GREEDY, logprobs=3)
    requests = [
        GenerateRequest(prompt, dataclasses.replace(sampling, max_tokens=4 + 3 * i))
        for i, prompt in enumerate(PROMPTS)
    ]
    results = [result for (result,) in engine.generate(requests)]
    for prompt, result in zip(PROMPTS, results):
        check_greedy(result, prompt, logprobs_of, sayable)
        assert result.n_prompt == len(prompt)
    alone = [engine.generate([request])[0][0].tokens for request in requests]
    assert alone == [result.tokens for result in results]


def test_sampled_texts_depend_on_seed_and_place_alone(engine):
    """Not on who shares the batch, on the row, or on how many candidates there are."""
    sampling = SamplingConfig(
        temperature=1.0, top_p=0.9, seed=7, max_tokens=20, frequency_penalty=0.5
    )
    request = GenerateRequest(PROMPTS[2], sampling, n=3)
    (alone,) = engine.generate([request])
    others = [GenerateRequest(prompt, SamplingConfig(seed=i)) for i, prompt in enumerate(PROMPTS)]
    together = engine.generate([*others[:4], request, *others[4:]])[4]
    assert together == alone and len({result.tokens for result in alone}) == 3
    second = dataclasses.replace(request, sampling=dataclasses.replace(sampling, seed=8), n=1)
    assert engine.generate([second])[0][0].tokens == alone[1].tokens


@pytest.mark.parametrize("n_continuation", [1, 2, 70])
def test_scores_are_those_of_full_forward_passes(engine, logprobs_of, n_continuation):
    requests = [
        ScoreRequest(prompt, SHARED[:n_continuation], top=2)
        for prompt in PROMPTS
        if len(prompt) > 1
    ]
    for request, score in zip(requests, engine.score(requests)):
        ids = [*request.context, *request.continuation]
        rows = logprobs_of(ids)[len(request.context) - 1 : -1]
        expected = [row[token] for row, token in zip(rows, request.continuation)]
        np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)
        assert abs(score.total - sum(expected)) < 1e-3
        assert score.is_greedy == all(
            row.argmax() == t for row, t in zip(rows, request.continuation)
        )


def test_the_cache_grows_by_the_last_token_too(params, tokenizer, logprobs_of):
    """A text of 130 tokens has 129 in the cache, and the smallest cache has 128."""
    ids = PROMPTS[6][:130]
    with engine_of(params, CONFIG, tokenizer, rows=1, max_length=192, prefix_tokens=0) as fresh:
        (score,) = fresh.score([ScoreRequest(ids)])
    expected = logprobs_of(ids)[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)


def test_prompts_that_come_together_are_read_before_most_rows_sample(engine, monkeypatch):
    """Else each call that samples would compute few rows, at the cost of all."""
    n_rows, have_come = [], threading.Event()
    decode = engine._device.decode

    def waiting(rows, *more):
        n_rows.append(len(rows))
        have_come.wait(30)
        return decode(rows, *more)

    monkeypatch.setattr(engine._device, "decode", waiting)
    sampling = dataclasses.replace(GREEDY, max_tokens=40, min_tokens=40)
    ask = lambda prompt: engine.submit(GenerateRequest(prompt, sampling, tenant="new"))
    tickets = [ask(PROMPTS[0])]
    while not n_rows:
        time.sleep(0.01)
    tickets += map(ask, (PROMPTS[2], PROMPTS[4], PROMPTS[5]))
    have_come.set()
    for ticket in tickets:
        ticket.result(60)
    assert n_rows[:2] == [1, 4]


def test_all_tokens_of_a_text_are_scored_without_a_continuation(engine, logprobs_of):
    ids = PROMPTS[5]
    (score,) = engine.score([ScoreRequest(ids)])
    expected = logprobs_of(ids)[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)


def test_a_token_is_scored_behind_as_many_as_the_model_reads(engine, logprobs_of):
    ids = (*SHARED, *PROMPTS[6], *PROMPTS[5][:112], 99)
    assert len(ids) == CONFIG.max_length + 1
    (score,) = engine.score([ScoreRequest(ids[:1], ids[1:])])
    expected = logprobs_of(ids[:-1])[np.arange(len(ids) - 1), ids[1:]]
    np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)
    assert score.n_prompt == len(ids)


def test_labels_share_their_context(engine, tokenizer, logprobs_of):
    context, labels = "영화가 정말 재미있었다. " * 12, [" 긍정", " 부정", " 모름"]
    with pytest.raises(RequestError, match="labels='<70>': give a list of texts"):
        engine.choose(context, "<70>")
    choice = engine.choose(context, labels)
    ids = [*tokenizer.begin_ids, *tokenizer.encode(context)]
    totals = []
    for label in labels:
        continuation = tokenizer.encode(label)
        rows = logprobs_of([*ids, *continuation])[len(ids) - 1 : -1]
        totals.append(sum(row[t] for row, t in zip(rows, continuation)))
    np.testing.assert_allclose([score.total for score in choice.scores], totals, atol=1e-3)
    assert choice.label == labels[int(np.argmax(totals))]
    np.testing.assert_allclose(
        choice.probabilities, np.exp(totals) / np.exp(totals).sum(), atol=1e-4
    )
    whole = (len(ids) - 1) // CHUNK * CHUNK
    assert [score.n_cached for score in choice.scores] == [0, 0, 0]  # it was read once for all
    again = engine.choose(context, labels)
    assert [score.n_cached for score in again.scores] == [whole] * 3
    np.testing.assert_allclose([score.total for score in again.scores], totals, atol=1e-3)


def test_many_continuations_of_many_contexts_are_scored_in_any_order(engine, logprobs_of):
    """Some are too long to be read beside others, or with the rest of their context."""
    contexts = [PROMPTS[1], SHARED[:64], PROMPTS[5], (*SHARED, *PROMPTS[6])]
    continuations = [PROMPTS[6][i : i + n] for i, n in enumerate((1, 9, 30, 1, 63, 64, 65, 2))]
    requests = [
        ScoreRequest(c, t, top=i % 2) for i, t in enumerate(continuations) for c in contexts
    ]
    for request, score in zip(requests, engine.score(requests)):
        ids = [*request.context, *request.continuation]
        rows = logprobs_of(ids)[len(request.context) - 1 : -1]
        expected = [row[token] for row, token in zip(rows, request.continuation)]
        np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)
        assert tuple(t.token for t in score.tokens) == tuple(request.continuation)
        assert (score.n_prompt, len(score.tokens[0].top)) == (len(ids), request.top)
        assert score.is_greedy == all(
            row.argmax() == t for row, t in zip(rows, request.continuation)
        )


def test_continuations_are_read_after_a_context_with_which_no_call_has_room_for_them(
    engine, logprobs_of
):
    context = tuple(reversed((*SHARED, *PROMPTS[6][:145])))  # which nobody has read before
    requests = [ScoreRequest(context, PROMPTS[5][i : i + 20]) for i in (0, 30)]
    for request, score in zip(requests, engine.score(requests)):
        rows = logprobs_of([*context, *request.continuation])[len(context) - 1 : -1]
        expected = [row[token] for row, token in zip(rows, request.continuation)]
        np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4)
        assert score.n_cached == 0


def test_an_embedding_is_the_mean_of_the_hidden_states(engine, params):
    from hclx.config import ComputeConfig
    from hclx.model import hidden_states

    text = "한국어 문장을 벡터로 만든다. " * 20
    tokenizer = engine._intake._tokenizer
    ids = np.array([[*tokenizer.begin_ids, *tokenizer.encode(text)]])
    assert ids.shape[1] > 64
    compute = ComputeConfig(dtype="float32", remat="none")
    whole = np.zeros_like(ids), np.arange(ids.shape[1])[None]
    x_btd = jax.jit(hidden_states, static_argnums=(4, 5))(params, ids, *whole, CONFIG, compute)
    expected = np.asarray(x_btd[0]).mean(0)
    short = engine.embed(["가"])[0]
    np.testing.assert_allclose(engine.embed([text, "가"]), [expected, short], atol=1e-4)


def test_beginnings_are_computed_once_and_only_for_their_tenant(engine, logprobs_of, tokenizer):
    sayable = np.flatnonzero(tokenizer.token_bytes() > 0)
    sampling = dataclasses.replace(GREEDY, logprobs=3)
    prompts = [(*SHARED, *PROMPTS[i]) for i in range(4)]
    requests = [GenerateRequest(prompt, sampling, tenant="a") for prompt in prompts]
    results = [result for (result,) in engine.generate(requests)]
    whole = len(SHARED) // CHUNK * CHUNK
    assert [result.n_cached for result in results] == [0, whole, whole, whole]
    for prompt, result in zip(prompts, results):
        check_greedy(result, prompt, logprobs_of, sayable)
    (again,) = engine.generate([GenerateRequest(prompts[0], sampling, tenant="b")])[0]
    assert again.n_cached == 0 and again.tokens == results[0].tokens


@pytest.mark.long
def test_a_small_prefix_cache_forgets_and_a_missing_one_computes(params, tokenizer, engine):
    requests = [GenerateRequest((*SHARED, *prompt), GREEDY) for prompt in PROMPTS]
    expected = [result.tokens for (result,) in engine.generate(requests)]
    for tokens in (0, CHUNK, 5 * CHUNK):
        with engine_of(params, CONFIG, tokenizer, rows=2, prefix_tokens=tokens) as other:
            results = [result for (result,) in other.generate(requests)]
        assert [result.tokens for result in results] == expected
        assert any(result.n_cached for result in results) == (tokens > 0)


def test_text_streams_in_parts_and_ends_at_a_stop_text(engine):
    sampling = SamplingConfig(max_tokens=60, temperature=1.0, top_p=1.0, seed=5)
    ticket = engine.submit(GenerateRequest("서울은", sampling))
    parts = list(ticket)
    whole = ticket.result()
    assert "".join(parts) == whole.text and len(parts) > 3 and whole.stop_reason == "length"
    stop = whole.text[10:13]
    stopped = dataclasses.replace(sampling, stop=(stop, "없는 글"))
    ticket = engine.submit(GenerateRequest("서울은", stopped))
    assert "".join(ticket) == ticket.result().text == whole.text[: whole.text.index(stop)]
    assert ticket.result().stop_reason == "stop"


def test_stop_ids_bias_and_allowed_tokens(engine):
    def tokens(**settings):
        request = GenerateRequest(PROMPTS[3], dataclasses.replace(GREEDY, **settings))
        return engine.generate([request])[0][0]

    plain = tokens()
    ended = tokens(stop_ids=(plain.tokens[4],))
    first = plain.tokens.index(plain.tokens[4])
    assert ended.tokens == plain.tokens[:first] and ended.stop_reason == "end"
    assert plain.tokens[0] != tokens(logit_bias={plain.tokens[0]: -100}).tokens[0]
    assert set(tokens(allowed_tokens=(300, 301)).tokens) <= {300, 301}
    by_symbol = tokens(stop_ids=(2,), logit_bias={2: 100})  # one that no text may have
    assert by_symbol.tokens == () and by_symbol.stop_reason == "end"


def test_no_control_symbol_is_ever_written(engine):
    sampling = SamplingConfig(max_tokens=100, temperature=3.0, top_p=1.0)
    assert min(engine.generate([GenerateRequest("", sampling)])[0][0].tokens) >= 64


def test_cancelled_and_late_requests_give_what_they_have(engine):
    sampling = SamplingConfig(max_tokens=400, min_tokens=400, temperature=1.0)
    tickets = [engine.submit(GenerateRequest(PROMPTS[1], sampling)) for _ in range(6)]
    next(iter(tickets[0]))
    for ticket in (tickets[0], tickets[5]):  # one that runs and one that waits
        ticket.cancel()
    for ticket in (tickets[0], tickets[5]):
        result = ticket.result(60)
        assert result.stop_reason == "cancelled" and len(result.tokens) < 400
    late = engine.submit(GenerateRequest(PROMPTS[1], sampling, deadline=0.0)).result(60)
    assert late.stop_reason == "deadline" and len(late.tokens) < 400
    for ticket in tickets[1:5]:
        assert len(ticket.result(60).tokens) == 400
    assert not any(engine._rows)


@pytest.mark.parametrize(
    "request_, message",
    [
        (GenerateRequest((), GREEDY), "the prompt has no tokens"),
        (GenerateRequest((5, 1024), GREEDY), "token id 1024, and the vocabulary ends at 1023"),
        (GenerateRequest((-1,), GREEDY), "token id -1"),
        (GenerateRequest((5,) * 512, GREEDY), "has 512 tokens and the model reads 512; shorten"),
        (GenerateRequest((5,), dataclasses.replace(GREEDY, stop_ids=(2000,))), "stop_ids has"),
        (GenerateRequest((5,), GREEDY, n=0), "n=0"),
        (GenerateRequest((5.5,), GREEDY), "prompt has 5.5, which is no token id"),
        (GenerateRequest(None, GREEDY), "the prompt is None: give a text or token ids"),
        (GenerateRequest((5,), GREEDY, deadline=float("nan")), "deadline=nan"),
        (GenerateRequest((5,), GREEDY, grammar="긍정"), "make it by hclx.infer.grammar"),
        (GenerateRequest("가나" * 400_000), "has 800,000 characters, and the model reads 512 tok"),
        (ScoreRequest((5,)), "no token to score: the context has one"),
        (ScoreRequest((5,), ()), "no token to score: the continuation is empty"),
        (ScoreRequest((5,), (5,) * 513), "has 514 tokens and the model reads 512"),
        (ScoreRequest((5,), (5,), top=21), "top=21"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_and_no_other(engine, request_, message):
    other = engine.submit(GenerateRequest(PROMPTS[1], GREEDY))
    with pytest.raises(RequestError, match=message):
        engine.submit(request_)
    assert len(other.result(60).tokens) == 12


def test_an_empty_prompt_is_the_beginning_of_a_document(engine, tokenizer):
    expected = engine.generate([GenerateRequest(tuple(tokenizer.begin_ids), GREEDY)])
    assert engine.generate([GenerateRequest("", GREEDY)]) == expected


def test_a_limit_beyond_the_room_is_told(engine, caplog):
    result = engine.generate([GenerateRequest((5,) * 508, SamplingConfig(max_tokens=9))])[0][0]
    assert len(result.tokens) <= 4 and "max_tokens=9 is limited to 4" in caplog.text


def test_a_device_error_ends_the_request_that_caused_it_alone(engine, monkeypatch):
    requests = [
        GenerateRequest(prompt, dataclasses.replace(GREEDY, max_tokens=40)) for prompt in PROMPTS
    ]
    expected = [result.tokens for (result,) in engine.generate(requests)]
    read, victim = engine._device.read, PROMPTS[4]

    def failing(chunk):
        if any(tuple(task.ids[: len(victim)]) == victim for _, task in chunk.rows):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return read(chunk)

    monkeypatch.setattr(engine._device, "read", failing)
    tickets = [engine.submit(request) for request in requests]
    for i, ticket in enumerate(tickets):
        if PROMPTS[i] == victim:
            with pytest.raises(RequestError, match="the device failed at this request.*EXHAUSTED"):
                ticket.result(60)
        else:
            assert ticket.result(60).tokens == expected[i]


def test_texts_go_on_where_they_were_after_an_error_of_a_decode_step(engine, monkeypatch):
    requests = [
        GenerateRequest(prompt, SamplingConfig(max_tokens=60, temperature=1.0, seed=i))
        for i, prompt in enumerate(PROMPTS[:4])
    ]
    expected = [result.tokens for (result,) in engine.generate(requests)]
    decode, n_calls = engine._device.decode, []

    def failing(*arguments):
        n_calls.append(1)
        if len(n_calls) == 4:
            raise jax.errors.JaxRuntimeError("INTERNAL: a device is lost")
        return decode(*arguments)

    monkeypatch.setattr(engine._device, "decode", failing)
    assert [result.tokens for (result,) in engine.generate(requests)] == expected


def test_nothing_compiles_after_the_warm_up(params, tokenizer, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="hclx.progress")
    monkeypatch.setattr("hclx.progress.LOG_EVERY_SECONDS", 0.0)
    compiled = []
    event = "/jax/core/compile/backend_compile_duration"
    listen = lambda name, *_, **__: compiled.append(name) if name == event else None
    sizes = {"rows": 5, "max_length": 192, "prefix_tokens": 256}
    with engine_of(params, CONFIG, tokenizer, **sizes) as engine:
        engine.warm_up()
        lines = re.findall(r"compiling the engine: (\d+) of (\d+) programs in", caplog.text)
        assert 1 < len(lines) <= int(lines[0][1]) and lines[0][0] == "1"
        jax.monitoring.register_event_duration_secs_listener(listen)
        jax.jit(lambda x: x * 3)(np.ones(7))
        assert compiled  # so a compilation would be seen
        compiled.clear()
        rng, tickets = np.random.default_rng(3), []
        for i in range(200):
            prompt = tuple(rng.integers(64, 1000, rng.integers(1, 60)).tolist())
            if i == 100:
                engine.embed(["<70><71><72>"])
            if i % 5 == 0:
                tickets.append(
                    engine.submit(ScoreRequest((*SHARED, *prompt), prompt[:9], top=i % 2))
                )
                continue
            sampling = SamplingConfig(
                max_tokens=int(rng.integers(1, 20)),
                temperature=float(i % 3) / 2,
                top_k=i % 7,
                min_p=0.01 * (i % 4),
                repetition_penalty=1 + 0.1 * (i % 2),
                logprobs=i % 6 or None,
            )
            prompt = (*SHARED, *prompt) if i % 2 else prompt
            tickets.append(engine.submit(GenerateRequest(prompt, sampling)))
            if i % 11 == 0:
                tickets[-1].cancel()
        for ticket in tickets:
            ticket.result(300)
        jax.monitoring.unregister_event_duration_listener(listen)
        assert not compiled


@pytest.mark.parametrize(
    "mesh",
    [
        MeshConfig(data=2, fsdp=1, model=4),
        pytest.param(MeshConfig(data=1, fsdp=2, seq=4, model=1), marks=pytest.mark.long),
    ],
)
def test_a_mesh_writes_what_one_device_writes(engine, params, tokenizer, mesh):
    requests = [GenerateRequest((*SHARED, *prompt), GREEDY, n=2) for prompt in PROMPTS[:4]]
    scores = [ScoreRequest(SHARED, prompt) for prompt in PROMPTS[:3]]
    with engine_of(params, CONFIG, tokenizer, mesh, rows=4, prefix_tokens=256) as other:
        tokens = lambda engine: [
            [result.tokens for result in row] for row in engine.generate(requests)
        ]
        assert tokens(other) == tokens(engine)
        totals = lambda engine: [score.total for score in engine.score(scores)]
        np.testing.assert_allclose(totals(other), totals(engine), atol=1e-3)


def test_settings_that_do_not_fit_are_refused(params, tokenizer):
    with pytest.raises(ConfigError, match="max_length=600 is more than the model reads, 512"):
        engine_of(params, CONFIG, tokenizer, max_length=600)
    with pytest.raises(ConfigError, match="rows=3 cannot be sharded 2 ways"):
        engine_of(params, CONFIG, tokenizer, MeshConfig(data=2, fsdp=1, model=4), rows=3)
    with pytest.raises(ConfigError, match="steps=17"):
        EngineConfig(steps=17)


def test_a_closed_engine_ends_what_it_has_and_takes_no_more(params, tokenizer):
    with engine_of(params, CONFIG, tokenizer, rows=1) as engine:
        sampling = SamplingConfig(max_tokens=400, min_tokens=400)
        tickets = [engine.submit(GenerateRequest((5,), sampling)) for _ in range(3)]
        next(iter(tickets[0]))
    assert [ticket.result(5).stop_reason for ticket in tickets] == ["cancelled"] * 3
    with pytest.raises(RequestError, match="is closed"):
        engine.submit(GenerateRequest((5,), sampling))
    assert "hclx-engine" not in {
        thread.name for thread in threading.enumerate() if thread is engine._thread
    }
