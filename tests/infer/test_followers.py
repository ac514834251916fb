"""An engine over several processes, of which process 0 has the requests."""

import dataclasses
import json
import signal
import sys
import time

import jax
import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.infer import EmbeddedEngine, follow
from hclx.infer.calls import DeviceCalls
from hclx.infer.followers import LeadingCalls, flatten, unflatten
from hclx.infer.sampling import SamplingConfig
from tests.helpers.commands import command
from tests.helpers.decoding import settings_of
from tests.helpers.engines import loaded
from tests.helpers.following import CONFIG, SHARED
from tests.helpers.multi_process import LIMIT, free_port, run_processes
from tests.helpers.numpy_decoder import forward, noisy_params
from tests.helpers.runs import pretrain

SMALL = dataclasses.replace(CONFIG, n_layers=1, d_model=16, n_heads=2, max_length=64)


@pytest.fixture
def run(tokenizer_dirs):
    """A function that runs tests/helpers/following.py. Its arguments: the number of processes and
    of devices in all, the work of process 0, and arguments of single processes.
    """

    def run(n, devices, work, only={}):
        meeting = f"--coordinator=127.0.0.1:{free_port()}"
        arguments = [sys.executable, "-m", "tests.helpers.following", meeting, f"--processes={n}"]
        arguments += [f"--tokenizer={tokenizer_dirs['train']}", f"--work={work}"]
        arguments += [f"--devices={devices}"]
        own = [[f"--process={i}", *only.get(i, ()), *only.get("all", ())] for i in range(n)]
        return run_processes([[*arguments, *more] for more in own], devices)

    return run


def results(ended):
    """The results that process 0 has printed, if all processes have ended well."""
    assert [result.returncode for result in ended] == [0] * len(ended), ended
    lines = ended[0].stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith("{")))


def refusals(ended, codes):
    """The errors of processes that have ended with exit codes."""
    assert [result.returncode for result in ended] == codes, ended
    lines = [[s for s in r.stderr.splitlines() if s.startswith("error: ")] for r in ended]
    return ["".join(of_process) for of_process in lines]


def check_close(one, other):
    assert one["texts"] == other["texts"]
    for name in one.keys() - {"texts"}:
        for expected, result in zip(one[name], other[name], strict=True):
            np.testing.assert_allclose(result, expected, atol=1e-5, err_msg=name)


def test_settings_of_a_row_come_as_they_were():
    settings = settings_of(SamplingConfig(seed=5, min_p=0.5), 9, ends=(1,), step=3)
    arguments = (np.int64(2), settings, 0, np.arange(3, dtype=np.uint32), False)
    row, received, at, allowed, with_top = unflatten("begin", flatten(arguments))
    assert (int(row), int(at), bool(with_top)) == (2, 0, False)
    np.testing.assert_array_equal(allowed, arguments[3])
    for name in ("sampling", "masks"):
        assert type(getattr(received, name)) is type(getattr(settings, name))
    for array, expected in zip(flatten((received,)), flatten((settings,)), strict=True):
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)


def test_every_call_goes_to_all_processes():
    """Whatever the calls are: one that is new would else be made in process 0 alone."""
    sent = []

    class Sender:
        send = staticmethod(lambda name, arrays=(): sent.append(name))
        end = wait_for_replies = check = staticmethod(lambda *_: None)

    class Calls:
        def __getattr__(self, name):
            return lambda *_: None

    leading = LeadingCalls.__new__(LeadingCalls)
    leading._sender, leading._calls = Sender, Calls()
    names = {
        n for n in vars(DeviceCalls) if not n.startswith("_") and callable(vars(DeviceCalls)[n])
    }
    for name in names - {"end"}:
        getattr(leading, name)()
    assert set(sent) == names - {"wait", "end"} and {"decode", "store_prefix"} <= set(sent)


def test_a_process_leads_or_follows(monkeypatch, tokenizers):
    model = loaded(noisy_params(SMALL), SMALL)
    with pytest.raises(ConfigError, match="there is nothing to follow"):
        follow(model)
    monkeypatch.setattr(jax, "process_index", lambda: 1)  # and the devices are those of process 0
    with pytest.raises(ConfigError, match="this is process 1, and requests come to process 0"):
        EmbeddedEngine(model, tokenizers["train"])
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    with pytest.raises(ConfigError, match="the mesh has devices of 1 of 3 processes"):
        follow(model)


@pytest.mark.long
def test_two_processes_write_what_a_full_forward_pass_says(run, tokenizers):
    small = [f"--model={json.dumps(dataclasses.asdict(SMALL))}", "--rows=2"]
    given = results(run(2, 2, "greedy", {"all": small}))
    sayable_v = tokenizers["train"].token_bytes() > 0
    (text,), (logprobs,) = given["texts"], given["logprobs"]
    logits_tv = forward(noisy_params(SMALL), np.array([*SHARED[:10], *text]), SMALL)
    for logits_v, token, logprob in zip(logits_tv[9:], text, logprobs, strict=False):
        assert token == np.where(sayable_v, logits_v, -np.inf).argmax()
        logits_v = logits_v.astype(np.float64)
        assert abs(logits_v[token] - np.log(np.exp(logits_v).sum()) - logprob) < 1e-4
    assert len(text) == len(logprobs) == 5


