"""The pipeline against a plain loop over layers, what it sends between devices, and what it
refuses.
"""

import functools
import math
import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hclx.config import (
    ComputeConfig,
    DataConfig,
    Experiment,
    MeshConfig,
    ModelConfig,
    OptimizerConfig,
    TokenizerConfig,
    TrainConfig,
)
from hclx.data.batch import Batch
from hclx.errors import ConfigError
from hclx.model import abstract_params
from hclx.parallel import make_mesh, named_sharding, pipeline
from hclx.train.step import make_loss, make_program

AXES = {"w": ("layers", "embed", "mlp"), "b": ("layers", "norm")}
remat = functools.partial(jax.checkpoint, prevent_cse=False)


def layer(params, x_btd, segments_bt):
    """Depends on the order of the layers, and on each row's segments."""
    return x_btd + jnp.tanh((x_btd * segments_bt[..., None]) @ params["w"] + params["b"])


def loop(params, x_btd, segments_bt):
    for index in range(params["b"].shape[0]):
        x_btd = layer(jax.tree.map(lambda array: array[index], params), x_btd, segments_bt)
    return x_btd


def toy(layers=8, batch=8, length=2, width=4):
    random = np.random.default_rng(0)
    draw = lambda *shape: random.normal(size=shape).astype(np.float32)
    params = {"w": draw(layers, width, width) / 8, "b": draw(layers, width)}
    return (
        params,
        draw(batch, length, width),
        random.integers(0, 3, (batch, length)).astype(np.int32),
    )


def with_gradients(function):
    """(output, gradients for parameters and input) of a function of them."""

    def loss(params, x_btd, segments_bt):
        y_btd = function(params, x_btd, segments_bt)
        return (y_btd * jnp.linspace(-1, 1, y_btd.size).reshape(y_btd.shape)).sum(), y_btd

    return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))


@functools.cache
def in_a_loop():
    return with_gradients(loop)(*toy())


@pytest.mark.parametrize(
    "stages, repeats, microbatches",
    [(4, 1, 2), (2, 1, 8), (2, 2, 2), (2, 4, 4), (4, 2, 4), (4, 2, 8)],
)
def test_it_is_a_loop_over_layers(stages, repeats, microbatches):
    """Without a mesh: the schedule alone, with fewer, as many and more microbatches than stages."""
    run = functools.partial(
        pipeline, layer, stages=stages, repeats=repeats, microbatches=microbatches, wrap=remat
    )
    actual, expected = with_gradients(run)(*toy()), in_a_loop()
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5), actual, expected)
    assert all(np.abs(gradient).max() > 0.1 for gradient in jax.tree.leaves(expected))


def compiled(config, layers=8, **schedule):
    """HLO of the gradient for the parameters, on a mesh over the first devices."""
    mesh = make_mesh(config, jax.devices()[: math.prod(config.shape)])
    params, x_btd, segments_bt = toy(layers, batch=16)
    with jax.set_mesh(mesh):
        place = lambda array, *axes: jax.ShapeDtypeStruct(
            array.shape, array.dtype, sharding=named_sharding(mesh, axes)
        )
        arguments = (
            {name: place(params[name], *axes) for name, axes in AXES.items()},
            place(x_btd, "batch", "length", "features"),
            place(segments_bt, "batch", "length"),
        )
        run = functools.partial(pipeline, layer, stages=config.pipe, wrap=remat, **schedule)
        gradients = jax.jit(jax.grad(lambda *arguments: run(*arguments).sum(), argnums=0))
        return gradients.lower(*arguments).compile().as_text()


def collectives(hlo):
    return Counter(
        re.findall(
            r" (all-gather|all-to-all|all-reduce|reduce-scatter|collective-permute)(?:-start)?\(",
            hlo,
        )
    )


def test_stages_talk_to_their_neighbours_only():
    """One permute a tick forward and one backward; beside them, outside the ticks, the sum that
    shares the result.
    """
    hlo = compiled(MeshConfig(pipe=4, fsdp=1), repeats=1, microbatches=8)
    counts = collectives(hlo)
    assert counts.pop("collective-permute") == 2
    assert set(counts) <= {"all-reduce"} and counts["all-reduce"] <= 1
    assert not re.search(r"all-reduce.*op_name=\"[^\"]*while", hlo)
    assert {
        frozenset(pairs.split("},{"))
        for pairs in re.findall(r"source_target_pairs=\{\{([\d,{}]*)\}\}", hlo)
    } == {
        frozenset({"0,1", "1,2", "2,3", "3,0"}),
        frozenset({"1,0", "2,1", "3,2", "0,3"}),
    }


