"""Tuning: soft prompts, p-tuning, prefixes, low-rank changes and full fine-tuning of a base."""

from hclx.tune.methods import METHODS, Method, Tuned, apply_method, without_encoder
from hclx.tune.trainable import (
    abstract_tuning_state,
    begin,
    begin_state,
    count_trainable,
    frozen_specs,
    trainable_bytes,
    trainable_specs,
    tuning_decay_mask,
)
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_loss import make_tuned_token_losses, make_tuning_loss, tuned_hidden_states

__all__ = [
    "METHODS",
    "Method",
    "TuneConfig",
    "Tuned",
    "abstract_tuning_state",
    "apply_method",
    "begin",
    "begin_state",
    "count_trainable",
    "frozen_specs",
    "make_tuned_token_losses",
    "make_tuning_loss",
    "trainable_bytes",
    "trainable_specs",
    "tuned_hidden_states",
    "tuning_decay_mask",
    "without_encoder",
]
