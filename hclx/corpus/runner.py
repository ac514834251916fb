"""Runs functions of shards: in processes on this machine, or by Apache Beam on a cluster.

A stage is a `map` (a function of each shard) or a `map_reduce` (functions of shards, with a
group-by-key between them). Results never depend on the runner or on the number of workers.
"""

import contextlib
import errno
import functools
import multiprocessing
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from hclx.corpus.store import Store
from hclx.errors import StorageError, StuckError
from hclx.progress import ProgressBar
from hclx.text.workers import default_workers, end_with_parent

# Modules that the process from which workers are forked imports before the first fork.
_PRELOAD = ["hclx.corpus.pipeline"]
_SHOWN_EVERY_SECONDS = 1.0
_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Runner(Protocol):
    """A place where the stages of a corpus run."""

    def map(
        self, function: Callable, items: Sequence, description: str = "", unit: str = "shard"
    ) -> None:
        """Calls `function(item)` for every item, in any order.

        Args:
          function: its result is not used; it and the items must be picklable.
          items: the arguments of the calls.
          description: the name of the stage, for the progress bar.
          unit: the name of one item, for the progress bar.
        Raises:
          HclxError: a call raised it, wherever it ran.
        """

    def map_reduce(
        self,
        rounds: Sequence[tuple[Callable, Callable]],
        collect: Callable,
        shards: Sequence,
        description: str = "",
    ) -> None:
        """Sends blocks of all shards to the places of their keys, in one round or several.

        Functions, shards and blocks must be picklable.

        Args:
          rounds: (map, reduce) of each round. `map(shard)`, in a later round `map(shard, blocks)`
            with the blocks that the round before sent to that shard, yields (key, block).
            `reduce(blocks)` takes the blocks of one key and yields (index of a shard, block).
          collect: `collect(shard, blocks)`, called once for every shard with the blocks of the last
            round.
          shards: with an `index` each.
          description: the name of the stage, for the progress bar.
        Raises:
          HclxError: a call raised it, wherever it ran.
        """


def make_runner(
    beam_options: Sequence[str] = (), workers: int | None = None, store: Store | None = None
) -> Runner:
    """The runner that a command asks for.

    Args:
      beam_options: `--name=value` of Apache Beam, which then runs everything; without any option,
        processes of this machine do.
      workers: the number of these processes; default: one a core.
      store: a folder that Beam's workers and this process can write to, which takes the errors of
        workers; None: an `HclxError` of a worker becomes an error of Beam. Not used without Beam.
    Raises:
      ConfigError: Beam does not know an option, or the runner.
    """
    if not beam_options:
        return LocalRunner(workers)
    from hclx.corpus.beam_runner import BeamRunner

    return BeamRunner(beam_options, store)


def storage_error(error: OSError) -> StorageError | OSError:
    """Returns a `StorageError` for an error of a full disk, a quota, a file that is too large or
    a read-only file system; any other error as it is.
    """
    if error.errno in _NOT_WRITTEN:
        return StorageError(f"cannot write: {error}; free some space and run again")
    return error


class LocalRunner:
    """Runs stages in processes of this machine; see `Runner`.

    Every stage has new processes, forked from one that imported the pipeline. A single worker is
    this process itself.
    """

    def __init__(self, workers: int | None = None):
        """Takes the number of processes; default: one a core."""
        self._workers = workers or default_workers()

    def map(
        self, function: Callable, items: Sequence, description: str = "", unit: str = "shard"
    ) -> None:
        """Calls `function(item)` for every item, in any order; see `Runner.map`."""
        if not items:
            return
        sizes = [getattr(item, "size", None) for item in items]
        if None in sizes or not sum(sizes):
            arguments = [(function, 1, item) for item in items]
        else:  # the time left depends on bytes, and a large file tells how far it is
            unit, arguments = "byte", [(function, *pair) for pair in zip(sizes, items)]
        with self._workers_of_stage() as call:
            call(_counted, arguments, description, unit, sum(size for _, size, _ in arguments))

    def map_reduce(
        self,
        rounds: Sequence[tuple[Callable, Callable]],
        collect: Callable,
        shards: Sequence,
        description: str = "",
    ) -> None:
        """Sends blocks of all shards to the places of their keys, in one round or several; for the
        arguments see `Runner.map_reduce`. Blocks on their way are in the memory of this process.
        """
        arguments = [(shard,) for shard in shards]
        with self._workers_of_stage() as call:
            for number, (map_shard, reduce_key) in enumerate(rounds, 1):
                name = f"{description}, round {number}" if len(rounds) > 1 else description
                groups = _group(call(_listed(map_shard), arguments, f"{name}: map", "shard"))
                arguments = [(blocks,) for blocks in groups.values()]
                del groups  # blocks may be most of the memory
                sent = _group(call(_listed(reduce_key), arguments, f"{name}: reduce", "partition"))
                arguments = [(shard, sent.get(shard.index, [])) for shard in shards]
            call(collect, arguments, f"{description}: write", "shard")

    @contextlib.contextmanager
    def _workers_of_stage(self) -> Iterator[Callable]:
        """Yields `call(function, arguments, description, unit, total)`, which gives the list of
        `function(*arguments[i])`; the processes end with the block. Without `total`, a call is one
        unit; with it, calls count the units by `advance`.
        """
        start = _in_processes if self._workers > 1 else _in_this_process

        def with_progress(function, arguments, description, unit, total=None):
            with ProgressBar(total or len(arguments), description, unit) as progress:
                return call(function, arguments, progress, total is not None)

        try:
            with start(self._workers) as call:
                yield with_progress
        except OSError as error:
            raise storage_error(error) from error


