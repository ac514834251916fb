"""The report of an evaluation, and the comparison of two. Needs the `evaluate` extra.

report.html    one page for people, without scripts and without remote files
report.csv     every figure, one row for each run, score and metric
compare.html   the differences of two evaluations, with the items that changed
changed.jsonl  all items that changed
"""

from hclx.errors import require

require("jinja2", "pydantic", extra="evaluate")

from hclx.evaluate.report.comparison import Comparison, compare, to_table  # noqa: E402
from hclx.evaluate.report.html_page import write_comparison, write_report  # noqa: E402
from hclx.evaluate.report.results_file import read_results  # noqa: E402

__all__ = ["Comparison", "compare", "read_results", "to_table", "write_comparison", "write_report"]
