"""The content-free inputs of a run, by which its choices are calibrated; `calibration` has the
methods.
"""

import random
from collections.abc import Mapping, Sequence

from hclx.evaluate.answering import score_choices
from hclx.evaluate.item_prompts import ItemPrompt, Reader, content_free_prompt
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.shots import draw_shots, keep
from hclx.infer import Engine

# Zhao et al. 2021, section 5.
CONTENT_FREE = ("N/A", "", "[MASK]")
DOMAIN_DRAWS = 20  # Fei et al. 2023, section 4


def calibration_prompts(
    spec: RunSpec, trial: int, reader: Reader, shots: int
) -> dict[str, list[ItemPrompt]]:
    """Returns the prompts of content-free inputs behind the shots of a trial, by kind: "contextual"
    for `CONTENT_FREE`, "domain" for words drawn from the items' own inputs, as many as an input has
    on average (Fei et al. 2023). None where the shots or the choices are other ones for every item.
    """
    are_shared = not any(template.fields for template in spec.prompt.choices.values())
    if not (spec.prompt.choices and are_shared and spec.draw in ("trial", "fixed")):
        return {}
    examples = keep(draw_shots(spec, trial)[0], shots, spec.prompt.drop)
    contents = {"contextual": CONTENT_FREE, "domain": _domain_texts(spec, trial)}
    return {
        kind: [content_free_prompt(spec, text, examples, reader) for text in texts]
        for kind, texts in contents.items()
    }


def calibration_scores(
    engine: Engine, spec: RunSpec, prompts: Mapping[str, Sequence[ItemPrompt]]
) -> dict[str, list[dict[str, float]]]:
    """Returns kind -> for each prompt, key -> the score of the choice by `spec.score`."""
    return {
        kind: [
            # The prior would be subtracted from all inputs alike.
            {
                key: score.by("total" if spec.score == "pmi" else spec.score)
                for key, score in scores.items()
            }
            for scores in score_choices(engine, list(kinds))
        ]
        for kind, kinds in prompts.items()
    }


def _domain_texts(spec: RunSpec, trial: int) -> list[str]:
    names = spec.prompt.input.fields
    texts = [item.fields[name].split() for item in spec.items for name in names]
    words = [word for text in texts for word in text]
    length = max(1, round(len(words) / max(1, len(texts))))
    stream = random.Random(f"{spec.seed} {trial} domain")
    return [" ".join(stream.choices(words or [""], k=length)) for _ in range(DOMAIN_DRAWS)]
