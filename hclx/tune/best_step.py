"""How a run of tuning chooses its best step, and when it ends before its last one."""

from collections.abc import Sequence

from hclx.config import TrainConfig
from hclx.errors import ConfigError
from hclx.train.step_selection import Selection
from hclx.tune.tune_config import TuneConfig


def metrics_of(config: TuneConfig, has_choices: bool) -> tuple[str, ...]:
    """Returns the names of the metrics that are measured beside the validation loss, that of the
    task first.

    Args:
      config: the objective.
      has_choices: whether the answers of held-out examples are choices.
    """
    if config.writes_text:
        return ("validation_accuracy", "validation_choice_loss") if has_choices else ()
    if config.objective == "contrast":
        return ("validation_r1", "validation_mrr")
    if config.objective == "pair" and config.label_names:
        return ("validation_accuracy",)
    return ("validation_pearson", "validation_spearman")


def selection_of(config: TuneConfig, metrics: Sequence[str]) -> Selection:
    """Returns how steps are compared: as `TuneConfig.select_by` says, where "auto" is the metric of
    the task if there is one and the validation loss otherwise. Of steps with equal metrics, the one
    with the lower loss is better.

    Args:
      config: the method and its settings.
      metrics: see `metrics_of`; () if none are measured.
    Raises:
      ConfigError: the figure is not measured.
    """
    name = config.select_by
    if name == "auto":
        name = next(iter(metrics), "validation_loss")
    if name not in ("validation_loss", *metrics):
        of_choices = config.writes_text and not metrics
        remedy = "give a prompt document with choices and rows that are held out, or "
        raise ConfigError(
            f"TuneConfig.select_by={name!r} is not measured in this run;"
            f" {remedy if of_choices else 'give '}TuneConfig.select_by='validation_loss'"
            + "".join(f" or {metric!r}" for metric in metrics)
        )
    sign = 1 if name.endswith("loss") else -1
    loss = "validation_choice_loss" if "validation_choice_loss" in metrics else "validation_loss"
    return Selection(name, lambda figures: (sign * figures[name], figures[loss]), config.patience)


def check_patience(config: TuneConfig, train: TrainConfig) -> None:
    """Refuses early stopping in a run that does not keep the best of its steps.

    Raises:
      ConfigError: says what is lacking.
    """
    if not config.patience:
        return
    evaluated, saved = train.eval_every, train.checkpoint_every
    if not (train.keep_best and evaluated and evaluated % saved == 0):
        raise ConfigError(
            f"TuneConfig.patience={config.patience} needs each evaluated step on disk, and"
            f" TrainConfig.eval_every={evaluated}, checkpoint_every={saved}, keep_best="
            f"{train.keep_best}; give keep_best=1 and an eval_every that is a multiple of"
            " checkpoint_every"
        )
