"""The only module that knows Apache Beam: functions over many parts, and blocks that meet at keys.

A command's options choose where it runs (`--runner=FlinkRunner` and so on); without a runner,
Beam's own one takes a process for each core of this machine.
"""

import contextlib
import errno
import functools
import logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence

from hclx import errors
from hclx.corpus import nursery

# Beam's import warns of Google's libraries, and would make all that it logs appear
_SILENT = logging.NullHandler()
logging.getLogger().addHandler(_SILENT)
import apache_beam as beam  # noqa: E402
import grpc  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions  # noqa: E402
from apache_beam.portability import python_urns  # noqa: E402
from apache_beam.portability.api import endpoints_pb2  # noqa: E402
from apache_beam.runners.portability.fn_api_runner import FnApiRunner  # noqa: E402
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (  # noqa: E402
    BeamFnControlServicer,
    SubprocessSdkWorkerHandler,
    WorkerHandler,
)
from apache_beam.runners.runner import create_runner  # noqa: E402
from apache_beam.transforms.environments import SubprocessSDKEnvironment  # noqa: E402
from google.protobuf import json_format, text_format  # noqa: E402

logging.getLogger().removeHandler(_SILENT)

_RAISED = re.compile(r"\bhclx\.errors\.(\w+): (.*)")
_NOT_WRITTEN = re.compile(r"\bOSError: (\[Errno (\d+)\] .*)")
_STEP = re.compile(r" \[while running '.*'\]$")  # Beam's addition to a message


@WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class _WorkerProcess(SubprocessSdkWorkerHandler):
    """Beam's, with a process that has its imports done already."""

    def start_worker(self):
        options = json_format.MessageToJson(self.provision_info.provision_info.pipeline_options)
        control = text_format.MessageToString(
            endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        )
        environment = {
            "CONTROL_API_SERVICE_DESCRIPTOR": control,
            "PIPELINE_OPTIONS": options,
            "WORKER_ID": self.worker_id,
        }
        self.worker_thread = threading.Thread(target=nursery.run, args=(environment,))
        self.worker_thread.start()

    def stop_worker(self):
        # Beam would wait for ever for a worker that had not spoken yet when all was over: it is
        # told so, too.
        self.control_conn.push(BeamFnControlServicer._DONE_MARKER)
        super().stop_worker()


class Engine:
    """Runs a stage at a time; each is a pipeline that ends before the next one begins."""

    def __init__(self, options: Sequence[str] = (), workers: int | None = None):
        """Takes Beam's own options.

        Args:
          options: `--name=value`; without a `--runner`, the direct runner here.
          workers: processes of the direct runner; default: one a core.
        Raises:
          ConfigError: Beam does not know an option, or the runner.
        """
        runner = PipelineOptions(list(options)).view_as(StandardOptions).runner
        try:
            # before its options are looked for: it may bring some of its own
            create_runner(runner or "FnApiRunner")
        except (ValueError, ImportError, AttributeError) as error:
            raise errors.ConfigError(str(error)) from error
        if unknown := _unknown(options):
            raise errors.ConfigError(f"Apache Beam has no option --{unknown[0]}")
        self._workers = 0
        if not runner:
            self._workers = workers or len(os.sched_getaffinity(0))
            if self._workers > 1:
                nursery.prepare(self._workers)
            options = [f"--direct_num_workers={self._workers}", *options]
            # errors are raised here too, with all that is logged
            logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        self._options = PipelineOptions([*options, "--default_sdk_harness_log_level=ERROR"])

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[beam.Pipeline]:
        """A pipeline that runs where the block ends.

        Raises:
          HclxError: what a stage raised, wherever it ran.
        """
        runner = None
        if self._workers:
            processes = SubprocessSDKEnvironment("")  # see _WorkerProcess
            runner = FnApiRunner(default_environment=processes if self._workers > 1 else None)
        threading.excepthook = _on_lost_worker
        try:
            with beam.Pipeline(runner, self._options) as pipeline:
                yield pipeline
        except Exception as error:
            if raised := _raised(error):
                raise raised from error
            raise

    def each(self, function: Callable, items: Sequence) -> None:
        """Calls `function(item)` for every item, in any order."""
        if items:
            with self._pipeline() as pipeline:
                _ = pipeline | beam.Create(list(items), reshuffle=True) | beam.Map(function)

    def meet(
        self, rounds: Sequence[tuple[Callable, Callable]], write: Callable, parts: Sequence
    ) -> None:
        """Lets blocks of all parts meet, in one round or several, and gives each part what was
        found of it.

        Args:
          rounds: (give, meet) of each round. `give(part)`, in a later round `give(part, blocks)`
            with the blocks for that part of the round before, yields (key, block). `meet(blocks)`
            takes the blocks of one key and yields (index of a part, block).
          write: `write(part, blocks)`, called once for every part.
          parts: with an `index` each.
        """
        with self._pipeline() as pipeline:
            numbered = pipeline | beam.Create(
                [(part.index, part) for part in parts], reshuffle=True
            )
            blocks = None
            for i, (give, meet) in enumerate(rounds):
                if blocks is None:
                    given = numbered | f"give {i}" >> beam.FlatMap(functools.partial(_give, give))
                else:
                    given = _of_parts(numbered, blocks, f"join {i}") | f"give {i}" >> beam.FlatMap(
                        functools.partial(_give_again, give)
                    )
                blocks = (
                    given
                    | f"at a key {i}" >> beam.GroupByKey()
                    | f"meet {i}" >> beam.FlatMap(functools.partial(_meet, meet))
                )
            _ = _of_parts(numbered, blocks, "to parts") | "write" >> beam.Map(
                functools.partial(_write, write)
            )


def _raised(error: Exception) -> errors.HclxError | None:
    """The error of a stage, of which a runner gives back no more than its traceback as text; None:
    it is another one.
    """
    text = "".join(traceback.format_exception_only(error))
    if found := _RAISED.findall(text):
        name, message = found[-1]
        return getattr(errors, name)(_STEP.sub("", message))
    for message, number in _NOT_WRITTEN.findall(text):
        if int(number) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            return errors.StorageError(
                f"cannot write: {_STEP.sub('', message)}; free some space and run again"
            )
    return None


def _on_lost_worker(thread: threading.ExceptHookArgs) -> None:
    """Ends this process where one of its workers was killed, most often for its memory: the runner
    would wait for ever.
    """
    error = thread.exc_value
    if isinstance(error, grpc.RpcError) or (
        isinstance(error, nursery.LostWorker) and error.code == -signal.SIGINT
    ):
        return  # the connection to a worker that is gone; Ctrl-C, which ends this process too
    if not isinstance(error, nursery.LostWorker):
        return threading.__excepthook__(thread)
    print(
        f"error: {error}; if memory ran out, try fewer --workers. The same command goes on",
        file=sys.stderr,
    )
    sys.stderr.flush()
    os._exit(errors.StuckError.exit_code)


def _unknown(options: Sequence[str]) -> list[str]:
    """The names that no part of Beam knows. What a runner brings is known once the runner was
    created.
    """
    # without an argument Beam reads this command's own
    known = PipelineOptions([]).get_all_options()
    return [
        name
        for name in PipelineOptions(list(options)).get_all_options(retain_unknown_options=True)
        if name not in known
    ]


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