@pytest.mark.long
def test_several_processes_give_what_one_gives_on_the_same_mesh(run):
    one = results(run(1, 4, "mixed"))
    assert any(n_cached for *_, n_cached in one["texts"])
    for n, guesses in ((2, 4), (4, 0)):  # which change nothing
        check_close(one, results(run(n, 4, "mixed", {"all": [f"--guesses={guesses}"]})))


@pytest.mark.long
def test_adapters_are_those_of_all_processes(run):
    alone = results(run(1, 2, "adapted"))
    assert len({tuple(text) for text in alone["texts"]}) == 4
    check_close(alone, results(run(2, 2, "adapted")))


@pytest.mark.long
def test_an_error_of_process_0_ends_the_others(run):
    ended = run(2, 2, "failing")
    errors = refusals(ended, [1, 1])
    assert "ValueError: a fault of the program" in ended[0].stderr
    assert errors[1] == (
        "error: process 0 ended with ValueError: a fault of the program; its own output has the"
        " traceback"
    )


@pytest.mark.long
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_ends_the_others(run, victim):
    begun = time.monotonic()
    ended = run(2, 2, "endless", {victim: ["--change=killed:decode:30"]})
    assert ended[victim].returncode == -9 and time.monotonic() - begun < LIMIT / 2
    assert f"process {victim} is gone; start all processes again" in ended[1 - victim].stderr
    # JAX ends a process too, once it has noticed that process 0 is gone.
    assert ended[1 - victim].returncode in (70, -signal.SIGABRT)


@pytest.mark.long
def test_a_device_error_of_all_processes_is_recovered_from(run):
    expected = results(run(2, 2, "short"))
    ended = run(2, 2, "short", {"all": ["--change=error:decode:1", "--change=error:decode:2"]})
    check_close(expected, results(ended))
    assert all(result.stderr.count("a device error: INTERNAL") == 2 for result in ended)


@pytest.mark.long
def test_a_device_error_of_one_process_ends_all(run):
    ended = run(2, 2, "short", {1: ["--change=error:decode:1", "--drain_seconds=3"]})
    errors = refusals(ended, [70, 70])
    assert "process 1 failed: " in errors[0] and "a device is lost" in errors[1]


@pytest.mark.long
def test_what_does_not_fit_is_refused_in_all_processes(run):
    errors = refusals(run(2, 2, "short", {1: ['--model={"n_layers": 1}']}), [64, 64])
    assert "process 1 has ModelConfig(" in errors[0] and "process 1 has ModelConfig(" in errors[1]
    errors = refusals(run(2, 2, "short", {0: ["--rows=3"]}), [64, 64])
    assert all("rows=3 cannot be sharded 2 ways" in error for error in errors)


@pytest.mark.long
def test_a_command_over_two_processes(tmp_path):
    """Process 0 reads prompts and writes texts, and those are the texts of one process."""
    model_dir, prompts = tmp_path / "run", tmp_path / "prompts.jsonl"
    assert pretrain(model_dir, "--gin.TrainConfig.total_steps=6").returncode == 0
    lines = [{"prompt": "오늘 아침에는"}, {"prompt": "바다", "temperature": 0.0}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def generate(n, *more):
        meeting = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={n}"] * (n > 1)
        arguments = command("generate.py", f"--model_dir={model_dir}", "--max_tokens=12", *more)
        own = lambda i: [f"--process_id={i}"] * (n > 1)
        return run_processes([[*arguments, *meeting, *own(i)] for i in range(n)], 2)

    output = [tmp_path / f"texts_{n}.jsonl" for n in (1, 2)]
    for n in (1, 2):
        ended = generate(n, f"--prompts={prompts}", f"--output={output[n - 1]}")
        assert [(result.returncode, "Traceback" in result.stderr) for result in ended] == [
            (0, False)
        ] * n, ended
    assert output[0].read_text() == output[1].read_text() and output[0].read_text().count("\n") == 2
    alone, together = (generate(n, "--prompt=바다", f"--model_shards={n}") for n in (1, 2))
    assert together[0].stdout.splitlines()[-1] == alone[0].stdout.splitlines()[-1]
    assert "바다" in together[0].stdout and "바다" not in together[1].stdout
    prompts.write_text('{"prompt": 3}\n')
    errors = refusals(generate(2, f"--prompts={prompts}", f"--output={tmp_path / 'x'}"), [65, 65])
    assert errors[0] == errors[1] and "prompts.jsonl:1 has no text in `prompt`" in errors[0]
