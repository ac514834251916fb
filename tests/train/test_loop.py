"""Parts of the loop by themselves: what is said at a resume, and the last checkpoint, which is read
back.
"""

import types

import pytest

from hclx.config import TrainConfig
from hclx.errors import CheckpointError
from hclx.train import Checkpointer
from hclx.train.checkpoint import Restored
from hclx.train.loop import _Run
from hclx.train.rewind_history import Lineage, Rewind
from hclx.train.run_dir import versions
from tests.parallel.test_meshes_agree import ONE
from tests.train.test_checkpoint import LOOP, META, largest, trained


@pytest.fixture(scope="module")
def finished():
    """The program and the state after three steps."""
    return trained(ONE)


def loop(finished, folder, **fields):
    """As much of a run as its methods ask for, with a real checkpointer and the events that it
    writes.
    """
    events = []
    event = lambda kind, **about: events.append((kind, about))
    checkpointer = Checkpointer(folder, report=event)
    run = types.SimpleNamespace(
        program=finished[0], train=TrainConfig(total_steps=3), checkpointer=checkpointer, event=event, events=events,
        lineage=Lineage(), is_first=True, model_dir=folder, step=3, **fields,
    )  # fmt: skip
    run.save = lambda state, reporter: checkpointer.save(state, LOOP, META)
    run.reads_back = lambda: _Run.reads_back(run)
    return run


def test_the_last_checkpoint_is_read_back_and_saved_again_where_it_is_not_what_was_saved(
    finished, tmp_path
):
    run, state = loop(finished, tmp_path), finished[1]
    waited, wait = [], run.checkpointer.wait

    def wait_and_damage():
        on_disk = wait()
        if not waited:
            largest(tmp_path / "checkpoints" / "3", "params").write_bytes(b"")
        waited.append(on_disk)
        return on_disk

    run.checkpointer.wait = wait_and_damage
    run.save(state, None)
    _Run.finish(run, state, None)
    assert [kind for kind, _ in run.events] == [
        "save",
        "quarantine",
        "verify",
        "save",
        "verify",
    ] and waited == [True, True]
    assert run.checkpointer.problem(3, run.program.abstract) == ""
    run.checkpointer.close()


def test_other_versions_are_said_at_the_resume(finished, tmp_path, caplog):
    run = loop(finished, tmp_path)
    run.checkpointer.restore = lambda abstract, from_scratch: Restored(
        finished[1], {"next_index": 48, "lineage": []}, {"versions": versions() | {"jax": "0.0.1"}}
    )
    _Run.restore_or_begin(run)
    assert run.next_index == 48 and "jax 0.0.1 -> " in caplog.text
    ((kind, about),) = run.events
    assert kind == "restore" and list(about["versions_changed"]) == ["jax"]


def test_a_checkpoint_of_another_history_is_no_way_on(finished, tmp_path):
    run = loop(finished, tmp_path)
    run.lineage = Lineage((Rewind(1, ((8, 16),)),))
    run.checkpointer.restore = lambda abstract, from_scratch: Restored(
        finished[1], {"next_index": 48, "lineage": []}, {"versions": versions()}
    )
    with pytest.raises(CheckpointError, match="tells another history"):
        _Run.restore_or_begin(run)
