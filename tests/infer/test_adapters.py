"""Adapters of an engine: their places, their life, and that they share nothing."""

import dataclasses

import jax
import numpy as np
import pytest

from hclx.config import MeshConfig
from hclx.errors import ConfigError
from hclx.infer import GenerateRequest, RequestError, SamplingConfig, ScoreRequest
from hclx.infer.adapters import NO_ADAPTER, Adapter, AdapterPlaces
from hclx.infer.decode import decode
from hclx.infer.prefill import prefill
from hclx.infer.prefix_cache import chunk_keys
from hclx.model import Prefix
from hclx.tune.serving import adapter_of
from tests.helpers.adapters import CONFIGS, Tuned

GREEDY = SamplingConfig(temperature=0.0, max_tokens=6, logprobs=0)
KINDS = ("soft", "prefix", "lora")


def random_ids(seed, n):
    return tuple(np.random.default_rng(seed).integers(2, 128, n).tolist())


@pytest.fixture(scope="module")
def tuned():
    return Tuned("llama")


def texts(engine, names, seed=1, n=30):
    """The texts of one prompt by each adapter, at once."""
    requests = [GenerateRequest(random_ids(seed, n), GREEDY, artefact=name) for name in names]
    return [ticket.result(100) for ticket in [engine.submit(request) for request in requests]]


def check(tuned, names, results, seed=1, n=30):
    """Each text is the likeliest by training."""
    for name, result in zip(names, results, strict=True):
        rows = tuned.logprobs(name, (*random_ids(seed, n), *result.tokens))[n - 1 :]
        expected = [row[token] for row, token in zip(rows, result.tokens)]
        np.testing.assert_allclose([t.logprob for t in result.logprobs], expected, atol=5e-5)
        assert all(row[2:].max() < value + 5e-5 for row, value in zip(rows, expected))


def test_adapters_come_and_go_and_none_is_taken_for_another(tuned):
    """The place of one that was removed is that of the next, whose prompts begin alike."""
    with tuned.engine([]) as engine:
        for names in (["soft", "lora"], ["encoder", "small"], ["prefix", "lora"]):
            for name in names:
                engine.add_adapter(name, adapter_of(tuned.artefact(name)))
            for seed in (1, 1, 2):  # the second time from the prefix cache, the third in part
                check(tuned, [None, *names], texts(engine, [None, *names], seed), seed)
            for name in names:
                engine.remove_adapter(name)
        assert texts(engine, [None])[0].n_cached and not engine._adapters.placements
        with pytest.raises(RequestError, match="artefact='soft': this engine has none; leave"):
            engine.submit(GenerateRequest("가", artefact="soft"))


def test_one_name_gets_other_arrays(tuned):
    """Keys and values of the removed one are in the prefix cache, and are not taken."""
    with tuned.engine([]) as engine:
        for name in ("lora", "small", "prefix", "mlp"):
            engine.add_adapter("the name", adapter_of(tuned.artefact(name)))
            (result,) = texts(engine, ["the name"])
            assert not result.n_cached
            check(tuned, [name], [result])
            engine.remove_adapter("the name")


@pytest.mark.long  # more of what the tests before it do
def test_many_adapters_of_all_ranks(tuned):
    """The stacks grow, in entries, in ranks and in matrices, and keep what they have."""
    rng, low_rank = np.random.default_rng(0), adapter_of(tuned.artefact("lora")).low_rank
    with tuned.engine([]) as engine:
        expected = {}
        for n in range(5):
            matrices = list(low_rank)[: 1 + n * 3 % 5]
            rank = 1 + n * 7 % 6
            draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
            changes = {}
            for matrix in matrices:
                a, b = low_rank[matrix]
                a, b = draw(*a.shape[:2], rank), 0.1 * draw(b.shape[0], rank, *b.shape[2:])
                changes[matrix] = a, b
            name = f"adapter {n}"
            engine.add_adapter(name, Adapter(low_rank=changes))
            (expected[name],) = texts(engine, [name])
        again = texts(engine, expected, seed=1)
        assert len({result.tokens for result in again}) > 3
        for result, first in zip(again, expected.values()):
            assert result.tokens == first.tokens
            np.testing.assert_allclose(
                *([t.logprob for t in r.logprobs] for r in (result, first)), atol=1e-5
            )
        check(tuned, [None], texts(engine, [None]))