def advance(n: int) -> None:
    """Counts units of work that are done, within a call of a stage's function: bytes of its item.

    Args:
      n: units since the last time.
    """
    _Work.own += n
    if _Work.add:
        _Work.add(n)


class _Work:
    """The units that this process has counted, and (n) -> None, which tells whoever shows them."""

    own = 0
    add: Callable[[int], None] | None = None


def _counted(function: Callable, size: int, item) -> None:
    """Calls a function of an item, which counts `size` units in all."""
    begin = _Work.own
    function(item)
    advance(max(0, size - (_Work.own - begin)))


def _listed(function: Callable) -> Callable:
    """A generator function as one whose result can be sent to another process."""
    return functools.partial(_list_of, function)


def _list_of(function: Callable, *arguments) -> list:
    return list(function(*arguments))


def _group(pairs_of_calls: Iterable[list[tuple]]) -> dict:
    """Key -> its blocks, in the order of the calls."""
    groups = defaultdict(list)
    for pairs in pairs_of_calls:
        for key, block in pairs:
            groups[key].append(block)
    return groups


@contextlib.contextmanager
def _in_this_process(workers: int) -> Iterator[Callable]:
    def call(function, arguments: Sequence[tuple], progress: ProgressBar, counts: bool) -> list:
        results = []
        _Work.add = progress.update if counts else None
        try:
            for some in arguments:
                results.append(function(*some))
                progress.update(0 if counts else 1)
        finally:
            _Work.add = None
        return results

    yield call


@contextlib.contextmanager
def _in_processes(workers: int) -> Iterator[Callable]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    others, processes = set(multiprocessing.active_children()), set()
    counter = context.Value("q")  # units of work of all processes
    start = (dict(os.environ), counter)
    executor = ProcessPoolExecutor(workers, context, _start_worker, start)

    def call(function, arguments: Sequence[tuple], progress: ProgressBar, counts: bool) -> list:
        futures, begin = [], counter.value  # read first: a quick call may end while others are sent
        for some in arguments:
            futures.append(executor.submit(function, *some))
            processes.update(multiprocessing.active_children())
        shown, waiting = 0, set(futures)
        while waiting:  # a stage gives a sign of life while its calls run
            done, waiting = wait(waiting, _SHOWN_EVERY_SECONDS, FIRST_EXCEPTION)
            for future in done:
                future.result()  # raises what the call raised
            now = counter.value - begin if counts else len(futures) - len(waiting)
            progress.update(now - shown)
            shown = now
        return [future.result() for future in futures]

    try:
        with executor:
            try:
                yield call
            except BaseException:  # Ctrl-C too: nobody waits for calls that still run
                for process in processes - others:
                    process.terminate()
                raise
    except BrokenProcessPool as error:
        raise StuckError(_lost_worker(processes - others)) from error


def _lost_worker(processes: Iterable) -> str:
    """The message for a pool of which a process ended; the pool ended the others by SIGTERM."""
    codes = [process.exitcode for process in processes if process.exitcode]
    code = next((code for code in codes if code != -signal.SIGTERM), -signal.SIGTERM)
    return (
        f"a worker process ended ({code}); if memory ran out, try fewer --workers. Re-run the same"
        " command to resume"
    )


def _start_worker(environment: dict[str, str], counter) -> None:
    """Prepares a worker: the environment of the command, no output, and an end with its parent."""

    def add(n: int) -> None:
        with counter.get_lock():
            counter.value += n

    _Work.add = add
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command ends its workers
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the command prints what a worker raises; nothing else is for its user
        os.dup2(null, stream)
    end_with_parent()
