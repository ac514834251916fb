"""The engine in float32 against transformers, over models that transformers made: alone and in
mixed company, over chunks and cached beginnings, after cancellations, and on meshes.
"""

import dataclasses

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.transformers_oracle import END, PAD, make_oracle

pytest.importorskip("torch")
pytest.importorskip("transformers")

NEW = 12
GREEDY = SamplingConfig(temperature=0.0, max_tokens=NEW)
# Around the sizes of chunks that prompts and scores are read in, and of those of the prefix cache.
LENGTHS = (1, *range(15, 19), *range(31, 34), *range(63, 67), *range(95, 99))
LONG_LENGTHS = (127, *range(254, 259), 272, 319, 320, 321, 500)  # and of the smallest KV cache
QUICK = "exaone4 hybrid"  # has windows, layers without them, grouped heads, norms of queries
OTHERS = ("gpt2", "llama head_dim", "gpt_neox", "llama tied", "gemma3_text", "hyperclovax")
FAMILIES = [QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)]


def random_ids(seed, n):
    """Token ids without control symbols."""
    return tuple(np.random.default_rng(seed).integers(2, 128, n).tolist())


SHARED = random_ids(99, 100)


@pytest.fixture(scope="module", params=FAMILIES)
def oracle(request, tmp_path_factory):
    return make_oracle(request.param, tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module")
def engine(oracle):
    with new_engine(oracle) as engine:
        yield engine


def new_engine(oracle, mesh=None, **settings):
    settings = {"rows": 4, "prefix_tokens": 1024, **settings}
    return engine_of(oracle.params, oracle.config, ByteTokenizer(128), mesh, **settings)


def check_scores(oracle, request, score):
    """Each log-probability is that of transformers within 1e-4."""
    ids = [*request.context, *(request.continuation or ())]
    first = 1 if request.continuation is None else len(request.context)
    rows = oracle.logprobs(ids)[first - 1 : -1]
    expected = [row[token] for row, token in zip(rows, ids[first:])]
    np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=1e-4, rtol=0)
    assert abs(score.total - sum(expected)) < 1e-4 * len(expected)
    assert score.is_greedy == all(row.argmax() == t for row, t in zip(rows, ids[first:]))


def check_text(oracle, prompt, result, n=NEW, **settings):
    """The text is that of transformers, and so is the log-probability of each token: by `generate`
    where it has settings, else by one forward pass over the text, which is faster.
    """
    assert result.stop_reason == ("length" if len(result.tokens) == n else "end")
    rows = oracle.logprobs([*prompt, *result.tokens])[len(prompt) - 1 :]
    if settings:
        assert list(result.tokens) == oracle.greedy(prompt, n, **settings)
    else:
        likeliest = rows[:, PAD + 1 :].argmax(-1) + PAD + 1  # padding is no text
        assert [*result.tokens, END][:n] == likeliest[: min(n, len(result.tokens) + 1)].tolist()
    if result.logprobs is not None:
        for row, token in zip(rows, result.logprobs):
            assert abs(token.logprob - row[token.token]) < 1e-4
            top = [row[i] for i, _ in token.top]
            np.testing.assert_allclose([p for _, p in token.top], top, atol=1e-4, rtol=0)
            assert all(row[i] >= np.sort(row)[-len(top)] - 1e-4 for i, _ in token.top)


@pytest.mark.long
@pytest.mark.parametrize("lengths", [LENGTHS, pytest.param(LONG_LENGTHS, marks=pytest.mark.long)])
def test_prompts_of_every_length_around_the_chunks(engine, oracle, lengths):
    """One forward pass gives the scores of all beginnings of a text, as no token sees the next."""
    whole = random_ids(1, max(lengths) + 1)
    tenant = lambda n: str(n)  # each computes its beginning itself
    scores = engine.score([ScoreRequest(whole[: n + 1], tenant=tenant(n)) for n in lengths])
    expected = oracle.logprobs(whole)[np.arange(len(whole) - 1), whole[1:]]
    for n, score in zip(lengths, scores):
        assert score.n_cached == 0
        logprobs = [token.logprob for token in score.tokens]
        np.testing.assert_allclose(logprobs, expected[:n], atol=1e-4, rtol=0)
    short = dataclasses.replace(GREEDY, max_tokens=4, logprobs=2)
    requests = [GenerateRequest(whole[:n], short, tenant=tenant(n)) for n in lengths]
    for request, (result,) in zip(requests, engine.generate(requests)):
        assert (result.n_prompt, result.n_cached) == (len(request.prompt), 0)
        check_text(oracle, request.prompt, result, 4)


