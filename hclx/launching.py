"""Runs the scripts of launch/: an error that the user can correct becomes one line and an exit
code, and libraries keep their start-up lines to themselves. A script that runs others ends them
when it is ended: `Children`.
"""

import errno
import logging as python_logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable

from absl import app, flags, logging

from hclx.errors import HclxError, StorageError, StuckError, exit_code

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def run(main: Callable[[list[str]], int | None], commands: tuple[str, ...] = ()) -> None:
    """Runs `main(argv)` under absl; an `HclxError` becomes one line on stderr and its exit code.

    Args:
      main: of the script. It takes the name of the program and what absl's flags leave of the
        command line; it returns the exit code, None for 0.
      commands: words of which `argv[1]` must be one; none: no argument may be left.
    Raises:
      SystemExit: at the end, with the exit code: 64 if the command line is wrong, 74 if the disk is
        full or read-only. If the run has one process, other exceptions of `main` are raised again.
    """
    # For C++ code of TensorFlow and XLA, in the processes that are started here too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = [argument.lstrip("-") for argument in sys.argv]
    is_verbosity_set = any(option.startswith(("verbosity", "v=")) for option in options)
    _name_command_in_help()
    sys.path.append(os.getcwd())  # for task modules of one's own, as `python -m` finds them

    def guarded(argv):
        python_logging.getLogger("hclx").setLevel(python_logging.INFO)
        if not is_verbosity_set:
            # orbax logs a page for each save (--verbosity=0 shows it), and asyncio a traceback of
            # each array for a failed one, whose error reaches the run anyway.
            logging.set_verbosity(logging.ERROR)
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
            if error.errno not in _NO_SPACE:
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


def _name_command_in_help() -> None:
    """Names the command `hclx` in the help of a script that runs as a module, not as a file."""
    script = sys.modules["__main__"]
    name = getattr(getattr(script, "__spec__", None), "name", "")
    if name.startswith("hclx.launch."):
        command = name.removeprefix("hclx.launch.")
        script.__doc__ = script.__doc__.replace(f"python launch/{command}.py", f"hclx {command}")


def _leave(code: int) -> int:
    """Returns the exit code; a process of a distributed run ends here, because Python's own exit
    would wait for the other processes.
    """
    if _is_distributed():
        from hclx.parallel import abort_process

        abort_process(code)
    return code


def _is_distributed() -> bool:
    if "hclx.parallel" not in sys.modules:  # nothing else can have joined other processes
        return False
    from hclx.parallel import is_distributed

    return is_distributed()


def _leave_after(error: Exception) -> None:
    """Ends a process of a distributed run with the error's traceback, and with the exit code of a
    lost peer if that explains it.
    """
    if not _is_distributed():
        return
    traceback.print_exc()
    code = exit_code(error, True)
    if code == StuckError.exit_code:
        _fail(
            "a computation with the other processes failed; one of them probably died. Re-run the"
            " same command to resume.",
            code,
        )
    _leave(code)


def _parse(argv: list[str]) -> list[str]:
    """Parses flags as absl does, but an unknown or unreadable flag is a configuration error (64),
    and --help succeeds.
    """
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {error}; --help lists the options", file=sys.stderr)
        sys.exit(64)
    except SystemExit:  # absl has printed the help and would end with 1
        sys.exit(0)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def take_gin_bindings(argv: list[str]) -> list[str]:
    """Removes every `--gin.NAME=VALUE` from the list `argv` itself; returns the NAME=VALUE of
    each, in order.
    """
    bindings = [
        argument.removeprefix("--gin.") for argument in argv if argument.startswith("--gin.")
    ]
    argv[:] = [argument for argument in argv if not argument.startswith("--gin.")]
    return bindings


def take_after_dashes(argv: list[str]) -> list[str]:
    """Removes the first bare `--` and everything after it from the list `argv` itself; returns what
    followed it, [] if there is none.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    after = argv[end + 1 :]
    del argv[end:]
    return after


class Children:
    """Runs commands, one at a time, as a context. SIGTERM, SIGHUP and Ctrl-C reach the command that
    runs, and this program ends with its exit code; a signal that was ignored before stays ignored.
    """

    def __init__(self):
        self._child: subprocess.Popen | None = None
        self._signal = 0  # the number of the first one that came
        self._before = {}  # number -> the handler that was there

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *exc_info):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(
        self,
        arguments: list[str],
        meanwhile: Callable[[subprocess.Popen], None] = lambda child: None,
        expected: int = 0,
        **options,
    ) -> str:
        """Runs a command to its end.

        Args:
          arguments: the command line.
          meanwhile: is called once with the process when it has started.
          expected: the exit code after which this program goes on.
          options: of `subprocess.Popen`; stdout=subprocess.PIPE captures the output.
        Returns:
          The output, "" if it is not captured.
        Raises:
          SystemExit: with the exit code of the command if it is another one, or if a signal came;
            128 + the signal's number for a command that a signal ended, as shells have it.
        """
        if self._signal:  # it came between two commands
            sys.exit(128 + self._signal)
        # In a session of its own, a Ctrl-C in the terminal reaches it once, through `_forward`.
        child = subprocess.Popen(arguments, text=True, start_new_session=True, **options)
        self._child = child
        try:
            if self._signal:
                child.send_signal(self._signal)
            meanwhile(child)
            output = child.communicate()[0] or ""
        except BaseException:
            child.terminate()
            child.wait()
            raise
        finally:
            self._child = None
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
        if self._signal:
            sys.exit(code or 128 + self._signal)
        if code != expected:
            sys.exit(code or 1)
        return output

    def _forward(self, number: int, frame) -> None:
        self._signal = self._signal or number
        if self._child is not None:
            self._child.send_signal(number)
