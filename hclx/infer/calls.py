"""The state of an embedded engine on the devices, and the compiled calls over it.

Every argument of a call is a value of the host: processes that make the same calls in the same
order hold the same state.
"""

from collections.abc import Sequence

import jax
import numpy as np

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer.adapter_arrays import AdapterArrays
from hclx.infer.decode import begin_row, decode, forward, sample_rows
from hclx.infer.kv_cache import KVCache, copy_chunks, init_cache, resize_cache
from hclx.infer.load import LoadedModel
from hclx.infer.prefill import next_logits, pool, prefill, score, select
from hclx.infer.prefix_cache import CHUNK
from hclx.infer.rows import RowSettings, Sampled, init_state, set_length
from hclx.infer.speculate import verify
from hclx.parallel import axis_size


def most_positions(config: ModelConfig) -> int:
    """Returns the most positions of a text that a model reads token by token."""
    if config.rope_scaling == "dynamic":
        # Beyond it, keys that were computed before a text grew would be turned otherwise.
        return min(config.max_length, config.rope_original_length)
    return config.max_length


class DeviceCalls:
    """Parameters, the state of the rows, and the chunks of the prefix cache. All calls come from
    one thread, in the model's `placement`.
    """

    def __init__(
        self, model: LoadedModel, rows: int, max_length: int, prefix_tokens: int, cache_size: int
    ):
        """Allocates the caches.

        Args:
          model: whose `placement` is the ambient one.
          rows: the number of requests that are served at once.
          max_length: the most positions of a row.
          prefix_tokens: the most tokens of the prefix cache.
          cache_size: positions of each row, to begin with and after `reset`.
        Raises:
          ConfigError: the rows cannot be sharded evenly, or `max_length` is more than the model
            reads.
        """
        most = most_positions(model.config)
        if max_length > most:
            raise ConfigError(
                f"EngineConfig.max_length={max_length} is more than the model reads, {most}"
            )
        axis = axis_size("batch")
        if rows % axis:
            raise ConfigError(
                f"EngineConfig.rows={rows} cannot be sharded {axis} ways; give a multiple"
            )
        self._params, self._config = model.params, model.config
        self._adapters = AdapterArrays(model.params, model.config)
        self._numbers_b = np.zeros(rows, np.int32)  # which low-rank changes each row has
        self._n_rows, self._smallest = rows, cache_size
        # A step for much fewer rows takes less time. Rows on several devices stay there.
        few = [n for n in (1, 8) if 4 * n < rows and axis == 1]
        self._batches = (*few, rows)
        self._n_chunks = max(1, -(-(prefix_tokens // CHUNK) // axis)) * axis
        self._most_chunks = max(1, max_length // CHUNK)  # that a row has
        self._hidden_rtd: jax.Array | None  # of the tokens that were read last
        self._logits: jax.Array | None  # from which the next tokens are sampled
        self.reset()

    def reset(self) -> None:
        """Allocates everything anew."""
        self._hidden_rtd = self._logits = None
        self._chunks = init_cache(self._params, self._n_chunks, CHUNK)
        self._state = init_state(self._params, self._n_rows, self._smallest, self._config)

    @property
    def cache_size(self) -> int:
        """The positions that each row has room for."""
        return self._state.cache.size

    @property
    def batches(self) -> tuple[int, ...]:
        """The numbers of rows for which steps are compiled, least first."""
        return self._batches

    def wait(self) -> None:
        """Waits for everything that was dispatched. Raises the device's error, if there is one."""
        jax.block_until_ready((self._state, self._chunks, self._adapters.all))

    def end(self, error: BaseException | None) -> None:
        """Does nothing, as no other process makes these calls; see `hclx.infer.followers`."""

    def resize(self, size: int) -> None:
        """Gives each row `size` positions."""
        if size == self.cache_size:
            return
        self._state = self._state._replace(cache=resize_cache(self._state.cache, int(size)))

    def prefill(self, tokens_rt, rows_r, starts_r, counts_r, ends_rt, numbers_r) -> None:
        """Reads tokens as `hclx.infer.prefill.prefill` does; the calls below are about these. The
        rows have the low-rank changes `numbers_r` from now on.
        """
        places = (np.asarray(place, np.int32) for place in (rows_r, starts_r, counts_r))
        is_row_r = rows_r < self._n_rows
        self._numbers_b = self._numbers_b.copy()  # an earlier call may be reading it
        self._numbers_b[rows_r[is_row_r]] = numbers_r[is_row_r]
        self._state, self._hidden_rtd = prefill(
            self._adapters.beside(numbers_r, with_slots=True),
            self._state,
            tokens_rt,
            *places,
            ends_rt,
            config=self._config,
        )

    def compute_logits(self, at_r: np.ndarray) -> None:
        """Computes the logits behind one of the tokens of each row, int32 `at_r`; `begin` samples
        from them.
        """
        x_r1d = select(self._hidden_rtd, at_r[:, None])
        self._logits = next_logits(self._params, x_r1d, config=self._config)

    def score(self, at_rn: np.ndarray, targets_rn: np.ndarray, with_top: bool) -> Sampled:
        """Scores what follows some of the tokens, as `hclx.infer.prefill.score` does."""
        x_rnd = select(self._hidden_rtd, at_rn)
        return score(self._params, x_rnd, targets_rn, np.bool_(with_top), config=self._config)

    def pool(self, counts_r: np.ndarray) -> jax.Array:
        """Sums the hidden states of the first tokens of each row, float32 [r, d]."""
        return pool(self._hidden_rtd, counts_r)

    def begin(
        self, row: int, settings: RowSettings, at: int, allowed_w: np.ndarray, with_top: bool
    ) -> Sampled:
        """Samples the first token of a row, as `hclx.infer.decode.begin_row` does.

        Args:
          row: its number.
          settings: those of its request.
          at: the index of its prompt in the last call of `compute_logits`.
          allowed_w: uint32, a bit for each token that may come.
          with_top: whether the likeliest tokens are computed too.
        """
        rows, sampled = begin_row(
            self._state.rows,
            np.int32(row),
            settings,
            self._logits,
            np.int32(at),
            allowed_w,
            np.bool_(with_top),
        )
        self._state = self._state._replace(rows=rows)
        return sampled

    def decode(self, stays_b: np.ndarray, steps: int, stops_early: bool, with_top: bool) -> Sampled:
        """Samples up to `steps` tokens of each row that stays, as `hclx.infer.decode.decode` does,
        in the smallest of the compiled batches that holds them.
        """
        n_rows = next(n for n in self._batches if n >= stays_b.sum())
        rows_r = None
        if n_rows < self._n_rows:  # the others in the batch sample nothing
            rows_r = np.argsort(~stays_b, kind="stable")[:n_rows].astype(np.int32)
        flags = np.bool_(stops_early), np.bool_(with_top)
        numbers_r = self._numbers_b if rows_r is None else self._numbers_b[rows_r]
        arguments = self._state, stays_b, np.int32(steps), *flags, rows_r
        self._state, sampled = decode(
            self._adapters.beside(numbers_r), *arguments, config=self._config
        )
        return sampled

    def verify(
        self, stays_b: np.ndarray, guesses_bk: np.ndarray, counts_b: np.ndarray, with_top: bool
    ) -> Sampled:
        """Samples tokens and checks guesses, as `hclx.infer.speculate.verify` does."""
        arguments = stays_b, guesses_bk, counts_b, np.bool_(with_top)
        params = self._adapters.beside(self._numbers_b)
        self._state, sampled = verify(params, self._state, *arguments, config=self._config)
        return sampled

    def forward(self, stays_b: np.ndarray) -> None:
        """Runs the first half of a step, as `hclx.infer.decode.forward` does."""
        params = self._adapters.beside(self._numbers_b)
        self._state, self._logits = forward(params, self._state, stays_b, config=self._config)

    def sample(self, allowed_bw: np.ndarray, with_top: bool) -> Sampled:
        """Runs the second half of the step that `forward` began, as
        `hclx.infer.decode.sample_rows` does.
        """
        rows, sampled = sample_rows(self._state.rows, self._logits, allowed_bw, np.bool_(with_top))
        self._state = self._state._replace(rows=rows)
        return sampled

    def load_prefix(self, row: int, chunks: Sequence[int]) -> None:
        """Copies chunks of the prefix cache to the beginning of a row, which is not active.

        Args:
          row: its number.
          chunks: their rows in the prefix cache, in order.
        """
        in_row, in_chunks = self._places(row, range(len(chunks)), chunks)
        cache = copy_chunks(
            self._state.cache, self._chunks, in_row, in_chunks, np.int32(len(chunks))
        )
        self._begin_row(row, cache, len(chunks) * CHUNK)

    def _begin_row(self, row: int, cache: KVCache, length: int) -> None:
        # Until its next tokens are read, steps of other rows write behind these.
        rows = set_length(self._state.rows, np.int32(row), np.int32(length))
        self._state = self._state._replace(cache=cache, rows=rows)

    def load_adapter_prefix(self, row: int, number: int) -> None:
        """Copies the prefix of an adapter to the beginning of a row, which is not active and has
        room for it; `number` is that of `add_prefix`.
        """
        self._begin_row(row, *self._adapters.write_prefix(self._state.cache, row, number))

    def add_slots(self, offset: int, slots_pd: np.ndarray) -> None:
        """Adds the soft slots of an adapter: see `AdapterArrays`."""
        self._adapters.add_slots(offset, slots_pd)

    def add_prefix(self, number: int, k: np.ndarray, v: np.ndarray) -> None:
        """Adds the prefix of an adapter: see `AdapterArrays`."""
        self._adapters.add_prefix(number, k, v)

    def add_low_rank(self, index: int, matrices: np.ndarray, *arrays: np.ndarray) -> None:
        """Adds the low-rank changes of an adapter: see `AdapterArrays`."""
        self._adapters.add_low_rank(index, matrices, *arrays)

    def remove_adapter(self, number: int, has_slots: bool, has_low_rank: bool) -> None:
        """Removes an adapter, after which others have soft slots or low-rank changes or not."""
        self._numbers_b = self._numbers_b * bool(has_low_rank)  # those of rows that have ended
        self._adapters.remove(number, has_slots, has_low_rank)

    def store_prefix(self, row: int, numbers: Sequence[int], chunks: Sequence[int]) -> None:
        """Copies chunks of a row into the prefix cache.

        Args:
          row: its number.
          numbers: of the chunks in the row, from 0.
          chunks: the rows of the prefix cache that they are copied to.
        """
        in_row, in_chunks = self._places(row, numbers, chunks)
        self._chunks = copy_chunks(
            self._chunks, self._state.cache, in_chunks, in_row, np.int32(len(chunks))
        )

    def _places(self, row, numbers, chunks) -> tuple[np.ndarray, np.ndarray]:
        """Places in the cache of requests, and in that of chunks, padded to one shape."""
        in_row, in_chunks = np.zeros((2, self._most_chunks, 2), np.int32)
        for i, (number, chunk) in enumerate(zip(numbers, chunks)):
            in_row[i] = row, number * CHUNK
            in_chunks[i] = chunk, 0
        return in_row, in_chunks
