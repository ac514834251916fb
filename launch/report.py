"""Writes the report of evaluations that are done, and compares two: hclx report runs/eval, and
hclx report runs/eval --compare=runs/other

Several folders give one page, with their figures side by side and against size and step. See
docs/evaluation_report.md.
"""

import sys

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output_folder, run

OUTPUT = flags.DEFINE_string(
    "output", None, "The folder of the report; default: that of the first evaluation."
)
COMPARE = flags.DEFINE_string(
    "compare", None, "An evaluation: its items are joined with those of the one before, and tested."
)


def main(argv):
    folders = argv[1:]
    if not folders:
        raise ConfigError("the folder of an evaluation is missing: hclx report DIR")
    if COMPARE.value and len(folders) > 1:
        raise ConfigError("--compare goes with one folder: hclx report DIR --compare=OTHER")
    output = OUTPUT.value or folders[0]
    check_output_folder("--output", output)
    from hclx.evaluate.report import compare, to_table, write_comparison, write_report

    if COMPARE.value:
        comparison = compare(folders[0], COMPARE.value)
        print(to_table(comparison), end="\n\n")
        files = write_comparison(comparison, output)
    else:
        files = write_report(folders, output)
    for file in files:
        print(file)


if __name__ == "__main__":
    run(main, operands=sys.maxsize)
