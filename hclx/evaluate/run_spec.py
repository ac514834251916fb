"""A run of an evaluation: a task with a prompt, a number of shots and trials."""

import dataclasses

from hclx.errors import check_ranges
from hclx.evaluate.calibration import CALIBRATIONS
from hclx.evaluate.items import Item
from hclx.prompts import PromptDocument

DRAWS = ("trial", "item", "own", "fixed")
SCORES = ("total", "per_token", "per_character", "per_byte", "pmi")


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """A run. A value out of range raises ConfigError.

    Attributes:
      task, template: the names of the task and of its prompt.
      prompt: the prompt document.
      items: what the model answers.
      pool: items from which shots are drawn.
      split, shots_split: the publisher's names of the parts of the set that these are from.
      shots: the examples before each item, if they have room.
      trials: how often the shots are drawn anew.
      draw: "trial" draws shots once a trial, for all items alike, so that they share a prefix;
        "item" draws others for every item, as lm-evaluation-harness does; "own" takes the item's
        own shots; "fixed" takes the examples of the prompt document.
      seed: of the draws.
      score: by which a choice is made, see `hclx.evaluate.scores`.
      metrics: names of `hclx.evaluate.metrics.METRICS`.
      main: the metric that is named first.
      chance: its value by guessing; None: there is no such value.
      bias_rounds: of the report of biases, see `hclx.evaluate.bias.bias_report`; 0: there is none.
      calibration: a method that was chosen beforehand, on other items than these; "": there is no
        such choice. All methods are computed in either case.
    """

    task: str
    template: str
    prompt: PromptDocument
    items: tuple[Item, ...]
    pool: tuple[Item, ...] = ()
    split: str = "test"
    shots_split: str = "train"
    shots: int = 0
    trials: int = 1
    draw: str = "trial"
    seed: int = 0
    score: str = "total"
    metrics: tuple[str, ...] = ("accuracy",)
    main: str = "accuracy"
    chance: float | None = None
    bias_rounds: int = 0
    calibration: str = ""

    def __post_init__(self):
        most = {"own": self.shots, "fixed": len(self.prompt.examples)}.get(
            self.draw, len(self.pool)
        )
        holder = "the prompt" if self.draw == "fixed" else self.shots_split
        checks = {
            "items": (bool(self.items), "one or more"),
            "shots": (0 <= self.shots <= most, f"0 to {most}, which {holder} has"),
            "trials": (self.trials > 0, "a positive whole number"),
            "draw": (self.draw in DRAWS, " or ".join(DRAWS)),
            "score": (self.score in SCORES, " or ".join(SCORES)),
            "bias_rounds": (
                self.bias_rounds == 0 or self.bias_rounds >= 6,
                "0 for no report, or 6 and more, as fewer pairs are never significant",
            ),
            "calibration": (
                not self.calibration or self.calibration in self.calibrations,
                " or ".join(self.calibrations) or "none, as the answers are no choices",
            ),
            "main": (self.main in self.metrics, f"one of metrics: {', '.join(self.metrics)}"),
        }
        check_ranges(self, checks, f"{self.task}/{self.template}")

    @property
    def has_content_free(self) -> bool:
        """Whether inputs without content can be scored: choices and examples are the same for all
        items.
        """
        return self.prompt.shares_choices and self.draw in ("trial", "fixed")

    @property
    def calibrations(self) -> tuple[str, ...]:
        """The methods of calibration that can be computed for it."""
        if not self.prompt.choices:
            return ()
        has = lambda source: source == "items" or self.has_content_free
        return tuple(name for name, (source, *_) in CALIBRATIONS.items() if has(source))

    @property
    def name(self) -> str:
        """The name of its files: task, template and shots."""
        return f"{self.task}.{self.template}.{self.shots}shot"
