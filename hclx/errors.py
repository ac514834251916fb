"""The errors that end a run, each with the exit code that launchers and schedulers rely on.

| code | meaning                                   | retry?                  |
|------|-------------------------------------------|-------------------------|
| 0    | done, and the last save was verified      |                         |
| 64   | configuration                             | no: change the command  |
| 65   | data, tokenizer or checkpoint             | no: change the input    |
| 66   | numerics (a loss that is not finite)      | no: change the recipe   |
| 70   | stuck, or a lost peer or bad hardware     | yes: same command       |
| 74   | storage (disk full, failed writes)        | yes, once there is room |
| 75   | preempted and saved                       | yes: same command       |
"""


def exit_code(error: BaseException, is_distributed: bool) -> int:
    """The code that an error ends a process with; a computation that failed in one of several is
    that of a lost peer.
    """
    lost = is_distributed and type(error).__name__ == "JaxRuntimeError"
    return StuckError.exit_code if lost else getattr(error, "exit_code", 1)


class HclxError(Exception):
    """An error for the person who reads it: what was wrong, where, and the next step. One line."""

    exit_code = 1


class ConfigError(HclxError):
    """The configuration is wrong or does not fit the machine or the model directory."""

    exit_code = 64


class DataError(HclxError):
    """Text, a tokenizer, a token cache or a checkpoint is missing, damaged or does not match."""

    exit_code = 65


class CheckpointError(DataError):
    """A checkpoint cannot be read, or its content is not what was saved."""


class NumericsError(HclxError):
    """A loss or gradient that is not finite."""

    exit_code = 66


class StuckError(HclxError):
    """No progress: a process is stuck, a peer is gone, or hardware computed the same step to two
    results.
    """

    exit_code = 70


class StorageError(HclxError):
    """A write failed: a full disk, a read-only folder."""

    exit_code = 74


class PreemptedError(HclxError):
    """The run was asked to stop and has saved; the same command goes on from there."""

    exit_code = 75
