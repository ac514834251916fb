"""The parts of a tuned model that are trained and that are frozen: trees, counts, shardings, and
the train state of tuning.
"""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from hclx.config import TrainConfig
from hclx.model import Params, ParamSpec, count_params, param_specs
from hclx.model_config import ModelConfig
from hclx.parallel import named_sharding
from hclx.train.state import TrainState, abstract_state_of, fresh_state
from hclx.tune.frozen_base import abstract_base
from hclx.tune.initial_values import Tokens
from hclx.tune.methods import init_tune, tune_specs
from hclx.tune.tune_config import TuneConfig


def trainable_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The tree of what a method trains, with the record of each parameter in its place."""
    own = tune_specs(model, config)
    if config.kind == "finetune":
        return {**param_specs(model), **({"tune": own} if own else {})}
    return {"tune": own}


def frozen_specs(model: ModelConfig, config: TuneConfig) -> Params:
    """The tree of what stays as it is; {} in full fine-tuning."""
    return {} if config.kind == "finetune" else param_specs(model)


def tuning_decay_mask(model: ModelConfig, config: TuneConfig) -> Params:
    """The trainable tree with, for each array, whether weight decay shrinks it: matrices alone, and
    neither vectors that stand for tokens nor a prefix.
    """
    return jax.tree.map(lambda spec: spec.decays, trainable_specs(model, config))


def count_trainable(model: ModelConfig, config: TuneConfig) -> int:
    """The number of parameters that a method trains."""
    return count_params(trainable_specs(model, config))


def trainable_bytes(model: ModelConfig, config: TuneConfig) -> int:
    """The bytes of these in float32, which are those of an artefact without its head. Training
    takes four times as many, with gradients and two moments.
    """
    return 4 * count_trainable(model, config)


def begin(
    model: ModelConfig, config: TuneConfig, base: Params, tokens: Tokens = ()
) -> tuple[Params, Params]:
    """The values at which tuning begins.

    Args:
      model: the base's shape.
      config: the method and its settings; its seed draws what is drawn.
      base: the parameters of the base, as `hclx.tune.frozen_base` holds them.
      tokens: token ids of the labels or of the text, for `init` "labels" or "text".
    Returns:
      (trainable, frozen): trees whose `merge` is the tuned model. The arrays of `base` are in one
      of them, as they are.
    Raises:
      ConfigError: the model has no such projection, or the tokens do not fit.
    """
    own = init_tune(model, config, base, jax.random.key(config.seed), tokens)
    if config.kind == "finetune":
        return {**base, **({"tune": own} if own else {})}, {}
    return {"tune": own}, base


def abstract_tuning_state(
    model: ModelConfig,
    train: TrainConfig,
    config: TuneConfig,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
) -> TrainState:
    """The state of tuning as `jax.ShapeDtypeStruct`s with their shardings: see
    `hclx.train.state.abstract_state`. The base is held as `hclx.tune.frozen_base` says.

    Args:
      model: the base's shape.
      train: its `spike_window` is the size of the guard.
      config: the method and its settings.
      optimizer: of what is trained: see `hclx.train.make_optimizer`.
      mesh: the devices.
    Raises:
      ConfigError: the mesh cannot shard an array evenly.
    """
    trainable = jax.tree_util.tree_map_with_path(
        lambda path, spec: _abstract(path, spec, mesh), trainable_specs(model, config)
    )
    is_frozen = config.kind != "finetune"
    frozen = abstract_base(model, config.base_dtype, mesh) if is_frozen else {}
    return abstract_state_of(trainable, frozen, train, optimizer, mesh)


def _abstract(path, spec: ParamSpec, mesh: Mesh) -> jax.ShapeDtypeStruct:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    sharding = named_sharding(mesh, spec.axes, spec.shape, name)
    return jax.ShapeDtypeStruct(spec.shape, jnp.float32, sharding=sharding)


def begin_state(
    model: ModelConfig,
    train: TrainConfig,
    config: TuneConfig,
    optimizer: optax.GradientTransformation,
    base: Params,
    abstract: TrainState,
    tokens: Tokens = (),
) -> TrainState:
    """The state of step 0 on the devices of `abstract`. The base is not copied where it lies there
    already.

    Args:
      model, train, config, optimizer: as in `abstract_tuning_state`.
      base, tokens: as in `begin`.
      abstract: see `abstract_tuning_state`.
    """
    trainable, frozen = begin(model, config, base, tokens)
    place = lambda tree, like: jax.tree.map(lambda x, y: jax.device_put(x, y.sharding), tree, like)
    trainable, frozen = place(trainable, abstract.trainable), place(frozen, abstract.frozen)
    state = fresh_state(trainable, train, optimizer, frozen)
    return place(state._replace(frozen={}), abstract._replace(frozen={}))._replace(frozen=frozen)
