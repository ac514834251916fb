"""Measures an engine: how long requests wait for their tokens, how many tokens it reads and writes
a second, and the share of the memory bandwidth that a step of decoding reaches.
"""

import concurrent.futures
import dataclasses
import statistics
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.errors import check_ranges
from hclx.infer.engine import Engine, GenerateRequest, Generation
from hclx.infer.load import LoadedModel
from hclx.infer.sampling import SamplingConfig
from hclx.model import n_params
from hclx.train.flops import flops_per_token, peak_flops

ROUNDS = 3  # of what is timed alone; the median counts
_FIRST_ID = 2  # below it are padding and the end of a document
_READ_BYTES = {"cpu": 2**29}  # more than the caches hold
_READ_BYTES_ELSEWHERE = 2**32


@dataclasses.dataclass(frozen=True)
class Workload:
    """The requests of a measurement. Their prompts are random tokens.

    Attributes:
      streams: clients, each of which sends its next request when it has the text of the last one.
      requests: of all clients together.
      prompt_lengths: tokens of the prompts; the requests take them in turn.
      new_tokens: tokens of each text.
      shared_tokens: tokens at the beginning of a prompt that are the same in all prompts.
    """

    streams: int = 8
    requests: int = 32
    prompt_lengths: tuple[int, ...] = (32, 128, 256)
    new_tokens: int = 128
    shared_tokens: int = 0

    def __post_init__(self):
        checks = {
            "streams": (self.streams > 0, "a positive number"),
            "requests": (self.requests >= self.streams, "as many as there are streams, or more"),
            "prompt_lengths": (
                bool(self.prompt_lengths) and min(self.prompt_lengths) > 0,
                "one or more positive numbers",
            ),
            "new_tokens": (self.new_tokens >= 8, "8 or more, so that a step can be timed"),
            "shared_tokens": (self.shared_tokens >= 0, "0 or more"),
        }
        check_ranges(self, checks, "Workload")

    @property
    def longest(self) -> int:
        """The tokens of the longest prompt and its text."""
        return max(self.prompt_lengths) + self.new_tokens

    def prompts(self, vocab_size: int) -> list[tuple[int, ...]]:
        """Returns the prompts, as token ids below `vocab_size`."""
        (shared,) = random_prompts([self.shared_tokens], vocab_size, seed=1)
        lengths = [self.prompt_lengths[i % len(self.prompt_lengths)] for i in range(self.requests)]
        own = random_prompts(lengths, vocab_size, seed=2)
        return [(*shared[: n - 1], *ids)[:n] for n, ids in zip(lengths, own)]


