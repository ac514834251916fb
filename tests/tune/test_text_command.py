"""The command of tuning for vectors and pairs."""

import pytest

from hclx.tune.artefact import read_artefact
from hclx.tune.tuning_run import ARTEFACT
from tests.helpers.tuning_runs import TEXTS, tune, write_rows

ROWS = [
    {
        "query": f"{text} {n}",
        "positive": text,
        "text_a": text,
        "text_b": str(n),
        "label": "a b".split()[n % 2],
    }
    for n, text in enumerate(TEXTS * 3)
]


@pytest.fixture(scope="module")
def files(tmp_path_factory, tuning_base):
    folder = tmp_path_factory.mktemp("text_command")
    return folder, tuning_base, f"--data={write_rows(folder / 'rows.jsonl', ROWS)}"


@pytest.mark.parametrize(
    "gin, arguments, metric, tensors",
    [
        ("embed", [], "r1", set()),
        ("pair", ["--gin.TuneConfig.labels='a,b'"], "accuracy", {"pair_head"}),
    ],
    ids=["embed", "pair"],
)
@pytest.mark.long
def test_the_command_writes_an_artefact(files, gin, arguments, metric, tensors):
    folder, base, rows = files
    result = tune(gin, base, folder / gin, rows, *arguments)
    assert result.returncode == 0, result.stderr
    assert f"validation {metric}" in result.stdout and "bits" not in result.stdout + result.stderr
    artefact = read_artefact(folder / gin / ARTEFACT)
    assert f"validation_{metric}" in artefact.metrics
    assert tensors == {"pair_head"} & set(artefact.tune)


def test_a_label_that_is_not_named_is_refused(files):
    folder, base, rows = files
    result = tune("pair", base, folder / "refused", rows, "--gin.TuneConfig.labels='a,c'")
    assert result.returncode == 65 and "label='b' is not one of TuneConfig.labels" in result.stderr
