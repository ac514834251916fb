"""The checkpoints with the lowest validation loss are kept: over many saves, a resume, a rewind, a
damaged checkpoint and a failed save.
"""

import json
import math
import shutil
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from hclx.errors import StorageError
from hclx.train import Checkpointer, retention
from hclx.train.checkpoint_tools import list_checkpoints, rewind
from hclx.train.messages import changes_in_words
from hclx.train.retention import LowestLoss
from hclx.train.run_dir import claim_folder, describe_run
from tests.helpers.checkpoints import LOOP, META, largest, no_file_above, trained
from tests.helpers.meshes import ONE, experiment


def kept_in_memory(losses, n, folder):
    """Steps that the policy keeps of a run whose saves are only recorded."""
    policy, steps = LowestLoss(n, folder), []
    for step, loss in losses.items():
        policy.record(step, loss)
        steps.append(step)
        keep = policy.should_preserve([SimpleNamespace(step=s) for s in steps], context=None)
        steps = [s for s, is_kept in zip(steps, keep, strict=True) if is_kept]
    return steps


def test_a_long_course_against_sorting(tmp_path):
    order = np.random.default_rng(0).permutation(200)
    losses = {step: float(loss) for step, loss in enumerate(order, 1)}
    for n in (0, 1, 4, 300):
        assert kept_in_memory(losses, n, tmp_path) == sorted(sorted(losses, key=losses.get)[:n])


@pytest.mark.parametrize("loss", [None, math.nan, math.inf, -math.inf])
def test_a_step_without_a_finite_loss_is_never_one_of_the_best(loss, tmp_path):
    losses = {1: loss, 2: loss, 3: 4.0, 4: loss, 5: 5.0, 6: loss}
    for n in (1, 2, 6):
        assert kept_in_memory(losses, n, tmp_path) == [3, 5][:n]


def test_of_two_that_are_equal_the_older_one_is_kept(tmp_path):
    assert kept_in_memory({1: 4.0, 2: 3.0, 3: 3.0}, 1, tmp_path) == [2]


@pytest.fixture(scope="module")
def program_and_state():
    return trained(ONE, steps=1)


@pytest.fixture
def save(tmp_path, program_and_state):
    """Saves steps with their losses in one start of a run: (losses, **how to keep) -> steps."""

    def save_all(losses, **keep):
        with Checkpointer(tmp_path, **{"keep_last": 1, "keep_best": 2} | keep) as checkpointer:
            return save_into(checkpointer, program_and_state[1], losses)

    return save_all


def save_into(checkpointer, state, losses):
    for step, loss in losses.items():
        evaluated = {} if loss == "no field" else {"validation_loss": loss}
        checkpointer.save(state._replace(step=jnp.int32(step)), LOOP, META | evaluated)
        checkpointer.wait()
    return checkpointer.steps()


def test_beside_the_newest_and_the_multiples_and_read_back_at_every_start(save):
    assert save({1: 5.0, 2: 3.0, 3: 4.0, 4: 6.0}, keep_every=4) == [2, 3, 4]
    assert save({5: 3.5, 6: 7.0, 7: 8.0}, keep_every=4) == [2, 4, 5, 7]


def test_a_run_that_began_without_it_goes_on(save):
    """Losses are recorded whether they are needed or not; before they were, there are none."""
    save({1: "no field", 2: 3.0, 3: "no field", 4: 4.0}, keep_best=0, keep_last=4)
    assert save({5: 5.0, 6: 6.0}) == [2, 4, 6]


@pytest.mark.long
def test_after_a_rewind_the_losses_of_the_old_attempt_count_no_more(tmp_path, save):
    claim_folder(tmp_path, describe_run(experiment(ONE), "t", {}))
    assert save({2: 3.0, 4: 5.0, 5: 2.0}, keep_last=2) == [2, 4, 5]
    rewind(tmp_path, 4)
    assert save({5: 9.0, 6: 4.0, 7: 8.0}) == [2, 6, 7]


