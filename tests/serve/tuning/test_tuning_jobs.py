"""Jobs of tuning over HTTP, with a stand-in for their processes: the whole way, and its turns."""

import json
import time

import pytest

pytest.importorskip("sqlalchemy")
pytest.importorskip("python_multipart")

from hclx.serve.store.job_records import claim_job, find_job
from hclx.tune.run_progress import curve_of
from tests.helpers.tuning_runs import PROMPT, write_base
from tests.helpers.tuning_service import (
    LINES,
    ROWS,
    SETTINGS,
    FakeProcess,
    TuningServer,
    opened_base,
    until,
)

CHOSEN = "".join(
    json.dumps({"text": f"밥 {i}", "answer": answer}) + "\n"
    for i in range(9)
    for answer in ("good", "bad")
)
DATASETS, JOBS, ARTEFACTS = "/hclx/v1/datasets", "/hclx/v1/tuning/jobs", "/hclx/v1/artefacts"


@pytest.fixture(scope="module")
def base(tmp_path_factory, tokenizer_dirs):
    folder = write_base(tmp_path_factory.mktemp("tuned") / "base", tokenizer_dirs["plain"])
    with opened_base(folder) as base:
        yield base


@pytest.fixture
def started():
    FakeProcess.started = []
    return FakeProcess.started


@pytest.fixture
def place(tmp_path):
    return f"{tmp_path}/keys.db", tmp_path / "tuning"


@pytest.fixture
def server(base, place, started):
    with TuningServer(base, *place) as server:
        yield server


def add_dataset(server, key, text=LINES, name="rows.jsonl", **query):
    answer = server.client.post(DATASETS, content=text, params={"name": name, **query}, headers=key)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def ask(server, key, data, **fields):
    body = {"name": "taste", "dataset": data, "kind": "prompt_tune", "settings": SETTINGS}
    return server.client.post(JOBS, json={**body, **fields}, headers=key)


def add_job(server, key, data, **fields):
    answer = ask(server, key, data, **fields)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def job_of(server, key, job):
    return server.client.get(f"{JOBS}/{job}", headers=key).json()


def complete(server, key, model):
    body = {"model": model, "prompt": "밥이", "max_tokens": 4, "temperature": 0}
    return server.client.post("/v1/completions", json=body, headers=key)


def names(server, key):
    models = server.client.get("/v1/models", headers=key).json()["data"]
    return [model["id"] for model in models]


