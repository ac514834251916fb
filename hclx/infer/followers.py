"""Several processes as one engine: process 0 has the requests and decides, and the others make the
same calls on their own devices, in the same order.
"""

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hclx.errors import ConfigError, StuckError
from hclx.infer.calls import DeviceCalls
from hclx.infer.load import LoadedModel
from hclx.infer.rows import RowSettings
from hclx.infer.sampling import SamplingParams, TokenMasks
from hclx.parallel.channel import Receiver, Sender

_LOG = logging.getLogger(__name__)
_DRAIN_SECONDS = 60  # from a device error until all devices have nothing left to do
_LOSS_SECONDS = 1  # from the device error that a lost process causes until its connection ends
_numbers = itertools.count()  # of the engines of a run: the same in all processes
_N_SAMPLING, _N_MASKS = len(SamplingParams._fields), len(TokenMasks._fields)


def spans_processes(model: LoadedModel) -> bool:
    """Returns whether a model lies on the devices of several processes.

    Raises:
      ConfigError: they are not those of all processes of the run.
    """
    processes = {device.process_index for device in model.mesh.devices.flat}
    if processes == {jax.process_index()}:
        return False
    if len(processes) < jax.process_count():
        raise ConfigError(
            f"the mesh has devices of {len(processes)} of {jax.process_count()} processes; make it"
            " of the devices of one process or of all"
        )
    return True


class LeadingCalls:
    """`DeviceCalls` of process 0. Each call is sent to the other processes before it is made here;
    what they lack is the results, which are read in process 0 alone.
    """

    def __init__(
        self, model: LoadedModel, sizes: Sequence[int], on_loss: Callable[[StuckError], None]
    ):
        """Waits for the other processes, and lets them allocate the caches too.

        Args:
          model: whose `placement` is the ambient one.
          sizes: as `DeviceCalls` takes them.
          on_loss: is called from another thread when a process is gone.
        Raises:
          ConfigError: this is not process 0, another process has another model, or the sizes do not
            fit.
          StuckError: a process does not follow.
        """
        if jax.process_index() != 0:
            raise ConfigError(
                f"this is process {jax.process_index()}, and requests come to process 0 alone; call"
                " hclx.infer.follow(model) here"
            )
        self._sender = Sender(f"engine/{next(_numbers)}", _description(model), on_loss)
        try:
            self._sender.send("allocate", np.array(sizes, np.int32))
            self._calls = DeviceCalls(model, *sizes)
        except BaseException as error:
            self._sender.end(error)
            raise

    def __getattr__(self, name: str) -> Any:
        """Returns a call for all processes, or a property, which is the same in all of them."""
        if name.startswith("_") or not hasattr(DeviceCalls, name):
            raise AttributeError(name)
        if isinstance(getattr(DeviceCalls, name), property):
            return getattr(self._calls, name)
        return lambda *arguments: self._make(name, arguments)

    def _make(self, name: str, arguments: tuple) -> Any:
        self._sender.send(name, flatten(arguments))
        return getattr(self._calls, name)(*arguments)

    def wait(self) -> None:
        """Waits for this process's part of everything that was dispatched."""
        self._calls.wait()

    def reset(self) -> None:
        """Allocates everything anew in all processes, once the devices of none have anything left
        to do; otherwise a call that only some of them made would wait for the others for ever.

        Raises:
          StuckError: a process is gone, or its devices do not come to an end.
        """
        try:
            self._calls.wait()
        except RuntimeError:
            self._sender.check(_LOSS_SECONDS)
        self._sender.send("reset")
        self._calls.reset()
        self._sender.wait_for_replies(_DRAIN_SECONDS)

    def end(self, error: BaseException | None) -> None:
        """Ends the other processes, with the error that ended this one, if there is one."""
        self._sender.end(error)


def follow(model: LoadedModel) -> None:
    """Makes the calls that the engine of process 0 makes, until it is closed. Each other process
    calls this where process 0 makes its `EmbeddedEngine`, with the same model on the same mesh.

    Args:
      model: as `hclx.infer.load_for_inference` returns it, on the devices of all processes.
    Raises:
      ConfigError: the model lies on the devices of this process alone, or is not that of process 0.
      StuckError: process 0 is gone, or the devices failed here and not there.
      HclxError: the error that ended the engine of process 0.
    """
    if not spans_processes(model) or jax.process_index() == 0:
        raise ConfigError(
            "there is nothing to follow: processes other than 0 follow it, over a mesh of the"
            " devices of all"
        )
    receiver = Receiver(f"engine/{next(_numbers)}", _description(model))
    try:
        with model.placement():
            _follow(model, receiver)
    except BaseException as error:
        receiver.reply(f"failed: {error!r}")
        raise
    finally:
        receiver.close()


def _follow(model: LoadedModel, receiver: Receiver) -> None:
    calls, failure, until = None, None, None
    while True:
        try:
            message = receiver.receive(until and until - time.monotonic())
        except StuckError as error:
            raise error if failure is None else StuckError(f"the devices failed: {failure}")
        if message is None:
            return
        name, arrays = message
        if name == "allocate":
            calls = DeviceCalls(model, *map(int, arrays))
        elif name == "reset":
            with contextlib.suppress(RuntimeError):  # that of the device, or of a state it has not
                calls.wait()
            calls.reset()
            failure = until = None
            receiver.reply()
        elif failure is None:
            try:
                getattr(calls, name)(*unflatten(name, arrays))
            except jax.errors.JaxRuntimeError as error:
                # Process 0 has the same error, and allocates everything anew; or not, and waits.
                _LOG.warning("a device error: %s", error)
                failure, until = error, time.monotonic() + _DRAIN_SECONDS


def _description(model: LoadedModel) -> str:
    """Describes what has to be the same in all processes, for messages."""
    mesh = " x ".join(f"{axis} {size}" for axis, size in model.mesh.shape.items() if size > 1)
    dtypes = sorted({leaf.dtype.name for leaf in jax.tree.leaves(model.params)})
    return f"{model.config} in {', '.join(dtypes)} on the mesh {mesh}"


def flatten(arguments: tuple) -> list[np.ndarray]:
    """Returns the arguments of a call as arrays; the settings of a row become one a field."""
    return [
        np.asarray(leaf)
        for argument in arguments
        for leaf in (jax.tree.leaves(argument) if isinstance(argument, RowSettings) else [argument])
    ]


def unflatten(name: str, arrays: Sequence[np.ndarray]) -> list:
    """Inverts `flatten`, by the name of the call. Numbers stay arrays without dimensions."""
    if name != "begin":
        return list(arrays)
    row, *settings = arrays[: 2 + _N_SAMPLING + _N_MASKS]
    sampling = SamplingParams(*settings[:_N_SAMPLING])
    masks = TokenMasks(*settings[_N_SAMPLING:-1])
    return [row, RowSettings(sampling, masks, settings[-1]), *arrays[2 + _N_SAMPLING + _N_MASKS :]]
