"""What metrics read is there before anything is answered."""

import pytest

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.metrics import METRICS, check_metrics
from hclx.evaluate.suite import run_suite
from tests.evaluate.metrics.cases import predictions_of
from tests.helpers.few_shot import byte_reader, spec

GOLD = {
    "similarity": 2.5,
    "entities": [[0, 1, "PS"]],
    "characters": "나",
    "heads": [0],
    "deprels": ["VP"],
    "state": {},
    "ambiguous": True,
    "biased": "1",
    "unknown": "2",
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_all_that_it_reads(name):
    """With only that it can be computed, and not without any of it."""
    metric = METRICS[name]
    item = lambda *names: Item("7", {}, "1", gold={field: GOLD[field] for field in names})
    metric.function([item(*metric.needs)], predictions_of(["1"]))
    check_metrics([name], [item(*metric.needs)], has_choices=True)
    for lacking in metric.needs:
        others = [field for field in metric.needs if field != lacking]
        with pytest.raises(KeyError):
            metric.function([item(*others)], predictions_of(["1"]))
        with pytest.raises(ConfigError, match=f"{name} needs gold.{lacking}, which item 7 has not"):
            check_metrics([name], [item(*metric.needs), item(*others)], has_choices=True)


def test_probabilities_need_choices():
    with pytest.raises(ConfigError, match="auprc_macro needs probabilities"):
        check_metrics(["accuracy", "auprc_macro"], [], has_choices=False)


def test_a_suite_is_refused_before_it_begins(tmp_path):
    run = spec(metrics=("accuracy", "pearson"))
    with pytest.raises(ConfigError, match="pearson needs gold.similarity, which item r0 has not"):
        run_suite(None, [run], byte_reader(), {}, tmp_path / "out")
    assert not list(tmp_path.iterdir())
