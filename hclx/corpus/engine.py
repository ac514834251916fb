"""The only module that knows Apache Beam: functions over many parts, and blocks that meet at keys.

A command's options choose where it runs (`--runner=FlinkRunner` and so on); without any, Beam's direct runner takes a
process for each core of this machine.
"""

import functools
import os
from collections.abc import Callable, Iterable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from hclx.errors import ConfigError


class Engine:
    """Runs a stage at a time; each is a pipeline that ends before the next one begins."""

    def __init__(self, options: Sequence[str] = (), workers: int | None = None):
        """Takes Beam's own options.

        Args:
          options: `--name=value`; empty: the direct runner here.
          workers: processes of the direct runner; default: one a core.
        Raises:
          ConfigError: Beam does not know an option.
        """
        workers = workers or len(os.sched_getaffinity(0))
        mode = "multi_processing" if workers > 1 else "in_memory"
        local = [f"--direct_num_workers={workers}", f"--direct_running_mode={mode}", "--runner=FnApiRunner"]
        self._options = PipelineOptions([*(options or local), "--default_sdk_harness_log_level=ERROR"])
        unknown = [name for name in options if name.startswith("--") and not _is_known(name)]
        if unknown:
            raise ConfigError(f"Apache Beam has no option {unknown[0]}")

    def each(self, function: Callable, items: Sequence) -> None:
        """Calls `function(item)` for every item, in any order."""
        if items:
            with beam.Pipeline(options=self._options) as pipeline:
                _ = pipeline | beam.Create(list(items), reshuffle=True) | beam.Map(function)

    def meet(self, rounds: Sequence[tuple[Callable, Callable]], write: Callable, parts: Sequence) -> None:
        """Lets blocks of all parts meet, in one round or several, and gives each part what was found of it.

        Args:
          rounds: (give, meet) of each round. `give(part)`, in a later round `give(part, blocks)` with the blocks for
            that part of the round before, yields (key, block). `meet(blocks)` takes the blocks of one key and yields
            (index of a part, block).
          write: `write(part, blocks)`, called once for every part.
          parts: with an `index` each.
        """
        with beam.Pipeline(options=self._options) as pipeline:
            numbered = pipeline | beam.Create([(part.index, part) for part in parts], reshuffle=True)
            blocks = None
            for i, (give, meet) in enumerate(rounds):
                if blocks is None:
                    given = numbered | f"give {i}" >> beam.FlatMap(functools.partial(_give, give))
                else:
                    given = _of_parts(numbered, blocks, f"join {i}") | f"give {i}" >> beam.FlatMap(functools.partial(_give_again, give))
                blocks = given | f"at a key {i}" >> beam.GroupByKey() | f"meet {i}" >> beam.FlatMap(functools.partial(_meet, meet))
            _ = _of_parts(numbered, blocks, "to parts") | "write" >> beam.Map(functools.partial(_write, write))


def _is_known(option: str) -> bool:
    name = option.removeprefix("--").split("=")[0]
    return name in PipelineOptions().get_all_options() or name.removeprefix("no_") in PipelineOptions().get_all_options()


def _of_parts(numbered, blocks, label: str):
    return {"part": numbered, "blocks": blocks} | label >> beam.CoGroupByKey()


def _give(give: Callable, item: tuple) -> Iterable:
    return give(item[1])


def _give_again(give: Callable, item: tuple) -> Iterable:
    _, found = item
    return give(found["part"][0], blocks=found["blocks"])


def _meet(meet: Callable, item: tuple) -> Iterable:
    return meet(item[1])


def _write(write: Callable, item: tuple) -> None:
    _, found = item
    write(found["part"][0], blocks=found["blocks"])
