"""What --search tries: every candidate can be built, and arithmetic is near what the compiler
found.
"""

import dataclasses
import importlib.util
import math
import types

import pytest
from jax.sharding import AbstractMesh, AxisType

from hclx.config import MESH_AXES
from hclx.errors import ConfigError, MissingExtraError
from hclx.parallel.chips import CHIPS
from hclx.plan.analytic import estimate
from hclx.plan.compile import topology_devices
from hclx.plan.search import candidates, rank, search
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.state import abstract_state
from tests.helpers.experiments import experiment


def test_every_candidate_can_be_built():
    """The mesh takes all chips, and cuts batch, heads and each parameter evenly (`abstract_state`
    refuses what does not).
    """
    whole = experiment("1b3", "tpu_v5p_1024")
    # too small for some
    whole = dataclasses.replace(whole, train=dataclasses.replace(whole.train, global_batch_size=64))
    guesses = list(candidates(whole, CHIPS["v5p"], 64))
    assert len({g.name for g in guesses}) == len(guesses) > 20
    for mesh in {g.experiment.mesh for g in guesses}:
        assert math.prod(mesh.shape) == 64
    assert all(
        g.experiment.train.global_batch_size
        // g.experiment.train.accumulation_steps
        % (g.experiment.mesh.data * g.experiment.mesh.fsdp)
        == 0
        for g in guesses
    )
    for guess in guesses[:: len(guesses) // 8]:
        candidate, mesh = guess.experiment, guess.experiment.mesh
        abstract = AbstractMesh(mesh.shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES))
        abstract_state(
            candidate.model,
            candidate.train,
            make_optimizer(candidate.optimizer, decay_mask(candidate.model)),
            abstract,
        )


# As launch/plan.py compiled them: docs/performance.md.
@pytest.mark.parametrize(
    "size, machine, seconds, gigabytes",
    [("82b", "tpu_v5p_1024", 3.01, 38.8), ("204b", "tpu_v5p_2048", 4.27, 39.2)],
)
def test_arithmetic_is_near_the_compiler(size, machine, seconds, gigabytes):
    plan = experiment(size, machine)
    guess = estimate(plan, CHIPS["v5p"], math.prod(plan.mesh.shape))
    assert seconds / 1.5 < guess.step_time < seconds * 1.1
    assert gigabytes / 1.6 < guess.peak_bytes / 1e9 < gigabytes * 1.6


def test_gathers_over_all_chips_of_a_torus_come_last():
    whole = experiment("1b3", "tpu_v5p_1024")
    meshes = [g.experiment.mesh for g in rank(whole, CHIPS["v5p"], 64)]
    over_all = [m.fsdp * m.seq * m.model == 64 for m in meshes]
    assert over_all == sorted(over_all) and True in over_all and False in over_all
    times = [g.step_time for g in rank(whole, CHIPS["h100"], 64)]
    assert times == sorted(times)


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="XLA's compiler for TPUs is not installed"
)
@pytest.mark.parametrize("machine, own", [("tpu_v5p_8", True), ("tpu_v5p_1024", False)])
def test_what_is_compiled(machine, own):
    """The plan at hand if its mesh is one of these chips, as many others as asked for, none twice;
    then larger batches.

    The compiler, which is an argument, is arithmetic here.
    """
    whole, compiled = experiment("1b3", machine), []
    whole = dataclasses.replace(whole, train=dataclasses.replace(whole.train, global_batch_size=64))

    def make(candidate):
        guess = estimate(candidate, CHIPS["v5p"], 8)
        compiled.append(guess)
        if len(compiled) == 1:
            raise ConfigError("cannot be compiled")
        return types.SimpleNamespace(mfu=guess.mfu, fits=guess.fits, peak_bytes=guess.peak_bytes)

    results = search(whole, "v5p:2x2x2", 1, make, 3)
    tried = [
        guess
        for guess in compiled
        if guess.experiment.train.global_batch_size == whole.train.global_batch_size
    ]
    assert len({g.name for g in tried}) == len(tried) == 3 + own
    assert (tried[0].experiment.mesh == whole.mesh) == own
    larger = [
        guess.experiment.train.global_batch_size // whole.train.global_batch_size
        for guess in compiled[len(tried) :]
    ]
    assert larger == [times for times in (2, 4) if times in larger] and larger
    speeds = [r.plan.mfu for r in results if r.usable]
    assert speeds == sorted(speeds, reverse=True) and len(results) == len(compiled)
    assert [r.error for r in results if r.plan is None] == ["cannot be compiled"]


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="XLA's compiler for TPUs is not installed"
)
def test_only_meshes_that_several_slices_can_make_are_compiled():
    """Four slices of eight: the data or the stages go over them, and parameters are never cut over
    the network alone.
    """
    whole, compiled = experiment("1b3", "tpu_v5p_8"), []
    whole = dataclasses.replace(whole, train=dataclasses.replace(whole.train, global_batch_size=64))

    def make(candidate):
        compiled.append(candidate.mesh)
        raise ConfigError("not now")

    with pytest.raises(ConfigError, match="none of the 12 compiled candidates"):
        search(whole, "v5e:2x4", 4, make, 12)
    assert all(mesh.data % 4 == 0 or mesh.pipe % 4 == 0 for mesh in compiled)
    assert any(
        mesh.fsdp == 32
        for mesh in (guess.experiment.mesh for guess in rank(whole, CHIPS["v5e"], 32))
    )


def test_without_the_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"not installed; pip install 'hclx\[plan\]'"):
        topology_devices("v5p:2x2x1")
