"""The rule table and the mesh: where arrays lie, and what is refused."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from hclx.config import MESH_AXES, MeshConfig
from hclx.errors import ConfigError
from hclx.parallel import (
    RULES,
    axis_size,
    constrain,
    make_mesh,
    named_sharding,
    partition_spec,
    resolve_mesh_shape,
    sharding_rules,
)
from hclx.plan.compile import topology_devices


def test_specs_follow_the_table():
    assert partition_spec(("batch", "length", "features")) == PartitionSpec(
        ("data", "fsdp"), "seq", "model"
    )
    assert partition_spec(("layers", "embed", "mlp")) == PartitionSpec(
        "pipe", ("fsdp", "seq"), "model"
    )
    assert partition_spec((None, "norm")) == PartitionSpec(None, None)


def test_two_dimensions_on_one_mesh_axis_are_refused():
    with pytest.raises(ConfigError, match="'heads' and 'mlp' .* both lie on mesh axis 'model'"):
        partition_spec(("heads", "mlp"))
    with pytest.raises(ConfigError, match="'batch' and 'embed'.*'fsdp'"):
        partition_spec(("batch", "embed"))


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="'colour' has no rule"):
        partition_spec(("colour",))


@pytest.mark.parametrize(
    "config, shape",
    [
        (MeshConfig(), (1, 1, 8, 1, 1)),
        (MeshConfig(data=2, fsdp=2, model=2), (1, 2, 2, 1, 2)),
        (MeshConfig(data=-1, fsdp=1, model=4), (1, 2, 1, 1, 4)),
    ],
)
def test_mesh_shapes(config, shape):
    assert resolve_mesh_shape(config, 8) == shape
    mesh = make_mesh(config)
    assert mesh.axis_names == MESH_AXES and tuple(mesh.shape.values()) == shape


@pytest.mark.parametrize(
    "config", [MeshConfig(data=3), MeshConfig(fsdp=4), MeshConfig(data=16, fsdp=1)]
)
def test_a_mesh_that_does_not_fit_is_refused(config):
    with pytest.raises(ConfigError, match="does not fit 8 device.*set one of them to -1"):
        make_mesh(config)


@pytest.fixture(scope="module")
def two_slices():
    return topology_devices("v5e:2x2", 2)


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="only XLA's compiler for TPUs describes several slices",
)
class TestSlices:
    @pytest.mark.parametrize(
        "sizes, spanning",
        [
            ({"data": 2, "fsdp": 4}, "data"),
            ({"pipe": 2, "fsdp": 2, "model": 2}, "pipe"),
            ({"pipe": 2, "data": 4, "fsdp": 1}, "data"),
        ],
    )
    def test_data_spans_them_or_else_pipe(self, two_slices, sizes, spanning):
        """Along every other axis, neighbours are of one slice."""
        mesh = make_mesh(MeshConfig(**sizes), two_slices)
        slices = np.vectorize(lambda device: device.slice_index)(mesh.devices)
        for i, axis in enumerate(MESH_AXES):
            along = np.moveaxis(slices, i, 0).reshape(slices.shape[i], -1)
            assert len(np.unique(along, axis=0)) == (2 if axis == spanning else 1)

    def test_no_other_axis_may(self, two_slices):
        with pytest.raises(
            ConfigError,
            match="neither MeshConfig.data=1 nor MeshConfig.pipe=1 is a multiple of the 2 slices",
        ):
            make_mesh(MeshConfig(fsdp=8), two_slices)


def test_mesh_configuration_is_checked_when_it_is_made():
    with pytest.raises(ConfigError, match="only one axis may be -1"):
        MeshConfig(data=-1, fsdp=-1)
    with pytest.raises(ConfigError, match="give a positive number"):
        MeshConfig(model=0)


def test_a_dimension_that_cannot_be_sharded_evenly_is_named():
    mesh = make_mesh(MeshConfig(fsdp=1, model=8))
    with pytest.raises(
        ConfigError, match="blocks/mlp/wi: axis 'mlp' of size 12 cannot be sharded 8 ways"
    ):
        named_sharding(mesh, ("embed", "mlp"), (16, 12), "blocks/mlp/wi")
    assert named_sharding(mesh, ("embed", "mlp"), (16, 16)).shard_shape((16, 16)) == (16, 2)


def test_constrain_follows_the_ambient_mesh_and_is_nothing_without_one():
    x = np.zeros((8, 4, 16), np.float32)
    assert constrain(x, "batch", "length", "mlp") is x
    with jax.set_mesh(make_mesh(MeshConfig(data=2, fsdp=2, model=2))):
        placed = jax.jit(lambda x: constrain(x, "batch", "length", "mlp"))(x)
    assert placed.sharding.shard_shape(x.shape) == (2, 4, 8)


SWAPPED = dataclasses.replace(RULES, batch=("model",), mlp=("data",))


def test_other_rules_as_an_argument():
    mesh = make_mesh(MeshConfig(data=2, fsdp=2, model=2))
    sharding = named_sharding(mesh, ("batch", "mlp"), (8, 8), rules=SWAPPED)
    assert sharding.spec == PartitionSpec("model", "data")
    with pytest.raises(ConfigError, match="'batch' and 'heads'.*'model'"):
        named_sharding(mesh, ("batch", "heads"), rules=SWAPPED)


def test_ambient_rules_are_read_when_a_function_is_traced_and_trace_it_again():
    x, traces = np.zeros((8, 8), np.float32), []

    @jax.jit
    def place(x):
        traces.append(axis_size("batch"))
        return constrain(x, "batch", "mlp")

    with jax.set_mesh(make_mesh(MeshConfig(data=4, fsdp=1, model=2))):
        for _ in range(2):
            assert place(x).sharding.spec == PartitionSpec("data", "model")
            with sharding_rules(SWAPPED):
                assert place(x).sharding.spec == PartitionSpec("model", "data")
    assert traces == [4, 2] and partition_spec(("mlp",)) == PartitionSpec("model")
