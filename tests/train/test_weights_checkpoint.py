"""Parameters that are written part by part: what training reads is what was given."""

import jax
import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import CheckpointError, DataError
from hclx.model import abstract_params
from hclx.train.checkpoint import Checkpointer, checkpoints_of
from hclx.train.weights_checkpoint import Rows, save_weights

MODEL = ModelConfig(vocab_size=40, n_layers=3, d_model=16, n_heads=2, max_length=16)
META = {"hashes": {"vocabulary": "", "text": ""}, "versions": {}, "init_from": None}


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    draw = lambda x: rng.standard_normal(x.shape, dtype=np.float32)
    return jax.tree.map(draw, abstract_params(MODEL))


def parts(params, rows=lambda path: 7):
    """All parts, those of the arrays in turns."""
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    found = []
    for leaf, array in jax.tree_util.tree_leaves_with_path(params):
        step = 1 if name(leaf).startswith("blocks") else rows(name(leaf))
        found += [
            (begin, Rows(name(leaf), begin, array[begin : begin + step]))
            for begin in range(0, len(array), step)
        ]
    yield from (part for _, part in sorted(found, key=lambda item: item[0]))


def test_what_is_read_is_what_was_written(params, tmp_path):
    save_weights(tmp_path, abstract_params(MODEL), parts(params), META)
    with Checkpointer(tmp_path, read_only=True) as checkpointer:
        assert checkpointer.steps() == [0] and checkpointer.describe(0)[1].next_index == 0
        place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=on_one)
        on_one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        restored, meta = checkpointer.restore_params(jax.tree.map(place, abstract_params(MODEL)))
        taken = {}
        checkpointer.restore_params(abstract_params(MODEL), take=taken.__setitem__)
    assert jax.tree.all(jax.tree.map(np.array_equal, restored, params))
    assert meta["step"] == 0 and len(taken) == len(jax.tree.leaves(params))
    for path, array in taken.items():
        expected = params
        for key in path.split("/"):
            expected = expected[key]
        assert isinstance(array, np.ndarray) and np.array_equal(array, expected), path


def test_a_damaged_array_is_not_handed_over(params, tmp_path):
    save_weights(tmp_path, abstract_params(MODEL), parts(params), META)
    other = jax.tree.map(lambda x: x, params)
    other["embedding"]["token"] = params["embedding"]["token"].copy()
    other["embedding"]["token"][39, 15] += 1
    elsewhere = tmp_path / "other"
    save_weights(elsewhere, abstract_params(MODEL), parts(other), META)
    arrays = checkpoints_of(elsewhere) / "0" / "params"
    arrays.rename(tmp_path / "moved")
    (checkpoints_of(tmp_path) / "0" / "params").rename(arrays)
    taken = {}
    with Checkpointer(elsewhere, read_only=True) as checkpointer:
        with pytest.raises(CheckpointError, match="first params/embedding/token"):
            checkpointer.restore_params(abstract_params(MODEL), take=taken.__setitem__)
    assert taken and "embedding/token" not in taken


def test_an_error_of_the_source_comes_out_when_all_writes_have_ended(params, tmp_path):
    def broken():
        for number, part in enumerate(parts(params)):
            if number == 9:
                raise DataError("the file is damaged")
            yield part

    with pytest.raises(DataError, match="the file is damaged"):
        save_weights(tmp_path, abstract_params(MODEL), broken(), META)
    assert not (checkpoints_of(tmp_path) / "0").exists()
