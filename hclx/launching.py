"""What every command in launch/ shares: one line for an error that the user can mend, and its exit code."""

import errno
import sys

from absl import app, flags, logging

from hclx.errors import HclxError, StorageError


def run(main) -> None:
    """Runs `main(argv)` under absl; an `HclxError` becomes one line on stderr and its exit code."""
    def guarded(argv):
        if flags.FLAGS["verbosity"].using_default_value:
            logging.set_verbosity(logging.WARNING)  # orbax writes a page for each save; --verbosity=0 shows it
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