def test_an_engine_without_adapters_runs_the_programs_that_it_had(tuned):
    """And an adapter that finds room in the stacks compiles nothing."""
    with tuned.engine([]) as engine:
        check(tuned, [None], texts(engine, [None]))
        programs = lambda: (prefill._cache_size(), decode._cache_size())
        before = programs()
        assert not engine._device._calls._adapters.beside(np.zeros(1, np.int32), True).get(
            "adapters"
        )
        engine.add_adapter("lora", adapter_of(tuned.artefact("lora")))
        engine.add_adapter("soft", adapter_of(tuned.artefact("soft")))
        engine.add_adapter("lora 2", adapter_of(tuned.artefact("lora")))
        texts(engine, ["soft"]), texts(engine, ["lora"])
        after = programs()
        assert min(b - a for a, b in zip(before, after)) > 0
        engine.remove_adapter("lora")
        engine.add_adapter("small", adapter_of(tuned.artefact("small")))
        check(tuned, ["small"], texts(engine, ["small"]))
        assert programs() == after
        for name in ("small", "soft", "lora 2"):
            engine.remove_adapter(name)
        check(tuned, [None], texts(engine, [None], seed=2), seed=2)
        assert programs() == after


@pytest.mark.long
def test_a_warm_engine_compiles_nothing_for_its_adapters(tuned):
    with tuned.engine(KINDS, max_length=128) as engine:
        engine.warm_up()
        before = prefill._cache_size(), decode._cache_size()
        check(tuned, KINDS, texts(engine, KINDS))
        assert (prefill._cache_size(), decode._cache_size()) == before


def test_what_cannot_be_added_or_removed_is_refused(tuned):
    lora, soft = (adapter_of(tuned.artefact(name)) for name in ("lora", "soft"))
    a, b = lora.low_rank["attention", "q"]
    refused = {
        "A of attention/q of an adapter have the shape": Adapter(
            low_rank={("attention", "q"): (a[:, 1:], b)}
        ),
        "B of attention/q of an adapter have the shape": Adapter(
            low_rank={("attention", "q"): (a, b[1:])}
        ),
        "changes attention/head, which the model has not": Adapter(
            low_rank={("attention", "head"): (a, b)}
        ),
        "the soft slots of an adapter have": Adapter(slots_pd=soft.slots_pd[:, 1:]),
        "v of the prefix of an adapter have": Adapter(
            prefix=Prefix(np.zeros((3, 4, 2, 12)), np.zeros((3, 4, 1, 12)))
        ),
        "neither soft slots nor a prefix nor": Adapter(),
    }
    with tuned.engine(["soft"]) as engine:
        for message, adapter in refused.items():
            with pytest.raises(ConfigError, match=message):
                engine.add_adapter("new", adapter)
        with pytest.raises(ConfigError, match="an adapter has the name 'soft' already"):
            engine.add_adapter("soft", soft)
        with pytest.raises(ConfigError, match="the name of an adapter is '': give a text"):
            engine.add_adapter("", soft)
        for name in ("new", None):
            with pytest.raises(RequestError, match="this engine has soft; name one of them"):
                engine.remove_adapter(name)
        with pytest.raises(RequestError, match="artefact='new': this engine has soft; name"):
            engine.embed(["가"], "new")
        endless = SamplingConfig(max_tokens=200, min_tokens=200)
        ticket = engine.submit(GenerateRequest("가", endless, artefact="soft"))
        next(iter(ticket))
        with pytest.raises(RequestError, match="the adapter 'soft' is in use"):
            engine.remove_adapter("soft")
        ticket.cancel()
        ticket.result(60)
        size = tuned.vocab_size
        for request in (
            GenerateRequest((5, size + 5), artefact="soft"),
            GenerateRequest((5, size)),
            ScoreRequest((5, 6), (size,), artefact="soft"),
        ):
            with pytest.raises(RequestError, match="and the vocabulary ends at"):
                engine.submit(request)
        with pytest.raises(RequestError, match="a text with soft slots in it is scored as a"):
            engine.submit(ScoreRequest((5, size + 1, 6), artefact="soft"))
        engine.remove_adapter("soft")
        check(tuned, [None], texts(engine, [None]))
    with pytest.raises(RequestError, match="the engine is closed"):
        engine.add_adapter("soft", soft)


def test_a_prompt_has_no_room_behind_a_prefix(tuned):
    with tuned.engine(["prefix"], max_length=64) as engine:
        (result,) = texts(engine, ["prefix"], n=43)
        assert (result.n_prompt, len(result.tokens)) == (63, 1)
        with pytest.raises(RequestError, match="the prompt has 64 tokens and the model reads 64"):
            engine.submit(GenerateRequest(random_ids(1, 44), GREEDY, artefact="prefix"))


def test_after_a_device_error_all_is_as_before(tuned):
    names = [None, *KINDS]
    with tuned.engine(KINDS) as engine:
        expected = [result.tokens for result in texts(engine, names, seed=3)]
        original, n_calls = engine._device._calls.decode, []

        def failing(*arguments):
            n_calls.append(1)
            if len(n_calls) == 1:
                raise jax.errors.JaxRuntimeError("INTERNAL: a device is lost")
            return original(*arguments)

        engine._device._calls.decode = failing
        results = texts(engine, names, seed=3)
        assert len(n_calls) > 1 and [result.tokens for result in results] == expected
        check(tuned, names, results, seed=3)