@pytest.mark.parametrize("n_context", [1, 20, 200])
def test_continuations_of_one_context_are_read_beside_each_other(engine, oracle, n_context):
    """Windows count positions, and not places in the cache."""
    context, texts = random_ids(4, n_context), [random_ids(50 + n, n) for n in (1, 30, 5, 1, 20)]
    requests = [ScoreRequest(context, text, top=2) for text in texts]
    for request, score in zip(requests, engine.score(requests)):
        check_scores(oracle, request, score)


def mixed_requests():
    """Requests of every kind, with what `generate` of transformers is asked for, if it can be."""
    greedy = lambda **settings: dataclasses.replace(GREEDY, **settings)
    wild = SamplingConfig(temperature=1.5, top_k=30, top_p=0.9, min_p=0.01, max_tokens=30, seed=3)
    few = (7, 12, 30, 41, 99)
    only = {"prefix_allowed_tokens_fn": lambda *_: [*few, END]}
    return [
        (GenerateRequest(random_ids(10, 5), greedy(logprobs=3)), {}),
        (GenerateRequest(random_ids(11, 70), wild), None),
        (GenerateRequest((*SHARED, 5, 6), greedy(max_tokens=40)), {}),
        (ScoreRequest(random_ids(12, 40), random_ids(13, 33), top=2), None),
        (
            GenerateRequest(random_ids(14, 20), greedy(repetition_penalty=1.4, max_tokens=30)),
            {"repetition_penalty": 1.4},
        ),
        (GenerateRequest(random_ids(15, 3), dataclasses.replace(wild, presence_penalty=2.0)), None),
        (GenerateRequest((*SHARED, 9), greedy(allowed_tokens=few)), only),
        (ScoreRequest(SHARED), None),
        (GenerateRequest((*SHARED, 7, 8, 9), greedy(min_tokens=NEW)), {"min_new_tokens": NEW}),
        (ScoreRequest(SHARED, random_ids(16, 3)), None),
        (GenerateRequest(random_ids(17, 130), greedy(logprobs=20)), {}),
    ]


def check_mixed(oracle, requests, results):
    for (request, settings), result in zip(requests, results):
        if isinstance(request, ScoreRequest):
            check_scores(oracle, request, result)
        elif settings is not None:
            check_text(oracle, request.prompt, result, request.sampling.max_tokens, **settings)


def submit_all(engine, requests):
    return [ticket.result(100) for ticket in [engine.submit(request) for request, _ in requests]]


def test_alone_and_in_a_mixed_batch(engine, oracle):
    requests = mixed_requests()
    together = submit_all(engine, requests)
    check_mixed(oracle, requests, together)
    for (request, settings), result in zip(requests, together):
        alone = engine.submit(request).result(100)
        if isinstance(request, ScoreRequest):
            check_scores(oracle, request, alone)
        else:  # greedy or sampled, the text is the same
            assert alone.tokens == result.tokens


@pytest.mark.long
def test_embeddings_among_other_requests(engine, oracle):
    texts = ["".join(map(chr, random_ids(20 + n, n))) for n in (0, 1, 16, 70, 200)]
    others = [engine.submit(request) for request, _ in mixed_requests()]
    embeddings = engine.embed(texts)
    assert [ticket.result(100) for ticket in others]
    for text, embedding in zip(texts, embeddings):
        expected = oracle.mean_hidden([END, *ByteTokenizer(128).encode(text)])
        np.testing.assert_allclose(embedding, expected, atol=1e-4, rtol=0)


