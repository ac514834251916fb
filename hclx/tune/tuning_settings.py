"""The settings of a run of tuning: those of gin, and those of the base."""

import dataclasses

from hclx.config import DataConfig, Experiment, TokenizerConfig
from hclx.field_checks import require
from hclx.gin_bindings import SECTIONS as OF_EXPERIMENT
from hclx.gin_bindings import load_sections
from hclx.tune.tune_config import TuneConfig
from hclx.tune.tuning_run import read_base

# The base decides the model and the tokenizer.
_OF_BASE = ("model", "tokenizer")
SECTIONS = {name: kind for name, kind in OF_EXPERIMENT.items() if name not in _OF_BASE}
SECTIONS["tune"] = TuneConfig


def load_settings(
    gin_files: list[str], bindings: list[str], base: str
) -> tuple[Experiment, TuneConfig]:
    """Returns the configuration of a run of tuning, and the settings of its method.

    Args:
      gin_files, bindings: as in `hclx.gin_bindings.load_experiment`; they may not set what the base
        decides: the model and the tokenizer.
      base: MODEL_DIR[:STEP], whose model and tokenizer the run has.
    Raises:
      ConfigError, CheckpointError, DataError: as `load_sections` and `read_base`.
    """
    of_base, tokenizer_dir = read_base(base)

    def join(data: DataConfig, tune: TuneConfig, **sections) -> tuple[Experiment, TuneConfig]:
        data = dataclasses.replace(data, tokenizer_dir=tokenizer_dir)
        length, most = sections["train"].sequence_length, of_base.model.max_length
        require(
            length <= most,
            f"TrainConfig.sequence_length={length} is more than the {most} tokens that the base"
            f" reads; give --gin.TrainConfig.sequence_length={most}",
        )
        others = {"model": of_base.model, "tokenizer": TokenizerConfig()}
        return Experiment(**others, data=data, **sections), tune

    return load_sections(SECTIONS, gin_files, bindings, join)
