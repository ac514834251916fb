"""What every command in launch/ shares: one line for an error that the user can mend, and its exit
code.
"""

import errno
import logging as python_logging
import os
import sys
import traceback

from absl import app, flags, logging

from hclx.errors import HclxError, StorageError, StuckError, exit_code


def run(main, commands: tuple[str, ...] = ()) -> None:
    """Runs `main(argv)` under absl; an `HclxError` becomes one line on stderr and its exit code.

    Args:
      main: of the script.
      commands: the words of which the command line must hold one, if there are any.
    """
    # TensorFlow only prepares text here; it need not greet
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen = any(argument.lstrip("-").startswith(("verbosity", "v=")) for argument in sys.argv)

    def guarded(argv):
        python_logging.getLogger("hclx").setLevel(python_logging.INFO)
        if not chosen:
            # orbax writes a page for each save; --verbosity=0 shows it
            logging.set_verbosity(logging.ERROR)
            # and for a failed one a traceback of each array; the error itself reaches the run
            python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
        if commands and (len(argv) < 2 or argv[1] not in commands):
            return _fail(f"the command is missing: {', '.join(commands)}", 64)
        if len(argv) > 1 + bool(commands):
            return _fail(f"unexpected argument {argv[-1]!r}; options start with --", 64)
        try:
            return main(argv)
        except HclxError as error:
            return _leave(_fail(str(error), error.exit_code))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
                raise
            message = (
                f"cannot write {error.filename or ''}: {error.strerror}; free some space and run"
                " again"
            )
            return _leave(_fail(message, StorageError.exit_code))
        except Exception as error:
            _leave_after(error)
            raise

    try:
        app.run(guarded, flags_parser=_parse)
    except HclxError as error:
        sys.exit(_fail(str(error), error.exit_code))


def _leave(code: int) -> int:
    """Ends one process of several at once: Python's own way out would wait for the others."""
    if _is_one_of_several():
        from hclx.parallel import abort_process

        abort_process(code)
    return code


def _is_one_of_several() -> bool:
    if "hclx.parallel" not in sys.modules:  # without it no other process was joined
        return False
    from hclx.parallel import is_distributed

    return is_distributed()


def _leave_after(error: Exception) -> None:
    """Where the process is one of several: what was raised, and the code of a lost peer if that is
    what it was.
    """
    if not _is_one_of_several():
        return
    traceback.print_exc()
    if exit_code(error, True) == StuckError.exit_code:
        _fail(
            "a computation with the other processes failed; one of them is probably gone. The same"
            " command goes on",
            0,
        )
    _leave(exit_code(error, True))


def _parse(argv):
    """absl's parser, but a flag that does not exist or cannot be read is a configuration error
    (64).
    """
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {error}; --help lists the options", file=sys.stderr)
        sys.exit(64)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def take_gin_bindings(argv: list[str]) -> list[str]:
    """Removes each `--gin.NAME=VALUE` from a command line, and returns the NAME=VALUE."""
    bindings = [
        argument.removeprefix("--gin.") for argument in argv if argument.startswith("--gin.")
    ]
    argv[:] = [argument for argument in argv if not argument.startswith("--gin.")]
    return bindings


def take_after_dashes(argv: list[str]) -> list[str]:
    """Removes a bare `--` and what follows it from a command line, and returns what follows."""
    end = argv.index("--") if "--" in argv else len(argv)
    after = argv[end + 1 :]
    del argv[end:]
    return after
