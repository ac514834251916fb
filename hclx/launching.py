"""What every command in launch/ shares: one line for an error that the user can mend, and its exit code."""

import errno
import logging as python_logging
import os
import sys

from absl import app, flags, logging

from hclx.errors import HclxError, StorageError


def run(main) -> None:
    """Runs `main(argv)` under absl; an `HclxError` becomes one line on stderr and its exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow only prepares text here; it need not greet
    chosen = any(argument.lstrip("-").startswith(("verbosity", "v=")) for argument in sys.argv)

    def guarded(argv):
        python_logging.getLogger("hclx").setLevel(python_logging.INFO)
        if not chosen:
            logging.set_verbosity(logging.ERROR)  # orbax writes a page for each save; --verbosity=0 shows it
            # and for a failed one a traceback of each array; the error itself reaches the run
            python_logging.getLogger("asyncio").setLevel(python_logging.CRITICAL)
        if len(argv) > 1:
            return _fail(f"unexpected argument {argv[1]!r}; options start with --", 64)
        try:
            return main(argv)
        except HclxError as error:
            return _fail(str(error), error.exit_code)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
                raise
            return _fail(f"cannot write {error.filename or ''}: {error.strerror}; free some space and run again", StorageError.exit_code)

    try:
        app.run(guarded, flags_parser=_parse)
    except HclxError as error:
        sys.exit(_fail(str(error), error.exit_code))


def _parse(argv):
    """absl's parser, but a flag that does not exist or cannot be read is a configuration error (64)."""
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
    bindings = [argument.removeprefix("--gin.") for argument in argv if argument.startswith("--gin.")]
    argv[:] = [argument for argument in argv if not argument.startswith("--gin.")]
    return bindings