@pytest.mark.parametrize("guesses", [0, pytest.param(3, marks=pytest.mark.long)])
def test_a_row_keeps_its_adapter_when_fewer_rows_are_computed(tuned, guesses):
    """The second row goes on alone, in a batch of one, or with guesses that are checked."""
    endless = SamplingConfig(max_tokens=90, min_tokens=90)
    with tuned.engine(["lora"], rows=8, guesses=guesses) as engine:
        neighbour = engine.submit(GenerateRequest((5, 6), endless))
        next(iter(neighbour))
        settings = dataclasses.replace(GREEDY, max_tokens=40, logit_bias={9: 2.0})
        request = GenerateRequest(random_ids(1, 30), settings, artefact="lora")
        ticket = engine.submit(request)
        next(iter(ticket))
        neighbour.cancel()
        result = ticket.result(100)
    assert neighbour.result(1).stop_reason == "cancelled" and len(result.tokens) == 40
    rows = tuned.logprobs("lora", (*request.prompt, *result.tokens))[29:]
    expected = [row[token] for row, token in zip(rows, result.tokens)]
    np.testing.assert_allclose([t.logprob for t in result.logprobs], expected, atol=5e-5)


@pytest.mark.long
def test_adapters_on_eight_devices(tuned):
    names = [None, *CONFIGS]
    with tuned.engine(mesh=MeshConfig(data=4, fsdp=1, model=2)) as engine:
        for _ in range(2):
            check(tuned, names, texts(engine, names))


@pytest.mark.parametrize("dtype", ["int8", pytest.param("bfloat16", marks=pytest.mark.long)])
def test_adapters_beside_weights_of_fewer_bits(tuned, dtype):
    names = [None, *CONFIGS]
    ids = random_ids(4, 40)
    with tuned.engine(dtype=dtype) as engine:
        for name in names:
            (score,) = engine.score([ScoreRequest(ids, artefact=name)])
            rows = tuned.logprobs(name, ids)
            expected = [rows[at - 1, ids[at]] for at in range(1, len(ids))]
            gaps = np.abs(np.subtract([t.logprob for t in score.tokens], expected))
            # A large change of all matrices, of which bfloat16 has eight bits.
            assert 1e-6 < gaps.mean() < (0.3 if name == "lora" else 0.05), (name, gaps.mean())


def test_places_are_free_ranges_of_slots(tuned):
    """Against a set of all ids that are taken, over many adapters that come and go."""
    config, rng = tuned.base.config, np.random.default_rng(0)
    places, slots = AdapterPlaces(config), {}
    for step in range(300):
        if slots and rng.random() < 0.4:
            name = rng.choice(sorted(slots))
            places.free(places.find(name))
            del slots[name]
            continue
        n, name = int(rng.integers(1, 9)), f"adapter {step}"
        adapter = Adapter(slots_pd=np.zeros((n, config.d_model), np.float32))
        placement = places.choose(name, adapter)
        places.take(placement)
        taken = {token for ids in slots.values() for token in ids}
        assert taken.isdisjoint(placement.slots) and len(placement.slots) == n
        end = max(taken, default=config.vocab_size - 1) + 1
        gaps = [
            begin
            for begin in range(config.vocab_size, end + 1)
            if taken.isdisjoint(range(begin, begin + n))
        ]
        assert placement.slots.start == gaps[0]
        slots[name] = placement.slots
    numbers = [placement.number for placement in places.placements]
    assert len(set(numbers)) == len(numbers) and max(numbers) <= 300


def test_beginnings_differ_by_adapter_and_tenant():
    ids = random_ids(1, 40)
    asked = [("", 0), ("", 1), ("", 2), ("a", 0), ("a", 1)]
    keys = [chunk_keys(tenant, ids, number) for tenant, number in asked]
    assert len(set(sum(keys, []))) == 2 * len(asked)
    assert chunk_keys("a", ids) == keys[3]


def test_ids_of_a_prompt_as_the_engine_reads_it():
    assert NO_ADAPTER.lay([5, 6], 100) == [5, 6]
    soft = NO_ADAPTER._replace(slots=range(107, 110))
    assert soft.lay([5, 6], 100) == [107, 108, 109, 5, 6]
    assert soft.lay([5, 102, 6, 100], 100) == [5, 109, 6, 107]
    assert soft.lay([], 100) == [107, 108, 109]
    both = soft._replace(n_prefix=2)
    assert both.lay([5], 100) == [100, 100, 107, 108, 109, 5]
