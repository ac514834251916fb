"""The programs that requests of an engine may need, compiled before the first of them."""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hclx.infer.calls import DeviceCalls
from hclx.infer.rows import RowSettings
from hclx.infer.sampling import SamplingConfig, TokenMasks, sampling_params
from hclx.progress import ProgressBar

CHUNKS = (16, 32, 48, 64, 96, 128, 192, 256)  # tokens that one call reads of each row
SCORED = (8, 64)  # those of them of which one call computes all logits, which take memory


def compile_programs(
    calls: DeviceCalls,
    cache_sizes: Sequence[int],
    chunk_rows: Sequence[int],
    rows: int,
    vocab_size: int,
    guesses: int,
    prefixes: Sequence[int] = (),
) -> None:
    """Makes every call that requests may need for no row, and shows how many of them are made.

    Args:
      calls: of the device; its caches have to be reset after this.
      cache_sizes: the positions that a row may have, ascending.
      chunk_rows: the numbers of prompts that are read together.
      rows: of the engine.
      vocab_size: rows of the model's embedding.
      guesses: tokens that are guessed; see `EngineConfig`.
      prefixes: the numbers of adapters that have a prefix.
    """
    programs = list(_programs(calls, cache_sizes, chunk_rows, rows, vocab_size, guesses, prefixes))
    with ProgressBar(len(programs), "compiling the engine", "program") as progress:
        for program in programs:
            program()
            progress.update()


def _programs(
    calls: DeviceCalls,
    cache_sizes,
    chunk_rows,
    rows: int,
    vocab_size: int,
    guesses: int,
    prefixes: Sequence[int],
) -> Iterator[Callable[[], object]]:
    """Yields calls, which are made in this order."""
    call = functools.partial
    nothing = np.zeros(rows, bool)
    allowed_bw = np.full((rows, -(-vocab_size // 32)), 2**32 - 1, np.uint32)
    for number, size in enumerate(cache_sizes):
        yield call(calls.resize, size)
        for other in cache_sizes[number + 1 :]:
            yield call(calls.resize, other)
            yield call(calls.resize, size)
        for n_rows in chunk_rows:
            for count in _chunks(size):
                yield call(calls.prefill, *_no_tokens(n_rows, count, rows))
        for n_rows in calls.batches:
            yield call(calls.decode, np.arange(rows) < n_rows, 1, False, False)
        yield call(calls.forward, nothing)
        if guesses:
            guesses_bk = np.zeros((rows, guesses), np.int32)
            yield call(calls.verify, nothing, guesses_bk, np.zeros(rows, np.int32), False)
        yield call(calls.load_prefix, 0, [])
        yield call(calls.store_prefix, 0, [], [])
        for number in prefixes:
            yield call(calls.load_adapter_prefix, 0, number)
    yield call(calls.sample, allowed_bw, False)  # from the logits of the last `forward`
    for n_rows in chunk_rows:
        chunks = _chunks(cache_sizes[-1])
        yield from _after_reading(calls, n_rows, chunks, rows, vocab_size, allowed_bw[0])


def _chunks(cache_size: int) -> list[int]:
    """The sizes of the chunks that a cache of so many positions can be given, padding not counted:
    a chunk has more tokens than the next smaller one has room for.
    """
    return [count for count, below in zip(CHUNKS, (0, *CHUNKS)) if below < cache_size]


def _no_tokens(n_rows: int, count: int, rows: int) -> tuple[np.ndarray, ...]:
    """The arguments of `prefill` for rows that the state has not."""
    tokens, ends = np.zeros((2, n_rows, count), np.int32)
    starts, numbers = np.zeros((2, n_rows), np.int32)
    return tokens, np.full(n_rows, rows, np.int32), starts, starts + 1, ends, numbers


def _after_reading(
    calls: DeviceCalls,
    n_rows: int,
    chunks: Sequence[int],
    rows: int,
    vocab_size: int,
    allowed_w: np.ndarray,
) -> Iterator[Callable[[], object]]:
    """Yields the calls that may follow when so many rows were read."""
    call = functools.partial
    firsts = np.zeros(n_rows, np.int32)
    for count in chunks:
        yield call(calls.prefill, *_no_tokens(n_rows, count, rows))
        yield call(calls.pool, firsts)
        yield call(calls.compute_logits, firsts)
        for scored in SCORED:
            yield call(calls.score, *np.zeros((2, n_rows, scored), np.int32), False)
    vocabulary = np.zeros(vocab_size, bool)
    masks = TokenMasks(
        vocabulary.astype(np.float32), vocabulary, vocabulary, vocabulary.astype(np.int32)
    )
    row = sampling_params([SamplingConfig()])
    settings = RowSettings(type(row)(*(array[0] for array in row)), masks, np.int32(0))
    yield call(calls.begin, 0, settings, 0, allowed_w, False)
