"""An engine over several processes, of which process 0 has the requests."""

import contextlib
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from hclx.errors import ConfigError
from hclx.infer import follow
from hclx.infer.calls import DeviceCalls
from hclx.infer.followers import LeadingCalls, flatten, unflatten
from hclx.infer.sampling import SamplingConfig
from hclx.parallel.messages import decode, encode
from tests.conftest import ROOT
from tests.helpers.commands import environment
from tests.helpers.decoding import settings_of
from tests.helpers.engines import engine_of, loaded
from tests.helpers.following import CONFIG, short
from tests.helpers.multi_process import free_port
from tests.helpers.numpy_decoder import noisy_params

LIMIT = 240  # seconds


@pytest.fixture
def run(tokenizer_dirs):
    """A function that runs processes and returns what each of them has done.

    Its arguments: the number of processes and of devices in all, the work of process 0, and
    arguments of single processes. Processes that are left after `LIMIT` are killed.
    """

    def run(n, devices, work, only={}):
        flags = f"--xla_force_host_platform_device_count={devices // n}"
        variables = {
            "XLA_FLAGS": f"{flags} --xla_backend_optimization_level=0",
            # So that XLA splits sums alike, see tests/helpers/multi_process.py.
            "NPROC": str(devices),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        meeting = f"--coordinator=127.0.0.1:{free_port()}"
        arguments = [sys.executable, "-m", "tests.helpers.following", meeting, f"--processes={n}"]
        arguments += [f"--tokenizer={tokenizer_dirs['train']}", f"--work={work}"]
        arguments += [f"--devices={devices}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        options = {"env": environment(variables=variables), "cwd": ROOT, **pipes}
        with contextlib.ExitStack() as stack:
            started = []
            for i in range(n):
                own = [f"--process={i}", *only.get(i, ()), *only.get("all", ())]
                started.append(subprocess.Popen([*arguments, *own], **options))
                stack.callback(started[-1].kill)
            deadline = time.monotonic() + LIMIT
            said = [p.communicate(timeout=max(1, deadline - time.monotonic())) for p in started]
            return [
                subprocess.CompletedProcess(p.args, p.returncode, *s) for p, s in zip(started, said)
            ]

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


def test_a_message_holds_arrays_of_all_kinds():
    settings = settings_of(SamplingConfig(seed=5, min_p=0.5), 9, ends=(1,), step=3)
    arguments = (np.int64(2), settings, 0, np.arange(3, dtype=np.uint32), False)
    name, arrays = decode(encode("begin", flatten(arguments)))
    row, received, at, allowed, with_top = unflatten(name, arrays)
    assert (name, int(row), int(at), bool(with_top)) == ("begin", 2, 0, False)
    np.testing.assert_array_equal(allowed, arguments[3])
    for array, expected in zip(flatten((received,)), flatten((settings,)), strict=True):
        assert array.dtype == expected.dtype and array.shape == expected.shape
        np.testing.assert_array_equal(array, expected)
    name, (nothing, matrix) = decode(encode("other", [np.zeros((0, 3)), np.eye(2)[:, ::-1]]))
    assert nothing.shape == (0, 3) and matrix.tolist() == [[0, 1], [1, 0]]


def test_every_call_goes_to_all_processes(monkeypatch):
    """Whatever the calls are: one that is new would else be made in process 0 alone."""
    sent = []

    class Sender:
        send = staticmethod(lambda name, arrays=(): sent.append(name))
        end = wait_for_replies = check = staticmethod(lambda *_: None)

    class Calls:
        cache_size = 1

        def __getattr__(self, name):
            return lambda *_: None

    leading = LeadingCalls.__new__(LeadingCalls)
    leading._sender, leading._calls = Sender, Calls()
    names = {name for name in vars(DeviceCalls) if not name.startswith("_")}
    for name in names - {"cache_size", "end"}:
        getattr(leading, name)()
    assert set(sent) == names - {"cache_size", "wait", "end"} and "decode" in sent


def test_there_is_nothing_to_follow_in_one_process():
    with pytest.raises(ConfigError, match="there is nothing to follow"):
        follow(loaded(noisy_params(CONFIG), CONFIG))


def test_two_processes_write_what_one_device_writes(run, tokenizers):
    with engine_of(noisy_params(CONFIG), CONFIG, tokenizers["train"], rows=4) as engine:
        expected = json.loads(json.dumps(short(engine)))
    check_close(expected, results(run(2, 2, "short")))


@pytest.mark.long
def test_several_processes_give_what_one_gives_on_the_same_mesh(run):
    one = results(run(1, 4, "mixed"))
    assert any(n_cached for *_, n_cached in one["texts"])
    for n in (2, 4):
        check_close(one, results(run(n, 4, "mixed")))


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
    assert ended[1 - victim].returncode == 70


@pytest.mark.long
def test_a_device_error_of_all_processes_is_recovered_from(run):
    expected = results(run(2, 2, "short"))
    ended = run(2, 2, "short", {"all": ["--change=error:decode:1", "--change=error:score:1"]})
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
    errors = refusals(run(2, 2, "short", {"all": ["--leads"]}), [70, 64])
    assert "requests come to process 0 alone; call hclx.infer.follow(model) here" in errors[1]
