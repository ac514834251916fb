"""Distillation: a smaller model learns what a larger one says, token by token or text by text."""

from hclx.distill.distill_config import DistillConfig
from hclx.distill.distillation_loss import make_distillation_loss, soft_losses
from hclx.distill.taught_batch import TaughtBatch

__all__ = ["DistillConfig", "TaughtBatch", "make_distillation_loss", "soft_losses"]
