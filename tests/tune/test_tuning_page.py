"""The recipe of docs/tuning.md runs as it is printed, here with a tiny base."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.helpers.commands import environment
from tests.helpers.tuning_runs import write_base

PAGE = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
RECIPE = re.search(r"## From a table.*?```sh\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_recipe_is_short():
    assert len(RECIPE.splitlines()) <= 20


@pytest.mark.long
def test_the_recipe_runs(tmp_path, tokenizer_dirs):
    write_base(tmp_path / "runs" / "demo", tokenizer_dirs["plain"], max_length=256)
    (tmp_path / "bin").mkdir()
    for name, start in (("python", ""), ("hclx", " -m hclx.cli")):
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable}{start} "$@"\n')
        command.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-e", "-c", RECIPE],
        cwd=tmp_path,
        env={**environment(), "PATH": path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "rows.csv").read_text("utf-8").count("\n") == 201
    items = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text("utf-8").splitlines()]
    assert len(items) == 40 and {item["answer"] for item in items} == {"good", "bad"}
    assert re.search(r"accuracy \d\.\d{4} .*40 items", result.stdout)
