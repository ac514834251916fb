"""AdamW as GPT-3 was trained with it, from optax: clipping, warm-up, cosine, decay on matrices
only.

The train step applies the learning rate, not the optimizer: the rate follows the number of the
step, even if steps were skipped, while Adam's bias correction follows the updates that were made.
"""

import math

import jax
import jax.numpy as jnp
import optax

from hclx.config import ModelConfig, OptimizerConfig
from hclx.model import Params, param_specs


def learning_rate_schedule(
    config: OptimizerConfig, total_steps: int, factors: tuple[tuple[int, float], ...] = ()
) -> optax.Schedule:
    """The learning rate by step: linear from 0 over `warmup_steps`, then a cosine to
    `final_fraction` of the peak at `total_steps`.

    Args:
      config: the hyperparameters.
      total_steps: of the run.
      factors: (step, factor) pairs; each factor multiplies the rate from its step on.
    Returns:
      A function of the number of steps before, a scalar from 0.
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


def decay_mask(model: ModelConfig) -> Params:
    """The parameter tree with, for each array, whether weight decay shrinks it."""
    return jax.tree.map(lambda spec: spec.decays, param_specs(model))


def make_optimizer(config: OptimizerConfig, mask: Params) -> optax.GradientTransformation:
    """AdamW without the learning rate, by which the step multiplies its updates before it subtracts
    them: clipping by the global norm, Adam's moments, decoupled weight decay (Loshchilov and Hutter
    2019, algorithm 2).

    Args:
      config: the hyperparameters.
      mask: tree of bools in the structure of what is trained: where weights decay (`decay_mask`).
    """
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.scale_by_adam(b1=config.beta1, b2=config.beta2, eps=config.epsilon),
        optax.add_decayed_weights(config.weight_decay, mask=mask),
    )