def refusal(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_the_whole_way_from_a_file_to_a_model_and_again_after_a_restart(
    base, place, started, server
):
    key, other = server.key("ours"), server.key("others")
    job = add_job(server, key, add_dataset(server, key))
    (process,) = until(lambda: started)
    assert process.option("base").endswith("base:0") and process.option("data").endswith(".jsonl")
    assert "--gin.TrainConfig.total_steps=4" in process.command
    process.report(1, loss=5.5)
    process.report(3, loss=4.5, validation_loss=4.0)
    watched = until(lambda: (j := job_of(server, key, job))["step"] == 3 and j)
    assert watched["state"] == "running" and watched["total_steps"] == 4
    assert watched["metrics"] == {"loss": 4.5, "validation_loss": 4.0}
    assert complete(server, key, "base:taste").status_code == 404
    process.finish(base)
    done = until(lambda: (j := job_of(server, key, job))["ended"] and j)
    assert (done["state"], done["model"], done["error"]) == ("succeeded", "base:taste", None)
    tuned = complete(server, key, "base:taste").json()["choices"][0]["text"]
    assert tuned != complete(server, key, "base").json()["choices"][0]["text"]
    assert complete(server, key, job).json()["choices"][0]["text"] == tuned  # as a task
    assert names(server, key) == ["base", "base:taste"] and names(server, other) == ["base"]
    assert refusal(complete(server, other, "base:taste"), 404)["code"] == "model_not_found"
    for caller, status in ((key, 200), (other, 404)):
        items = {"model": "base:taste", "items": [{"context": "밥이", "continuation": " 좋다"}]}
        answer = server.client.post("/hclx/v1/score", json=items, headers=caller)
        assert answer.status_code == status, answer.text
        document = server.client.get("/openapi.json", headers=caller).text
        assert ("base:taste" in document) == (caller is key)
    server.close()
    with TuningServer(base, *place) as again:
        assert names(again, key) == ["base", "base:taste"]
        assert complete(again, key, "base:taste").json()["choices"][0]["text"] == tuned


def test_an_artefact_is_its_tenants_until_it_is_removed(base, started, server):
    key, other, admin = server.key("ours"), server.key("others"), server.key("a", ("admin",))
    dataset = add_dataset(server, key)
    job = add_job(server, key, dataset)
    until(lambda: started)[0].finish(base)
    until(lambda: job_of(server, key, job)["ended"])
    error = refusal(ask(server, key, dataset), 409)
    assert error["code"] == "name_taken" and "taste" in error["message"]
    (record,) = server.client.get(ARTEFACTS, headers=key).json()["data"]
    assert record["model"] == "base:taste" and record["metrics"] == {"step": 4}
    assert server.client.get(ARTEFACTS, headers=other).json()["data"] == []
    for path in (f"{ARTEFACTS}/{job}", f"{JOBS}/{job}", f"{DATASETS}/{dataset}"):
        assert server.client.get(path, headers=key).status_code == 200
        assert server.client.get(path, headers=admin).status_code == 200
        assert server.client.get(path, headers=other).status_code == 404
        assert server.client.get(path, headers=server.key("x", ("inference",))).status_code == 403
    assert server.client.delete(f"{ARTEFACTS}/{job}", headers=other).status_code == 404
    assert server.client.delete(f"{ARTEFACTS}/{job}", headers=admin).status_code == 200
    assert complete(server, key, "base:taste").status_code == 404
    assert names(server, key) == ["base"]
    assert server.client.get(ARTEFACTS, headers=key).json()["data"] == []


def test_a_job_that_fails_says_why_with_the_name_of_the_file(started, server):
    key = server.key("ours")
    job = add_job(server, key, add_dataset(server, key))
    process = until(lambda: started)[0]
    path = process.option("data")
    process.fail(65, f"step 1\nTraceback ...\nerror: {path}:7 has no row to learn from\n")
    job = until(lambda: (j := job_of(server, key, job))["ended"] and j)
    assert (job["state"], job["error"]) == ("failed", "rows.jsonl:7 has no row to learn from")


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(started, server):
    key = server.key("ours")
    dataset = add_dataset(server, key)
    first = add_job(server, key, dataset)
    process = until(lambda: started)[0]
    second = add_job(server, key, dataset, name="other")
    error = refusal(ask(server, key, dataset, name="third"), 429)
    assert "2 jobs have not ended" in error["message"]
    held = server.client.delete(f"{DATASETS}/{dataset}", headers=key)
    assert refusal(held, 409)["code"] == "conflict"
    for job in (second, first):
        assert server.client.post(f"{JOBS}/{job}/cancel", headers=key).status_code == 200
        until(lambda: job_of(server, key, job)["state"] == "cancelled")
    assert process.was_asked_to_end and len(started) == 1
    assert server.client.delete(f"{DATASETS}/{dataset}", headers=key).json()["deleted"]
    assert refusal(server.client.get(f"{DATASETS}/{dataset}", headers=key), 404)


def test_a_server_that_ends_saves_its_job_and_the_next_goes_on(base, place, started):
    with TuningServer(base, *place) as server:
        key = server.key("ours")
        job = add_job(server, key, add_dataset(server, key))
        until(lambda: started)
    assert started[0].was_asked_to_end
    with TuningServer(base, *place) as server:
        until(lambda: len(started) == 2)
        assert started[1].command == started[0].command
        assert job_of(server, key, job)["state"] == "running"
        started[1].finish(base)
        until(lambda: job_of(server, key, job)["state"] == "succeeded")


def test_a_job_of_a_server_that_is_gone_goes_on_here(base, place, started):
    with TuningServer(base, *place, runs=False) as server:
        key = server.key("ours")
        job = add_job(server, key, add_dataset(server, key))
        fingerprint = find_job(server.database, job).base
        claim_job(server.database, "gone", fingerprint, time.time() - 100, 2.0)
        assert job_of(server, key, job)["state"] == "running"
    with TuningServer(base, *place) as server:
        until(lambda: started)[0].finish(base)
        until(lambda: job_of(server, key, job)["state"] == "succeeded")
        assert find_job(server.database, job).lost == 1


def test_a_job_that_another_server_has_taken_is_left_to_it(base, started, server):
    key = server.key("ours")
    job = add_job(server, key, add_dataset(server, key))
    process = until(lambda: started)[0]
    with server.database.writing() as connection:
        connection.exec_driver_sql("UPDATE tuning_jobs SET runner = 'other'")
    until(lambda: process.code() == 137)
    assert job_of(server, key, job)["state"] == "running"


def test_a_job_whose_process_was_ended_goes_on_unless_the_server_ends(started, server):
    key = server.key("ours")
    job = add_job(server, key, add_dataset(server, key))
    until(lambda: started)[0].fail(75, "error: SIGTERM: saved step 2")
    until(lambda: len(started) == 2)
    server.runner.is_draining = lambda: True
    started[1].fail(143, "")
    until(lambda: job_of(server, key, job)["state"] == "queued")
    time.sleep(0.2)
    assert len(started) == 2 and find_job(server.database, job).lost == 0


def test_events_tell_the_progress_and_the_end(base, started, server):
    key = server.key("ours")
    job = add_job(server, key, add_dataset(server, key))
    until(lambda: started)[0].report(2, loss=1.5)
    until(lambda: job_of(server, key, job)["step"] == 2)
    started[0].finish(base)
    text = server.client.get(f"{JOBS}/{job}/events", headers=key).text
    *_, last = [block.split("\n") for block in text.split("\n\n") if block]
    assert last[0] == "event: end"
    assert json.loads(last[1].removeprefix("data: "))["state"] == "succeeded"
    assert server.client.get(f"{JOBS}/none/events", headers=key).status_code == 404


def test_the_course_of_a_job_is_told_from_its_first_step_on(base, started, server):
    key, other = server.key("ours"), server.key("others")
    data = add_dataset(server, key, CHOSEN)
    job = add_job(server, key, data, prompt=PROMPT, kind="lora", settings={})
    path = f"{JOBS}/{job}/metrics"
    assert server.client.get(path, headers=key).json()["data"] == []
    process = until(lambda: started)[0]
    process.report(1, loss=5.5, mfu=0.5, validation_loss=None)
    process.report(2, loss=float("nan"), validation_loss=4.5, validation_accuracy=0.25)
    assert server.client.get(path, headers=key).json()["data"] == [
        {"step": 1, "loss": 5.5},
        {"step": 2, "validation_loss": 4.5, "validation_accuracy": 0.25},
    ]
    assert job_of(server, key, job)["prompt"] == PROMPT
    assert server.client.get(path, headers=other).status_code == 404
    assert server.client.get(f"{JOBS}/none/metrics", headers=key).status_code == 404


def test_a_long_course_keeps_its_evaluations_and_its_ends(tmp_path):
    with (tmp_path / "metrics.jsonl").open("w") as file:
        for step in range(1, 1001):
            evaluated = {"validation_loss": 1.0} if step % 99 == 0 else {}
            print(json.dumps({"step": step, "loss": 1 / step, **evaluated}), file=file)
    steps = [figures["step"] for figures in curve_of(tmp_path, 100)]
    assert steps == sorted({*range(1, 1001, 10), *range(99, 1001, 99), 1000})
    assert len(curve_of(tmp_path, 1000)) == 1000 and curve_of(tmp_path / "none", 9) == []


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"name": "two words"}, "name='two words'"),
        ({"kind": "magic"}, "kind"),
        ({"dataset": 5}, "dataset"),
        ({"colour": 1}, "colour"),
        ({"settings": {"TrainConfig.suite": "x"}}, "TrainConfig.suite"),
        ({"settings": {"DataConfig.input": "/etc/passwd"}}, "DataConfig.input"),
        ({"settings": {"TuneConfig.init_text'": "a'\nimport os"}}, "is no setting"),
        ({"settings": {"TrainConfig.total_steps": 10**9}}, "100,000 that are allowed"),
        ({"settings": {**SETTINGS, "TrainConfig.total_steps": "ten"}}, "TrainConfig.total_steps"),
        ({"settings": {**SETTINGS, "TuneConfig.length": 10**9}}, "no room for text"),
        ({"settings": {**SETTINGS, "TrainConfig.sequence_length": 4}}, "rows.jsonl:"),
        ({"settings": {**SETTINGS, "TrainConfig.global_batch_size": 10**6}}, "in a step"),
        ({"kind": "lora", "settings": {"TuneConfig.rank": 10**9}}, "would train"),
        ({"epochs": 3}, "give one of them"),
        ({"prompt": {"schema": "hclx.prompt/1"}}, "prompt: "),
        ({"prompt": PROMPT}, "rows.jsonl:1 has no 'text'"),
        ({"validation": "ds-none"}, "ds-none"),
    ],
)
def test_a_job_that_could_not_run_is_refused_at_once(started, server, fields, words):
    key = server.key("ours")
    answer = ask(server, key, add_dataset(server, key), **fields)
    error = refusal(answer, 404 if "validation" in fields else 400)
    assert words in error["message"] and "/tuning/" not in error["message"]
    assert not started


