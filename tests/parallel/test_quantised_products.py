"""Quantised products on meshes: the same numbers wherever arrays are cut, and weights that are
gathered in eight bits.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from hclx.model.matmul import matmul
from hclx.parallel import make_mesh
from hclx.plan.hlo import parse_hlo
from hclx.train.step import (
    accumulate_gradients,
    make_loss,
    make_program,
    make_token_losses,
)
from tests.helpers.meshes import (
    COMPUTE,
    MESHES,
    MODEL,
    ONE,
    devices_of,
    experiment,
    placed,
)

MESH = "data 2 x fsdp 2 x model 2"
# How a product meets the mesh: x, w, and what comes out, as in the projections into a block's inner
# width and out of it.
LAYOUTS = {
    "in": ((("data", "fsdp"), None), ("fsdp", "model"), (("data", "fsdp"), "model")),
    "out": ((("data", "fsdp"), "model"), ("model", "fsdp"), (("data", "fsdp"), None)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_int8_is_the_same_number_for_number_however_it_is_cut(layout):
    """Maxima and integer sums do not depend on their order: scales are those of whole rows, also
    where a row is cut.
    """
    draw = np.random.default_rng(0)
    arrays = [
        jnp.asarray(draw.normal(size=shape), jnp.float32)
        for shape in ((32, 64), (64, 48), (32, 48))
    ]

    def run(x, w, dy):
        y, vjp = jax.vjp(functools.partial(matmul, precision="int8"), x, w)
        return y, vjp(dy)[0]

    expected = jax.jit(run)(*arrays)
    mesh = make_mesh(MESHES[MESH])
    cut = [
        jax.device_put(a, NamedSharding(mesh, PartitionSpec(*axes)))
        for a, axes in zip(arrays, LAYOUTS[layout])
    ]
    for sharded_array, whole_array in zip(jax.jit(run)(*cut), expected):
        np.testing.assert_array_equal(sharded_array, whole_array)


def losses(config, compute):
    """Of each target of one batch, and the gradient of their mean."""
    mesh = make_mesh(config, devices_of(config))
    with jax.set_mesh(mesh):
        program = make_program(experiment(config, compute), mesh)
        gradient = lambda *args: accumulate_gradients(
            make_loss(MODEL, compute), *args, microbatches=1
        )[1]
        both = lambda *args: (make_token_losses(MODEL, compute)(*args), gradient(*args))
        return jax.device_get(jax.jit(both)(*placed(program)))


@pytest.mark.parametrize("precision", ["int8", pytest.param("fp8", marks=pytest.mark.long)])
def test_losses_and_gradients_agree_with_one_device(precision):
    """Not to the last digit: where a number lies between two of the format, the order of a sum
    before it decides. But by less than half of what eight bits themselves change, of all targets'
    losses and of all gradients.
    """
    quantised = dataclasses.replace(COMPUTE, matmul=precision)
    sharded, expected, exact = (
        losses(MESHES[MESH], quantised),
        losses(ONE, quantised),
        losses(ONE, COMPUTE),
    )
    norm = lambda a, b: np.sqrt(
        sum(
            np.sum(np.square(x - y))
            for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        )
    )
    for part in range(2):
        assert norm(sharded[part], expected[part]) < 0.5 * norm(expected[part], exact[part])


def test_weights_are_gathered_in_eight_bits():
    """Four matrices a block, forward and backward, quantised where they lie: half of the bytes of
    bfloat16.
    """
    mesh = make_mesh(MESHES["fsdp=8"])
    with jax.set_mesh(mesh):
        program = make_program(
            experiment(MESHES["fsdp=8"], dataclasses.replace(COMPUTE, matmul="int8")), mesh
        )
        lowered = program.train_step.lower(program.abstract_state, program.abstract_batch)
        module = parse_hlo(lowered.compile().as_text())
    gathered = [
        (array.dtype, times)
        for _, instruction, times in module.walk()
        if instruction.opcode.removesuffix("-start") == "all-gather"
        for array in instruction.results
        if array.size >= MODEL.d_model**2
    ]
    assert sum(times for dtype, times in gathered if dtype == "s8") == 2 * 5 * MODEL.n_layers
    # the embedding for its two uses, and the positions
    assert sum(times for dtype, times in gathered if dtype != "s8") <= 3
