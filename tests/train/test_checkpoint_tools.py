"""Going back: what is renamed, what is written down, and what is refused."""

import json
import math

import jax.numpy as jnp
import pytest

from hclx.errors import CheckpointError, ConfigError, DataError
from hclx.train import Checkpointer
from hclx.train.checkpoint_format import LoopState
from hclx.train.checkpoint_tools import list_checkpoints, rewind, verify_checkpoints
from hclx.train.events import read_events
from hclx.train.rewind_history import Lineage, Rewind, parse_skip, read_lineage, write_lineage
from hclx.train.run_dir import claim_folder, describe_run, read_run
from hclx.train.run_lock import Lease
from tests.helpers.checkpoints import largest, trained
from tests.helpers.meshes import ONE, experiment


class TestLineage:
    def test_ranges_are_merged_and_factors_kept_with_their_steps(self):
        history = Lineage(
            (
                Rewind(4, ((10, 20), (40, 50)), 0.5),
                Rewind(6, ((15, 30), (50, 55))),
                Rewind(8, (), 0.1),
            )
        )
        assert history.skip == ((10, 30), (40, 55)) and history.rate_factors == ((4, 0.5), (8, 0.1))
        assert (
            not history.from_scratch
            and Lineage((Rewind(4), Rewind(0))).from_scratch
            and Lineage().skip == ()
        )

    def test_there_and_back(self, tmp_path):
        assert read_lineage(tmp_path) == Lineage()
        history = Lineage((Rewind(4, ((10, 20),), 0.5, "now"), Rewind(2)))
        write_lineage(tmp_path, history)
        assert read_lineage(tmp_path) == history
        (tmp_path / "lineage.json").write_text("[{}]")
        with pytest.raises(CheckpointError, match="lineage.json is damaged"):
            read_lineage(tmp_path)

    @pytest.mark.parametrize("factor", ["NaN", "Infinity", "-1.0", "0", "1e-60", "true", '"0.5"'])
    def test_a_file_with_a_factor_that_no_run_can_have_names_it(self, factor, tmp_path):
        good = '{"step": 2, "skip": [], "learning_rate_factor": 0.5, "time": ""}'
        (tmp_path / "lineage.json").write_text(f"[{good}, {good.replace('0.5', factor)}]")
        message = "lineage.json, rewind 2: learning_rate_factor must be .*, got .*Correct it there"
        with pytest.raises(DataError, match=message):
            read_lineage(tmp_path)

    def test_a_file_that_holds_no_rewinds_is_damaged(self, tmp_path):
        for content in (b"{}", b"3", b"[3]", b"\xff", b'[{"step": 2}]'):
            (tmp_path / "lineage.json").write_bytes(content)
            with pytest.raises(DataError, match="lineage.json is damaged"):
                read_lineage(tmp_path)

    def test_a_checkpoint_of_another_history_is_refused(self):
        first, second = Rewind(4, ((10, 20),)), Rewind(8)
        history = Lineage((first, second))
        for saved, step in (((), 3), ((), 4), ((first,), 8), ((first, second), 99)):
            history.check_leads_from(Lineage(saved).to_json(), step)
        for saved, step in (((), 5), ((first,), 9), ((second,), 5), ((first, second, first), 5)):
            with pytest.raises(CheckpointError, match="tells another history"):
                history.check_leads_from(Lineage(saved).to_json(), step)

    @pytest.mark.parametrize("text", ["5", "7:5", "5:5", "a:b", "-1:5", ""])
    def test_what_is_no_range(self, text):
        with pytest.raises(ConfigError, match="is not FIRST:LAST"):
            parse_skip([text])
        assert parse_skip(["5:7", "0:1"]) == ((5, 7), (0, 1))


@pytest.fixture(scope="module")
def state():
    return trained(ONE, steps=1)[1]


@pytest.fixture()
def run(tmp_path, state):
    """A folder with steps 2, 4 and 6, each after 16 examples a step."""
    claim_folder(tmp_path, describe_run(experiment(ONE), "t", {}))
    with Checkpointer(tmp_path) as checkpointer:
        for step in (2, 4, 6):
            checkpointer.save(
                state._replace(step=jnp.int32(step)),
                LoopState(16 * step, []),
                {},
            )
    (tmp_path / "metrics.jsonl").write_text('{"step": 6}\n')
    return tmp_path


