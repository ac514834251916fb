"""The content-free inputs of a run, by which its choices are calibrated; `calibration` has the
methods.
"""

from collections.abc import Mapping, Sequence

from hclx.evaluate.answering import score_choices
from hclx.evaluate.calibration import content_free_fields, domain_fields
from hclx.evaluate.item_prompts import ItemPrompt, Reader, content_free_prompt
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.shots import draw_shots, keep
from hclx.infer import Engine


def calibration_prompts(
    spec: RunSpec, trial: int, reader: Reader, shots: int
) -> dict[str, list[ItemPrompt]]:
    """Returns the prompts of inputs that say nothing behind the shots of a trial, by kind:
    "content_free" and "domain", see `hclx.evaluate.calibration`. There are none where the shots or
    the choices are other ones for every item.
    """
    are_shared = not any(template.fields for template in spec.prompt.choices.values())
    if not (spec.prompt.choices and are_shared and spec.draw in ("trial", "fixed")):
        return {}
    examples = keep(draw_shots(spec, trial)[0], shots, spec.prompt.drop)
    names = spec.prompt.input_fields
    fields = [item.fields for item in spec.items]
    kinds = {
        "content_free": content_free_fields(names),
        "domain": domain_fields(names, fields, seed=spec.seed + trial),
    }
    return {
        kind: [content_free_prompt(spec, texts, examples, reader) for texts in inputs]
        for kind, inputs in kinds.items()
    }


def calibration_scores(
    engine: Engine, spec: RunSpec, prompts: Mapping[str, Sequence[ItemPrompt]]
) -> dict[str, list[dict[str, float]]]:
    """Returns kind -> for each prompt, key -> the score of the choice by `spec.score`; in total for
    "pmi", whose prior would be subtracted from all inputs alike.
    """
    by = "total" if spec.score == "pmi" else spec.score
    return {
        kind: [
            {key: score.by(by) for key, score in scores.items()}
            for scores in score_choices(engine, inputs)
        ]
        for kind, inputs in prompts.items()
    }
