"""launch/compose and launch/systemd: files that their tools accept, with options that exist."""

import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from tests.conftest import ROOT
from tests.helpers.commands import launch

COMPOSE, UNIT = ROOT / "launch" / "compose", ROOT / "launch" / "systemd" / "hclx-serve.service"


def compose():
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))


def commands_of_comments(path):
    """The commands of hclx in a file's comments, and what the file itself starts."""
    lines = path.read_text(encoding="utf-8").replace("\\\n#", "").splitlines()
    for line in lines:
        if command := re.search(r"^#.*(?:hclx|run --rm server) (keys .+)", line):
            yield shlex.split(command[1])


def started():
    yield compose()["services"]["server"]["command"]
    line = re.search("^ExecStart=/opt/hclx/bin/hclx (.+)$", UNIT.read_text(), re.MULTILINE)
    yield shlex.split(line[1])
    yield from commands_of_comments(COMPOSE / "compose.yaml")
    yield from commands_of_comments(UNIT)


def test_the_options_of_their_commands_exist():
    commands = list(started())
    assert [arguments[0] for arguments in commands] == ["serve", "serve", "keys", "keys"]
    for command, *arguments in commands:
        result = launch(f"{command}.py", *arguments, "--only_check_args")
        assert result.returncode == 0, (arguments, result.stderr)
    wrong = launch("serve.py", "--model_dir=x", "--shop=y", "--only_check_args")
    assert wrong.returncode == 64, "the check of this test finds an option that does not exist"


def test_requests_end_before_their_server_is_killed():
    server = compose()["services"]["server"]
    drain = lambda arguments: int(re.search(r"--drain_seconds=(\d+)", " ".join(arguments))[1])
    assert drain(server["command"]) < int(server["stop_grace_period"].split("s")[0])
    unit = UNIT.read_text()
    timeout = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
    assert drain([unit]) < timeout
    assert re.search("^RestartPreventExitStatus=64 65 66$", unit, re.MULTILINE)


def test_the_image_has_extras_of_the_package():
    text, setup = (COMPOSE / "Dockerfile").read_text(), (ROOT / "setup.py").read_text()
    (extras,) = re.findall("^ARG EXTRAS=(.+)$", text, re.MULTILINE)
    assert {"serve", "grammar"} <= set(extras.split(","))
    for name in extras.split(","):
        assert re.search(f'^    "{name}": ', setup, re.MULTILINE), name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path):
    """All but the path of the command, which this machine has not."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/hclx/bin/hclx", "/bin/true"))
    command = ["systemd-analyze", "verify", str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
