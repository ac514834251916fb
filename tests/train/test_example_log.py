"""The log of examples over attempts that have other processes; what it holds is compared in
tests/recovery.
"""

from hclx.train.example_log import ExampleLog, read_examples
from hclx.train.jsonl import to_line


def test_a_resumed_run_drops_later_steps_also_of_processes_that_are_no_more(tmp_path):
    for process in range(2):
        path = tmp_path / "examples" / f"process-{process}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "".join(
                to_line({"step": step, "examples": [2 * step + process], "crc32": [process]})
                for step in (1, 2, 3)
            )
        )
    with ExampleLog(tmp_path, None, 1):
        assert read_examples(tmp_path) == {1: {2: 0, 3: 1}}
