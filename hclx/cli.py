"""The command `hclx`: `hclx pretrain --gin_file=...` is `python launch/pretrain.py --gin_file=...`.

A wheel has the scripts of launch/ as modules of `hclx.launch`, so every script there is a command.
"""

import ast
import importlib.util
import re
import runpy
import signal
import sys
from pathlib import Path

import hclx
from hclx.errors import ConfigError, HclxError


def main() -> None:
    """Runs the command that `sys.argv[1]` names, with the arguments that follow it.

    Without arguments, or for `help` or `--help`, it prints the list of commands and returns; for
    `--version`, the version.

    Raises:
      SystemExit: with the exit code of the command; 64 if there is no such command.
    """
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if "--help" in (name, *arguments) and hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly when `| head` has enough
    if name in ("-h", "--help", "help"):
        print(_overview())
    elif name == "--version":
        print(hclx.__version__)
    elif name not in commands():
        print(f"error: {name!r} is not a command of hclx\n\n{_overview()}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)
    else:
        sys.argv[:] = [f"hclx {name}", *arguments]
        try:
            runpy.run_module(f"hclx.launch.{name}", run_name="__main__", alter_sys=True)
        except HclxError as error:  # of an import; the command reports its own
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:  # while libraries are imported
            sys.exit(130)


def commands() -> dict[str, str]:
    """Maps the names of commands, sorted, to what each does: the docstring of its module up to the
    first full stop or colon, on one line.
    """
    (folder, *_) = importlib.util.find_spec("hclx.launch").submodule_search_locations
    return {
        path.stem: _first_sentence(path.read_text(encoding="utf-8"))
        for path in sorted(Path(folder).glob("*.py"))
        if path.stem != "__init__"
    }


def _first_sentence(source: str) -> str:
    return re.split(r"[.:](?:\s|$)", ast.get_docstring(ast.parse(source)))[0].replace("\n", " ")


def _overview() -> str:
    lines = [f"  {name:<16} {sentence}" for name, sentence in commands().items()]
    return "\n".join(
        ["usage: hclx COMMAND [--OPTION=VALUE ...]; hclx COMMAND --help lists its options", ""]
        + lines
    )


if __name__ == "__main__":
    main()
