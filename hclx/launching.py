"""Runs the scripts of launch/: an error that the user can correct becomes one line and an exit
code, and libraries keep their start-up lines to themselves.
"""

import errno
import logging as python_logging
import os
import re
import sys
import traceback
from collections.abc import Callable

from absl import app, flags, logging

from hclx.errors import HclxError, StorageError, StuckError, exit_code

# An option that names a path, up to the path.
_PATH_OPTION = re.compile(
    r"--?(?:gin\.)?[\w./]*(?:dir|file|input|output|config|corpus|json|good|others|from)=['\"]?(?=~)"
)
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
        return flags.FLAGS(list(map(expand_home, argv)))
    except flags.Error as error:
        print(f"error: {error}; --help lists the options", file=sys.stderr)
        sys.exit(64)
    except SystemExit:  # absl has printed the help and would end with 1
        sys.exit(0)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


def expand_home(argument: str) -> str:
    """Replaces the `~` that begins the path of an option by the user's folder: a shell leaves it as
    it is in `--model_dir=~/run`.

    Args:
      argument: of a command line. Options whose names do not end as those of paths stay as they
        are, as a prompt may begin with anything.
    """
    if match := _PATH_OPTION.match(argument):
        return argument[: match.end()] + os.path.expanduser(argument[match.end() :])
    return argument


def take_gin_bindings(argv: list[str]) -> list[str]:
    """Removes every `--gin.NAME=VALUE` from the list `argv` itself; returns the NAME=VALUE of
    each, in order.
    """
    bindings = [
        expand_home(argument).removeprefix("--gin.")
        for argument in argv
        if argument.startswith("--gin.")
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
