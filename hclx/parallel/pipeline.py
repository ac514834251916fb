"""Pipeline parallelism as a pure function: a scan over ticks, in each of which every stage works on
a different microbatch.

The stages are an axis of the arrays, sharded over the mesh axis `pipe`. In each tick all stages
apply their layers, by one `vmap`, and hand their result to the next stage, by one roll. Autodiff
and the compiler do the rest: the backward pass is the same pipeline in reverse, and a roll compiles
to a collective-permute between neighbours.

Embedding and loss stay outside: every stage computes the same. If the mesh has `fsdp` too, a stage
gathers its weights and reduces their gradients in each tick, as it would for each microbatch of
gradient accumulation.

With one repeat this is GPipe (Huang et al. 2019, section 2). With more, a microbatch goes around
the stages several times and reaches the next layers each time, so that fewer ticks are spent on
filling and draining (Narayanan et al. 2021, section 2.2): of M x R + S - 1 ticks, a stage idles in
S - 1 (S stages, R repeats, M microbatches). A tick is 1/R as long.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from hclx.errors import ConfigError
from hclx.parallel.sharding import constrain
from hclx.progress import counted

AXIS = "pipe"

# Shapes, beside those of hclx/model/layers.py: S stages · R repeats · C layers of a stage in one
# repeat · M microbatches

# (parameters of one layer, x_btd, the tree `per_row` for these rows) -> x_btd
LayerFn = Callable[[object, jax.Array, object], jax.Array]


def check_pipeline(layers: int, rows: int, *, stages: int, repeats: int, microbatches: int) -> None:
    """Checks that the pipeline can split layers and batch evenly.

    Args:
      layers: of the model.
      rows: of one accumulation step, on one of the devices that the batch is sharded over.
      stages, repeats, microbatches: as in `pipeline`.
    Raises:
      ConfigError: `layers` is no multiple of stages x repeats, `repeats` neither divides `stages`
        nor is a multiple of it, `rows` is no multiple of `microbatches`, or `repeats` is above 1
        and `microbatches` below `stages`. It names the field to change.
    """
    if layers % (stages * repeats):
        raise ConfigError(
            f"ModelConfig.n_layers={layers} cannot be split into MeshConfig.pipe={stages} stages x "
            f"ComputeConfig.pipeline_repeats={repeats}; choose numbers whose product divides it"
        )
    if stages % repeats and repeats % stages:
        raise ConfigError(
            f"ComputeConfig.pipeline_repeats={repeats} is neither a divisor nor a multiple of"
            f" MeshConfig.pipe={stages}: every stage would gather all weights; choose one that is"
        )
    if rows % microbatches:
        raise ConfigError(
            f"ComputeConfig.pipeline_microbatches={microbatches} (0 stands for MeshConfig.pipe)"
            f" does not divide the {counted(rows, 'row')} of TrainConfig.global_batch_size /"
            " (TrainConfig.accumulation_steps x data x fsdp); change one of these"
        )
    if repeats > 1 and microbatches < stages:
        raise ConfigError(
            f"ComputeConfig.pipeline_microbatches={microbatches} is below MeshConfig.pipe={stages},"
            f" and with ComputeConfig.pipeline_repeats={repeats} a stage would wait for the next"
            " repeat; set at least as many microbatches as stages, or repeats to 1"
        )


def pipeline(
    layer_fn: LayerFn,
    stacked_params,
    x_btd: jax.Array,
    per_row,
    *,
    stages: int,
    repeats: int = 1,
    microbatches: int,
    wrap: Callable[[Callable], Callable] = lambda body: body,
    unroll: int = 1,
) -> jax.Array:
    """Applies stacked layers to every row in their order, from the first to the last, whatever
    `repeats` is.

    Stage s of S computes in repeat r, from 0, the C = layers / (S x repeats) layers from
    (r S + s) C on; with one repeat these are the layers that it holds.

    Args:
      layer_fn: (parameters of one layer, x_btd, tree of rows) -> x_btd; it must treat the rows of
        a batch independently.
      stacked_params: tree of [layers, ...], sharded over `pipe` in contiguous blocks of layers.
      x_btd: sharded as "batch", "length", "features" and replicated over the stages.
      per_row: tree of [b, ...] without gradients, such as segments; a layer gets the rows of its
        microbatch.
      stages: the size of the mesh axis `pipe`.
      repeats: times that a microbatch goes around the stages.
      microbatches: that the batch is split into; at least `stages` if `repeats` > 1.
      wrap: transforms the body of the scan over a stage's layers, (x_btd, layer) -> (x_btd, None),
        for rematerialisation.
      unroll: of that scan, the layers in one step.
    Returns:
      [b, t, d], sharded as `x_btd`.
    Raises:
      ConfigError: as `check_pipeline`, with the rows of the whole batch.
    """
    layers = jax.tree.leaves(stacked_params)[0].shape[0]
    check_pipeline(
        layers, x_btd.shape[0], stages=stages, repeats=repeats, microbatches=microbatches
    )
    params = jax.tree.map(lambda array: _by_stage(array, stages, repeats), stacked_params)
    rows = jax.tree.map(lambda array: _split(array, microbatches), per_row)
    run_stages = _stages(layer_fn, rows, repeats, microbatches, wrap, unroll)
    run_tick = functools.partial(_run_tick, functools.partial(run_stages, params))

    x_mbtd = _split(x_btd, microbatches, "length", "features")
    # Every stage has a store although only the first one's is used, so that the roll is the only
    # communication of a tick.
    zeros_smbtd = _constrain(jnp.zeros((stages, *x_mbtd.shape), x_btd.dtype))
    carry = (zeros_smbtd[:, 0], _where_first(x_mbtd, zeros_smbtd))
    (_, store_smbtd), _ = jax.lax.scan(
        run_tick, carry, jnp.arange(microbatches * repeats + stages - 1)
    )
    return _join(_where_first(store_smbtd, zeros_smbtd).sum(0))


def _run_tick(run_stages: Callable, carry, tick: jax.Array):
    """The body of the scan over ticks.

    Args:
      run_stages: (x_sbtd, stages, tick) -> x_sbtd.
      carry: x_sbtd, the input of each stage; store_smbtd, the microbatches that wait at the first
        stage, for their next repeat or for the end.
      tick: from 0.
    """
    x_sbtd, store_smbtd = carry
    stages, microbatches = store_smbtd.shape[:2]
    x_sbtd = _where_first(_read(store_smbtd, tick % microbatches), x_sbtd)
    x_sbtd = _to_next_stage(run_stages(x_sbtd, jnp.arange(stages), tick))
    # The output of the last stage is now at the first one, which stores it.
    slot = (tick - (stages - 1)) % microbatches
    arrived_sbtd = jnp.where(tick >= stages - 1, x_sbtd, _read(store_smbtd, slot))
    store_smbtd = jax.lax.dynamic_update_index_in_dim(store_smbtd, arrived_sbtd, slot, axis=1)
    return (x_sbtd, _constrain(store_smbtd)), None


def _stages(
    layer_fn: LayerFn, rows, repeats: int, microbatches: int, wrap: Callable, unroll: int
) -> Callable:
    """Returns (parameters by stage, x_sbtd, stages, tick) -> x_sbtd: one tick of all stages."""

    @functools.partial(jax.vmap, spmd_axis_name=AXIS, in_axes=(0, 0, 0, None))
    def run(params, x_btd, stage, tick):
        # Stage s is s ticks behind the first one. Before its first microbatch and after its last
        # it may compute on any.
        step = jnp.maximum(tick - stage, 0)
        repeat = jnp.minimum(step // microbatches, repeats - 1)
        own_rows = jax.tree.map(lambda array: _pick(array, step % microbatches), rows)

        def body(x_btd, layer):
            # Picked inside of what is rematerialised: otherwise the backward pass would keep the
            # picked weights of every tick.
            layer = jax.tree.map(lambda array: _pick(array, repeat), layer)
            return layer_fn(layer, x_btd, own_rows), None

        return jax.lax.scan(wrap(body), x_btd, params, unroll=unroll)[0]

    return run


@jax.custom_vjp
def _to_next_stage(x_sbtd: jax.Array) -> jax.Array:
    return _constrain(jnp.roll(_constrain(x_sbtd), 1, axis=0))


# The transpose of roll, as JAX defines it, is a sum of two slices, each sent on its own.
_to_next_stage.defvjp(
    lambda x_sbtd: (_to_next_stage(x_sbtd), None),
    lambda _, grad_sbtd: (_constrain(jnp.roll(_constrain(grad_sbtd), -1, axis=0)),),
)


def _by_stage(array: jax.Array, stages: int, repeats: int) -> jax.Array:
    """Reshapes [layers, ...] to [S, C, R, ...]: layer (r S + s) C + c of the model is at [s, c, r].

    With one repeat a stage computes the layers that it stores, and nothing is communicated. With
    more it needs layers of other stages, because checkpoints keep the layers in their order: the
    weights are then exchanged once a pass.
    """
    array = _shard_stages(array)  # so that the gradient is sharded as the parameter
    return _shard_stages(jnp.moveaxis(array.reshape(repeats, stages, -1, *array.shape[1:]), 0, 2))


def _shard_stages(array: jax.Array) -> jax.Array:
    """Shards the first dimension over the stages and leaves the others to XLA."""
    if jax.sharding.get_abstract_mesh().empty:
        return array
    others = (PartitionSpec.UNCONSTRAINED,) * (array.ndim - 1)
    return jax.lax.with_sharding_constraint(array, PartitionSpec(AXIS, *others))


def _pick(array: jax.Array, index: jax.Array) -> jax.Array:
    if array.shape[0] == 1:
        return array[0]
    return jax.lax.dynamic_index_in_dim(array, index, keepdims=False)


def _read(store_smbtd: jax.Array, slot: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(store_smbtd, slot, axis=1, keepdims=False)


def _where_first(array: jax.Array, others: jax.Array) -> jax.Array:
    """Selects `array` on the first stage and `others`, [S, ...], on the other stages."""
    is_first = (jnp.arange(others.shape[0]) == 0).reshape(-1, *(1,) * (others.ndim - 1))
    return _constrain(jnp.where(is_first, array, others))


def _constrain(array: jax.Array) -> jax.Array:
    """Shards [S, (M,) b, t, d]."""
    return constrain(array, "layers", *(None,) * (array.ndim - 4), "batch", "length", "features")


def _split(array: jax.Array, microbatches: int, *axes: str) -> jax.Array:
    """Reshapes [b, ...] to [M, b / M, ...]. Row i goes to microbatch i % M, so that a microbatch is
    sharded over the same devices as the batch.
    """
    array = array.reshape(-1, microbatches, *array.shape[1:]).swapaxes(0, 1)
    return constrain(array, None, "batch", *(axes or (None,) * (array.ndim - 2)))


def _join(array: jax.Array) -> jax.Array:
    """Inverts `_split`."""
    return constrain(
        array.swapaxes(0, 1).reshape(-1, *array.shape[2:]), "batch", "length", "features"
    )