def test_steps_follow_from_epochs(started, server):
    key = server.key("ours")
    settings = {"TrainConfig.global_batch_size": 2, "TrainConfig.sequence_length": 32}
    answer = ask(server, key, add_dataset(server, key), epochs=2, settings=settings)
    job = answer.json()
    # one or more rows of each sequence, and a tenth is held out
    assert 1 <= job["total_steps"] <= 2 * len(ROWS) / 2
    assert job["settings"]["OptimizerConfig.warmup_steps"] < job["total_steps"]


def test_clova_tasks_are_jobs(base, started, server):
    key, path = server.key("ours"), "/tuning/v2/tasks"
    table = "C_ID,T_ID,Text,Completion\n" + "".join(f"{i},0,밥 {i},좋다\n" for i in range(9))
    files = {"trainingDataset": ("rows.csv", table)}
    fields = {"model": "base", "name": "taste", "trainEpochs": "2", "learningRate": "0.01"}
    answer = server.client.post(path, data=fields, files=files, headers=key).json()
    assert answer["status"]["code"] == "20000", answer
    task = answer["result"]
    assert (task["trainEpochs"], task["learningRate"], task["method"]) == (2, 0.01, "LoRA")
    process = until(lambda: started)[0]
    assert process.option("gin_file") == "runs/lora.gin"
    show = lambda: server.client.get(f"{path}/{task['id']}", headers=key).json()["result"]
    until(lambda: show()["status"] == "RUNNING")
    (listed,) = server.client.get(path, headers=key).json()["result"]["tasks"]
    assert listed["id"] == task["id"]
    process.finish(base)
    until(lambda: show()["status"] == "SUCCEEDED")
    body = {"text": "밥이", "maxTokens": 4}
    answered = server.client.post(f"/v1/tasks/{task['id']}/completions", json=body, headers=key)
    assert answered.json()["status"]["code"] == "20000"
    for fields, code in (
        ({"model": "HCX-9", "trainingDatasetFilePath": "x"}, "40080"),
        ({"model": "base"}, "40001"),
        ({"model": "base", "trainingDatasetFilePath": "x"}, "40400"),
        ({"model": "base", "trainingDatasetBucket": "x"}, "40009"),
        ({"model": "base", "trainEpochs": 21}, "40001"),
    ):
        answer = server.client.post(path, json=fields, headers=key)
        assert answer.json()["status"]["code"] == code, answer.text
    assert server.client.get(f"{path}/none", headers=key).json()["status"]["code"] == "40400"


def test_a_server_without_the_files_says_so(base, place, started, tmp_path):
    with TuningServer(base, *place, runs=False) as server:
        key = server.key("ours")
        job = add_job(server, key, add_dataset(server, key))
    with TuningServer(base, place[0], tmp_path / "another") as server:
        ended = until(lambda: (j := job_of(server, key, job))["ended"] and j)
        assert ended["state"] == "failed" and "rows.jsonl is not in" in ended["error"]
    assert not started
