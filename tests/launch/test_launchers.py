"""launch/slurm, launch/gke and launch/tpu_queued_resource, as they are, under stand-ins for the
schedulers (standin/).

What is trained is standin/trainer.py, which ends each of its starts as a plan says;
tests/recovery/test_slurm.py has the real trainer.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from hclx import errors
from tests.conftest import ROOT
from tests.helpers.launchers import STANDIN, ended, log, started, wait_for

TRAINER = [sys.executable, "-S", str(STANDIN / "trainer.py")]
BABYSIT, SBATCH, JOBSET = (
    ROOT / "launch" / name
    for name in ("tpu_queued_resource/babysit.sh", "slurm/pretrain.sbatch", "gke/jobset.yaml")
)
RESTARTED, NEVER = (70, 74, 75, 134, 137, 143), (64, 65, 66)


def starts(folder, process=0):
    return len((folder / "run" / f"starts_{process}").read_text())


def all_say(folder, what):
    return lambda: all(what in log(folder, process) for process in (0, 1))


class TestRules:
    """launch/restart.sh and launch/gke/jobset.yaml against the table in hclx/errors.py."""

    def table(self):
        """Exit code -> whether the table says that the run is started again."""
        rows = re.findall(r"^\| ([0-9, ]+?) *\|.*\| (yes|no)\b", errors.__doc__, re.MULTILINE)
        return {int(code): answer == "yes" for codes, answer in rows for code in codes.split(",")}

    def restarts(self, tmp_path, code):
        rule = f'. launch/restart.sh; should_restart {code} 0 "{tmp_path}" "{tmp_path}/count"'
        return (
            subprocess.run(["bash", "-c", rule], cwd=ROOT, stdout=subprocess.DEVNULL).returncode
            == 0
        )

    def test_the_table_of_exit_codes_is_what_the_shell_does(self, tmp_path):
        assert {*NEVER, 74, 75} <= set(self.table())
        for code, again in (self.table() | dict.fromkeys(RESTARTED, True)).items():
            assert self.restarts(tmp_path, code) == again, code
        assert not self.restarts(tmp_path, 0)

    def test_and_what_the_jobset_does(self):
        for code, again in self.table().items():
            assert (jobset_action(code) == "FailJobSet") == (not again), code


@contextlib.contextmanager
def submitted(folder, plan, **variables):
    (folder / "launch").symlink_to(ROOT / "launch")
    with started(
        [
            "sbatch",
            "launch/slurm/pretrain.sbatch",
            *TRAINER,
            f"--model_dir={folder / 'run'}",
            f"--plan={plan}",
        ],
        folder,
        **variables,
    ) as job:
        yield job


def slurm(folder, plan, **variables):
    """Exit code, and what the script wrote."""
    with submitted(folder, plan, **variables) as job:
        code, output = ended(job)
    assert not output, output
    return code, (folder / "hclx-4242.log").read_text()


class TestSlurm:
    def test_a_run_is_requeued_until_it_is_done(self, tmp_path):
        """One process may end with another code than the other: 75 says that the run was saved."""
        code, said = slurm(tmp_path, "70;137;75,143;0")
        assert code == 0 and starts(tmp_path) == starts(tmp_path, 1) == 4
        assert (
            all(f"exit code {c} after" in said for c in (70, 137, 75))
            and said.count("launcher: done") == 1
        )

    @pytest.mark.parametrize("code", NEVER)
    def test_an_error_that_would_come_again_is_not_requeued(self, tmp_path, code):
        assert slurm(tmp_path, f"{code};0")[0] == code and starts(tmp_path) == 1

    def test_not_even_where_it_took_the_others_down(self, tmp_path):
        """srun tells of the one that had to be killed (137)."""
        assert slurm(tmp_path, "hang,65;0")[0] == 65 and starts(tmp_path) == 1

    def test_sigterm_saves_in_all_processes_and_the_run_goes_on(self, tmp_path):
        """Process 0 needs longer to save than process 1, which must not cost its life."""
        with submitted(tmp_path, "hold:0.3,hold;0") as job:
            wait_for(all_say(tmp_path, "holds"), job)
            job.send_signal(signal.SIGUSR1)
            assert ended(job)[0] == 0
        assert {path.name for path in (tmp_path / "run").glob("saved_*")} == {"saved_0", "saved_1"}
        for process in (0, 1):
            assert (
                log(tmp_path, process)
                == f"start 0 of process {process}\nholds\nstart 1 of process {process}\n"
            )
        assert "exit code 75 after" in (tmp_path / "hclx-4242.log").read_text()

    @pytest.mark.parametrize("seconds, saves", [(0.5, True), (60, False)])
    def test_there_are_300_seconds_to_save(self, tmp_path, seconds, saves):
        with submitted(tmp_path, f"hold:{seconds};0", STANDIN_SPEED=300) as job:
            wait_for(all_say(tmp_path, "holds"), job)
            job.send_signal(signal.SIGUSR1)  # at this speed, SIGKILL comes after a second
            assert (ended(job)[0] == 0) == saves
        assert (tmp_path / "run" / "saved_0").exists() == saves

    def test_stop_ends_the_run(self, tmp_path):
        with submitted(tmp_path, "hold") as job:
            wait_for(all_say(tmp_path, "holds"), job)
            (tmp_path / "run" / "STOP").touch()
            assert ended(job)[0] == 0 and starts(tmp_path) == 1

    def test_nothing_is_requeued_while_stop_is_there(self, tmp_path):
        assert slurm(tmp_path, "stop70;0", STANDIN_TASKS=1)[0] == 70 and starts(tmp_path) == 1

    def test_a_crash_that_repeats_itself_ends(self, tmp_path):
        code, said = slurm(tmp_path, "134", MAX_RESTARTS=2)
        assert code == 134 and starts(tmp_path) == 3 and "giving up" in said

    @pytest.mark.parametrize(
        "plan, variables", [("75;75;0", {}), ("134;134;0", {"MIN_SECONDS": 0})]
    )
    def test_a_run_that_moves_on_may_restart_for_ever(self, tmp_path, plan, variables):
        assert slurm(tmp_path, plan, MAX_RESTARTS=0, **variables)[0] == 0 and starts(tmp_path) == 3


def jobset():
    """The specification of the one JobSet, and of its job and pod."""
    document = yaml.safe_load(JOBSET.read_text())
    assert (document["apiVersion"], document["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    (replicated,) = document["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    return document["spec"], job, job["template"]["spec"]


def jobset_action(code, disrupted=False):
    """Action when the first pod of a job ends in this way: Kubernetes' rules for the job, then
    JobSet's; None: it is done.
    """
    spec, job, pod = jobset()
    if code == 0:
        return None
    (container,) = pod["containers"]
    reason, message = (
        ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if job["backoffLimit"] == 0
        else (None, "")
    )
    for index, rule in enumerate(job["podFailurePolicy"]["rules"]):
        assert rule["action"] == "FailJob" and ("onExitCodes" in rule) != (
            "onPodConditions" in rule
        )
        if "onExitCodes" in rule:
            asked = rule["onExitCodes"]
            assert (
                asked["containerName"] == container["name"]
                and asked["operator"] == "In"
                and 0 not in asked["values"]
            )
            matches, what = (
                code in asked["values"],
                f"Container {container['name']} for pod default/p failed with exit code {code}",
            )
        else:
            assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
            matches, what = disrupted, "Pod default/p has condition DisruptionTarget"
        if matches:
            reason, message = "PodFailurePolicy", f"{what} matching FailJob rule at index {index}"
            break
    for rule in spec["failurePolicy"]["rules"]:
        assert set(rule) == {"name", "action", "onJobFailureReasons", "onJobFailureMessagePatterns"}
        if reason in rule["onJobFailureReasons"] and any(
            re.search(p, message) for p in rule["onJobFailureMessagePatterns"]
        ):
            return rule["action"]
    return "RestartJobSet"


class TestJobSet:
    @pytest.mark.parametrize(
        "codes, action",
        [
            ((0,), None),
            (NEVER, "FailJobSet"),
            ((75,), "RestartJobSetAndIgnoreMaxRestarts"),
            ((70, 74, 134, 137, 143, 1), "RestartJobSet"),
        ],
    )
    def test_what_each_exit_code_leads_to(self, codes, action):
        assert [jobset_action(code) for code in codes] == [action] * len(codes)

    @pytest.mark.parametrize("code", [75, 137, 143])
    def test_a_disruption_costs_no_restart(self, code):
        assert jobset_action(code, disrupted=True) == "RestartJobSetAndIgnoreMaxRestarts"

    def test_the_job(self):
        spec, job, pod = jobset()
        assert spec["failurePolicy"]["maxRestarts"] > 0
        assert (
            job["completionMode"] == "Indexed"
            and job["completions"] == job["parallelism"]
            and job["backoffLimit"] == 0
        )
        assert (
            pod["restartPolicy"] == "Never"
            and pod["terminationGracePeriodSeconds"] == 300
            and pod["shareProcessNamespace"] is True
        )

    @contextlib.contextmanager
    def container(self, tmp_path, plan):
        """The container's command, with the trainer for its `python`."""
        (container,) = jobset()[2]["containers"]
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "python").write_text(
            f'#!/bin/sh\n[ "$1" = launch/pretrain.py ] && shift && exec {" ".join(TRAINER)} "$@"\n'
        )
        (tmp_path / "bin" / "python").chmod(0o755)
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        variables = {"PATH": path, "JOB_COMPLETION_INDEX": 1, "TRAINER_PLAN": plan}
        with started(
            [*container["command"], *container["args"]], tmp_path, cwd=ROOT, **variables
        ) as process:
            yield process
            # what is left in a container goes with its first process
            os.killpg(process.pid, signal.SIGKILL)
            self.output = process.stdout.read()

    def test_its_command_logs_twice_and_passes_on_signal_and_exit_code(self, tmp_path):
        with self.container(tmp_path, "hold;134") as process:
            wait_for(lambda: "holds" in log(tmp_path, 1), process)
            process.send_signal(signal.SIGTERM)  # to the first process alone
            assert process.wait(timeout=60) == 75
        assert "start 0 of process 1" in self.output
        with self.container(tmp_path, "hold;134") as process:
            assert process.wait(timeout=60) == -signal.SIGABRT
        assert log(tmp_path, 1) == "start 0 of process 1\nholds\nstart 1 of process 1\n"


