"""Two evaluations in the documented format."""

import pytest

from hclx.evaluate.report.comparison import compare
from tests.helpers.written_results import write_evaluation


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluations")
    a = write_evaluation(root / "a", 0, 0.0, step=20_000)
    b = write_evaluation(root / "b", 1, 0.08, step=40_000)
    return a, b


@pytest.fixture(scope="session")
def comparison(folders):
    return compare(*folders)
