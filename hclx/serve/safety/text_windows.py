"""Divides a text, while it is written, into windows that are judged before they are sent."""

import re
from collections.abc import Iterator

LONGEST = 200  # characters of a window
_END = re.compile(r"[.!?…。？！]+[\"'”’)\]」』】]*\s|\n")


class WindowReader:
    """Divides a text into sentences, and sentences of more than 200 characters at a space. Where a
    window ends depends on what stands before, so that it is the same in whatever parts the text
    comes.
    """

    def __init__(self):
        self._pending = ""

    def feed(self, part: str) -> Iterator[str]:
        """Takes the next part, and yields the windows that are complete with it; all windows
        together are the text.
        """
        self._pending += part
        while end := _end_of(self._pending):
            window, self._pending = self._pending[:end], self._pending[end:]
            yield window

    def finish(self) -> Iterator[str]:
        """Yields the last window, unless the text has ended with the one before."""
        if self._pending:
            yield self._pending
        self._pending = ""


def windows_of(text: str) -> list[str]:
    """Returns the windows of a whole text."""
    reader = WindowReader()
    return [*reader.feed(text), *reader.finish()]


def _end_of(text: str) -> int:
    """Returns the length of the first window; 0: it is not complete."""
    if end := _END.search(text, 0, LONGEST):
        return end.end()
    if len(text) < LONGEST:
        return 0
    return text.rfind(" ", 0, LONGEST) + 1 or LONGEST
