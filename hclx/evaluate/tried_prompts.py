"""The prompts that a search has evaluated, in a file, so that one that was killed goes on."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from hclx.evaluate.prompt_search import Candidate
from hclx.evaluate.samples import SampleFile


@dataclasses.dataclass(frozen=True)
class TriedPrompt:
    """A prompt that was evaluated on the validation items.

    Attributes:
      template: its name.
      shots: how many examples were asked for.
      examples: those that had room for all items, as indices of the pool, in their order.
      values: `run_search.NONE` and each method of calibration -> the metric.
      best: the one of these with the best value, the first of equals.
    """

    template: str
    shots: int
    examples: tuple[int, ...]
    values: Mapping[str, float]
    best: str

    @property
    def value(self) -> float:
        """The metric after the best calibration."""
        return self.values[self.best]


class TriedPrompts:
    """A file of prompts that were evaluated, a JSON object a line."""

    def __init__(self, path: Path):
        """Reads what an earlier search has evaluated. Raises DataError if the file is damaged."""
        self._file = SampleFile(path)
        self._known = {_candidate(line): _tried(line) for line in self._file.lines}

    def get(self, candidate: Candidate) -> TriedPrompt | None:
        """Returns a prompt that was evaluated before, None for others."""
        return self._known.get(candidate)

    def add(self, candidate: Candidate, tried: TriedPrompt) -> None:
        """Writes a prompt, which is on the disk when this returns."""
        values = {name: None if math.isnan(x) else x for name, x in tried.values.items()}
        line = {"candidate": list(candidate.examples), **dataclasses.asdict(tried)}
        self._file.append([{**line, "values": values}])


def _candidate(line: Mapping) -> Candidate:
    return Candidate(line["template"], tuple(line["candidate"]))


def _tried(line: Mapping) -> TriedPrompt:
    values = {name: math.nan if x is None else x for name, x in line["values"].items()}
    fields = {name: line[name] for name in ("template", "shots", "best")}
    return TriedPrompt(examples=tuple(line["examples"]), values=values, **fields)
