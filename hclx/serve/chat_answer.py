"""An answer in a chat on its way, in every dialect: what it says and what it calls."""

from collections.abc import Sequence

from hclx.infer import Generation
from hclx.serve.chat_tools import ToolUse
from hclx.serve.metrics import FINISH_REASONS
from hclx.serve.tool_formats import ToolCall


class ChatAnswer:
    """Collects an answer.

    Attributes:
      parts: what it says and calls so far, in order.
      calls: the calls among them.
    """

    def __init__(self, tools: ToolUse | None, is_parallel: bool = True):
        """Begins an answer.

        Args:
          tools: how it may call functions; None: all of it is text.
          is_parallel: whether it may have several calls; if not, the first is taken alone.
        """
        self._reader = None if tools is None else tools.reader()
        self._is_parallel = is_parallel
        self.parts: list[str | ToolCall] = []
        self.calls: list[ToolCall] = []

    @property
    def text(self) -> str:
        """Returns all that it says so far."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @classmethod
    def whole(cls, text: str, tools: ToolUse | None, is_parallel: bool = True) -> "ChatAnswer":
        """Reads an answer that is whole."""
        answer = cls(tools, is_parallel)
        answer.feed(text)
        answer.finish()
        return answer

    def feed(self, text: str) -> list[str | ToolCall]:
        """Takes the next text, and returns what is certain of what it says and calls."""
        if self._reader is None:
            return self._take([text] if text else [])
        return self._take(self._reader.feed(text))

    def finish(self) -> list[str | ToolCall]:
        """Returns what was not certain before the end."""
        return self._take([] if self._reader is None else self._reader.finish())

    def finish_reason(self, result: Generation) -> str:
        """Returns why it ended, in the words of OpenAI."""
        has_ended = result.stop_reason in ("end", "stop")
        return "tool_calls" if self.calls and has_ended else FINISH_REASONS[result.stop_reason]

    def _take(self, parts: Sequence[str | ToolCall]) -> list[str | ToolCall]:
        taken = []
        for part in parts:
            if isinstance(part, ToolCall):
                if self.calls and not self._is_parallel:
                    continue
                self.calls.append(part)
            taken.append(part)
        self.parts += taken
        return taken