@contextlib.contextmanager
def babysitter(folder, plan, outcomes="", **variables):
    (folder / "standin").mkdir()
    if outcomes:
        (folder / "standin" / "outcomes").write_text(outcomes)
    trainer = f"{' '.join(TRAINER)} --model_dir={folder / 'run'} --plan='{plan}'"
    variables = {"SETUP": "true", "CODE": ROOT, "COMMAND": trainer, "POLL": 0.05} | variables
    with started([BABYSIT], folder, **variables) as process:
        yield process


def calls(folder, verb):
    return (folder / "standin" / "calls").read_text().split().count(verb)


def babysit(folder, plan, outcomes="", **variables):
    with babysitter(folder, plan, outcomes, **variables) as process:
        code, output = ended(process)
    assert (
        calls(folder, "create") == calls(folder, "delete")
        and not (folder / "standin" / "state").exists()
    ), output
    return code, output


class TestQueuedResource:
    def test_a_run_gets_new_slices_until_it_is_done(self, tmp_path):
        """A process that was ended by a signal as well, though ssh tells nothing of it."""
        code, output = babysit(tmp_path, "70;137;0")
        assert (
            code == 0 and starts(tmp_path) == starts(tmp_path, 1) == calls(tmp_path, "create") == 3
        )
        assert all(f"exit code {c} after" in output for c in (70, 137))
        assert log(tmp_path, 1) == "".join(f"start {i} of process 1\n" for i in range(3))

    @pytest.mark.parametrize("plan, code", [("64", 64), ("66", 66), ("134,65", 65)])
    def test_an_error_that_would_come_again_ends_it(self, tmp_path, plan, code):
        assert babysit(tmp_path, f"{plan};0")[0] == code and calls(tmp_path, "create") == 1

    def test_a_slice_that_failed_or_was_taken_away_is_queued_for_again(self, tmp_path):
        with babysitter(tmp_path, "hang;0", "FAILED\nACTIVE\n", MAX_RESTARTS=1) as process:
            wait_for(all_say(tmp_path, "hangs"), process)
            (tmp_path / "standin" / "state").write_text("SUSPENDED\n")
            assert ended(process)[0] == 0
        assert calls(tmp_path, "create") == calls(tmp_path, "delete") == 3 and starts(tmp_path) == 2

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_asked_to_stop_it_lets_the_run_save_and_gives_the_slice_back(self, tmp_path, number):
        with babysitter(tmp_path, "hold:0.2;0") as process:
            wait_for(all_say(tmp_path, "holds"), process)
            os.killpg(process.pid, number)
            assert ended(process)[0] == 75
        assert calls(tmp_path, "create") == calls(tmp_path, "delete") == 1 and starts(tmp_path) == 1
        assert (tmp_path / "run" / "saved_0").exists() and (tmp_path / "run" / "saved_1").exists()

    def test_but_not_for_longer_than_the_grace_time(self, tmp_path):
        with babysitter(tmp_path, "hang", GRACE=0) as process:
            wait_for(all_say(tmp_path, "hangs"), process)
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 143
        assert calls(tmp_path, "create") == calls(tmp_path, "delete") == 1

    def test_300_seconds_are_the_default(self):
        assert "GRACE=${GRACE:-300}" in BABYSIT.read_text()

    def test_stop_ends_the_run(self, tmp_path):
        with babysitter(tmp_path, "hold") as process:
            wait_for(all_say(tmp_path, "holds"), process)
            (tmp_path / "run" / "STOP").touch()
            assert (
                ended(process)[0] == 0
                and calls(tmp_path, "create") == calls(tmp_path, "delete") == 1
            )

    @pytest.mark.parametrize(
        "plan, outcomes", [("stop70;0", ""), ("0", "WAITING_FOR_RESOURCES\n" * 999)]
    )
    def test_no_slice_is_queued_for_while_stop_is_there(self, tmp_path, plan, outcomes):
        with babysitter(tmp_path, plan, outcomes, STANDIN_TASKS=1) as process:
            if outcomes:
                wait_for(
                    lambda: (
                        (tmp_path / "standin" / "calls").exists() and calls(tmp_path, "describe")
                    ),
                    process,
                )
                (tmp_path / "run").mkdir()
                (tmp_path / "run" / "STOP").touch()
            assert ended(process)[0] == 70
        assert calls(tmp_path, "create") == calls(tmp_path, "delete") == 1

    def test_a_slice_that_is_not_its_own_is_left_alone(self, tmp_path):
        with babysitter(tmp_path, "0") as process:
            pass
        (tmp_path / "standin" / "state").write_text("ACTIVE\n")
        (tmp_path / "standin" / "calls").unlink(missing_ok=True)
        with started([BABYSIT], tmp_path) as process:
            assert ended(process)[0] == 64
        assert (tmp_path / "standin" / "calls").read_text() == "describe\n"

    def test_a_crash_that_repeats_itself_ends(self, tmp_path):
        code, output = babysit(tmp_path, "134", MAX_RESTARTS=2)
        assert code == 134 and starts(tmp_path) == 3 and "giving up" in output


@pytest.mark.parametrize("launcher", [SBATCH, JOBSET, BABYSIT], ids=lambda path: path.name)
def test_the_commands_name_what_exists(launcher):
    text = launcher.read_text()
    names = re.findall(r"(?:gin_configs|launch)/[\w/]+\.\w+", text)
    assert "launch/pretrain.py" in names and len(names) >= 3
    assert all((ROOT / name).exists() for name in names)
    assert "--model_dir=" in text
