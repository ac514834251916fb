"""The sizes of an embedded engine."""

import dataclasses

from hclx.errors import ConfigError, check_ranges, shown
from hclx.infer.decode import MOST_STEPS

MOST_ROWS, MOST_PREFIX_TOKENS = 2**14, 2**30  # more is a slip of the pen on every machine


@dataclasses.dataclass(frozen=True)
class EngineConfig:
    """Sizes of an embedded engine.

    Attributes:
      rows: the number of requests that are served at once; a multiple of the mesh's data axes.
      max_length: the most tokens of a prompt and its continuation, at least 2; 0: those of the
        model.
      prefix_tokens: the most tokens that the prefix cache holds; 0 switches it off.
      steps: the tokens that each row samples in one call, at most 16; text streams so often.
      guesses: the most tokens, at most 15, that are guessed from the text so far and checked in one
        step; 0: none. The text is the same; it comes sooner where it repeats its prompt, as in
        summaries and answers. See `hclx.infer.speculate`.
    """

    rows: int = 8
    max_length: int = 0
    prefix_tokens: int = 4096
    steps: int = 8
    guesses: int = 0

    def __post_init__(self):
        for name, value in vars(self).items():
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"EngineConfig.{name}={shown(value)}: give a whole number")
        checks = {
            "rows": (0 < self.rows <= MOST_ROWS, f"1 to {MOST_ROWS:,}"),
            "max_length": (
                self.max_length == 0 or self.max_length > 1,
                "0, for that of the model, or 2 or more: a token of the prompt and a new one",
            ),
            "prefix_tokens": (
                0 <= self.prefix_tokens <= MOST_PREFIX_TOKENS,
                f"0, for no prefix cache, to {MOST_PREFIX_TOKENS:,}",
            ),
            "steps": (1 <= self.steps <= MOST_STEPS, f"1 to {MOST_STEPS}"),
            "guesses": (0 <= self.guesses < MOST_STEPS, f"0, for none, to {MOST_STEPS - 1}"),
        }
        check_ranges(self, checks, "EngineConfig")
