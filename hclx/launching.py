"""Runs the scripts of launch/: an error that the user can correct becomes one line and an exit
code, and libraries keep their start-up lines to themselves.
"""

import contextlib
import glob
import io
import logging as python_logging
import math
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging
from tqdm import tqdm

from hclx.errors import ConfigError, HclxError, StuckError, exit_code, known_error
from hclx.utf8 import check_arguments, use_utf8_mode

_GOOGLE = "0x1ae0"  # the PCI vendor of TPUs
_NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5p-8",
}
_END_SECONDS = 5  # from the end of a program to that of its process
_BY_SIGNAL = 128  # and the number of the signal are the exit code, as shells have it
_INTERRUPTED, _CLOSED_PIPE = _BY_SIGNAL + 2, _BY_SIGNAL + 13
# absl's words for an option without which a command cannot run.
_REQUIRED = re.compile(r"flag (--\w+)=None: Flag --\w+ must have a value other than None")
# An option that names a path, up to the path.
_PATH_OPTION = re.compile(
    r"--?(?:gin\.)?[\w./]*(?:dir|file|input|output|config|corpus|json|good|others|from|compare)="
    r"['\"]?(?=~)"
)


def run(
    main: Callable[[list[str]], int | None], commands: tuple[str, ...] = (), operands: int = 0
) -> None:
    """Runs `main(argv)` under absl; an `HclxError` becomes one line on stderr and its exit code.

    Args:
      main: of the script. It takes the name of the program and what absl's flags leave of the
        command line; it returns the exit code, None for 0.
      commands: words of which `argv[1]` must be one; none: no argument may be left.
      operands: the number of arguments, such as files, that may follow the command.
    Raises:
      SystemExit: at the end, with the exit code: 64 if the command line is wrong, 74 if files
        cannot be read or written, 130 after Ctrl-C, 141 if nobody reads the output any more. If the
        run has one process, other exceptions of `main` are raised again.
    """
    use_utf8_mode()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    # For C++ code of TensorFlow and XLA, in the processes that are started here too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _say_that_there_is_no_tpu()
    _write_what_a_terminal_cannot_show()
    options = [argument.lstrip("-") for argument in sys.argv]
    is_verbosity_set = any(option.startswith(("verbosity", "v=")) for option in options)
    sys.path.append(os.getcwd())  # for task modules of one's own, as `python -m` finds them

    _tidy_log(is_verbose=is_verbosity_set)

    def guarded(argv):
        python_logging.getLogger("hclx").setLevel(python_logging.INFO)
        if not is_verbosity_set:
            # orbax logs a page for each save (--verbosity=0 shows it), and asyncio a traceback of
            # each array for a failed one, whose error reaches the run anyway.
            logging.set_verbosity(logging.ERROR)
            python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
        if commands and len(argv) < 2:
            return _fail(f"the command is missing: {', '.join(commands)}", 64)
        if commands and argv[1] not in commands:
            return _fail(f"{argv[1]} is no command; there are {', '.join(commands)}", 64)
        if len(argv) > 1 + bool(commands) + operands:
            return _fail(f"unexpected argument {argv[-1]!r}; options start with --", 64)
        return _run_to_its_end(main, argv)

    try:
        app.run(guarded, flags_parser=_parse)
    except HclxError as error:
        sys.exit(_fail(str(error), error.exit_code))


_interrupts: list[int] = []  # a module of C++ that is being imported makes another error of Ctrl-C


def _interrupt(number: int, frame: object) -> None:
    _interrupts.append(number)
    raise KeyboardInterrupt


def _run_to_its_end(main: Callable[[list[str]], int | None], argv: list[str]) -> int:
    """Calls `main`; returns the exit code, or raises what is no error for a person."""
    code = 1
    try:
        code = main(argv) or 0
        sys.stdout.flush()  # while a closed pipe can still be told
    except BrokenPipeError:  # whoever read the output, such as `| head`, has enough
        code = _leave(_close_output())
    except KeyboardInterrupt:
        code = _leave(_fail("interrupted with Ctrl-C", _INTERRUPTED))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if code > _BY_SIGNAL:
            _leave(code)
        raise
    except Exception as error:
        known = known_error(error)
        if known is not None:
            code = _leave(_fail(str(known), known.exit_code))
        elif _interrupts:
            code = _leave(_fail("interrupted with Ctrl-C", _INTERRUPTED))
        else:
            _leave_after(error)
            raise
    finally:
        _end_in_time(code)
    return code


