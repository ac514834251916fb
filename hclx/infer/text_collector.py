"""From sampled tokens to text: whole characters, and stop texts that are never shown."""

from collections.abc import Callable

from hclx.text import StreamDecoder, Tokenizer


class StopCollector:
    """Collects the parts of a text, and passes it on. The beginning of a stop text is held back
    until it turns out to be none.

    Attributes:
      text: the text so far, without a stop text.
      is_stopped: whether a stop text has ended it.
    """

    def __init__(self, stop: tuple[str, ...], on_text: Callable[[str], None]):
        """Starts an empty text.

        Args:
          stop: texts that end it.
          on_text: takes each next part of it, which is not empty.
        """
        self._on_text, self._stop, self._shown = on_text, stop, 0
        self._certain = 0  # no stop text begins before this position of the text
        self.text, self.is_stopped = "", False

    def show(self) -> None:
        """Passes on what is certain to belong to the text."""
        if not self.is_stopped:
            # A position where none begins will not become one: each is looked at once.
            while (end := self.text[self._certain :]) and self._is_certain(end):
                self._certain += 1
        self._show(len(self.text) if self.is_stopped else self._certain)

    def finish(self) -> str:
        """Passes on what was held back, and returns the whole; call it once, when all is added."""
        self._show(len(self.text))
        return self.text

    def add_text(self, text: str, may_stop: bool = True) -> None:
        """Adds the next part; `may_stop` is false where the text has to be longer."""
        before = len(self.text)
        self.text += text
        if not may_stop:
            return
        # A stop text may have begun in what was there before, but not ended there.
        find = lambda stop: self.text.find(stop, max(0, before - len(stop) + 1))
        starts = [at for at in map(find, self._stop) if at >= 0]
        if starts:
            self.text, self.is_stopped = self.text[: min(starts)], True

    def _is_certain(self, end: str) -> bool:
        """Returns whether no stop text begins with this end of the text, which is not empty."""
        return not any(len(end) < len(stop) and stop.startswith(end) for stop in self._stop)

    def _show(self, end: int) -> None:
        if end > self._shown:
            self._on_text(self.text[self._shown : end])
            self._shown = end


class TextCollector(StopCollector):
    """Collects the tokens of a text, and passes it on in whole characters."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...], on_text: Callable[[str], None]):
        """Starts an empty text, whose tokens `tokenizer` decodes; see `StopCollector`."""
        super().__init__(stop, on_text)
        self._decoder = StreamDecoder(tokenizer)

    def add(self, token: int, may_stop: bool = True) -> None:
        """Adds the next token; `may_stop` is false where the text has to be longer."""
        self.add_text(self._decoder.feed(token), may_stop)

    def finish(self) -> str:
        """Adds what is left of a character that is not whole; see `StopCollector.finish`."""
        if not self.is_stopped:
            self.add_text(self._decoder.flush())
        return super().finish()
