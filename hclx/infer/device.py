"""The part of the embedded engine between tasks and the device: which calls the device makes for
which tasks. Each returns an output that is read later, so that the device need not wait for the
host.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from hclx.errors import StuckError
from hclx.infer.adapters import MATRICES, Adapter, Placement
from hclx.infer.calls import DeviceCalls
from hclx.infer.engine import RequestError, StopReason
from hclx.infer.engine_config import EngineConfig
from hclx.infer.followers import LeadingCalls, spans_processes
from hclx.infer.load import LoadedModel
from hclx.infer.prefix_cache import CHUNK, ChunkIndex, Key
from hclx.infer.rows import Sampled, bucket
from hclx.infer.scoring_tasks import EmbedTask, ScoreTask
from hclx.infer.tasks import GenerateTask, Task
from hclx.infer.warm_up import CHUNKS, SCORED, compile_programs
from hclx.parallel import axis_size

_SMALLEST_CACHE = 128  # positions; the cache is as long as the longest of its rows needs
_ROWS_OF_A_CHUNK = 4  # prompts that one call reads, where the mesh does not ask for more

Ended = tuple[int, Task, StopReason | RequestError]


class Chunk(NamedTuple):
    """The next tokens of some texts, which one call reads.

    Attributes:
      rows: the rows with their tasks.
      size: the number of tokens of each row, with padding.
    """

    rows: list[tuple[int, Task]]
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
        # Process 0 of several can read nothing else.
        assert all(array.is_fully_replicated for array in jax.tree.leaves(self.arrays))
        return self.hand_out(jax.tree.map(np.asarray, self.arrays), has_row)


class Device:
    """Decides by tasks which calls the device makes. All methods are called from one thread, in
    the model's `placement`.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: EngineConfig,
        max_length: int,
        on_loss: Callable[[StuckError], None],
    ):
        """Allocates the caches, in all processes that the mesh spans.

        Args:
          model: to compute with.
          settings: sizes.
          max_length: the most tokens of a prompt and its continuation.
          on_loss: is called from another thread when one of several processes is gone.
        """
        rows, prefix_tokens = settings.rows, settings.prefix_tokens
        self._n_rows, self._vocab_size = rows, model.config.vocab_size
        self._max_length, self._prefix_tokens = max_length, prefix_tokens
        self._n_guesses = settings.guesses
        self._all_allowed = np.full((rows, -(-self._vocab_size // 32)), 2**32 - 1, np.uint32)
        self._index = ChunkIndex(prefix_tokens // CHUNK)
        with model.placement():
            axis = axis_size("batch")
            self._chunk_rows = (axis, axis * max(1, _ROWS_OF_A_CHUNK // axis))
            sizes = rows, max_length, prefix_tokens, self._size(1)
            is_alone = not spans_processes(model)
            self._calls = (
                DeviceCalls(model, *sizes) if is_alone else LeadingCalls(model, sizes, on_loss)
            )

    def reset(self) -> None:
        """Allocates everything anew."""
        self._index = ChunkIndex(self._prefix_tokens // CHUNK)
        self._calls.reset()

    def wait(self) -> None:
        """Waits for everything that was dispatched. Raises the device's error, if there is one."""
        self._calls.wait()

    def end(self, error: BaseException | None) -> None:
        """Makes no more calls; other processes end too, with an error of this one."""
        self._calls.end(error)

    @property
    def keeps_prefixes(self) -> bool:
        """Returns whether there is a prefix cache."""
        return self._prefix_tokens >= CHUNK

    def has_prefix(self, key: Key) -> bool:
        """Returns whether the prefix cache holds a chunk."""
        return key in self._index

    def next_chunk(self, rows: Sequence[Task | None], tasks: Sequence[Task]) -> Chunk:
        """Chooses what the next call reads: the next tokens of the first task, and those of others
        that have about as many.

        Args:
          rows: of the engine.
          tasks: those of them that have tokens left to read.
        """
        numbers = {id(task): row for row, task in enumerate(rows)}
        for task in tasks:
            self._load_prefix(numbers[id(task)], task)
        size = _size(tasks[0].n_next)
        alike = [task for task in tasks if not task.n_failures and _size(task.n_next) == size]
        if tasks[0].n_failures:
            alike = tasks[:1]
        return Chunk([(numbers[id(task)], task) for task in alike[:_ROWS_OF_A_CHUNK]], size)

    def _load_prefix(self, row: int, task: Task) -> None:
        """Copies the beginning of a prompt from the prefix cache, and where that does not hold the
        prefix of its adapter, this; before anything of it is read.
        """
        if task.n_read:
            return
        if chunks := self._index.match(task.keys):
            self._fit(len(chunks) * CHUNK + 1)
            self._calls.load_prefix(row, chunks)
            task.n_read = task.n_cached = len(chunks) * CHUNK
            task.n_stored = len(chunks)
        if task.n_read < task.adapter.n_prefix:
            self._fit(task.adapter.n_prefix + 1)
            self._calls.load_adapter_prefix(row, task.adapter.number)
            task.n_read = task.adapter.n_prefix

    def read(self, chunk: Chunk) -> list[Output]:
        """Reads a chunk, and lets the rows whose prompt is whole sample their first token."""
        counts = [min(chunk.size, task.n_next) for _, task in chunk.rows]
        self._fit(max(task.n_read + n for (_, task), n in zip(chunk.rows, counts)))
        n_rows = next(n for n in self._chunk_rows if n >= len(chunk.rows))
        tokens, ends = np.zeros((2, n_rows, chunk.size), np.int32)
        rows, starts = np.full(n_rows, self._n_rows, np.int32), np.zeros(n_rows, np.int32)
        sizes, numbers = np.ones(n_rows, np.int32), np.zeros(n_rows, np.int32)
        for i, ((row, task), n) in enumerate(zip(chunk.rows, counts)):
            rows[i], starts[i], sizes[i] = row, task.n_read, n
            tokens[i, :n], ends[i, :n] = task.next_tokens(n)
            numbers[i] = task.adapter.low_rank
        self._calls.prefill(tokens, rows, starts, sizes, ends, numbers)
        outputs = self._score(chunk.rows, counts, n_rows)
        if any(isinstance(task, EmbedTask) for _, task in chunk.rows):
            outputs.append(_sums(self._calls.pool(sizes), chunk.rows, counts))
        for (row, task), n in zip(chunk.rows, counts):
            task.advance(n)
            self._store_prefix(row, task)
        whole = [
            (i, row, task)
            for i, (row, task) in enumerate(chunk.rows)
            if isinstance(task, GenerateTask) and not task.n_left
        ]
        if whole:
            self._calls.compute_logits(sizes - 1)
        return outputs + [self._begin(row, task, i) for i, row, task in whole]

    def _score(self, rows: list[tuple[int, Task]], counts: list[int], n_rows: int) -> list[Output]:
        """Scores what follows those of the tokens just read of which that was asked for."""
        scored = [
            task.next_targets(n) if isinstance(task, ScoreTask) else []
            for (_, task), n in zip(rows, counts)
        ]
        with_top = any(isinstance(task, ScoreTask) and task.with_top for _, task in rows)
        outputs, most = [], SCORED[-1]
        for begin in range(0, max(map(len, scored)), most):
            part = [pairs[begin : begin + most] for pairs in scored]
            size = next(n for n in SCORED if n >= max(map(len, part)))
            at, targets = np.zeros((2, n_rows, size), np.int32)
            for i, pairs in enumerate(part):
                if pairs:
                    at[i, : len(pairs)], targets[i, : len(pairs)] = zip(*pairs)
            result = self._calls.score(at, targets, with_top)
            outputs.append(_scores(result, rows, list(map(len, part))))
        return outputs

    def _store_prefix(self, row: int, task: Task) -> None:
        n_whole = min(task.n_read // CHUNK, len(task.keys))
        if not self.keeps_prefixes or n_whole <= task.n_stored:
            return
        keys = task.keys[:n_whole]
        new = [i for i in range(task.n_stored, n_whole) if keys[i] not in self._index]
        if chunks := self._index.add([keys[i] for i in new], keys):
            self._calls.store_prefix(row, new[: len(chunks)], chunks)
        task.n_stored = n_whole

    def _begin(self, row: int, task: GenerateTask, at: int) -> Output:
        allowed_w = task.mask(self._all_allowed[0])
        sampled = self._calls.begin(row, task.settings(), at, allowed_w, task.with_top)
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
        stays_b, with_top = self._prepare(sampling, steps)
        sampled = self._calls.decode(stays_b, steps, stops_early, with_top)
        for _, task in sampling:
            task.n_dispatched += steps
        return _tokens(sampled, sampling, steps, lambda row, step: (row, step))

    def verify(
        self, sampling: Sequence[tuple[int, GenerateTask]], guesses: Sequence[Sequence[int]]
    ) -> Output:
        """Lets rows sample tokens as long as these were guessed, and one more.

        Args:
          sampling: the rows with their tasks; all others sample nothing.
          guesses: of each of them.
        """
        steps = self._n_guesses + 1
        stays_b, with_top = self._prepare(sampling, steps)
        guesses_bk = np.zeros((self._n_rows, self._n_guesses), np.int32)
        counts_b = np.zeros(self._n_rows, np.int32)
        for (row, task), guess in zip(sampling, guesses):
            guesses_bk[row, : len(guess)], counts_b[row] = guess, len(guess)
            task.n_dispatched += steps
        sampled = self._calls.verify(stays_b, guesses_bk, counts_b, with_top)
        return _tokens(sampled, sampling, steps, lambda row, step: (row, step))

    def decode_masked(self, sampling: Sequence[tuple[int, GenerateTask]]) -> Output:
        """Lets rows sample one token, some of them only what their grammar allows. The host finds
        out what that is while the device computes the logits.
        """
        stays_b, with_top = self._prepare(sampling, 1)
        self._calls.forward(stays_b)
        allowed_bw = self._all_allowed.copy()
        for row, task in sampling:
            task.n_dispatched += 1
            allowed_bw[row] = task.mask(allowed_bw[row])
        sampled = self._calls.sample(allowed_bw, with_top)
        return _tokens(sampled, sampling, 1, lambda row, step: (row,))

    def _prepare(self, sampling, steps: int) -> tuple[np.ndarray, bool]:
        """Makes room for the next tokens of rows; returns which rows these are, and whether one
        of them asks for alternatives.
        """
        self._fit(max(min(task.length + steps, self._max_length) for _, task in sampling))
        stays_b = np.zeros(self._n_rows, bool)
        stays_b[[row for row, _ in sampling]] = True
        return stays_b, any(task.with_top for _, task in sampling)

    def add_adapter(self, placement: Placement, adapter: Adapter) -> None:
        """Copies the arrays of an adapter to its place."""
        if adapter.n_slots:
            self._calls.add_slots(placement.slots.start - self._vocab_size, adapter.slots_pd)
        if adapter.n_prefix:
            self._calls.add_prefix(placement.number, *adapter.prefix)
        if adapter.low_rank:
            matrices = np.array([*map(MATRICES.index, adapter.low_rank)], np.int32)
            arrays = (array for pair in adapter.low_rank.values() for array in pair)
            self._calls.add_low_rank(placement.low_rank, matrices, *arrays)
        self._calls.wait()  # so that an error is that of this adapter

    def remove_adapter(self, placement: Placement, left: Sequence[Placement]) -> None:
        """Removes an adapter that no row has; `left` are the others."""
        has = lambda field: any(getattr(other, field) for other in left)
        self._calls.remove_adapter(placement.number, has("slots"), has("low_rank"))

    def shrink(self, length: int) -> None:
        """Makes the cache shorter, if it is twice as long as its rows need or more."""
        if self._calls.cache_size >= 2 * self._size(length):
            self._calls.resize(self._size(length))

    def _fit(self, length: int) -> None:
        """Makes the cache as long as its rows need."""
        if self._calls.cache_size < length:
            self._calls.resize(self._size(length))

    def _size(self, length: int) -> int:
        return bucket(max(length, _SMALLEST_CACHE), self._max_length)

    def warm_up(self, adapters: Sequence[Placement] = ()) -> None:
        """Compiles every program that requests, some with adapters, may need; they are run for no
        row.
        """
        sizes = [self._size(1)]
        while sizes[-1] < self._max_length:
            sizes.append(self._size(sizes[-1] + 1))
        compile_programs(
            *(self._calls, sizes, self._chunk_rows),
            *(self._n_rows, self._vocab_size, self._n_guesses),
            [adapter.number for adapter in adapters if adapter.n_prefix],
        )
        self.reset()


def _size(n_tokens: int) -> int:
    """The number of tokens, with padding, that the next call reads of so many."""
    return next((size for size in CHUNKS if size >= n_tokens), CHUNKS[-1])


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


def _scores(scored: Sampled, rows, counts: list[int]) -> Output:
    """The output of a call that scores so many tokens of each row."""

    def hand_out(scored: Sampled, has_row) -> list[Ended]:
        ended = []
        for i, ((row, task), n) in enumerate(zip(rows, counts)):
            if n and has_row(row, task) and task.add_scores(scored, i, n):
                ended.append((row, task, "end"))
        return ended

    return Output(scored, hand_out)


def _sums(sums_rd: jax.Array, rows, counts: list[int]) -> Output:
    """The output of a call that sums the hidden states of so many tokens of each row."""

    def hand_out(sums_rd: np.ndarray, has_row) -> list[Ended]:
        ended = []
        for i, ((row, task), n) in enumerate(zip(rows, counts)):
            is_asked = isinstance(task, EmbedTask) and has_row(row, task)
            if is_asked and task.add_sum(sums_rd[i], n):
                ended.append((row, task, "end"))
        return ended

    return Output(sums_rd, hand_out)
