"""Artefacts in the engine: each request has one, and is computed as training computes it."""

import dataclasses

import numpy as np
import pytest

from hclx.errors import DataError
from hclx.infer import GenerateRequest, SamplingConfig, ScoreRequest
from hclx.train.fingerprint import fingerprint
from hclx.tune.artefact import base_fingerprint
from hclx.tune.examples import text_encoder
from hclx.tune.row_files import Row
from hclx.tune.serving import adapter_for
from tests.helpers.adapters import CONFIGS, Tuned
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import loaded

GREEDY = SamplingConfig(temperature=0.0, max_tokens=8, logprobs=3)
WINDOWS = "gemma3_text"  # two of three layers see 16 tokens, a prefix has 20 positions
NAMES = (None, *CONFIGS)
LENGTHS = dict(zip(NAMES, (10, 22, 40, 24, 28, 56, 70)))


def random_ids(seed, n):
    return tuple(np.random.default_rng(seed).integers(2, 128, n).tolist())


@pytest.fixture(scope="module", params=[WINDOWS, pytest.param("llama", marks=pytest.mark.long)])
def tuned(request):
    return Tuned(request.param)


@pytest.fixture(scope="module")
def engine(tuned):
    with tuned.engine() as engine:
        yield engine


def check_score(tuned, name, score, ids, first):
    """Each log-probability is that of training within 2e-5."""
    rows = tuned.logprobs(name, ids)
    expected = [rows[at - 1, ids[at]] for at in range(first, len(ids))]
    np.testing.assert_allclose([t.logprob for t in score.tokens], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_training(tuned, engine, name):
    ids, texts = random_ids(1, 60), [random_ids(n, n) for n in (1, 7, 12)]
    whole, *behind = engine.score(
        [ScoreRequest(ids, artefact=name)]
        + [ScoreRequest(ids[:40], text, artefact=name) for text in texts]
    )
    check_score(tuned, name, whole, ids, 1)
    for text, score in zip(texts, behind):
        check_score(tuned, name, score, (*ids[:40], *text), 40)


def check_text(tuned, name, prompt, result):
    """Each token is as likely as training says, and no other one is more likely."""
    rows = tuned.logprobs(name, (*prompt, *result.tokens))[len(prompt) - 1 :]
    for row, token in zip(rows, result.logprobs):
        assert abs(row[token.token] - token.logprob) < 2e-5
        assert row[token.token] > row[2:].max() - 2e-5  # the first are no text
    assert result.logprobs


@pytest.mark.parametrize("name", NAMES)
def test_texts_are_those_of_training(tuned, engine, name):
    prompt = random_ids(2, 30)
    ((result,),) = engine.generate([GenerateRequest(prompt, GREEDY, artefact=name)])
    check_text(tuned, name, prompt, result)


def alone(engine, requests):
    return [engine.generate([request])[0][0] for request in requests]


def together(engine, requests):
    """The texts of requests that are served at once, beside one that is cancelled."""
    endless = SamplingConfig(max_tokens=60, min_tokens=60)
    neighbour = engine.submit(GenerateRequest(random_ids(3, 60), endless, artefact="lora"))
    next(iter(neighbour))
    tickets = [engine.submit(request) for request in requests]
    neighbour.cancel()
    return [ticket.result(100) for ticket in tickets]


def test_kinds_in_a_batch_are_as_alone_bit_for_bit(engine, monkeypatch):
    """Before their beginnings are in the prefix cache, and after that. All calls read four rows, so
    that the same programs run.
    """
    monkeypatch.setattr(engine._device, "_chunk_rows", (4,))
    requests, others = (
        [
            GenerateRequest(random_ids(10 + n, n), GREEDY, tenant=tenant, artefact=name)
            for name, n in LENGTHS.items()
        ]
        for tenant in ("alone", "together")
    )
    for is_cached in (False, True):
        pairs = list(zip(alone(engine, requests), together(engine, others), strict=True))
        for first, second in pairs:
            assert (first.tokens, first.logprobs) == (second.tokens, second.logprobs)
        n_cached = [result.n_cached for pair in pairs for result in pair]
        assert sum(n_cached) > 200 if is_cached else not any(n_cached)
    assert len({first.tokens for first, _ in pairs}) > 3  # they are not all one


def test_vectors_and_choices(tuned, engine):
    text = "abcdefg"
    vectors = [engine.embed([text], name)[0] for name in NAMES]
    tokenizer = ByteTokenizer(tuned.vocab_size)
    ids = [*tokenizer.begin_ids, *tokenizer.encode(text)]
    for name, vector in list(zip(NAMES, vectors))[1:]:
        slots = range(tuned.vocab_size, tuned.vocab_size + tuned.n_slots(name))
        expected = tuned.hidden(name, [*slots, *ids]).mean(0)
        np.testing.assert_allclose(vector, expected, atol=2e-5, rtol=1e-5)
    gaps = [np.abs(a - b).max() for i, a in enumerate(vectors) for b in vectors[:i]]
    assert min(gaps) > 1e-3
    probabilities = [engine.choose(text, ["h", "i"], name).probabilities for name in NAMES]
    assert len(set(probabilities)) == len(NAMES)


def test_soft_slots_stand_where_the_prompt_has_them(tuned, engine):
    """Also of the second soft prompt, whose slots have other ids in the engine."""
    for name in ("soft", "encoder"):
        first = tuned.vocab_size
        ids = (*random_ids(4, 20), first + 2, first, *random_ids(5, 20), first + 1)
        (score,) = engine.score([ScoreRequest(ids, (7, 8), artefact=name)])
        check_score(tuned, name, score, (*ids, 7, 8), len(ids))
        ((result,),) = engine.generate([GenerateRequest(ids, GREEDY, artefact=name)])
        check_text(tuned, name, ids, result)


def test_prompts_are_token_by_token_those_that_tuning_read(tuned, engine):
    tokenizer, size = ByteTokenizer(tuned.vocab_size), tuned.vocab_size
    row = Row("row", {"prompt": "abc", "completion": "d"})
    for name, length in (("soft", 5), ("encoder", 3)):
        example = text_encoder(tokenizer, range(size, size + length))(row)
        (task,) = engine._intake.generate_tasks(GenerateRequest("abc", artefact=name))
        first = engine._adapters.get(name).slots.start
        ids = [token - first + size if token >= size else token for token in task.ids]
        assert ids == example.tokens[: len(ids)].tolist() and len(ids) == length + 4
    (task,) = engine._intake.generate_tasks(GenerateRequest("abc", artefact="lora"))
    assert task.ids == text_encoder(tokenizer)(row).tokens[:4].tolist()


def test_penalties_and_guesses_pass_over_soft_slots(tuned):
    slots = tuple(range(tuned.vocab_size, tuned.vocab_size + 5))
    prompt = (*random_ids(6, 8), 9, 9, *slots, 9, 9, *slots, 9, 9)
    settings = dataclasses.replace(GREEDY, repetition_penalty=1.3, max_tokens=12)
    request = GenerateRequest(prompt, settings, artefact="soft")
    texts = []
    for guesses in (0, 4):
        with tuned.engine(["soft"], guesses=guesses) as engine:
            texts.append(engine.generate([request])[0][0].tokens)
            (task,) = engine._intake.generate_tasks(request)
            seen = task.settings().masks.seen_bv.nonzero()[0]
            assert set(seen) == {token for token in prompt if token < tuned.vocab_size}
    assert texts[0] == texts[1] and len(texts[0]) == 12


def test_an_artefact_of_another_base_or_tokenizer_is_refused(tuned):
    meta = {"fingerprint": fingerprint(tuned.base.params), "hashes": {"vocabulary": "tokenizer"}}
    model = dataclasses.replace(loaded(tuned.base.params, tuned.base.config), meta=meta)
    own = dataclasses.replace(tuned.artefact("small"), base=base_fingerprint(meta["fingerprint"]))
    assert adapter_for(own, model).low_rank.keys() == {("attention", "q"), ("attention", "kv")}
    with pytest.raises(DataError, match="x.safetensors was tuned on another base"):
        adapter_for(dataclasses.replace(own, base="0" * 64), model, "x.safetensors")
    with pytest.raises(DataError, match="was tuned on another tokenizer"):
        adapter_for(dataclasses.replace(own, tokenizer="1" * 64), model)
    pairs = dataclasses.replace(own.config, objective="pair")
    with pytest.raises(DataError, match="objective='pair', for vectors or pairs"):
        adapter_for(dataclasses.replace(own, config=pairs), model)
