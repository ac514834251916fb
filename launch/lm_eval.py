"""Runs lm-evaluation-harness with hclx's models: hclx lm_eval run --model=hclx --tasks=kobest
--model_args=model_dir=runs/demo

The options are those of the harness; `hclx lm_eval run --help` lists them.
"""

import sys
from pathlib import Path

# Here are scripts with the names of libraries that the harness imports.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != _HERE]

from hclx.errors import HclxError, require  # noqa: E402
from hclx.utf8 import use_utf8_mode  # noqa: E402


def main() -> int:
    use_utf8_mode()
    try:
        require("lm_eval")
        from lm_eval.__main__ import cli_evaluate

        import hclx.evaluate.lm_eval  # noqa: F401  # the harness knows the model from here on

        cli_evaluate()
    except HclxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
