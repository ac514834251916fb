"""The settings of an augmentation, checked once."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hclx.augment.line_filters import Bounds
from hclx.augment.line_format import LabelBefore, LabelBehind, LineFormat, types_of
from hclx.augment.seeds import Seed
from hclx.augment.selection import SELECTIONS
from hclx.augment.words import METHODS
from hclx.errors import ConfigError, DataError, shown
from hclx.hashing import json_hash
from hclx.infer import SamplingConfig
from hclx.prompts import PromptDocument, prompt_hash


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """All that lines depend on, but the model.

    Attributes:
      method: "hypermix": texts with their labels behind labelled texts (GPT3Mix; Yoo et al. 2021);
        "transfer": texts of a class by its name, behind examples of other classes (Kim et al. 2021,
        section 5.2); "slots": texts of a class with marked values, behind others of it.
      document: the prompt.
      labels: key -> its words; with "hypermix", those of the document's choices.
      seeds: labelled texts.
      shots: examples of a prompt.
      selection: of `SELECTIONS`.
      seed: of all draws.
      sampling: settings of generation; its seed, stop texts and `max_tokens` are those of the line.
      follows_grammar: whether the engine keeps to lines that can be read. If not, those that cannot
        are counted.
      soft_labels: whether lines of "hypermix" get the distribution over labels, which needs an
        engine that scores.
      bounds: of the lines that are kept.
    """

    method: str
    document: PromptDocument
    labels: Mapping[str, str]
    seeds: Sequence[Seed]
    shots: int = 2
    selection: str = "uniform"
    seed: int = 0
    sampling: SamplingConfig = SamplingConfig(temperature=1.0)
    follows_grammar: bool = True
    soft_labels: bool = True
    bounds: Bounds = Bounds()

    def __post_init__(self):
        """Raises ConfigError or DataError if values do not go together."""
        if self.method not in METHODS:
            raise ConfigError(f"method={shown(self.method)}: give {', '.join(METHODS)}")
        if self.selection not in SELECTIONS:
            raise ConfigError(f"selection={shown(self.selection)}: give {', '.join(SELECTIONS)}")
        if not self.labels:
            raise ConfigError("there are no labels; give --labels")
        if self.method != "transfer" and not (self.seeds and self.shots):
            raise ConfigError(
                f"{self.method} goes on behind examples: give seeds, and shots=1 or more"
            )
        self._check_labels()
        line_format(self)

    def _check_labels(self) -> None:
        known = self.document.choices if self.method == "hypermix" else self.labels
        for seed in self.seeds:
            if self.method != "transfer" and seed.label not in known:
                raise DataError(
                    f"{seed.place or 'a seed'} has the label {shown(seed.label)}, which is none of"
                    f" {', '.join(known)}; name it in --labels, or mend the file"
                )
        lacking = set(self.labels) - {seed.label for seed in self.seeds}
        if self.method == "slots" and lacking:
            raise DataError(
                f"no seed has the label {shown(min(lacking))}, whose values could be marked; give"
                " examples of it, or use the method transfer"
            )

    def pool(self, label: str) -> list[int]:
        """Returns the seeds that may be examples of a line, by their indices: all; of other classes
        for "transfer"; of the class for "slots".
        """
        takes = {
            "hypermix": lambda seed: True,
            "transfer": lambda seed: seed.label != label,
            "slots": lambda seed: seed.label == label,
        }[self.method]
        return [index for index, seed in enumerate(self.seeds) if takes(seed)]

    def label_of(self, number: int) -> str:
        """Returns the label that an attempt is for, in turn; "" if the model chooses it."""
        keys = list(self.labels)
        return "" if self.method == "hypermix" else keys[number % len(keys)]

    def plan(self) -> dict[str, Any]:
        """Returns what lines depend on, as JSON values: a folder of another plan is refused."""
        plain = ("method", "labels", "shots", "selection", "seed", "follows_grammar", "soft_labels")
        return {
            **{name: getattr(self, name) for name in plain},
            "prompt": self.document.name,
            "prompt_hash": prompt_hash(self.document),
            "seeds": json_hash([(seed.id, seed.text, seed.label) for seed in self.seeds]),
            "sampling": dataclasses.asdict(self.sampling),
            "bounds": dataclasses.asdict(self.bounds),
        }


def line_format(augmentation: Augmentation) -> LineFormat:
    """Returns the form of the lines. Raises ConfigError if the prompt does not go with it."""
    document, labels = augmentation.document, augmentation.labels
    if augmentation.method == "hypermix":
        return LabelBehind(document, labels)
    is_marked = augmentation.method == "slots"
    return LabelBefore(
        document, labels, types_of(augmentation.seeds, labels) if is_marked else None
    )
