"""The measurements of an engine: by an engine whose times are made up, by formulas for the bytes of
a step, and with a real engine over a small model.
"""

import dataclasses
import json
import types

import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer import EmbeddedEngine, EngineConfig, Generation, benchmark
from hclx.infer.benchmark import Workload
from hclx.infer.random_model import NumberTokenizer, random_model
from tests.helpers.commands import launch, refused

SMALL = ModelConfig(vocab_size=64, n_layers=2, d_model=32, n_heads=4, max_length=128)
# seconds of the engine that is made up: of a request, of its first token, of each of the others
BEFORE, FIRST, STEP = 0.5, 0.25, 0.125


class MadeUpTicket:
    """Time passes while the parts of its text are waited for."""

    def __init__(self, clock, request):
        self.clock, self.n = clock, request.sampling.max_tokens
        n_prompt = len(request.prompt)
        self.generation = Generation("", (5,) * self.n, "length", n_prompt, n_cached=3)

    def result(self):
        return self.generation

    def __iter__(self):  # the first token, then two at a time
        self.clock[0] += BEFORE + FIRST
        yield "a"
        for _ in range((self.n - 1) // 2):
            self.clock[0] += 2 * STEP
            yield "bc"


class MadeUpEngine:
    """Serves one request after the other."""

    def __init__(self, clock):
        self.clock, self.requests = clock, []

    def submit(self, request):
        self.requests.append(request)
        return MadeUpTicket(self.clock, request)

    def generate(self, requests):
        tickets = [self.submit(request) for request in requests]
        for ticket in tickets:
            self.clock[0] += BEFORE + FIRST + STEP * (ticket.n - 1)
        return [[ticket.result()] for ticket in tickets]


@pytest.fixture
def made_up(monkeypatch):
    clock = [0.0]
    time = types.SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(benchmark, "time", time)
    return MadeUpEngine(clock)


def test_clients_see_the_times_of_the_engine(made_up):
    workload = Workload(1, requests=4, prompt_lengths=(3, 5), new_tokens=9)
    figures = benchmark.serve(made_up, workload, 64)
    each = BEFORE + FIRST + 8 * STEP
    assert figures["seconds"] == pytest.approx(4 * each)
    assert figures["time_to_first_token_ms"] == {"median": 750.0, "p95": 750.0}
    assert figures["inter_token_ms"] == {"median": 125.0, "p95": 125.0}
    assert figures["wait_for_more_ms"] == {"median": 250.0, "p95": 250.0}
    assert figures["tokens_per_second"] == pytest.approx(9 / each)
    assert figures["prompt_tokens_per_second"] == pytest.approx(4 / each)
    assert (figures["prompt_tokens"], figures["cached_tokens"]) == (16, 12)
    assert all(request.sampling.min_tokens == 9 for request in made_up.requests)


def test_a_step_is_timed_without_what_comes_before_it(made_up):
    assert benchmark.step_seconds(made_up, 1, 8, 32, 64) == pytest.approx(STEP)
    assert benchmark.step_seconds(made_up, 4, 8, 32, 64) == pytest.approx(4 * STEP)
    assert benchmark.prefill_rate(made_up, 2, 8, 64) == pytest.approx(8 / (BEFORE + FIRST))
    prompts = [request.prompt for request in made_up.requests[-6:]]
    assert len(set(prompts)) == 6  # none comes from the prefix cache


def test_prompts_share_what_they_are_told_to():
    workload = Workload(2, requests=4, prompt_lengths=(40, 3), new_tokens=8, shared_tokens=32)
    long, short, other, _ = workload.prompts(64)
    assert [len(long), len(short), len(other)] == [40, 3, 40] and workload.longest == 48
    assert long[:32] == other[:32] and long[32:] != other[32:]
    assert short[:2] == long[:2] and min(long) >= 2 and max(long) < 64


@pytest.mark.parametrize(
    "change", [{"streams": 0}, {"requests": 1}, {"prompt_lengths": (0,)}, {"new_tokens": 4}]
)
def test_a_workload_that_measures_nothing_is_refused(change):
    (name,) = change
    with pytest.raises(ConfigError, match=f"Workload.{name}=.* is out of range: give "):
        Workload(**change)


def test_bytes_of_a_step_are_those_of_weights_and_cache():
    d, layers, vocab = 32, 2, 64
    block = 4 * d * d + 4 * d + 8 * d * d + 5 * d + 4 * d  # attention, MLP, two norms
    gpt = 4 * (vocab * d + layers * block + 2 * d)
    cache = 2 * 4 * d  # a position of a block, keys and values
    model = random_model(SMALL)
    assert benchmark.step_bytes(model, 1, 0) == gpt
    assert benchmark.step_bytes(model, 3, 10.5) == gpt + 3 * 10.5 * layers * cache
    in_halves = random_model(SMALL, "bfloat16")
    vectors = 4 * (2 * d + layers * (4 * d + 5 * d + 4 * d))  # which stay in float32
    assert benchmark.step_bytes(in_halves, 1, 6) == (gpt - vectors) / 2 + vectors + 6 * cache
    grouped = dataclasses.replace(SMALL, kv_heads=1, tied_head=False, window=8, layer_pattern="SF")
    less = 4 * 2 * layers * (d + 1) * (d - d // 4)  # of the weights and biases of keys and values
    one_position = cache / 4
    assert benchmark.step_bytes(random_model(grouped), 2, 20) == (
        gpt - less + 2 * (8 + 20) * one_position  # one table is looked up, the other one is read
    )


def test_the_share_of_the_peak_is_that_of_the_products_of_prompts(monkeypatch):
    monkeypatch.setattr(benchmark, "peak_flops", lambda dtype: (1e6, ""))
    d, length, rate = 32, 16, 10.0
    products = 2 * (4 * d * d + 8 * d * d)  # of a block: attention's and the MLP's matrices
    attention = 2 * 2 * d * length / 2  # scores and contexts, for half of the keys in the mean
    head = 2 * 64 * d / length  # of the last token alone
    share = rate * (2 * (products + attention) + head) / 1e6
    assert benchmark.prefill_share(SMALL, length, rate, "bfloat16") == pytest.approx(share)
    monkeypatch.setattr(benchmark, "peak_flops", lambda dtype: (None, "unknown"))
    assert benchmark.prefill_share(SMALL, length, rate, "bfloat16") is None


def test_memory_is_read_at_some_speed():
    assert 1e7 < benchmark.read_bandwidth(2**22) < 1e14


@pytest.mark.long
def test_a_real_engine_is_measured(monkeypatch):
    monkeypatch.setattr(benchmark, "_READ_BYTES", {"cpu": 2**22})
    model, tokenizer = random_model(SMALL), NumberTokenizer(64)
    workload = Workload(2, requests=4, prompt_lengths=(70,), new_tokens=8, shared_tokens=64)
    with EmbeddedEngine(model, tokenizer, EngineConfig(rows=2, prefix_tokens=128)) as engine:
        figures = benchmark.measure(engine, model, 2, workload)
    # The first request computes the two chunks that all of them share; the others wait for it.
    assert (figures["prompt_tokens"], figures["cached_tokens"]) == (4 * 70, 3 * 64)
    assert figures["rows"] == figures["streams"] == 2 and figures["dtype"] == "float32"
    shares = ("tokens_per_second", "prefill_tokens_per_second", "step_ms", "bandwidth_share")
    assert all(figures[name] > 0 for name in shares)
    assert figures["step_bytes"] == benchmark.step_bytes(model, 2, 75)
    text = benchmark.table(json.loads(json.dumps(figures)))
    assert "192 of 280 prompt tokens" in text and "step of 2 rows" in text


@pytest.mark.long
def test_the_command_measures_a_shape(tmp_path):
    shape = dict(vocab_size=64, n_layers=2, d_model=32, n_heads=4, max_length=64)
    flags = [f"--gin.ModelConfig.{name}={value}" for name, value in shape.items()]
    flags += ["--prompt_lengths=8,24", "--new_tokens=16", "--requests=4", "--streams=2"]
    output = tmp_path / "figures.json"
    result = launch("bench_engine.py", *flags, "--rows=2", f"--output={output}")
    assert result.returncode == 0, result.stderr
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures["prompt_lengths"] == [8, 24] and figures["prompt_tokens"] == 64
    assert benchmark.table(figures) in result.stdout
    assert "give --model_dir=RUN, or --gin_file" in refused(launch("bench_engine.py"), 64)
    wrong = launch("bench_engine.py", *flags, "--prompt_lengths=8,many")
    assert "--prompt_lengths: give whole numbers" in refused(wrong, 64)
    too_long = launch("bench_engine.py", *flags, "--prompt_lengths=60")
    assert "more than the model reads, 64" in refused(too_long, 64)
