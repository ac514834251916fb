"""Work that callers ask of the engine's thread, which alone speaks to the device."""

import concurrent.futures
from collections.abc import Callable

from hclx.errors import HclxError


class Job:
    """A function that the engine's thread calls between two turns.

    Attributes:
      future: has the result, or the error.
    """

    def __init__(self, function: Callable[[], object]):
        """Takes a function without arguments."""
        self._function, self.future = function, concurrent.futures.Future()

    def run(self) -> None:
        """Calls the function. An error of the device, or a fault, is raised here too."""
        try:
            self.future.set_result(self._function())
        except BaseException as error:
            self.future.set_exception(error)
            if not isinstance(error, HclxError):
                raise