@pytest.mark.long
def test_constrained_rows_and_their_free_neighbours(engine, oracle):
    pytest.importorskip("llguidance")
    from hclx.infer import grammar

    follows = grammar.regex("[A-E]{9}")
    constrained = GenerateRequest(random_ids(30, 50), GREEDY, grammar=follows)
    requests = [*mixed_requests(), (constrained, None)]
    results = submit_all(engine, requests)
    check_mixed(oracle, requests, results)
    only = {"prefix_allowed_tokens_fn": lambda *_: [*range(65, 70)]}
    assert list(results[-1].tokens) == oracle.greedy(constrained.prompt, 9, **only)


@pytest.mark.long
def test_after_neighbours_were_cancelled(engine, oracle):
    """Also in rows that a longer request has left, whose keys must not be seen any more."""
    long = SamplingConfig(temperature=1.0, max_tokens=100, min_tokens=100)
    for seed in range(3):
        neighbours = [
            engine.submit(GenerateRequest(random_ids(seed * 10 + i, 30 * i + 30), long))
            for i in range(4)
        ]
        requests = [(GenerateRequest(random_ids(seed, 1 + 9 * seed), GREEDY), {})]
        requests += mixed_requests()[2 * seed : 2 * seed + 3]
        tickets = [engine.submit(request) for request, _ in requests]
        next(iter(neighbours[seed]))
        for ticket in neighbours[: 2 + seed]:
            ticket.cancel()
        check_mixed(oracle, requests, [ticket.result(100) for ticket in tickets])
        reasons = [ticket.result(100).stop_reason for ticket in neighbours]
        assert reasons == ["cancelled"] * (2 + seed) + ["length"] * (2 - seed)


def check_cached(oracle, engine, caches):
    prompts = [(*SHARED, *random_ids(40 + n, n)) for n in (1, 17, 28, 70)]
    sampling = dataclasses.replace(GREEDY, logprobs=1)
    for _ in range(2):
        requests = [GenerateRequest(prompt, sampling, n=2) for prompt in prompts]
        for prompt, results in zip(prompts, engine.generate(requests)):
            for result in results:
                check_text(oracle, prompt, result)
            assert (results[1].n_cached > 0) == caches
    request = ScoreRequest(prompts[3], random_ids(50, 9))
    for score in engine.score([request] * 2):
        check_scores(oracle, request, score)
        assert (score.n_cached > 0) == caches


def test_with_the_prefix_cache_and_without(engine, oracle):
    check_cached(oracle, engine, caches=True)
    with new_engine(oracle, prefix_tokens=0, steps=3) as other:
        check_cached(oracle, other, caches=False)
        requests = mixed_requests()
        check_mixed(oracle, requests, submit_all(other, requests))


@pytest.mark.long
@pytest.mark.parametrize("guesses", [1, 7])
def test_with_guesses_of_what_follows(oracle, guesses):
    """Also after prompts that repeat themselves, as a greedy text of a small model soon does."""
    repeating = [
        (GenerateRequest(random_ids(70 + n, n) * 4, dataclasses.replace(GREEDY, max_tokens=60)), {})
        for n in (3, 8, 20)
    ]
    with new_engine(oracle, guesses=guesses) as other:
        requests = [*mixed_requests(), *repeating]
        check_mixed(oracle, requests, submit_all(other, requests))
        check_mixed(oracle, repeating[:1], submit_all(other, repeating[:1]))


@pytest.mark.long
@pytest.mark.parametrize("n_model", [2, 4])
def test_on_eight_devices(oracle, n_model):
    """As many shards of the heads as there are heads of keys at most."""
    n_model = min(n_model, oracle.config.kv_heads or oracle.config.n_heads)
    mesh = MeshConfig(data=2, fsdp=4 // n_model, model=n_model)
    params = jax.tree.map(np.asarray, oracle.params)
    with new_engine(dataclasses.replace(oracle, params=params), mesh, rows=8) as other:
        requests = mixed_requests()
        check_mixed(oracle, requests, submit_all(other, requests))
        check_cached(oracle, other, caches=True)
