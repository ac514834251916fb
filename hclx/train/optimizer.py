"""AdamW as GPT-3 was trained with it, from optax: clipping, warm-up, cosine, decay on matrices
only.

The learning rate is the step's business and not the optimizer's: it follows the number of the step,
also where steps were left out, and Adam's bias correction follows the updates that were made.
"""

import math

import jax
import jax.numpy as jnp
import optax

from hclx.config import OptimizerConfig
from hclx.model import Params

# Arrays that are matrices of the model; what is left (biases, scales and biases of layer norms)
# never decays.
DECAYED = ("token", "position", "qkv", "out", "wi", "wo")


def learning_rate_schedule(
    config: OptimizerConfig, total_steps: int, factors: tuple[tuple[int, float], ...] = ()
) -> optax.Schedule:
    """Linear from 0 over `warmup_steps`, then a cosine to `final_fraction` of the peak at
    `total_steps`.

    `factors`: (step, factor), each of which multiplies the rate from its step on.
    """
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=0.0 if config.warmup_steps else config.learning_rate,
        peak_value=config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=total_steps,
        end_value=config.learning_rate * config.final_fraction,
    )
    if not factors:
        return schedule
    return lambda step: (
        schedule(step)
        * math.prod(jnp.where(step >= start, factor, 1.0) for start, factor in factors)
    )


def decay_mask(params: Params) -> Params:
    """True for each array that weight decay shrinks, by its name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in DECAYED, params)


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """What the learning rate multiplies and the parameters lose: global-norm clipping, Adam
    moments, decoupled decay.
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.epsilon),
        optax.add_decayed_weights(config.weight_decay, mask=decay_mask),
    )
