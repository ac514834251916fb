"""Which points are drawn: those of the results and of the published tables, in their units."""

import pytest

from hclx.evaluate.report.plots import size_label, task_plots
from hclx.evaluate.report.published import tables_of
from hclx.evaluate.report.results_file import read_results
from tests.helpers.written_results import write, write_run


def points(plot):
    return {line.name: [(point.x, point.y) for point in line.points] for line in plot.series}


def test_points_are_the_means_at_their_examples(folders):
    results = read_results(folders[0])
    plot = task_plots([results], "nsmc", [])[0]
    expected = {}
    for run in results.runs:
        if run.task == "nsmc":
            expected.setdefault(run.template, []).append((run.shots, run.figure.mean))
    assert points(plot) == expected


def test_published_sizes_are_in_the_unit_of_the_metric(folders):
    _, plot = task_plots([read_results(folders[0])], "nsmc", tables_of("nsmc"))
    published = points(plot)["HyperCLOVA as published, 70 examples"]
    assert published[0] == pytest.approx((137e6, 0.7311))
    assert published[-1] == pytest.approx((82e9, 0.8816))
    assert len(published) == 8  # without the supervised baseline


def test_steps_are_those_of_the_same_model(folders):
    a, b = map(read_results, folders)
    *_, plot = task_plots([b, a], "kobest_boolq", [])
    (line,) = points(plot).values()
    means = {r.model.step: run.figure.mean for r in (a, b) for run in r.runs[7:8]}
    assert line == [(20_000, means[20_000]), (40_000, means[40_000])]


def test_sizes_are_named_as_models_are():
    sizes = (58_483_584, 1.3e9, 82e9, 950)
    assert [size_label(size) for size in sizes] == ["58.5M", "1.3B", "82B", "950"]


def test_lines_without_a_colour_are_counted_and_have_the_fewest_examples(folders):
    *_, plot = task_plots([read_results(folder) for folder in folders], "nsmc", [])
    names = list(points(plot))
    assert plot.caption == "accuracy by training step (1 more line left out)"
    assert len(names) == 6 and any("hclx, 70 examples" in name for name in names)


def test_models_with_fewer_examples_stand_beside_the_published_sizes(tmp_path):
    few, many = (
        read_results(
            write(
                tmp_path / name,
                [write_run(tmp_path / name, "nsmc", shots=shots, n=6, trials=1)],
                name=name,
            )
        )
        for name, shots in (("few", 4), ("many", 16))
    )
    plot = task_plots([few, many], "nsmc", tables_of("nsmc"))[-1]
    assert {"hclx, 4 examples", "hclx, 16 examples"} < set(points(plot))
