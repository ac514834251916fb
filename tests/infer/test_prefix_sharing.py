"""What the prefix cache saves, counted in tokens that the device reads, and what it forgets."""

import contextlib
import random

import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from hclx.infer.prefix_cache import CHUNK, ChunkIndex, chunk_keys
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

CONFIG = ModelConfig(vocab_size=128, n_layers=1, d_model=16, n_heads=2, max_length=512)
GREEDY = SamplingConfig(temperature=0.0, max_tokens=3)
HEAD = tuple(np.random.default_rng(0).integers(2, 128, 16 * 25).tolist())  # 16 examples


def item(i, n=12):
    return tuple(np.random.default_rng(i).integers(2, 128, n).tolist())


@contextlib.contextmanager
def new_engine(prefix_tokens=1024):
    params = noisy_params(CONFIG)
    tokenizer = ByteTokenizer(128)
    with engine_of(params, CONFIG, tokenizer, rows=4, prefix_tokens=prefix_tokens) as engine:
        yield engine


@pytest.fixture(scope="module")
def engine():
    with new_engine() as engine:
        yield engine


@contextlib.contextmanager
def counted(engine):
    """Counts the tokens of prompts that the device computes, in a list of one number."""
    counts, read = [0], engine._device.read

    def counting(chunk):
        before = sum(task.n_read for _, task in chunk.rows)
        outputs = read(chunk)
        counts[0] += sum(task.n_read for _, task in chunk.rows) - before
        return outputs

    engine._device.read = counting
    try:
        yield counts
    finally:
        engine._device.read = read


def serve(engine, requests):
    """The results of requests, and the number of tokens that were computed for them."""
    with counted(engine) as counts:
        results = [ticket.result(60) for ticket in [engine.submit(r) for r in requests]]
    return results, counts[0]


def saving(engine, requests, answer):
    """How many times fewer tokens are computed than the prompts have; the answers are those of an
    engine that shares nothing.
    """
    results, computed = serve(engine, requests)
    assert computed == sum(r.n_prompt - r.n_cached for r in results) - sum(
        isinstance(r, ScoreRequest)
        for r in requests  # whose last token is only looked up
    )
    with new_engine(prefix_tokens=0) as alone:
        others, all_tokens = serve(alone, requests)
    np.testing.assert_allclose([*map(answer, results)], [*map(answer, others)], atol=1e-3)
    assert not any(other.n_cached for other in others)
    return all_tokens / computed


def test_prompts_of_sixteen_examples_are_computed_once(engine):
    """They come at once, and the head of the first is not computed yet when the others come."""
    requests = [GenerateRequest((*HEAD, *item(i)), GREEDY) for i in range(40)]
    assert saving(engine, requests, lambda result: result.tokens) > 8


@pytest.mark.long
def test_labels_after_sixteen_examples_are_scored_over_one_head(engine):
    requests = [
        ScoreRequest((*HEAD, *item(i)), label, tenant="labels")
        for i in range(20)
        for label in ((5, 6), (7, 8, 9))
    ]
    assert saving(engine, requests, lambda result: result.total) > 8


def test_candidates_compute_their_prompt_once(engine):
    request = GenerateRequest((*HEAD, *item(90)), SamplingConfig(max_tokens=3), n=10, tenant="n")
    with counted(engine) as counts:
        (results,) = engine.generate([request])
    assert len({result.tokens for result in results}) > 1
    rest = results[0].n_prompt % CHUNK
    assert counts[0] == results[0].n_prompt + 9 * rest


def test_the_same_prompt_again_and_one_that_begins_another(engine):
    whole = (*item(91, 96), 5)
    first, again, part, longer, exact = (
        serve(engine, [GenerateRequest(ids, GREEDY, tenant="same")])
        for ids in (whole, whole, whole[:70], (*whole, *item(92, 40)), whole[: 2 * CHUNK])
    )
    assert [computed for _, computed in (first, again, part, longer)] == [97, 1, 6, 41]
    assert exact[1] == CHUNK  # the last token of a prompt is computed for what follows it
    assert first[0][0].tokens == again[0][0].tokens
    with new_engine(prefix_tokens=0) as alone:
        for (results, _), ids in zip((part, longer, exact), (70, None, 2 * CHUNK)):
            prompt = whole[:ids] if ids else (*whole, *item(92, 40))
            (other,), _ = serve(alone, [GenerateRequest(prompt, GREEDY)])
            assert results[0].tokens == other.tokens


def test_tenants_share_nothing(engine):
    prompt = item(93, 100)
    requests = [GenerateRequest(prompt, GREEDY, tenant=name) for name in ("", "a", "b", "a\0")]
    results, computed = serve(engine, requests)
    assert computed == 400 and not any(result.n_cached for result in results)
    keys = [set(chunk_keys(name, prompt)) for name in ("", "a", "b", "a\0")]
    assert len(set.union(*keys)) == 4 * len(keys[0])


@pytest.mark.parametrize(
    "prefix_tokens",
    [3 * CHUNK, *(pytest.param(n * CHUNK, marks=pytest.mark.long) for n in (1, 15))],
)
def test_a_cache_that_is_too_small_never_gives_another_text(engine, prefix_tokens):
    """Requests of several heads push each other out, while others read."""
    prompts = [(*item(94 + i % 3, 40 + 60 * (i % 3)), *item(i, i % 50)) for i in range(24)]
    random.Random(1).shuffle(prompts)
    requests = [GenerateRequest(prompt, GREEDY, tenant="small") for prompt in prompts]
    expected, _ = serve(engine, requests)
    with new_engine(prefix_tokens) as small:
        results, _ = serve(small, requests)
        assert len(small._device._index) <= prefix_tokens // CHUNK
    assert [result.tokens for result in results] == [result.tokens for result in expected]
    assert any(result.n_cached for result in results)


def test_the_least_recently_used_chunk_goes_first_and_the_end_of_a_prompt_before_its_beginning():
    """Against an index that looks at all of its chunks each time."""
    rng, index, memory, used = random.Random(0), ChunkIndex(6), {}, {}
    for now in range(3000):
        prompt = "".join(rng.choices("ab", k=rng.randint(1, 8)))
        keys = [prompt[: i + 1].encode() for i in range(len(prompt))]
        found = index.match(keys)
        n_found = next((i for i, key in enumerate(keys) if key not in used), len(keys))
        assert [memory[row] for row in found] == keys[:n_found]
        n_stored = n_found
        while n_stored < len(keys):  # a prompt is read and stored in parts
            n_new = min(rng.randint(1, 3), len(keys) - n_stored)
            whole = keys[: n_stored + n_new]
            missing = [key for key in whole[n_stored:] if key not in used]
            rows = index.add(missing, whole)
            for key in keys[:n_stored]:
                if key in used:
                    used[key] = now
            for key, row in zip(missing, rows):
                if len(used) == 6:
                    oldest = min(used.keys() - set(whole), key=lambda key: (used[key], -len(key)))
                    assert memory[row] == oldest
                    del used[oldest]
                memory[row], used[key] = key, now
            assert len(rows) == len(missing) or not used.keys() - set(whole)
            for key in whole:
                if key in used:
                    used[key] = now
            n_stored += n_new
        for key in keys[:n_found]:
            used[key] = now
        assert len(index) == len(used) and all(key in index for key in used)
