"""The rules by which a text leaves: flagged windows end it, personal data is masked."""

import dataclasses
from collections.abc import Iterable

from hclx.errors import ConfigError
from hclx.serve.safety.categories import SAFE
from hclx.serve.safety.output_filter import Finding, OutputFilter, judge_text, judge_window
from hclx.serve.safety.text_windows import WindowReader
from hclx.text.pii.masked_stream import MaskedStream


@dataclasses.dataclass(frozen=True)
class OutputRules:
    """The rules of a server.

    Attributes:
      judge: the filter; None: there is none.
      block: the worst level, 0, or also the next, 1, that ends a text; None: none does.
      masks_pii: whether personal data is masked.
    """

    judge: OutputFilter | None = None
    block: int | None = None
    masks_pii: bool = False

    def __post_init__(self):
        if self.block is not None and self.judge is None:
            raise ConfigError(
                f"--block={self.block} needs --filter=FILE, by which texts are judged"
            )
        if self.block is not None and not 0 <= self.block < SAFE:
            raise ConfigError(f"--block={self.block} is out of range: give 0 or 1")

    @property
    def changes_texts(self) -> bool:
        """Whether a text may leave otherwise than the model has written it."""
        return self.block is not None or self.masks_pii

    def judge_text(self, text: str) -> list[Finding]:
        """Returns a finding for each category of the filter; [] if there is no filter."""
        return [] if self.judge is None else judge_text(self.judge, text)

    def is_flagged(self, findings: Iterable[Finding]) -> bool:
        """Returns whether a text with these findings ends, or would where nothing is blocked."""
        return any(finding.level <= (self.block or 0) for finding in findings)


class OutputGuard:
    """One text on its way out. A window, a sentence or 200 characters, leaves once it was judged;
    a flagged one, and all behind it, never does.

    Attributes:
      text: what has left.
      is_blocked: whether a window was flagged.
      n_masked: the number of items of personal data that were masked.
    """

    def __init__(self, rules: OutputRules, prompt: str = ""):
        """Starts a text behind a prompt, of which the end suffices."""
        self.text, self.is_blocked, self._is_finished = "", False, False
        self._rules, self._windows, self._before = rules, WindowReader(), ""
        self._masks = MaskedStream(prompt) if rules.masks_pii else None

    @property
    def n_masked(self) -> int:
        """The number of items of personal data that were masked."""
        return self._masks.n_items if self._masks else 0

    def feed(self, part: str) -> str:
        """Takes the next part of a text, and returns what leaves now. It may take a millisecond for
        each sentence.
        """
        if self.is_blocked:
            return ""
        if self._rules.block is not None:
            part = self._unflagged(self._windows.feed(part))
        return self._sent(part)

    def finish(self) -> str:
        """Returns what leaves at the end of the text; nothing the second time."""
        if self._is_finished:
            return ""
        self._is_finished = True
        rest = "" if self.is_blocked else self._unflagged(self._windows.finish())
        return self._sent(rest, is_end=True)

    def _unflagged(self, windows: Iterable[str]) -> str:
        """Joins the windows before the first that is flagged."""
        sent = []
        for window in windows:
            findings = judge_window(self._rules.judge, self._before, window)
            if self._rules.is_flagged(findings):
                self.is_blocked = True
                break
            sent.append(window)
            self._before = window if window.strip() else self._before
        return "".join(sent)

    def _sent(self, part: str, is_end: bool = False) -> str:
        if self._masks:
            part = self._masks.feed(part) + (self._masks.finish() if is_end else "")
        self.text += part
        return part