def random_prompts(lengths: Sequence[int], vocab_size: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Draws the ids of a prompt for each length."""
    draw = np.random.default_rng(seed)
    return [tuple(draw.integers(_FIRST_ID, vocab_size, n).tolist()) for n in lengths]


def request_of(prompt: tuple[int, ...], n: int) -> GenerateRequest:
    """Returns a greedy request of `n` tokens: the end of a document may not come before."""
    return GenerateRequest(prompt, SamplingConfig(temperature=0.0, max_tokens=n, min_tokens=n))


def generate_all(
    engine: Engine, prompts: Sequence[tuple[int, ...]], new_tokens: Sequence[int] | int
) -> tuple[float, list[Generation]]:
    """Continues prompts, which are submitted at once; returns the seconds and the results.

    Args:
      engine: any.
      prompts: token ids.
      new_tokens: of each, or of all.
    """
    counts = [new_tokens] * len(prompts) if isinstance(new_tokens, int) else new_tokens
    requests = [request_of(prompt, n) for prompt, n in zip(prompts, counts, strict=True)]
    start = time.perf_counter()
    results = engine.generate(requests)
    seconds = time.perf_counter() - start
    return seconds, [result for (result,) in results]


def serve(engine: Engine, workload: Workload, vocab_size: int) -> dict:
    """Sends the requests of a workload, and returns what its clients saw.

    Args:
      engine: any.
      workload: see there.
      vocab_size: of the model.
    Returns:
      {seconds, time_to_first_token_ms, inter_token_ms, wait_for_more_ms, tokens_per_second,
      prompt_tokens_per_second, prompt_tokens, cached_tokens}. Texts come several tokens at a time:
      `inter_token_ms` is the time from the first token to the last one by the tokens after the
      first, one figure a request; `wait_for_more_ms` are the times between the parts of texts. The
      prompt tokens include those of the prefix cache.
    """
    requests = [request_of(ids, workload.new_tokens) for ids in workload.prompts(vocab_size)]

    def send(request):
        start = time.perf_counter()
        ticket = engine.submit(request)
        times = [time.perf_counter() for _ in ticket]
        result = ticket.result()
        return start, times or [time.perf_counter()], result

    pool = concurrent.futures.ThreadPoolExecutor(workload.streams)
    try:
        start = time.perf_counter()
        answers = list(pool.map(send, requests))
        seconds = time.perf_counter() - start
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nobody waits for the others
    gaps = [gap for _, times, _ in answers for gap in np.diff(times)]
    per_token = [
        (times[-1] - times[0]) / max(1, len(result.tokens) - 1) for _, times, result in answers
    ]
    n_prompt = sum(result.n_prompt for *_, result in answers)
    return {
        "seconds": seconds,
        "time_to_first_token_ms": _milliseconds([times[0] - start for start, times, _ in answers]),
        "inter_token_ms": _milliseconds(per_token),
        "wait_for_more_ms": _milliseconds(gaps),
        "tokens_per_second": sum(len(result.tokens) for *_, result in answers) / seconds,
        "prompt_tokens_per_second": n_prompt / seconds,
        "prompt_tokens": n_prompt,
        "cached_tokens": sum(result.n_cached for *_, result in answers),
    }


def _milliseconds(seconds: Sequence[float]) -> dict:
    median, p95 = np.percentile(seconds, [50, 95]) * 1e3 if len(seconds) else (0.0, 0.0)
    return {"median": float(median), "p95": float(p95)}


def step_seconds(
    engine: Engine, rows: int, prompt_length: int, new_tokens: int, vocab_size: int
) -> float:
    """The seconds of a step of decoding in which all rows are busy: the difference between long
    texts and short ones after the same prompts, by the difference of their tokens.
    """
    prompts = random_prompts([prompt_length] * rows, vocab_size)
    short = _short(new_tokens)
    seconds = lambda n: generate_all(engine, prompts, n)[0]
    for n in (short, new_tokens):  # compiles what is left
        seconds(n)
    rounds = [seconds(new_tokens) - seconds(short) for _ in range(ROUNDS)]
    return max(1e-9, statistics.median(rounds)) / (new_tokens - short)


def _short(new_tokens: int) -> int:
    return max(1, new_tokens // 4)


def prefill_rate(engine: Engine, rows: int, prompt_length: int, vocab_size: int) -> float:
    """Tokens a second of prompts that are read for one new token each, `rows` at once."""
    seconds = []
    for seed in range(ROUNDS + 1):  # the prefix cache knows none of them
        prompts = random_prompts([prompt_length] * rows, vocab_size, seed)
        seconds.append(generate_all(engine, prompts, 1)[0])
    return rows * prompt_length / statistics.median(seconds[1:])


def prefill_share(config: ModelConfig, prompt_length: int, rate: float, dtype: str) -> float | None:
    """The share of the peak FLOP/s of one device that prompts take which are read at a rate.

    Args:
      config: the model's shape.
      prompt_length: tokens; the last one alone has logits.
      rate: tokens a second.
      dtype: of the products, see `peak_flops`.
    Returns:
      None if the peak of the device is not known.
    """
    head = 2.0 * config.vocab_size * config.d_model
    forward = flops_per_token(config, prompt_length) / 3  # a third of those of training
    peak, _ = peak_flops(dtype)
    return peak and rate * (forward - head + head / prompt_length) / peak


def read_bandwidth(n_bytes: int | None = None) -> float:
    """Measures the bytes a second that the first device reads from its memory: the best of several
    reads of one array.

    Args:
      n_bytes: of the array; default: more than the caches of the device hold.
    """
    device = jax.devices()[0]
    n_bytes = n_bytes or _READ_BYTES.get(device.platform, _READ_BYTES_ELSEWHERE)
    with jax.default_device(device):
        x = jnp.ones((256, n_bytes // 4 // 256), jnp.float32)
        seconds = []
        for read in (lambda x: x.sum(1), lambda x: jnp.ones(len(x), x.dtype) @ x):
            read = jax.jit(read)
            for _ in range(1 + 2 * ROUNDS):
                start = time.perf_counter()
                jax.block_until_ready(read(x))
                seconds.append(time.perf_counter() - start)
    return x.nbytes / min(seconds)


def step_bytes(model: LoadedModel, rows: int, length: float) -> float:
    """Returns the bytes that a step of decoding has to read: each weight once, but for tables that
    are looked up, and the keys and values of all rows once.

    Args:
      model: on one device.
      rows: that are busy.
      length: tokens of each in the cache, in the mean.
    """
    params, config = model.params, model.config
    embedding = dict(params["embedding"])
    embedding.pop("position", None)
    if not config.tied_head:
        embedding.pop("token")
    weights = {**params, "embedding": embedding}
    n_bytes = sum(array.nbytes for array in jax.tree.leaves(weights))
    positions = sum(min(window or length, length) for window in config.windows)
    numbers = 2 * rows * positions * config.n_kv_heads * config.d_head
    return n_bytes + numbers * _dtype(model).itemsize


def _dtype(model: LoadedModel) -> np.dtype:
    """The dtype of activations, keys and values, which the embedding decides."""
    return jax.tree.leaves(model.params["embedding"]["token"])[0].dtype


def measure(engine: Engine, model: LoadedModel, rows: int, workload: Workload) -> dict:
    """Measures an engine over a model that is loaded here.

    Args:
      engine: has compiled its programs; see `EmbeddedEngine.warm_up`.
      model: that of the engine, on one device.
      rows: those of the engine.
      workload: see there.
    Returns:
      What `serve` returns, and {rows, streams, requests, prompt_lengths, new_tokens, shared_tokens,
      n_params, dtype, device, prefill_tokens_per_second, prefill_share, step_ms, step_bytes,
      read_bandwidth, bandwidth_share}. `prefill_share` is that of the peak FLOP/s, or None.
    """
    vocab_size = model.config.vocab_size
    length, n = round(statistics.mean(workload.prompt_lengths)), workload.new_tokens
    served = serve(engine, workload, vocab_size)
    seconds = step_seconds(engine, rows, length, n, vocab_size)
    n_bytes = step_bytes(model, rows, length + (_short(n) + n) / 2)
    bandwidth = read_bandwidth()
    rate = prefill_rate(engine, rows, length, vocab_size)
    device = jax.devices()[0]
    return {
        "rows": rows,
        **dataclasses.asdict(workload),
        "n_params": n_params(model.config),
        "dtype": _dtype(model).name,
        "device": f"{device.device_kind}, jax {jax.__version__}",
        **served,
        "prefill_tokens_per_second": rate,
        "prefill_share": prefill_share(model.config, length, rate, _dtype(model).name),
        "step_ms": 1e3 * seconds,
        "step_bytes": n_bytes,
        "read_bandwidth": bandwidth,
        "bandwidth_share": n_bytes / seconds / bandwidth,
    }


def table(figures: dict) -> str:
    """Renders what `measure` returned, one figure a line."""
    times = lambda name: "{median:,.1f} ms, 95% within {p95:,.1f} ms".format(**figures[name])
    share = figures["prefill_share"]
    of_peak = "" if share is None else f", {share:.1%} of the peak of products"
    lines = {
        "model": f"{figures['n_params'] / 1e6:,.1f}M parameters, {figures['dtype']}",
        "device": figures["device"],
        "time to first token": times("time_to_first_token_ms"),
        "time of a token after it": times("inter_token_ms"),
        "new tokens": f"{figures['tokens_per_second']:,.1f} a second",
        "prompt tokens": f"{figures['prompt_tokens_per_second']:,.1f} a second beside them",
        "from the prefix cache": f"{figures['cached_tokens']:,} of {figures['prompt_tokens']:,}"
        " prompt tokens",
        "prompts alone": f"{figures['prefill_tokens_per_second']:,.1f} tokens a second{of_peak}",
        f"step of {figures['rows']} rows": f"{figures['step_ms']:,.2f} ms for"
        f" {figures['step_bytes'] / 1e6:,.1f} MB",
        "memory bandwidth": f"{figures['bandwidth_share']:.1%} of"
        f" {figures['read_bandwidth'] / 1e9:,.1f} GB/s, which were measured",
    }
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items())