def test_one_that_is_set_aside_makes_room_for_the_next(tmp_path, save, program_and_state):
    save({1: 5.0, 2: 3.0})
    largest(tmp_path / "checkpoints" / "2", "params").write_bytes(b"")
    program, state = program_and_state
    with Checkpointer(tmp_path, keep_last=1, keep_best=2) as checkpointer:
        checkpointer._lowest_loss.record(2, 3.0)  # as if it had been saved by this start
        assert int(checkpointer.restore(program.abstract_state).state.step) == 1
        state = state._replace(step=jnp.int32(0))
        assert save_into(checkpointer, state, {2: 7.0, 3: 6.0, 4: 8.0}) == [1, 3, 4]
    assert len(list((tmp_path / "checkpoints").glob("2.corrupt-*"))) == 1


def test_a_loss_that_was_changed_on_disk_is_not_believed(tmp_path, save):
    save({1: 5.0, 2: 3.0, 3: 4.0}, keep_last=3)
    meta = next((tmp_path / "checkpoints" / "1" / "meta").rglob("metadata"))
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"validation_loss": 0.001}))
    assert save({4: 9.0}) == [2, 3, 4]


def test_one_that_cannot_be_read_now_is_kept(tmp_path, save, monkeypatch, caplog):
    save({1: 5.0, 2: 3.0, 3: 4.0}, keep_last=3)
    read = retention.read_json_items

    def failing(path):
        if path.name == "1":
            raise StorageError(f"{path}: Input/output error")
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(retention, "read_json_items", failing)
        assert save({4: 9.0}) == [1, 2, 3, 4]
    assert "checkpoints/1: Input/output error" in caplog.text
    assert save({5: 9.9}) == [2, 3, 5]


def test_a_save_that_fails_removes_none(tmp_path, program_and_state):
    """Its loss is the lowest, and it is not on disk."""
    state = program_and_state[1]
    with Checkpointer(tmp_path, keep_last=1, keep_best=1) as checkpointer:
        assert save_into(checkpointer, state, {1: 3.0, 2: 4.0}) == [1, 2]
        with no_file_above(4096):
            assert save_into(checkpointer, state, {3: 1.0}) == [1, 2]
        assert save_into(checkpointer, state, {4: 5.0}) == [1, 4]


def test_a_listing_has_the_losses_and_marks_the_best(tmp_path, save):
    save({1: 2.0, 2: 3.0, 3: None, 10: 2.5}, keep_last=4)
    folder = tmp_path / "checkpoints"
    shutil.move(folder / "1", folder / "1.corrupt-2026")
    listed = [(e.name, e.validation_loss, e.is_best) for e in list_checkpoints(tmp_path)]
    assert listed == [
        ("1.corrupt-2026", None, False), ("2", 3.0, False), ("3", None, False), ("10", 2.5, True),
    ]  # fmt: skip
    # The step of the best was made before a rewind, too, and another is damaged.
    shutil.copytree(folder / "10", folder / "10.rewound-2026")
    next((folder / "2" / "meta").rglob("metadata")).write_text("{")
    listed = [(e.name, e.validation_loss, e.is_best, e.note) for e in list_checkpoints(tmp_path)]
    assert listed[3:] == [
        ("10", 2.5, True, ""), ("10.rewound-2026", None, False, "left behind by a rewind"),
    ]  # fmt: skip
    name, loss, is_best, note = listed[1]
    assert (name, loss, is_best) == ("2", None, False) and "meta" in note


@pytest.mark.parametrize(("keep_best", "n_lines"), [(0, 1), (1, 2)])
def test_other_validation_sequences_are_told_on_a_resume(keep_best, n_lines, tmp_path):
    other = experiment(ONE, keep_best=keep_best, eval_every=4, checkpoint_every=4)
    lines = changes_in_words([("train.eval_windows", 16, 32)], other, str(tmp_path), 4)
    assert len(lines) == n_lines and ("still compared by theirs" in lines[-1]) == (n_lines == 2)
