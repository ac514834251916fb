"""What several tests of tuning share."""

from types import SimpleNamespace

import pytest

from hclx.prompts import load_prompt
from hclx.tune.row_files import read_rows
from tests.helpers.tuning_runs import labelled_rows, write_base, write_prompt, write_rows


@pytest.fixture(scope="session")
def tuning_base(tmp_path_factory, tokenizer_dirs):
    """A run with random weights, which no test changes."""
    return str(write_base(tmp_path_factory.mktemp("base") / "base", tokenizer_dirs["plain"]))


@pytest.fixture(scope="module")
def place(tmp_path_factory, tuning_base):
    """Files for all runs: a base, a prompt document and rows."""
    folder = tmp_path_factory.mktemp("tuning")
    return SimpleNamespace(
        folder=folder,
        base=tuning_base,
        prompt=load_prompt(write_prompt(folder / "prompt.json")),
        rows=read_rows(write_rows(folder / "rows.jsonl", labelled_rows())),
    )
