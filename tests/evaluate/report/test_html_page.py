"""The pages: they show what the files say, and nothing of a sample is markup."""

import json
from html.parser import HTMLParser

import pytest

from hclx.errors import DataError
from hclx.evaluate.report.glance import (
    cautions,
    domain,
    headlines,
    one_answer,
    summary,
    verdict,
)
from hclx.evaluate.report.html_page import (
    format_number,
    format_p,
    render_comparison,
    render_report,
    write_report,
)
from hclx.evaluate.report.results_file import Figure, read_results
from hclx.evaluate.report.sample_choice import SHOWN, chosen_samples
from tests.helpers.written_results import write, write_run

VOID = ("meta", "br")


class Reader(HTMLParser):
    """Collects a page's text, and checks that its elements are closed in order."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.text, self.tags, self.attributes = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th", "dt", "dd", "summary", "strong"):  # which a browser sets apart
            self.text.append(" ")

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def shown(self) -> str:
        """The text, with white space as a browser shows it."""
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def pages(folders, comparison):
    evaluations = [read_results(folder) for folder in folders]
    return {
        "one": render_report(evaluations[:1]),
        "two": render_report(evaluations),
        "comparison": render_comparison(comparison),
    }


@pytest.mark.parametrize("name", ["one", "two", "comparison"])
def test_a_page_needs_nothing_else_and_runs_nothing(pages, name):
    page = Reader(pages[name])
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert "http" not in pages[name] and "url(" not in pages[name] and "@import" not in pages[name]
    targets = {value for _, attribute, value in page.attributes if attribute in ("href", "src")}
    anchors = {f"#{value}" for _, attribute, value in page.attributes if attribute == "id"}
    assert targets <= anchors
    assert not [a for _, a, _ in page.attributes if a.startswith("on")]


def test_a_sample_with_markup_is_text(tmp_path):
    run = write_run(tmp_path, "nsmc", n=6, trials=1)  # few enough that all items are shown
    write(tmp_path, [run], name="<b>이름</b>")
    text = render_report([read_results(tmp_path)])
    page = Reader(text)
    assert "<script>alert('검사')</script> & \"따옴표\"␇" in page.shown
    assert "<b>이름</b>" in page.shown and "b" not in page.tags[:20]
    assert "\x07" not in text


def test_a_line_a_task_says_metric_interval_chance_and_examples(folders, pages):
    page = Reader(pages["one"]).shown
    record = json.loads((folders[0] / "results.json").read_text(encoding="utf-8"))
    runs = {(run["task"], run["shots_asked"]): run for run in record["runs"]}
    for task, shots, chance, words in (
        (
            "nsmc",
            70,
            "0.500",
            "above chance accuracy of 240 items; chance 0.500, difference +0.314 42 examples of 70",
        ),
        (
            "kobest_boolq",
            4,
            "0.500",
            "at chance f1_macro of 150 items; chance 0.500, difference +0.033 4 examples, lm_eval",
        ),
        (
            "klue_ynat",
            70,
            "0.250",
            "above chance f1_macro of 240 items; chance 0.250, difference +0.328 40 examples of 70",
        ),
        ("korquad", 4, None, "no chance level f1_character of 240 items 4 examples, hyperclova"),
    ):
        run = runs[task, shots]
        figure = run["metrics"][run["main"]]
        mean, low, high = (f"{x:.3f}" for x in (figure["mean"], *figure["interval"]))
        assert f"{task} {mean} [{low}, {high}] {words}" in page
        if run["calibrated"]:
            calibrated = run["calibrated"]["contextual"][run["main"]]
            mean, low, high = (f"{x:.3f}" for x in (calibrated["mean"], *calibrated["interval"]))
            assert f"contextual calibration: {mean} [{low}, {high}], above chance" in page
    assert "5 tasks: 2 above chance" in page
    for caution in (
        "70 examples were asked for and 42 had room",
        "only 150 items",
        "a single draw",
    ):
        assert caution in page


def test_chance_is_told_by_the_interval():
    figure = Figure(0.6, None, (0.55, 0.65))
    for chance, key in ((0.5, "above"), (0.55, "at"), (0.65, "at"), (0.7, "below"), (None, "none")):
        assert verdict(figure, chance) == key


def test_the_headline_is_the_run_with_the_most_examples(folders):
    results = read_results(folders[0])
    lines = headlines(results)
    assert [line.run.task for line in lines] == list(dict.fromkeys(r.task for r in results.runs))
    nsmc = [run.figure.mean for run in results.runs if run.task == "nsmc"]
    assert lines[0].run.shots_asked == 70 and lines[0].n_runs == 7
    assert lines[0].others == (min(nsmc), max(nsmc)) and lines[1].others is None
    assert summary(lines).startswith("5 tasks: ")
    assert any("had room" in text for text in cautions(lines[0].run))


def test_samples_are_counted_and_chosen_by_their_hash(folders):
    results = read_results(folders[0])
    for run in results.runs:
        lines = (folders[0] / run.samples[0]).read_text(encoding="utf-8").splitlines()
        scores = [float(json.loads(line)["correct"]) for line in lines]
        groups = chosen_samples(results, run)
        counts = {name: total for name, (total, _) in groups.items()}
        assert counts.get("right", 0) == scores.count(1)
        assert counts.get("wrong", 0) == scores.count(0)
        assert counts.get("partly right", 0) == len(scores) - scores.count(1) - scores.count(0)
        for total, samples in groups.values():
            assert len({sample.id for sample in samples}) == min(total, SHOWN)
        assert groups == chosen_samples(results, run)


def test_published_figures_stand_beside_with_their_caveats(pages):
    page = Reader(pages["one"]).shown
    assert "HyperCLOVA 82B 1 0.882" in page
    assert "arXiv 2109.04650" in page and "mean of 12 random sets" in page
    assert "HyperCLOVA as published, 70 examples" in page


def test_plots_are_those_with_points_enough(pages):
    one, two = Reader(pages["one"]).shown, Reader(pages["two"]).shown
    assert "accuracy by examples in the prompt" in one
    assert "accuracy by parameters of the model" in one
    assert "by training step" not in one and "accuracy by training step" in two
    assert "f1_macro by examples in the prompt" not in one  # a single number of examples


def test_calibration_bias_reliability_and_confusion_are_there(folders, pages):
    page = Reader(pages["one"]).shown
    run = read_results(folders[0]).runs[6]
    assert "contextual" in page and "accuracy before and after calibration" in page
    assert "majority label +0.310 < 0.001 detected +0.040 0.21 –" in page
    for label, row in zip(run.labels, run.confusion):
        assert "{} {:,.0f} {:,.0f}".format(label, *row) in page
    bins = [(bin.count, abs(bin.accuracy - bin.confidence)) for bin in run.reliability]
    error = sum(n * d for n, d in bins) / sum(n for n, _ in bins)
    assert f"Expected calibration error: {error:.3f}" in page


def test_the_table_of_runs_counts_prompts_with_fewer_examples(tmp_path):
    runs = [write_run(tmp_path, "korquad", shots=shots, n=6, trials=1) for shots in (0, 4)]
    runs[1]["prompts_by_shots"] = {"4": 3, "2": 2, "0": 1}
    page = Reader(render_report([read_results(write(tmp_path, runs))])).shown
    assert "hclx 4 2 in 2 prompts, 0 in 1 prompt 1." in page and "hclx 0 0." in page
    assert "some prompts have fewer than 4 examples: 2 in 2 prompts, 0 in 1 prompt" in page


def test_the_confusion_matrix_has_the_texts_of_choices(tmp_path):
    run = write_run(tmp_path, "nsmc", n=8, trials=1)
    run |= {"labels": ["0", "1", ""], "confusion": [[3, 1, 0], [1, 2, 1], [0, 0, 0]]}
    run["verbalisers"] = {"0": " 부정", "1": "1"}
    page = Reader(render_report([read_results(write(tmp_path, [run]))])).shown
    assert "predicted → 0 부정 1 not read 0 부정 3 1 0 1 1 2 1 not read 0 0 0" in page


def test_a_metric_that_is_no_number_is_a_dash(tmp_path):
    run = write_run(tmp_path, "nsmc", n=6)
    run["metrics"]["accuracy"] |= {"mean": None, "std": None, "interval": None, "trials": [None]}
    page = Reader(render_report([read_results(write(tmp_path, [run]))])).shown
    assert "nsmc –" in page


def test_a_task_without_runs_enough_for_plots_has_a_page(tmp_path):
    run = write_run(tmp_path, "my_task", shots=0, n=3, trials=1)
    bare = {k: run[k] for k in ("task", "template", "prompt_hash", "split", "shots_asked", "shots")}
    bare |= {k: run[k] for k in ("trials", "items", "main", "metrics", "samples")}
    model = {"name": "서버의 모델", "step": None, "parameters": None}
    page = Reader(render_report([read_results(write(tmp_path, [bare], **model))])).shown
    assert "my_task" in page and "no chance level" in page


def test_the_report_is_written_again_with_the_same_bytes(folders, tmp_path):
    first = [path.read_bytes() for path in write_report(folders, tmp_path / "new" / "folder")]
    assert first == [path.read_bytes() for path in write_report(folders, tmp_path)]
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["report.csv", "report.html"]
    with pytest.raises(DataError, match="nothing to report"):
        write_report([], tmp_path)


def test_numbers_for_people():
    assert [format_number(x) for x in (0.5, 12.345, -0.25, None, float("nan"))] == [
        *("0.500", "12.35", "−0.250", "–", "–")
    ]
    assert format_number(0.1, sign=True) == "+0.100"
    assert [format_p(p) for p in (0.0004, 0.0123, 1.0, float("nan"))] == [
        *("< 0.001", "0.012", "1", "–")
    ]
    assert domain("bleu_13a", [3.0]) == (0, 100) and domain("accuracy", [0.5]) == (0, 1)
    assert domain("pearson", [0.5]) == (-1, 1) and domain("chrf", [0.2]) == (0, 100)


def test_the_comparison_shows_both_values_and_items_that_changed(comparison, pages):
    page = Reader(pages["comparison"]).shown
    for d in comparison.differences:
        assert f"{format_number(d.difference, sign=True)} [" in page
        assert (
            f"better with b {d.gained:,}, " in page
            and f"{d.gained:,}, {d.lost:,} {d.metric}" in page
        )


@pytest.mark.parametrize(
    ("confusion", "text"),
    [
        ([[1, 39, 0], [1, 59, 0], [0, 0, 0]], "98% of the predictions are “1 긍정”, the right"),
        ([[0, 0, 40], [0, 5, 55], [0, 0, 0]], "95% of the predictions are “not read”, the right"),
        ([[8, 32, 0], [8, 52, 0], [0, 0, 0]], ""),  # 84%
        ([[0, 5, 0], [0, 95, 0], [0, 0, 0]], ""),  # right answers are as uneven
        (None, ""),
    ],
)
def test_a_model_that_always_answers_the_same_is_told(tmp_path, confusion, text):
    record = write_run(tmp_path, "nsmc", n=8, trials=1)
    record |= {"labels": ["0", "1", ""], "confusion": confusion, "verbalisers": {"1": "긍정"}}
    results = read_results(write(tmp_path, [record]))
    told = one_answer(results.runs[0])
    assert told.startswith(text) and bool(told) == bool(text)
    if text:
        page = Reader(render_report([results])).shown
        share = "60%" if "긍정" in text else "0%"
        assert page.count(f"{told}") == 2 and told.endswith(f"the right answer of {share}")


def test_a_sample_has_the_texts_of_choices(tmp_path):
    run = write_run(tmp_path, "nsmc", n=8, trials=1)
    run |= {"labels": ["0", "1"], "verbalisers": {"0": "부정", "1": "긍정"}}
    page = Reader(render_report([read_results(write(tmp_path, [run]))])).shown
    assert "right answer 0 부정 " in page and "right answer 1 긍정 " in page
    assert "probabilities 0 부정: " in page


def test_several_evaluations_have_their_intervals_and_examples_side_by_side(folders, pages):
    page = Reader(pages["two"]).shown
    for folder in folders:
        figure = read_results(folder).runs[6].figure
        mean, low, high = (f"{x:.3f}" for x in (figure.mean, *figure.interval))
        assert f"▲ {mean}[{low}, {high}]42 of 70 examples" in page
