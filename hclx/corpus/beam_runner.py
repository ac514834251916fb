"""The only module that knows Apache Beam: the stages of a corpus as Beam pipelines.

A command's options choose where they run (`--runner=FlinkRunner` and so on). Each stage is a
pipeline of its own, which ends before the next one begins.
"""

import contextlib
import functools
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence

from hclx import errors
from hclx.corpus.layout import ERRORS
from hclx.corpus.runner import storage_error
from hclx.corpus.store import Store


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps a block from logging: Beam's import warns that Google's libraries are missing.

    Without a handler the first warning would also make everything appear that Beam logs later.
    """
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        logging.getLogger().removeHandler(handler)


with _quiet():
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners import create_runner


class BeamRunner:
    """Runs stages on a runner of Beam; see `hclx.corpus.runner.Runner`.

    Functions and items are pickled, as they run in Beam's workers.
    """

    def __init__(self, options: Sequence[str], store: Store | None = None):
        """Takes Beam's own options.

        Args:
          options: `--name=value`.
          store: a folder that workers and this process can write to: a runner gives an error of a
            worker back as text alone, so the worker leaves its type and message here.
        Raises:
          ConfigError: Beam does not know an option, or the runner.
        """
        runner = PipelineOptions(list(options)).view_as(StandardOptions).runner
        try:
            with _quiet():
                # A runner may bring options of its own, so it is created before they are checked.
                create_runner(runner or StandardOptions.DEFAULT_RUNNER)
        except (ValueError, ImportError, AttributeError) as error:
            raise errors.ConfigError(str(error)) from error
        if unknown := _unknown(options):
            raise errors.ConfigError(f"Apache Beam has no option --{unknown[0]}")
        self._options = PipelineOptions([*options, "--default_sdk_harness_log_level=ERROR"])
        self._store = store
        # Errors are raised here, with everything that is logged.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)

    def map(
        self, function: Callable, items: Sequence, description: str = "", unit: str = "shard"
    ) -> None:
        """Calls `function(item)` for every item, in any order; its results are not used.

        Args:
          function: takes an item.
          items: the arguments of the calls.
          description, unit: not used; Beam's own tools show the progress.
        Raises:
          HclxError: a call raised it, wherever it ran.
        """
        if items:
            with self._pipeline() as pipeline:
                call = self._recorded(function)
                _ = pipeline | beam.Create(list(items), reshuffle=True) | beam.Map(call)

    def map_reduce(
        self,
        rounds: Sequence[tuple[Callable, Callable]],
        collect: Callable,
        shards: Sequence,
        description: str = "",
    ) -> None:
        """Sends blocks of all shards to the places of their keys, in one round or several.

        Args:
          rounds, collect, shards: see `Runner.map_reduce`.
          description: not used; Beam's own tools show the progress.
        Raises:
          HclxError: a call raised it, wherever it ran.
        """
        indexed = [(shard.index, shard) for shard in shards]
        with self._pipeline() as pipeline:
            shards = pipeline | beam.Create(indexed, reshuffle=True)
            blocks = None
            for i, (map_shard, reduce_key) in enumerate(rounds):
                mapped = _join(shards, blocks, f"join {i}") | f"map {i}" >> beam.FlatMap(
                    self._recorded(functools.partial(_call, map_shard))
                )
                blocks = (
                    mapped
                    | f"group {i}" >> beam.GroupByKey()
                    | f"reduce {i}"
                    >> beam.FlatMap(self._recorded(functools.partial(_call_with_value, reduce_key)))
                )
            _ = _join(shards, blocks, "join last") | "collect" >> beam.Map(
                self._recorded(functools.partial(_call, collect))
            )

    def _recorded(self, function: Callable) -> Callable:
        return functools.partial(_record_errors, function, self._store) if self._store else function

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[beam.Pipeline]:
        """A pipeline that runs when the block ends.

        Raises:
          HclxError: a function raised it, wherever it ran.
        """
        self._take_records()
        try:
            with beam.Pipeline(options=self._options) as pipeline:
                yield pipeline
        except Exception as error:
            if records := self._take_records():
                first = records[0]
                raise getattr(errors, first["type"])(first["message"]) from error
            raise

    def _take_records(self) -> list[dict]:
        """The errors that workers recorded, which are removed."""
        records = []
        for name in self._store.list(ERRORS) if self._store else ():
            if record := self._store.read_json(name):
                records.append(record)
            self._store.remove(name)
        return records


def _record_errors(function: Callable, store: Store, item):
    """Calls a function; an error that is for the user of the command is also written down."""
    try:
        result = function(item)
        return list(result) if isinstance(result, Iterator) else result
    except (errors.HclxError, OSError) as error:
        known = storage_error(error) if isinstance(error, OSError) else error
        if isinstance(known, errors.HclxError):
            record = {"type": type(known).__name__, "message": str(known)}
            with contextlib.suppress(OSError):  # the disk may be full
                store.write_json(f"{ERRORS}/{uuid.uuid4().hex}.json", record)
        raise


def _unknown(options: Sequence[str]) -> list[str]:
    """The names that no part of Beam knows; a runner's options are known once it was created."""
    known = PipelineOptions([]).get_all_options()  # without [] Beam reads this command's own
    named = PipelineOptions(list(options)).get_all_options(retain_unknown_options=True)
    return [name for name in named if name not in known]


def _join(shards, blocks, label: str):
    """(shard,) of every shard, or (shard, its blocks) once there are blocks."""
    if blocks is None:
        return shards | label >> beam.Map(_first_arguments)
    joined = {"shard": shards, "blocks": blocks} | label >> beam.CoGroupByKey()
    return joined | f"{label}: arguments" >> beam.Map(_later_arguments)


def _first_arguments(item: tuple) -> tuple:
    return (item[1],)


def _later_arguments(item: tuple) -> tuple:
    return item[1]["shard"][0], item[1]["blocks"]


def _call(function: Callable, arguments: tuple):
    return function(*arguments)


def _call_with_value(function: Callable, item: tuple):
    return function(item[1])
