"""Batches of windows as global arrays, read ahead of training. A position is its whole state."""

import contextlib
import queue
import threading
from collections.abc import Iterator

import jax
import numpy as np

from hclx.data.sampler import Order, leave_out
from hclx.data.token_cache import TokenCache
from hclx.errors import DataError


class Loader:
    """Reads batch [g, g + global_batch_size) of a run's order, without the ranges that it leaves
    out.

    Each process reads only the rows of its devices.
    """

    def __init__(
        self,
        cache: TokenCache,
        split: str,
        *,
        seed: int,
        global_batch_size: int,
        sequence_length: int,
        sharding: jax.sharding.Sharding,
        skip: tuple[tuple[int, int], ...] = (),
        prefetch: int = 2,
    ):
        """Opens a split.

        Args:
          cache: of tokens.
          split: "train" or "validation".
          seed: of the order.
          global_batch_size: windows a batch, over all processes.
          sequence_length: targets a window.
          sharding: of a batch [global_batch_size, sequence_length + 1].
          skip: [first, last) examples that are left out, disjoint and ascending.
          prefetch: batches that are read ahead.
        Raises:
          DataError: a source has less than one window.
        """
        self._cache, self._split, self._sharding, self._prefetch = cache, split, sharding, prefetch
        self.global_batch_size, self.sequence_length = global_batch_size, sequence_length
        windows = cache.n_sequences(split, sequence_length)
        self.n_windows = sum(windows)
        self._order = Order(windows, cache.rates, seed)
        self._skip = skip
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self) -> None:
        """Ends the reading threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def examples(self, start: int, stop: int) -> np.ndarray:
        """int64: the numbers of the examples at positions `start` to `stop`; the positions
        themselves where none is left out.
        """
        return leave_out(np.arange(start, stop, dtype=np.int64), self._skip)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """int32 [stop - start, sequence_length + 1]: what stands at positions `start` to `stop` of
        the order.

        Raises:
          DataError: stored tokens are damaged.
        """
        source, window = self._order.locate(self.examples(start, stop))
        futures = [
            self._cache.read(self._split, int(s), int(w), self.sequence_length)
            for s, w in zip(source, window)
        ]
        try:
            return np.stack([future.result() for future in futures]).astype(np.int32)
        except (ValueError, OSError) as error:
            raise DataError(
                f"{self._cache.directory}: stored tokens are damaged ({str(error)[:200]}); remove"
                " the cache and it is built again"
            ) from error

    def batch(self, index: int) -> jax.Array:
        """int32 [global_batch_size, sequence_length + 1]: the batch that begins at position
        `index`.
        """
        shape = (self.global_batch_size, self.sequence_length + 1)
        # devices that hold the same rows share one reading
        known: dict[tuple[int, int], np.ndarray] = {}

        def read(slices):
            start, stop, _ = slices[0].indices(shape[0])
            if (start, stop) not in known:
                known[start, stop] = self.rows(index + start, index + stop)
            return known[start, stop]

        return jax.make_array_from_callback(shape, self._sharding, read)

    def iterate(self, index: int) -> Iterator[tuple[int, jax.Array]]:
        """Yields (index, batch) from position `index` on, for ever, while a thread reads ahead."""
        ready: queue.Queue = queue.Queue(self._prefetch)

        def work():
            position = index
            try:
                while self._put(ready, (position, self.batch(position))):
                    position += self.global_batch_size
            except BaseException as error:  # of any kind: it belongs to whoever waits for the batch
                self._put(ready, error)

        thread = threading.Thread(target=work, name=f"loader-{self._split}", daemon=True)
        self._threads.append(thread)
        thread.start()
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def _put(self, ready: queue.Queue, item) -> bool:
        """Waits for room; False once the loader is closed."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False
