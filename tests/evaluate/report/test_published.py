"""The published figures: their form, and some of them by hand."""

import json
from importlib import resources

import pytest

from hclx.evaluate.metrics import METRICS
from hclx.evaluate.report.published import tables_of
from hclx.evaluate.report.published_rows import tables_with_own_rows
from hclx.evaluate.report.results_file import Figure, Run

FILE = resources.files("hclx.evaluate.report") / "published.json"
TABLES = json.loads(FILE.read_text(encoding="utf-8"))["tables"]


def own(shots, metric, value):
    figures = {metric: Figure(value)}
    return Run("t", "hclx", "", "dev", shots, shots, 1, 9, metric, figures, ())


@pytest.mark.parametrize("table", TABLES, ids=lambda t: f"{t['task']} {t['metric']} {t['source']}")
def test_a_table_is_whole(table):
    assert table["metric"] in METRICS and table["scale"] in (1, 100)
    assert len(table["source"]) > 10 and len(table["caveat"]) > 10
    for name, size, *values in table["rows"]:
        assert name and (size is None or size > 10**6)
        assert len(values) == len(table["shots"])
        numbers = [value for value in values if value is not None]
        is_percent = table["scale"] == 100 or table["metric"].startswith("bleu")
        assert numbers and all(0 < value < (100 if is_percent else 1) for value in numbers)


@pytest.mark.parametrize(
    ("task", "metric", "model", "shots", "value"),
    [
        ("nsmc", "accuracy", "HyperCLOVA 82B", "70", 0.8816),
        ("nsmc", "accuracy", "HyperCLOVA 137M", "70", 0.7311),
        ("nsmc", "accuracy", "supervised baseline", "fine-tuned", 0.8966),
        ("korquad", "f1_character", "HyperCLOVA 13B", "4", 0.8212),
        ("korquad", "exact_match", "HyperCLOVA 1.3B", "4", 0.5528),
        ("ko_en", "bleu_13a", "HyperCLOVA 82B", "4", 10.37),
        ("en_ko", "bleu_mecab", "HyperCLOVA 6.9B", "4", 27.93),
        ("klue_ynat", "f1_macro", "HyperCLOVA 39B", "70", 0.7141),
        ("klue_sts", "f1_positive", "HyperCLOVA 760M", "40", 0.5216),
        ("kobest_sentineg", "f1_macro", "polyglot-ko 12.8B", "50", 0.9723),
        ("kobest_copa", "f1_macro", "KoGPT 6B", "0", 0.7345),
        ("kmmlu", "accuracy", "Kanana-Flag 32.5B", "5", 0.6210),
    ],
)
def test_figures_by_hand(task, metric, model, shots, value):
    (table,) = tables_with_own_rows(tables_of(task), [("m", own(3, metric, 0.5))])
    values = [row.values[shots] for row in table.rows if row.model == model and shots in row.values]
    assert value in [pytest.approx(v) for v in values if v is not None]


def test_own_rows_come_first_and_columns_are_in_order():
    runs = [("m", own(100, "accuracy", 0.7)), ("m", own(4, "accuracy", 0.6))]
    (table,) = tables_with_own_rows(tables_of("nsmc"), runs)
    assert table.columns == ["4", "20", "40", "70", "100", "few", "fine-tuned", "not stated"]
    assert table.rows[0].values == {"100": 0.7, "4": 0.6} and table.rows[0].note == 0
    assert [row.note for row in table.rows[1:10]] == [1] * 9


def test_a_metric_that_was_not_measured_has_no_table():
    assert tables_with_own_rows(tables_of("nsmc"), [("m", own(4, "f1_macro", 0.7))]) == []
    assert tables_of("no such task") == []
