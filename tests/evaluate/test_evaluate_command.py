"""The command `hclx evaluate`: a suite of one's own on a small run; killed, resumed and refused."""

import json
import re
import subprocess

import pytest

from hclx.convert.importing import import_model
from tests.helpers.commands import command, environment, launch, refused
from tests.helpers.families import save_model
from tests.helpers.few_shot import GENERATION, PROMPT, REVIEWS, reviews
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.killing import kill_when_written
from tests.helpers.multi_process import free_port, run_processes

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
SEARCH_ROW = (
    r" +\d+  \w+ +(?P<shots>\d+) +(?P<plain>[\d.]+)  \w+( (?P<value>[\d.]+))?"
    r"(, \d of (?P<asked>\d) dropped)?"
)


def write_items(path, items):
    lines = ({"id": item.id, **item.fields, "answer": item.answer} for item in items)
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run of a small model with random weights."""
    folder, run = tmp_path_factory.mktemp("hf"), tmp_path_factory.mktemp("run") / "small"
    save_model("llama", folder, vocab_size=512)
    save_tokenizer("Qwen", folder)
    import_model(folder, run)
    return run


@pytest.fixture(scope="module")
def n_items(request):
    """More than two batches, where a command is killed between them."""
    return 600 if request.config.getoption("--long") else 40


@pytest.fixture(scope="module")
def suite(tmp_path_factory, n_items):
    """A suite of a task with choices and one whose answers are generated."""
    folder = tmp_path_factory.mktemp("suite")
    write_items(folder / "items.jsonl", reviews(n_items))
    write_items(folder / "few.jsonl", reviews(8))
    write_items(folder / "examples.jsonl", reviews(len(REVIEWS), "e"))
    (folder / "line.json").write_text(json.dumps(PROMPT))
    (folder / "words.json").write_text(json.dumps(GENERATION))
    shared = {"examples": "examples.jsonl", "shots": 2}
    entries = [
        {"task": "mine", "prompt": "line.json", "items": "items.jsonl", **shared, "chance": 0.5},
        {"task": "mine", "prompt": "words.json", "items": "few.jsonl", **shared},
    ]
    (folder / "suite.json").write_text(json.dumps(entries))
    return folder / "suite.json"


def options(run_dir, suite, output):
    return [f"--model_dir={run_dir}", f"--suite={suite}", "--max_length=200", f"--output={output}"]


@pytest.fixture(scope="module")
def whole(run_dir, suite, tmp_path_factory):
    """The results of a command that nobody disturbed."""
    output = tmp_path_factory.mktemp("whole") / "results"
    done = launch("evaluate.py", *options(run_dir, suite, output))
    assert done.returncode == 0, done.stderr
    return output, done.stdout


def results_of(output):
    results = json.loads((output / "results.json").read_text())
    return results["model"], results["runs"]


def test_a_suite_has_results_samples_and_a_report(whole, run_dir, n_items):
    output, printed = whole
    model, (choices, generated) = results_of(output)
    assert model["name"] == "small" and model["model_dir"] == str(run_dir) and model["step"] == 0
    assert choices["items"] == n_items and choices["shots"] == 2 and choices["template"] == "line"
    assert generated["main"] == "exact_match"
    assert f"mine/line   accuracy {choices['metrics']['accuracy']['mean']:.4f}" in printed
    assert {path.name for path in output.iterdir()} >= {"report.html", "report.csv", "samples"}
    lines = (output / choices["samples"][0]).read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [item.id for item in reviews(n_items)]


def without_scores(output):
    """Returns the metrics and samples, but for log-probabilities: which requests share a call of
    the device is a matter of time, and moves their last digits.
    """
    _, runs = results_of(output)
    kept = [
        {k: run[k] for k in run if k not in ("reliability", "calibration_error")} for run in runs
    ]
    samples = [
        [json.loads(line) for line in (output / name).read_text().splitlines()]
        for run in runs
        for name in run["samples"]
    ]
    totals = [
        score["total"]
        for lines in samples
        for line in lines
        for score in line.pop("scores", {}).values()
    ]
    for line in (line for lines in samples for line in lines):
        del line["probabilities"]
    return kept, samples, totals


@pytest.mark.long
def test_a_command_that_was_killed_goes_on_to_the_same_results(
    whole, run_dir, suite, n_items, tmp_path
):
    output = tmp_path / "results"
    arguments = command("evaluate.py", *options(run_dir, suite, output))
    process = subprocess.Popen(arguments, env=environment(), start_new_session=True)
    path = output / "samples" / "mine.line.2shot.0.jsonl"
    kill_when_written(process, path)
    assert 0 < len(path.read_bytes().splitlines()) < n_items
    assert not (output / "results.json").exists()
    done = launch("evaluate.py", *options(run_dir, suite, output))
    assert done.returncode == 0, done.stderr
    *resumed, totals = without_scores(output)
    *expected, expected_totals = without_scores(whole[0])
    assert resumed == expected and totals == pytest.approx(expected_totals, abs=1e-5)
    # And a third time there is nothing to do.
    assert launch("evaluate.py", *options(run_dir, suite, output)).returncode == 0
    message = refused(launch("evaluate.py", *options(run_dir, suite, output), "--seed=1"), 64)
    assert "has results of another" in message and "seed: 0 -> 1" in message


@pytest.mark.long
def test_a_suite_over_two_processes_has_the_results_of_one(run_dir, suite, tmp_path):
    def evaluate(n, *more):
        output = tmp_path / f"results_{n}"
        meeting = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={n}"] * (n > 1)
        flags = [*options(run_dir, suite, output), "--limit=24", *meeting, *more]
        own = lambda i: [f"--process_id={i}"] * (n > 1)
        ended = run_processes([command("evaluate.py", *flags, *own(i)) for i in range(n)], 2)
        assert [result.returncode for result in ended] == [0] * n, ended
        assert [result.stdout.count("mine/line  ") for result in ended] == [1, 0][:n]
        return without_scores(output)

    *one, totals = evaluate(1, "--model_shards=2")
    *two, totals_of_two = evaluate(2)
    assert one == two and totals == pytest.approx(totals_of_two, abs=1e-5) and len(totals) == 48
    assert (tmp_path / "results_2" / "report.html").exists()


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        (["--suite=kobest", "--output=x"], 64, "--model_dir (or --engine), --suite and --output"),
        (["--model_dir=x", "--suite=none", "--output=x"], 64, "--suite=none: there is none but"),
        (
            ["--model_dir=x", "--suite=kobest", "--output=x", "--tasks=nsmc"],
            64,
            "--tasks=nsmc are none of the suite: kobest_boolq",
        ),
        (
            ["--model_dir=x", "--suite=kobest", "--output=x", "--data_dir=/nowhere"],
            65,
            "kobest_boolq",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_loaded(arguments, code, message):
    done = launch("evaluate.py", *arguments, variables={"HCLX_DATA_DIR": None})
    assert done.returncode == code and message in done.stderr


def search_options(run_dir, folder, output):
    """Writes reviews as NSMC has them; returns the options of a search on them."""
    nsmc = folder / "tasks" / "nsmc"
    nsmc.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 40), ("test", 12)):
        lines = [f"{n}\t{split} {REVIEWS[n % 8][0]} {n}\t{REVIEWS[n % 8][1]}" for n in range(count)]
        text = "\n".join(["id\tdocument\tlabel", *lines]) + "\n"
        (nsmc / f"ratings_{split}.tsv").write_text(text)
    model = (f"--model_dir={run_dir}", "--max_length=200", f"--data_dir={folder}")
    return model, ("--task=nsmc", "--templates=hclx,hyperclova", "--limit=8", f"--output={output}")


@pytest.mark.long
def test_a_search_that_was_killed_goes_on_to_the_same_prompt(run_dir, tmp_path):
    numbers = ("--shots=0,2,3", "--budget=40")

    def arguments(name):
        model, search = search_options(run_dir, tmp_path, tmp_path / name)
        return (*model, *search, *numbers)

    whole = launch("search_prompt.py", *arguments("whole.json"))
    assert whole.returncode == 0, whole.stderr
    killed = command("search_prompt.py", *arguments("killed.json"))
    process = subprocess.Popen(
        killed, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL
    )
    path = tmp_path / "killed.json.resume" / "samples" / "tried.jsonl"
    kill_when_written(process, path)
    n_kept = len(path.read_bytes().splitlines())
    assert not (tmp_path / "killed.json").exists()
    again = launch("search_prompt.py", *arguments("killed.json"))
    assert again.returncode == 0, again.stderr
    assert again.stdout.replace("killed.json", "whole.json") == whole.stdout
    texts = [(tmp_path / f"{name}.json").read_text() for name in ("whole", "killed")]
    assert texts[0] == texts[1].replace("killed", "whole")
    kept = path.read_bytes()
    assert 0 < n_kept < len(kept.splitlines()) == len(whole.stdout.splitlines()) - 5
    # And a third time there is nothing to do, and another search is refused.
    assert launch("search_prompt.py", *arguments("killed.json")).stdout == again.stdout
    message = refused(launch("search_prompt.py", *arguments("killed.json"), "--seed=1"), 64)
    assert "killed.json.resume has results of another plan" in message and path.read_bytes() == kept


@pytest.mark.long
def test_a_prompt_that_was_searched_is_evaluated(run_dir, tmp_path):
    model, search = search_options(run_dir, tmp_path, tmp_path / "b.json")
    done = launch("search_prompt.py", *model, *search, "--shots=0,2", "--shots=3", "--budget=9")
    assert done.returncode == 0, done.stderr
    _, _, *tried, best, _, suite = done.stdout.splitlines()
    rows = [re.fullmatch(SEARCH_ROW, line) for line in tried]
    assert [int(row["asked"] or row["shots"]) for row in rows] == [0, 0, 2, 2, 2, 2, 3, 3, 3]
    values = [max(float(row["plain"]), float(row["value"] or 0)) for row in rows]
    assert f"accuracy {max(values):.4f}" in best
    (tmp_path / "suite.json").write_text(suite)
    output = tmp_path / "results"
    options = (f"--suite={tmp_path}/suite.json", f"--output={output}")
    done = launch("evaluate.py", *model, *options)
    assert done.returncode == 0, done.stderr
    _, (run,) = results_of(output)
    assert run["items"] == 12 and run["template"] == "b" and run["draw"] == "fixed"
    method = json.loads(suite)[0].get("calibration")
    assert run["calibration"] == method and ("calibrated by" in done.stdout) == bool(method)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "--model_dir (or --engine), --task and --output are needed"),
        (["--shots=0,x"], "flag --shots=0,x: give whole numbers from 0 on"),
        (["--model_dir=x", "--task=no", "--output=x.json"], "no task 'no'"),
        (["--model_dir=x", "--task=nsmc", "--output=no/x.json"], "folder"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_a_model_is_loaded(arguments, message):
    assert message in refused(launch("search_prompt.py", *arguments), 64)