def _end_in_time(code: int) -> None:
    """Ends the process by force with the exit code `code` if it has not ended by itself in a few
    seconds: Python waits for threads of libraries, and those of a save that failed wait for each
    other for ten minutes. After a signal it ends at once, as XLA goes on with a compilation that is
    left, and Python, which runs no thread of its own any more, waits for it. One process of several
    waits for the others to end.
    """
    if _is_distributed():
        return

    def end() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed
                stream.flush()
        os._exit(code)

    if code > _BY_SIGNAL:
        end()
    timer = threading.Timer(_END_SECONDS, end)
    timer.daemon = True
    timer.start()


def _say_that_there_is_no_tpu() -> None:
    """Keeps libtpu, which comes with the planner's extra, from looking for a TPU on a machine that
    has none; it would report that as an error.
    """
    vendors = glob.glob("/sys/bus/pci/devices/*/vendor")
    if vendors and not any(Path(path).read_text().strip() == _GOOGLE for path in vendors):
        for name, value in _NO_TPU.items():
            os.environ.setdefault(name, value)


def _write_what_a_terminal_cannot_show() -> None:
    """Lets text that the encoding of a terminal lacks be written as escapes, such as \\uac00, where
    Python would end the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test may have put another in its place
            stream.reconfigure(errors="backslashreplace")


def _tidy_log(is_verbose: bool) -> None:
    """Makes each line of the log clear the progress bar that stands on the terminal first, and
    leaves out the tracebacks of what the run reports itself: hundreds of lines for a failed save.

    Args:
      is_verbose: nothing is left out.
    """
    handler, hook = logging.get_absl_handler().python_handler, sys.unraisablehook
    emit = handler.emit

    def emit_above(record):
        if is_verbose or f"{os.sep}orbax{os.sep}" not in record.pathname:
            with tqdm.external_write_mode():
                emit(record)

    def report(unraisable):
        if unraisable.exc_type is KeyboardInterrupt:  # in a callback, which loses it: once more
            again = lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            threading.Timer(0.05, again).start()
            return
        # TensorStore has one for each array whose writing fails after that of another.
        if is_verbose or str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    handler.emit, sys.unraisablehook = emit_above, report


def _close_output() -> int:
    """Returns the exit code of a program whose output nobody reads any more, as shells have it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own last flush
    return _CLOSED_PIPE


def check_output(flag: str, path: str, makes_folders: bool = False) -> None:
    """Checks that a file can be written, before the work whose result it will hold. Nothing is
    made.

    Args:
      flag: which names it, such as "--json".
      path: of the file.
      makes_folders: whether folders of it that are missing will be made.
    Raises:
      ConfigError: the path is that of a folder, its folder is missing, or this user may not write
        there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise ConfigError(f"{flag}={path} is a folder; give the name of a file in it")
    if not makes_folders and not os.path.exists(folder):
        raise ConfigError(f"{flag}={path}: the folder {folder} does not exist; make it first")
    _check_writable(flag, path, path if os.path.exists(path) else folder)


def check_output_folder(flag: str, path: str) -> None:
    """Checks that a folder can be made or written to, before the work whose result it will hold.
    Nothing is made.

    Args:
      flag: which names it, such as "--output_dir".
      path: of the folder; one of a remote file system, such as gs://BUCKET, is not checked.
    Raises:
      ConfigError: the path is that of a file, or this user may not write there.
    """
    if "://" in path:
        return
    if os.path.exists(path) and not os.path.isdir(path):
        raise ConfigError(f"{flag}={path} is a file; give the name of a folder")
    _check_writable(flag, path, os.path.abspath(path))


def _check_writable(flag: str, path: str, target: str) -> None:
    """Refuses a path if the target, or the nearest folder above it that exists, is closed."""
    existing = target
    while not os.path.exists(existing):
        existing = os.path.dirname(existing)
    if existing != path and os.path.isfile(existing):
        raise ConfigError(f"{flag}={path}: {existing} is a file; give another path")
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"{flag}={path}: this user may not write {existing}; give another path")


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
    check_arguments(sys.orig_argv)
    # Some scripts have --output and some --output_dir: both take either, and --help shows its own.
    for name, other in (("output", "output_dir"), ("output_dir", "output")):
        if name in flags.FLAGS and other not in flags.FLAGS:
            flags.DEFINE_alias(other, name)
    try:
        rest = flags.FLAGS(list(map(expand_home, argv)))
        for name, value in flags.FLAGS.flag_values_dict().items():
            if isinstance(value, float) and not math.isfinite(value):  # NaN is within all bounds
                raise flags.IllegalFlagValueError(f"flag --{name}={value}: give a finite number")
        return rest
    except flags.Error as error:
        message = "; ".join(str(error).splitlines())
        if missing := _REQUIRED.findall(message):
            *others, last = missing
            message = f"{', '.join(others)} and {last} are" if others else f"{last} is"
            message += " missing"
        sys.exit(_fail(f"{message}; --help lists the options", 64))
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
