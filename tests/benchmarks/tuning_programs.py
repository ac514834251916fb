"""The programs of tuning without its data: what `hclx tune` computes of packed rows."""

from jax.sharding import Mesh

from hclx.config import Experiment
from hclx.train.step import Training
from hclx.tune import (
    TuneConfig,
    abstract_tuning_state,
    make_tuned_token_losses,
    make_tuning_loss,
    tuning_decay_mask,
)


def tuning(experiment: Experiment, config: TuneConfig, mesh: Mesh) -> Training:
    """Returns what `hclx.train.step.make_program` computes for a method of tuning."""
    model, train = experiment.model, experiment.train
    return Training(
        tuning_decay_mask(model, config),
        lambda optimizer: abstract_tuning_state(model, train, config, optimizer, mesh),
        lambda compute: make_tuning_loss(model, compute, config, train.z_loss),
        lambda compute: make_tuned_token_losses(model, compute, config),
    )
