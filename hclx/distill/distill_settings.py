"""The settings of a run of distillation: those of gin, and those of teacher and student."""

import dataclasses

from hclx.config import DataConfig, Experiment, TokenizerConfig
from hclx.distill.distill_config import DistillConfig
from hclx.field_checks import require
from hclx.gin_bindings import SECTIONS as OF_EXPERIMENT
from hclx.gin_bindings import load_sections
from hclx.train.whole_model import read_whole_model

# The teacher decides the tokenizer.
SECTIONS = {name: kind for name, kind in OF_EXPERIMENT.items() if name != "tokenizer"}
SECTIONS["distill"] = DistillConfig


def load_distill_settings(
    gin_files: list[str], bindings: list[str], teacher: str, init_from: str = ""
) -> tuple[Experiment, DistillConfig]:
    """Returns the configuration of a run of distillation, and its own settings.

    Args:
      gin_files, bindings: as in `hclx.gin_bindings.load_experiment`; they set the student's model
        unless `init_from` decides it, and never the tokenizer, which is the teacher's.
      teacher: MODEL_DIR[:STEP].
      init_from: the same of the weights that the student begins with; "": random ones, for the
        teacher's vocabulary.
    Raises:
      ConfigError, CheckpointError, DataError: as `load_sections` and `read_whole_model`.
    """
    of_teacher, tokenizer_dir = read_whole_model(teacher.partition(":")[0])
    begun = read_whole_model(init_from.partition(":")[0])[0].model if init_from else None
    sections = {name: kind for name, kind in SECTIONS.items() if not (begun and name == "model")}

    def join(data: DataConfig, distill: DistillConfig, model=None, **others):
        model = begun or dataclasses.replace(model, vocab_size=of_teacher.model.vocab_size)
        length = others["train"].sequence_length
        require(
            length <= model.max_length,
            f"TrainConfig.sequence_length={length} is more than the {model.max_length} tokens that"
            " the student reads; give a shorter sequence",
        )
        data = dataclasses.replace(data, tokenizer_dir=tokenizer_dir)
        known = {"model": model, "tokenizer": TokenizerConfig()}
        return Experiment(**known, data=data, **others), distill

    return load_sections(sections, gin_files, bindings, join)
