"""The settings of distillation: what of the teacher is kept, and how much it counts."""

import dataclasses

from hclx.config import INFERENCE_DTYPES
from hclx.field_checks import Validated, either, require


@dataclasses.dataclass(frozen=True)
class DistillConfig(Validated):
    """The teacher's probabilities, and their weight beside the tokens of the text."""

    top_k: int = 32  # of the likeliest tokens whose probabilities are cached for each target
    # by which the logits of both are divided before the softmax (Hinton et al. 2015, section 2)
    temperature: float = 1.0
    # of the soft loss; the cross-entropy with the text's own tokens has what is left to 1
    soft_weight: float = 0.9
    teacher_dtype: str = "float32"  # in which the teacher is held: see `TuneConfig.base_dtype`

    def _check(self):
        self._positive("top_k", "temperature")
        self._int32("top_k")
        require(
            0 < self.soft_weight <= 1,
            f"DistillConfig.soft_weight={self.soft_weight} is not in (0, 1]; without a teacher,"
            " tune with TuneConfig.kind='finetune'",
        )
        require(
            self.teacher_dtype in INFERENCE_DTYPES,
            f"DistillConfig.teacher_dtype={self.teacher_dtype!r} is not {either(INFERENCE_DTYPES)}",
        )
