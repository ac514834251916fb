"""Prints a search for prompts, and writes the best one as a prompt document."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from hclx.evaluate.run_search import NONE, SearchSpace, best_prompt, with_examples
from hclx.evaluate.samples import replace_text
from hclx.evaluate.tried_prompts import TriedPrompt
from hclx.progress import counted
from hclx.prompts import prompt_to_json


class SearchTable:
    """The table of the prompts that were tried, which grows by a line for each."""

    def __init__(self, space: SearchSpace):
        """Prints what is compared."""
        self._width = max(map(len, ("template", *space.prompts)))
        self._lines = 0
        print(f"{space.main} on {counted(len(space.validation), 'item')} of {space.split}:")
        print(f"   #  {'template':<{self._width}}  shots  uncalibrated  best calibration")

    def add(self, tried: TriedPrompt) -> None:
        """Prints a prompt."""
        self._lines += 1
        best = tried.best if tried.best == NONE else f"{tried.best} {tried.value:.4f}"
        shots = len(tried.examples)
        dropped = f", {tried.shots - shots} of {tried.shots} dropped" if tried.shots > shots else ""
        print(
            f"{self._lines:4}  {tried.template:<{self._width}}  {shots:5}"
            f"  {tried.values[NONE]:12.4f}  {best}{dropped}",
            flush=True,
        )


def write_best(space: SearchSpace, tried: Sequence[TriedPrompt], path: Path) -> None:
    """Writes the best prompt with its examples, and prints which it is and how it is evaluated.

    Args:
      space: what was searched.
      tried: all prompts that were evaluated.
      path: the JSON file.
    """
    best = best_prompt(space, tried)
    by = "without calibration" if best.best == NONE else f"calibrated by {best.best}"
    shots, items = len(best.examples), counted(len(space.validation), "item")
    result = f"{best.template}, {counted(shots, 'shot')}, {by}: {space.main} {best.value:.4f}"
    document = with_examples(
        space.prompts[best.template], [space.pool[index] for index in best.examples]
    )
    document = dataclasses.replace(
        document,
        name=f"{space.task}/{path.stem}",
        description=f"{result} on {items} of {space.split}, the best of {len(tried)} prompts;"
        f" seed {space.seed}.",
    )
    replace_text(path, json.dumps(prompt_to_json(document), ensure_ascii=False, indent=2) + "\n")
    entry = {"task": space.task, "prompt": path.name, "draw": "fixed"}
    if best.best != NONE:
        entry["calibration"] = best.best
    print(f"best of {counted(len(tried), 'prompt')}: {result}")
    print(f"{path} has it. Since these items chose it, measure it on others: a suite beside it is")
    print(json.dumps([entry], ensure_ascii=False))
