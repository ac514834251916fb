"""The part of the embedded engine that is on the device, and its calls: each takes tasks and
returns an output that is read later, so that the device need not wait for the host.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from hclx.errors import ConfigError
from hclx.infer.decode import begin_row, decode, forward, sample_rows
from hclx.infer.engine import RequestError, StopReason
from hclx.infer.kv_cache import resize_cache
from hclx.infer.load import LoadedModel
from hclx.infer.prefill import pool, prefill, score
from hclx.infer.prefix_cache import CHUNK, Key, PrefixCache
from hclx.infer.rows import RowSettings, Sampled, bucket, init_state, set_length
from hclx.infer.sampling import SamplingConfig, TokenMasks, sampling_params
from hclx.infer.tasks import GenerateTask, ScoreTask, Task
from hclx.parallel import axis_size

_SMALLEST_CACHE = 256  # positions; the cache is as long as the longest of its rows needs
_CHUNKS = (16, 64, 256)  # tokens of prompts that one call reads of each row
_SCORED = (16, 64)  # the same where each position has logits, which take memory
_ROWS_OF_A_CHUNK = 4  # prompts that one call reads, where the mesh does not ask for more

Ended = tuple[int, Task, StopReason | RequestError]


class Chunk(NamedTuple):
    """The next tokens of some prompts, which one call reads.

    Attributes:
      rows: the rows with their tasks.
      kind: "prompt", "scores" or "pool": what is computed of them.
      size: the number of tokens of each row, with padding.
    """

    rows: list[tuple[int, Task]]
    kind: str
    size: int


class Output(NamedTuple):
    """Results that are on the device.

    Attributes:
      arrays: of the call.
      hand_out: takes them as arrays of numpy, and whether a task still has its row; returns the
        tasks that have ended.
    """

    arrays: object
    hand_out: Callable[[object, Callable[[int, Task], bool]], list[Ended]]

    def read(self, has_row: Callable[[int, Task], bool]) -> list[Ended]:
        """Waits for the results, gives them to their tasks, and returns those that have ended."""
        return self.hand_out(jax.tree.map(np.asarray, self.arrays), has_row)


class Device:
    """Parameters, caches and rows of an engine. All calls come from one thread, in the model's
    `placement`.
    """

    def __init__(self, model: LoadedModel, rows: int, max_length: int, prefix_tokens: int):
        """Allocates the caches."""
        self._params, self._config, self._n_rows = model.params, model.config, rows
        self._max_length, self._prefix_tokens = max_length, prefix_tokens
        self._all_allowed = np.full((rows, -(-model.config.vocab_size // 32)), 2**32 - 1, np.uint32)
        with model.placement():
            axis = axis_size("batch")
            if rows % axis:
                raise ConfigError(
                    f"EngineConfig.rows={rows} cannot be sharded {axis} ways; give a multiple"
                )
            self._chunk_rows = (axis, axis * max(1, _ROWS_OF_A_CHUNK // axis))
            self._prefixes = PrefixCache(model.params, prefix_tokens, max_length)
            self.reset()

    def reset(self) -> None:
        """Allocates everything anew."""
        self._prefixes.clear()
        size = min(_SMALLEST_CACHE, self._max_length)
        self._state = init_state(self._params, self._n_rows, size, self._config)

    def wait(self) -> None:
        """Waits for everything that was dispatched. Raises the device's error, if there is one."""
        jax.block_until_ready(self._state)

    @property
    def keeps_prefixes(self) -> bool:
        """Returns whether there is a prefix cache."""
        return self._prefix_tokens >= CHUNK

    def has_prefix(self, key: Key) -> bool:
        """Returns whether the prefix cache holds a chunk."""
        return key in self._prefixes.index

    def next_chunk(self, rows: Sequence[Task | None], tasks: Sequence[Task]) -> Chunk:
        """Chooses what the next call reads: the next tokens of the first task, and those of others
        of the same kind that have as many.

        Args:
          rows: of the engine.
          tasks: those of them that have tokens left to read.
        """
        numbers = {id(task): row for row, task in enumerate(rows)}
        for task in tasks:
            self._load_prefix(numbers[id(task)], task)
        kind, size = _kind_and_size(tasks[0])
        alike = [task for task in tasks if _kind_and_size(task) == (kind, size)]
        if tasks[0].n_failures:
            alike = tasks[:1]
        return Chunk([(numbers[id(task)], task) for task in alike[:_ROWS_OF_A_CHUNK]], kind, size)

    def _load_prefix(self, row: int, task: Task) -> None:
        """Copies the beginning of a prompt from the prefix cache, before anything of it is read."""
        if task.n_read or not task.keys:
            return
        if rows := self._prefixes.index.match(task.keys):
            self._fit(len(rows) * CHUNK + 1)
            self._state = self._state._replace(
                cache=self._prefixes.load(self._state.cache, row, rows)
            )
            task.n_read = task.n_cached = len(rows) * CHUNK
            # Until its next tokens are read, steps of other rows write behind these.
            rows = set_length(self._state.rows, np.int32(row), np.int32(task.n_read))
            self._state = self._state._replace(rows=rows)
            task.n_stored = task.n_read // CHUNK

    def read(self, chunk: Chunk) -> list[Output]:
        """Reads a chunk, and lets the rows whose prompt is whole sample their first token."""
        counts = [min(chunk.size, _n_left(task, chunk.kind)) for _, task in chunk.rows]
        self._fit(max(task.n_read + n for (_, task), n in zip(chunk.rows, counts)))
        n_rows = next(n for n in self._chunk_rows if n >= len(chunk.rows))
        tokens, targets = np.zeros((2, n_rows, chunk.size), np.int32)
        rows, starts, sizes = np.full(n_rows, self._n_rows), np.zeros(n_rows), np.ones(n_rows)
        for i, ((row, task), n) in enumerate(zip(chunk.rows, counts)):
            begin = task.n_read
            tokens[i, :n] = task.ids[begin : begin + n]
            if chunk.kind == "scores":
                targets[i, :n] = task.targets[begin : begin + n]
            rows[i], starts[i], sizes[i] = row, begin, n
        places = [array.astype(np.int32) for array in (rows, starts, sizes)]
        arguments = (self._params, self._state, tokens, *places)
        begins = [task.n_read for _, task in chunk.rows]
        if chunk.kind == "scores":
            with_top = np.bool_(any(task.with_top for _, task in chunk.rows))
            self._state, scored = score(*arguments, targets, with_top, config=self._config)
            outputs = [_scores(scored, chunk.rows, begins, counts)]
        elif chunk.kind == "pool":
            self._state, sums_rd = pool(*arguments, config=self._config)
            outputs = [_sums(sums_rd, chunk.rows, begins, counts)]
        else:
            self._state, logits_rv = prefill(*arguments, config=self._config)
            outputs = []
        for (row, task), n in zip(chunk.rows, counts):
            task.n_read += n
            self._store_prefix(row, task)
        if chunk.kind == "prompt":
            for i, (row, task) in enumerate(chunk.rows):
                if isinstance(task, GenerateTask) and not task.n_left:
                    outputs.append(self._begin(row, task, logits_rv, i))
        return outputs

    def _store_prefix(self, row: int, task: Task) -> None:
        n_whole = min(task.n_read // CHUNK, len(task.keys))
        if self.keeps_prefixes and n_whole > task.n_stored:
            self._prefixes.store(self._state.cache, row, task.keys[:n_whole], task.n_stored)
            task.n_stored = n_whole

    def _begin(self, row: int, task: GenerateTask, logits_rv: jax.Array, at: int) -> Output:
        allowed_w = task.mask(self._all_allowed[0])
        rows, sampled = begin_row(
            self._state.rows,
            np.int32(row),
            task.settings(),
            logits_rv,
            np.int32(at),
            allowed_w,
            np.bool_(task.with_top),
        )
        self._state = self._state._replace(rows=rows)
        task.n_dispatched += 1
        return _tokens(sampled, [(row, task)], 1, lambda row, step: (0,))

    def decode(
        self, sampling: Sequence[tuple[int, GenerateTask]], steps: int, stops_early: bool
    ) -> Output:
        """Lets rows sample the next tokens.

        Args:
          sampling: the rows with their tasks; all others sample nothing.
          steps: the most tokens of each.
          stops_early: whether the call ends when a row ends.
        """
        self._fit(max(min(task.length + steps, self._max_length) for _, task in sampling))
        stays_b = np.zeros(self._n_rows, bool)
        stays_b[[row for row, _ in sampling]] = True
        with_top = np.bool_(any(task.with_top for _, task in sampling))
        self._state, sampled = decode(
            self._params,
            self._state,
            stays_b,
            np.int32(steps),
            np.bool_(stops_early),
            with_top,
            config=self._config,
        )
        for _, task in sampling:
            task.n_dispatched += steps
        return _tokens(sampled, sampling, steps, lambda row, step: (row, step))

    def decode_masked(self, sampling: Sequence[tuple[int, GenerateTask]]) -> Output:
        """Lets rows sample one token, some of them only what their grammar allows. The host finds
        out what that is while the device computes the logits.
        """
        self._fit(max(min(task.length + 1, self._max_length) for _, task in sampling))
        stays_b = np.zeros(self._n_rows, bool)
        stays_b[[row for row, _ in sampling]] = True
        with_top = np.bool_(any(task.with_top for _, task in sampling))
        self._state, logits_bv = forward(self._params, self._state, stays_b, config=self._config)
        allowed_bw = self._all_allowed.copy()
        for row, task in sampling:
            task.n_dispatched += 1
            allowed_bw[row] = task.mask(allowed_bw[row])
        rows, sampled = sample_rows(self._state.rows, logits_bv, allowed_bw, with_top)
        self._state = self._state._replace(rows=rows)
        return _tokens(sampled, sampling, 1, lambda row, step: (row,))

    def shrink(self, length: int) -> None:
        """Makes the cache shorter, if it is four times as long as its rows need or more."""
        size = self._size(length)
        while self._state.cache.size >= 4 * size:
            self._resize(bucket(self._state.cache.size // 2))

    def _fit(self, length: int) -> None:
        """Makes the cache as long as its rows need; by doubling, so that few programs do that."""
        while self._state.cache.size < self._size(length):
            self._resize(self._size(self._state.cache.size + 1))

    def _resize(self, size: int) -> None:
        self._state = self._state._replace(cache=resize_cache(self._state.cache, size))

    def _size(self, length: int) -> int:
        return max(min(_SMALLEST_CACHE, self._max_length), bucket(length, self._max_length))

    def warm_up(self) -> None:
        """Compiles every program that requests may need; they are run for no row."""
        no_targets = lambda r, t: (np.zeros((r, t), np.int32), np.bool_(False))
        size = self._size(1)
        while True:
            self._fit(size)
            for chunk in _CHUNKS:
                logits = self._compile_reading(prefill, chunk)
            for chunk in _SCORED:
                self._compile_reading(score, chunk, no_targets)
            nothing = np.zeros(self._n_rows, bool), np.int32(1), np.bool_(False), np.bool_(False)
            self._state, _ = decode(self._params, self._state, *nothing, config=self._config)
            cache = self._prefixes.warm_up(self._state.cache)
            self._state = self._state._replace(cache=cache)
            if size >= self._max_length:
                break
            size = self._size(size + 1)
        for logits_rv in logits:
            self._compile_beginning(logits_rv)
        while self._state.cache.size > self._size(1):
            self._resize(max(self._size(1), bucket(self._state.cache.size // 2)))
        self.reset()

    def _compile_beginning(self, logits_rv: jax.Array) -> None:
        vocabulary = np.zeros(self._config.vocab_size, bool)
        masks = TokenMasks(
            vocabulary.astype(np.float32), vocabulary, vocabulary, vocabulary.astype(np.int32)
        )
        row = sampling_params([SamplingConfig()])
        settings = RowSettings(type(row)(*(array[0] for array in row)), masks, np.int32(0))
        at = np.int32(0), settings, logits_rv, np.int32(0), self._all_allowed[0], np.bool_(False)
        rows, _ = begin_row(self._state.rows, *at)
        rows = set_length(rows, np.int32(0), np.int32(0))
        self._state = self._state._replace(rows=rows)

    def _compile_reading(self, call, chunk: int, more=lambda r, t: ()) -> list:
        """Compiles a call for each number of rows, and returns what it gives for each."""
        results = []
        for r in self._chunk_rows:
            places = np.full(r, self._n_rows, np.int32), np.zeros(r, np.int32), np.ones(r, np.int32)
            tokens = np.zeros((r, chunk), np.int32)
            self._state, result = call(
                self._params, self._state, tokens, *places, *more(r, chunk), config=self._config
            )
            results.append(result)
        return results


def _kind_and_size(task: Task) -> tuple[str, int]:
    """The kind of the call that reads the next tokens of a task, and their number with padding."""
    kind = "pool" if task.is_pooled else "prompt"
    if isinstance(task, ScoreTask) and task.n_read >= task.first - 1:
        kind = "scores"
    left, sizes = _n_left(task, kind), _SCORED if kind == "scores" else _CHUNKS
    return kind, max((size for size in sizes if size <= left), default=sizes[0])


def _n_left(task: Task, kind: str) -> int:
    """The number of tokens that a kind of call may read: a prompt before what is scored ends at
    the token from which the first score follows.
    """
    is_context = kind == "prompt" and isinstance(task, ScoreTask)
    return task.first - 1 - task.n_read if is_context else task.n_left


def _tokens(sampled: Sampled, rows, steps: int, place: Callable[[int, int], tuple]) -> Output:
    """The output of a call that samples; `place` gives the index of row and step in its arrays."""

    def hand_out(sampled: Sampled, has_row) -> list[Ended]:
        ended = []
        for row, task in rows:
            task.n_dispatched -= steps
            if has_row(row, task) and (reason := _take(task, sampled, row)) is not None:
                ended.append((row, task, reason))
        return ended

    def _take(task: GenerateTask, sampled: Sampled, row: int) -> StopReason | RequestError | None:
        reason, step = None, 0
        while reason is None and step < steps and sampled.tokens[place(row, step)] >= 0:
            try:
                reason = task.add(sampled, place(row, step))
            except RequestError as error:
                return error
            step += 1
        task.show()
        return reason

    return Output(sampled, hand_out)


def _scores(scored: Sampled, rows, begins, counts) -> Output:
    """The output of a call that scores."""

    def hand_out(scored: Sampled, has_row) -> list[Ended]:
        ended = []
        for i, ((row, task), begin, n) in enumerate(zip(rows, begins, counts)):
            if has_row(row, task) and task.add_scores(scored, i, begin, n):
                ended.append((row, task, "end"))
        return ended

    return Output(scored, hand_out)


def _sums(sums_rd: jax.Array, rows, begins, counts) -> Output:
    """The output of a call that sums hidden states."""

    def hand_out(sums_rd: np.ndarray, has_row) -> list[Ended]:
        ended = []
        for i, ((row, task), begin, n) in enumerate(zip(rows, begins, counts)):
            if has_row(row, task) and task.add_sum(sums_rd[i], begin, n):
                ended.append((row, task, "end"))
        return ended

    return Output(sums_rd, hand_out)
