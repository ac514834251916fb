"""Batches as global arrays, read ahead of training.

The loader has no state but a position in the order of the run: a resumed run names it and reads on.
"""

import abc
import contextlib
import queue
import threading
from collections.abc import Iterator

import jax
import numpy as np

from hclx.data.batch import Batch, make_batch
from hclx.data.sampler import Order, skip_ranges
from hclx.data.token_cache import TokenCache, read_error


class BatchLoader(abc.ABC):
    """Reads batch [g, g + global_batch_size) of a run's order, from which ranges may be skipped.

    Each process reads only the rows of its devices.

    Attributes:
      kind: the record that a batch is: `Batch`, or one with further fields behind these.
    """

    kind: type = Batch

    def __init__(
        self,
        order: Order,
        name: str,
        *,
        global_batch_size: int,
        sequence_length: int,
        sharding: jax.sharding.Sharding,
        skip: tuple[tuple[int, int], ...] = (),
        prefetch: int = 2,
    ):
        """Begins with no batch read.

        Args:
          order: which sequence is which example.
          name: of the split, for the names of threads.
          global_batch_size: sequences a batch, over all processes.
          sequence_length: tokens a sequence.
          sharding: of each field of a batch, [global_batch_size, sequence_length].
          skip: [first, last) examples that are never read, disjoint and ascending.
          prefetch: how many batches are read ahead.
        """
        self._order, self._name, self._sharding, self._prefetch = order, name, sharding, prefetch
        self.global_batch_size, self.sequence_length = global_batch_size, sequence_length
        self.n_sequences = sum(order.n_sequences)
        self._skip = skip
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self) -> None:
        """Ends the reading threads. An iterator that is asked for a batch afterwards may wait
        without end.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def examples(self, start: int, stop: int) -> np.ndarray:
        """int64 [stop - start]: the numbers of the examples at the positions from `start` to before
        `stop`, which are the positions themselves unless ranges are skipped.
        """
        return skip_ranges(np.arange(start, stop, dtype=np.int64), self._skip)

    @abc.abstractmethod
    def read(self, source: np.ndarray, sequence: np.ndarray) -> Batch:
        """Returns sequences as a batch of numpy arrays, whose weights may be changed.

        Args:
          source, sequence: int64 [k]: see `hclx.data.sampler.Order.locate`.
        Raises:
          DataError: stored tokens are damaged or missing.
          StorageError: they cannot be read now.
        """

    def batch(self, index: int, stop: int | None = None) -> Batch:
        """Reads the batch that begins at position `index` of the order.

        Args:
          index: position of its first row, from 0; the order has no end, as sources repeat.
          stop: rows at this position and after it weigh 0, so that any number of sequences can be
            evaluated in whole batches; None: all rows weigh 1.
        Returns:
          Global arrays [global_batch_size, sequence_length] on the sharding of the loader.
        Raises:
          DataError: stored tokens are damaged.
        """
        shape = (self.global_batch_size, self.sequence_length)
        # devices that hold the same rows share one reading
        known: dict[tuple[int, int], Batch] = {}

        def read(slices) -> Batch:
            first, last, _ = slices[0].indices(shape[0])
            if (first, last) not in known:
                batch = self.read(*self.locate(index + first, index + last))
                if stop is not None:
                    batch.weights_bt[max(0, stop - index - first) :] = 0
                known[first, last] = batch
            return known[first, last]

        field = lambda i: lambda slices: read(slices)[i]
        return self.kind(
            *(
                jax.make_array_from_callback(shape, self._sharding, field(i))
                for i in range(len(self.kind._fields))
            )
        )

    def iterate(self, index: int) -> Iterator[tuple[int, Batch]]:
        """Yields (position of the first row, batch) without end, while a thread reads ahead.

        Args:
          index: position of the first batch; each next one begins `global_batch_size` further.
        Raises:
          DataError: stored tokens are damaged; it is raised when their batch is asked for.
        """
        ready: queue.Queue = queue.Queue(self._prefetch)

        def work():
            position = index
            try:
                while self._put(ready, (position, self.batch(position))):
                    position += self.global_batch_size
            except BaseException as error:  # of any kind: raised where the batch is waited for
                self._put(ready, error)

        thread = threading.Thread(target=work, name=f"loader-{self._name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def _put(self, ready: queue.Queue, item) -> bool:
        """Waits for room; returns False once the loader is closed."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return True
        return False

    def locate(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the source and the sequence at the positions from `start` to before `stop`."""
        return self._order.locate(self.examples(start, stop))


class Loader(BatchLoader):
    """Reads the sequences of a split of a token cache."""

    def __init__(
        self, cache: TokenCache, split: str, *, seed: int, sequence_length: int, **options
    ):
        """Opens a split.

        Args:
          cache: the token cache to read from.
          split: "train" or "validation".
          seed: decides the order.
          sequence_length: tokens a sequence.
          **options: the others of `BatchLoader`.
        Raises:
          DataError: every source is shorter than one sequence.
        """
        order = Order(cache.n_sequences(split, sequence_length), cache.rates, seed)
        super().__init__(order, split, sequence_length=sequence_length, **options)
        self._cache, self._split, self._eod_id = cache, split, cache.manifest["eod_id"]

    def read(self, source: np.ndarray, sequence: np.ndarray) -> Batch:
        """See `BatchLoader.read`; all targets weigh 1."""
        return make_batch(self._tokens(source, sequence), self._eod_id)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """int32 [stop - start, sequence_length + 1]: the tokens at the positions from `start` to
        before `stop` of the order, each row with the token after its last one.

        Raises:
          DataError: stored tokens are damaged or missing.
          StorageError: they cannot be read now.
        """
        return self._tokens(*self.locate(start, stop))

    def _tokens(self, source: np.ndarray, sequence: np.ndarray) -> np.ndarray:
        futures = [
            self._cache.read(self._split, int(s), int(i), self.sequence_length)
            for s, i in zip(source, sequence)
        ]
        try:
            return np.stack([future.result() for future in futures]).astype(np.int32)
        except (ValueError, OSError) as error:
            raise read_error(error, self._cache.directory) from error
