"""The command: it serves a run and what was tuned for it, and ends by SIGTERM with 0."""

import json
import socket
import urllib.request

import pytest

from hclx.errors import ConfigError
from hclx.infer.model_source import RunFolder
from tests.helpers.commands import launch, refused
from tests.helpers.served_command import serving
from tests.helpers.tuning_runs import write_base


@pytest.fixture(scope="module")
def run(tmp_path_factory, tokenizer_dirs):
    folder = tmp_path_factory.mktemp("served") / "base"
    write_base(folder, tokenizer_dirs["train"])
    return folder


def post(address, **body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/v1/completions", data)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def test_a_run_is_served_until_the_command_is_asked_to_end(run):
    prompt = "오늘 아침에는"
    with serving(f"--model_dir={run}", "--dtype=float32") as (process, address):
        answer = post(address, model="base", prompt=prompt, max_tokens=6, temperature=0)
    assert process.returncode == 0, process.error
    assert "serving base at http://127.0.0.1:" in process.error
    assert prompt not in process.error and "Traceback" not in process.error
    options = ("--max_tokens=6", "--temperature=0", "--dtype=float32")
    text = launch("generate.py", f"--model_dir={run}", f"--prompt={prompt}", *options).stdout
    assert text.removesuffix("\n") in (
        prompt + answer["choices"][0]["text"],
        answer["choices"][0]["text"],
    )


def test_wrong_options_are_refused_before_a_model_is_loaded(tmp_path):
    missing = refused(launch("serve.py"), 64)
    assert missing == "error: --model_dir or --engine is missing; --help lists the options"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        taken = refused(launch("serve.py", f"--model_dir={tmp_path}", f"--port={port}"), 64)
    assert f"--port={port}" in taken and "give another" in taken
    assert "--port" in refused(launch("serve.py", "--model_dir=x", "--port=0"), 64)
    nothing = refused(launch("serve.py", f"--model_dir={tmp_path / 'none'}", f"--port={port}"), 65)
    assert "none" in nothing


def test_artefacts_are_models_beside_the_base(run):
    from hclx.infer.adapters import Adapter
    from hclx.serve.serve_model import open_backend

    class Named:
        record = {"soft": {"kind": "prompt_tune"}}
        default = None

        def load(self, model):
            import numpy as np

            return {"soft": Adapter(slots_pd=np.ones((2, model.config.d_model), np.float32))}

    source = RunFolder(str(run), None, "float32", 2, artefacts=Named())
    with source.open() as engine:
        backend = open_backend(source, engine, "base", (None, None))
        assert dict(backend.models) == {"base": None, "soft": "soft"}
        assert backend.root == "base" and backend.chat_template is None
        with pytest.raises(ConfigError, match="--max_length=100000: the model reads"):
            open_backend(source, engine, "base", (None, 100_000))
