"""report.csv has every figure of results.json, in its place."""

import csv
import json

from hclx.evaluate.report.html_page import write_report


def test_every_figure_is_a_row(folders, tmp_path):
    _, path = write_report(folders, tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {}
    for folder in folders:
        for run in json.loads((folder / "results.json").read_text(encoding="utf-8"))["runs"]:
            place = (str(folder), run["task"], run["template"], str(run["shots_asked"]))
            for metric, figure in run["metrics"].items():
                expected[*place, run["score"], "", metric] = figure
            for score, figures in run["scores"].items():
                for metric, figure in figures.items():
                    expected.setdefault((*place, score, "", metric), figure)
            for method, figures in run["calibrated"].items():
                for metric, figure in figures.items():
                    expected[*place, run["score"], method, metric] = figure
    names = ("folder", "task", "template", "shots_asked", "score", "calibration", "metric")
    read = {tuple(row[name] for name in names): row for row in rows}
    assert len(rows) == len(read) == len(expected) and set(read) == set(expected)
    for key, figure in expected.items():
        row = read[key]
        assert float(row["mean"]) == figure["mean"]
        assert [float(row["low"]), float(row["high"])] == figure["interval"]
    assert {row["model_step"] for row in rows} == {"20000", "40000"}
    mains = [row for row in rows if row["main"] == "1"]
    assert len(mains) == 2 * 11 and all(not row["calibration"] for row in mains)
    chances = {row["chance"] for row in rows if row["task"] == "korquad"}
    assert chances == {""}
