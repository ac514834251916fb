"""Plans by arithmetic against sums done by hand, and against the state as it is laid out."""

import dataclasses

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from hclx.config import MESH_AXES, MeshConfig
from hclx.errors import ConfigError
from hclx.model import n_params
from hclx.parallel.chips import CHIPS
from hclx.plan.analytic import estimate
from hclx.plan.topology import KERNEL_EFFICIENCY, count_gpus, gather_seconds
from hclx.train.flops import flops_per_token
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.state import abstract_state, bytes_per_device
from tests.helpers.experiments import experiment

H100 = CHIPS["h100"]


def plan(size="13b", chips=64, batch=512, chip=H100, compute=(), **mesh):
    whole = experiment(size, "one_device")
    whole = dataclasses.replace(
        whole,
        mesh=MeshConfig(**({"fsdp": 1} | mesh)),
        train=dataclasses.replace(whole.train, global_batch_size=batch),
        compute=dataclasses.replace(whole.compute, **dict(compute)),
    )
    return estimate(whole, chip, chips)


@pytest.mark.parametrize(
    "mesh",
    [{"fsdp": 64}, {"fsdp": 16, "model": 4}, {"fsdp": 16, "seq": 4}, {"pipe": 4, "fsdp": 16}],
)
def test_state_is_what_is_laid_out(mesh):
    estimated = plan(**mesh)
    planned = estimated.experiment
    abstract = AbstractMesh(
        planned.mesh.shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES)
    )
    state = abstract_state(
        planned.model,
        planned.train,
        make_optimizer(planned.optimizer, decay_mask(planned.model)),
        abstract,
    )
    # Biases and norms are not cut, and the embedding is on every stage.
    embedding = (
        12
        * planned.model.vocab_size
        * planned.model.d_model
        / (planned.mesh.fsdp * planned.mesh.model)
    )
    small = 12 * 13 * planned.model.n_layers * planned.model.d_model
    assert (
        0
        <= bytes_per_device(state) - estimated.bytes["parameters and moments"]
        <= small + embedding
    )


def test_the_parts_are_the_whole():
    estimated = plan(fsdp=64)
    assert estimated.peak_bytes == sum(estimated.bytes.values()) and estimated.step_time == sum(
        estimated.seconds.values()
    )
    flops = flops_per_token(estimated.experiment.model, 2_048) * 512 * 2_048 / 64
    assert estimated.mfu == pytest.approx(flops / estimated.step_time / 989e12)
    assert KERNEL_EFFICIENCY < estimated.mfu < H100.matmul_efficiency


def test_gpus_gather_over_their_network():
    """An eighth of all over each card, which the switch of the node then hands on."""
    assert gather_seconds(H100, 8e9, 8, 8) == pytest.approx(7e9 / 450e9)
    assert gather_seconds(H100, 8e9, 64, 64) == pytest.approx(1e9 / 50e9)
    few = plan("204b", batch=16, fsdp=64)  # too little to hide 1.2 TB behind
    weights = 3 * 2 * n_params(few.experiment.model)
    busy = sum(
        few.seconds[name] for name in ("matrix products", "attention kernel", "norms, activations")
    )
    assert few.seconds["waiting for transfers over fsdp"] == pytest.approx(
        weights / 8 / 50e9 - busy
    )
    assert few.limits == "HBM" and not few.fits


def test_a_torus_gathers_over_its_axes():
    v5p = CHIPS["v5p"]
    assert gather_seconds(v5p, 64e9, 64, 1024) == pytest.approx(63e9 / (4 * 90e9))
    assert gather_seconds(v5p, 64e9, 64, 64) == pytest.approx(63e9 / (6 * 90e9))


def test_a_pipeline_idles_while_it_fills():
    estimated = plan(pipe=4, fsdp=16, compute={"pipeline_microbatches": 8}.items())
    busy = sum(
        estimated.seconds[name]
        for name in ("matrix products", "attention kernel", "norms, activations")
    )
    assert estimated.seconds["filling and draining the pipeline"] == pytest.approx(3 / 8 * busy)


def test_less_is_kept_by_full_remat_and_more_is_computed():
    minimal, full = plan(fsdp=64), plan(fsdp=64, compute={"remat": "full"}.items())
    kept = "kept for the backward pass"
    assert full.bytes[kept] == pytest.approx(2 * 40 * 8 * 2_048 * 5_120) and minimal.bytes[
        kept
    ] == pytest.approx(10 * full.bytes[kept])
    assert full.seconds["matrix products"] == pytest.approx(
        4 / 3 * minimal.seconds["matrix products"]
    )


def test_what_is_kept_is_cut_by_every_axis():
    """A window on 4 chips that share its heads, or its length, or its layers, leaves each a quarter
    of what it leaves one.
    """
    kept = lambda **mesh: plan(batch=16, **mesh).bytes["kept for the backward pass"]
    assert (
        kept(fsdp=16, model=4)
        == kept(fsdp=16, seq=4)
        == kept(fsdp=16, pipe=4)
        == 2 * 40 * 2_048 * 5_120 * 10 / 4
    )


@pytest.mark.parametrize("topology", ["h100:", "h100:0", "h100:2x4", "h100:12", "h100:-8"])
def test_a_number_of_gpus_that_cannot_be_is_refused(topology):
    with pytest.raises(ConfigError, match=f"--topology={topology}: give the number of GPUs"):
        count_gpus(topology)


def test_whole_nodes():
    assert [count_gpus(f"h200:{n}") for n in (1, 4, 8, 64)] == [1, 4, 8, 64]
    assert jax.default_backend() == "cpu"  # nothing above asked for a GPU