def names(run):
    return {path.name.rpartition("-")[0] or path.name for path in (run / "checkpoints").iterdir()}


def test_list_and_verify_say_what_is_there(run):
    assert read_run(run)[0] == experiment(ONE)
    largest(run / "checkpoints" / "4", "params").write_bytes(b"")
    (run / "checkpoints" / "9.corrupt-20260101T000000Z").mkdir()
    assert [(saved.step, saved.next_index, saved.note) for saved in list_checkpoints(run)] == [
        (2, 32, ""), (4, 64, ""), (6, 96, ""), (9, None, "set aside as damaged"),
    ]  # fmt: skip
    verdicts = verify_checkpoints(run, [])
    assert [step for step, problem in verdicts if not problem] == [2, 6] and verdicts[1][1]
    with pytest.raises(CheckpointError, match="no step 3; it has 2, 4, 6$"):
        verify_checkpoints(run, [3])
    assert names(run) == {"2", "4", "6", "9.corrupt"}  # a reader changes nothing


def test_what_came_after_is_renamed_and_the_rewind_written_down(run):
    rewind(run, 2, ((32, 64),), 0.5)
    assert names(run) == {"2", "4.rewound", "6.rewound"}
    (event,) = read_events(run)
    assert (event["event"], event["step"], event["skip"], event["learning_rate_factor"]) == (
        "rewind",
        2,
        [[32, 64]],
        0.5,
    )
    (entry,) = json.loads((run / "lineage.json").read_text())
    assert (entry["step"], entry["skip"], entry["learning_rate_factor"]) == (2, [[32, 64]], 0.5)
    assert (
        len(list(run.glob("metrics.jsonl.rewound-*"))) == 1 and not (run / "RUN_LOCK.json").exists()
    )


def test_one_that_was_killed_is_finished_by_the_same_call(run):
    write_lineage(run, Lineage((Rewind(2, ((32, 64),), 1.0, "before"),)))
    with Checkpointer(run) as checkpointer:  # until then no run goes on
        loop = checkpointer.describe(6)[1]
    with pytest.raises(CheckpointError, match="repeat a rewind that was interrupted"):
        read_lineage(run).check_leads_from(loop.lineage, 6)
    history = rewind(run, 2, ((32, 64),))
    assert len(history.rewinds) == 1 and names(run) == {"2", "4.rewound", "6.rewound"}
    assert len(rewind(run, 2, ((32, 64),)).rewinds) == 2  # again, on purpose


def test_what_is_refused_changes_nothing(run):
    largest(run / "checkpoints" / "4", "params").write_bytes(b"")
    cases = (
        (
            ConfigError,
            "step 6 has seen all examples before 96, so 80:99",
            lambda: rewind(run, 6, ((80, 99),)),
        ),
        (CheckpointError, "no step 3; ", lambda: rewind(run, 3)),
        (CheckpointError, "step 4 is damaged", lambda: rewind(run, 4)),
        (ConfigError, "must be positive, got 0", lambda: rewind(run, 2, (), 0.0)),
        (ConfigError, "must be positive, got -1", lambda: rewind(run, 2, (), -1.0)),
        (ConfigError, "finite in float32, got nan", lambda: rewind(run, 2, (), math.nan)),
        (ConfigError, "finite in float32, got inf", lambda: rewind(run, 2, (), math.inf)),
        (ConfigError, "finite in float32, got 1e-60", lambda: rewind(run, 2, (), 1e-60)),
        (ConfigError, "step must be a number from 0, got -2", lambda: rewind(run, -2)),
    )
    for kind, message, call in cases:
        with pytest.raises(kind, match=message):
            call()
    with Lease(run, 1.0), pytest.raises(ConfigError, match="in use by a run that is alive"):
        rewind(run, 2, lease_seconds=1.0)
    assert names(run) == {"2", "4", "6"} and not (run / "lineage.json").exists()


def test_to_the_beginning(run):
    assert rewind(run, 0).from_scratch and names(run) == {"2.rewound", "4.rewound", "6.rewound"}


def test_a_rewind_of_a_folder_that_is_not_there_makes_nothing(tmp_path):
    with pytest.raises(CheckpointError, match="checkpoints does not exist"):
        rewind(tmp_path / "nothing", 0)
    assert not list(tmp_path.iterdir())
