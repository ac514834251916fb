"""The command with a Studio: from nothing, and again; and what it refuses."""

import re

import httpx2
import pytest

from tests.helpers.commands import launch, refused
from tests.helpers.multi_process import free_port
from tests.helpers.served_command import serving
from tests.helpers.studio import API, SAME_ORIGIN
from tests.helpers.tuning_runs import write_base


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer_dirs):
    folder = tmp_path_factory.mktemp("served") / "base"
    write_base(folder, tokenizer_dirs["train"])
    return folder


def token_of(process, address):
    (line,) = [line for line in process.written().splitlines() if line.startswith("the Studio: ")]
    return re.fullmatch(rf"the Studio: {address}/studio/#/login/([\w-]{{40,}})", line)[1]


def test_one_command_opens_a_studio_and_the_next_one_goes_on_with_it(run, tmp_path):
    options = (f"--model_dir={run}", "--dtype=float32", f"--studio_dir={tmp_path}/new/studio")
    tokens = []
    with httpx2.Client(headers=SAME_ORIGIN, timeout=120) as client:
        for number in range(2):
            with serving(*options) as (process, address):
                assert "hclx Studio" in client.get(f"{address}/studio/").text
                # The session outlives the server: a page goes on where it was.
                status = client.get(f"{address}{API}/session").status_code
                assert status == (200 if number else 401)
                tokens.append(token_of(process, address))
                answers = [
                    client.post(f"{address}{API}/login", json={"token": token}).status_code
                    for token in tokens
                ]
                assert answers == [401] * number + [200]
                facts = client.get(f"{address}{API}/session").json()
                assert facts["person"]["name"] == "admin" and facts["has_tuning"]
                assert len(client.get(f"{address}{API}/people").json()["data"]) == 1
                assert client.get(f"{address}/hclx/v1/tuning/jobs").json()["data"] == []
                if number:
                    port = f"--port={free_port()}"
                    assert "in use by another server" in refused(
                        launch("serve.py", *options, port), 64
                    )
            assert process.returncode == 0 and "Traceback" not in process.error
    folder = tmp_path / "new" / "studio"
    assert {"store.db", "tuning"} <= {path.name for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o77 == 0


def test_options_that_do_not_go_together_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    port = f"--port={free_port()}"
    ask = lambda *options: refused(launch("serve.py", port, *options), 64)
    assert "give the name of a folder" in ask("--model_dir=x", f"--studio_dir={tmp_path}/file")
    assert "'nginx'" in ask("--model_dir=x", "--trusted_proxy=nginx")
    assert "--studio_dir" in ask("--model_dir=x", "--tuning_dir=x")
    assert "--tuning_dir" in ask(
        *("--engine=http://127.0.0.1:1", f"--studio_dir={tmp_path}", f"--tuning_dir={tmp_path}")
    )
