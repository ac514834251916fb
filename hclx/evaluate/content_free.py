"""The content-free inputs of a run, by which its choices are calibrated; `calibration` has the
methods.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hclx.evaluate.answering import score_choices
from hclx.evaluate.item_prompts import ItemPrompt, Reader, content_free_prompt
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.shots import draw_shots, keep
from hclx.infer import Engine

# Inputs without content, over which the prior is a mean (Zhao et al. 2021, section 5).
CONTENT_FREE = ("N/A", "", "[MASK]")
DOMAIN_DRAWS = 20  # Fei et al. 2023, section 4


def calibration_prompts(
    spec: RunSpec, trial: int, reader: Reader, shots: int
) -> dict[str, list[ItemPrompt]]:
    """Returns the prompts of inputs that say nothing behind the shots of a trial, by kind:
    "contextual" and "domain", see `hclx.evaluate.calibration`. There are none where the shots or
    the choices are other ones for every item.
    """
    if not spec.has_content_free:
        return {}
    examples = keep(draw_shots(spec, trial)[0], shots, spec.prompt.drop)
    names = spec.prompt.input_fields
    fields = [item.fields for item in spec.items]
    kinds = {
        "contextual": content_free_fields(names),
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


def content_free_fields(names: Sequence[str]) -> list[dict[str, str]]:
    """Returns fields of items without content: all of them hold each text of `CONTENT_FREE`."""
    return [dict.fromkeys(names, text) for text in CONTENT_FREE]


def domain_fields(
    names: Sequence[str], fields: Sequence[Mapping[str, str]], seed: int = 0
) -> list[dict[str, str]]:
    """Returns fields of random words of the task (Fei et al. 2023, section 4).

    Words are drawn from the unlabelled inputs, each field from its own, and as many as that field
    has on average.

    Args:
      names: of the fields.
      fields: of unlabelled items.
      seed: of the words.
    """
    generator = np.random.default_rng(seed)
    drawn: list[dict[str, str]] = [{} for _ in range(DOMAIN_DRAWS)]
    for name in names:
        words = [word for item in fields for word in item[name].split()]
        length = round(len(words) / len(fields)) if words else 0
        for texts in drawn:
            texts[name] = " ".join(generator.choice(words, max(1, length))) if words else ""
    return drawn