@pytest.mark.parametrize("stages, repeats", [(2, 2), (4, 2)])
def test_repeats_exchange_weights_and_gather_none(stages, repeats):
    hlo = compiled(MeshConfig(pipe=stages, fsdp=1), repeats=repeats, microbatches=4)
    counts = collectives(hlo)
    assert counts["all-to-all"] == 4 and not counts["all-gather"]  # of two arrays, there and back
    assert not re.search(r"all-to-all.*op_name=\"[^\"]*while", hlo)


def scans(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)  # closed, or open
            if hasattr(inner, "eqns"):
                yield from scans(inner)


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_backward_pass_keeps_of_a_tick_what_remat_says(repeats):
    """With "full", the input of each block, and no weights even where they were picked for the
    tick.
    """
    model = ModelConfig(vocab_size=64, n_layers=8, d_model=32, n_heads=4, max_length=16)
    compute = ComputeConfig(
        dtype="float32", remat="full", pipeline_repeats=repeats, pipeline_microbatches=4
    )
    with jax.set_mesh(make_mesh(MeshConfig(pipe=2, fsdp=1), jax.devices()[:2])):
        loss = lambda params, batch: make_loss(model, compute)(params, batch)[0]
        ids, weights = (jax.ShapeDtypeStruct((8, 16), dtype) for dtype in (jnp.int32, jnp.float32))
        jaxpr = jax.make_jaxpr(jax.grad(loss))(
            abstract_params(model), Batch(ids, ids, weights, ids, ids)
        ).jaxpr
    ticks = 4 * repeats + 1
    forward = next(scan for scan in scans(jaxpr) if scan.params["length"] == ticks)
    # stacked over ticks, and not carried
    kept = [v.aval for v in forward.outvars if v.aval.shape[:1] == (ticks,)]
    assert [aval.shape for aval in kept if aval.dtype == jnp.float32] == [
        (ticks, 8 // (2 * repeats), 2, 2, 16, 32)
    ]


def refuse(mesh, layers=8, batch=16, pieces=1, **compute):
    whole = Experiment(
        model=ModelConfig(vocab_size=64, n_layers=layers, d_model=32, n_heads=4, max_length=16),
        optimizer=OptimizerConfig(warmup_steps=2),
        data=DataConfig(mixture="sample"),
        tokenizer=TokenizerConfig(),
        compute=ComputeConfig(**compute),
        mesh=mesh,
        train=TrainConfig(
            total_steps=8, global_batch_size=batch, accumulation_steps=pieces, sequence_length=16
        ),
    )
    make_program(whole, make_mesh(mesh))


@pytest.mark.parametrize(
    "mesh, fields, message",
    [
        (
            MeshConfig(pipe=4),
            {"layers": 6},
            "n_layers=6 cannot be split into MeshConfig.pipe=4 stages x .*repeats=1; choose",
        ),
        (
            MeshConfig(pipe=4),
            {"pipeline_repeats": 4},
            "n_layers=8 .*pipe=4 stages x ComputeConfig.pipeline_repeats=4",
        ),
        (
            MeshConfig(pipe=2),
            {"layers": 6, "pipeline_repeats": 3},
            "repeats=3 is neither a divisor nor a multiple of .*pipe=2",
        ),
        (
            MeshConfig(pipe=2),
            {"pipeline_microbatches": 8},
            "microbatches=8 .*does not divide the 4 row.*change one",
        ),
        (
            MeshConfig(pipe=4),
            {"pieces": 4},
            "microbatches=4 .*does not divide the 2 row.*accumulation_steps",
        ),
        (
            MeshConfig(pipe=4),
            {"pipeline_repeats": 2, "pipeline_microbatches": 2},
            "microbatches=2 is below MeshConfig.pipe=4",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused_before_the_run(mesh, fields, message):
    with pytest.raises(ConfigError, match=message):
        refuse(mesh, **fields)


def test_the_function_refuses_it_too():
    with pytest.raises(ConfigError, match="microbatches=3 .*does not divide the 8 row"):
        pipeline(layer, *toy(), stages=2, microbatches=3)


def test_fields_are_checked_when_they_are_made():
    with pytest.raises(ConfigError, match="pipeline_microbatches=-1 is negative"):
        ComputeConfig(pipeline_microbatches=-1)
    with pytest.raises(ConfigError, match="pipeline_repeats must be positive, got 0"):
        ComputeConfig(pipeline_repeats=0)
