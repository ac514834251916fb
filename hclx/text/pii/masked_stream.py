"""Masks personal data in a text while it is written: what may still become a part of an item waits
until it is known.
"""

import bisect
import re

from hclx.text.pii import PLACEHOLDERS, Span, find_pii, has_candidate, settled_length
from hclx.text.pii.plain_text import visible
from hclx.text.spans import replace_spans

MOST_HELD = 4096  # characters
_LEFT = 200  # of them, where a line has no place at which its items are settled
# No item crosses the space between two words of Hangul.
_JOINT = re.compile("[가-힣][.,!?]? (?=[가-힣])")


class MaskedStream:
    """Masks a text that comes in parts; what it returns is together what `masked` returns for the
    whole text.

    Items cross neither lines nor the space between two words of Hangul. So a word is returned as
    soon as the next one begins, unless it has the digits or signs of an item: then it waits until
    the line ends, or for the 100 characters that tell items from other numbers. Where items follow
    each other within 140 characters for more than 4,096 characters of a line, all but the last
    200 are returned, masked by what is known then; `masked` may know more.

    Attributes:
      n_items: the number of items that were masked.
    """

    def __init__(self, before: str = ""):
        """Starts a text.

        Args:
          before: text that stands before it and is known already, such as a prompt: words in it
            tell what a number is, and of an item that begins there the rest is masked.
        """
        self.n_items = 0
        self._text = before[before.rfind("\n") + 1 :]  # from where all before is settled
        self._n_sent = len(self._text)  # characters of it that were returned

    def feed(self, part: str) -> str:
        """Takes the next part of the text, and returns what can be sent."""
        self._text += part
        sent = []
        if end := self._text.rfind("\n") + 1:
            sent.append(self._settle(end, find_pii(self._text[:end])))
        seen, starts, _ = visible(self._text)
        if length := settled_length(seen):
            sent.append(self._settle(starts[length], find_pii(self._text)))
        if len(self._text) > MOST_HELD:
            spans = find_pii(self._text)
            end = len(self._text) - _LEFT
            end = next((span.start for span in spans if span.start < end < span.end), end)
            sent.append(self._settle(max(end, self._n_sent), spans))
        sent.append(self._words())
        return "".join(sent)

    def finish(self) -> str:
        """Returns the rest of the text, which has ended."""
        return self._settle(len(self._text), find_pii(self._text))

    def _settle(self, end: int, spans: list[Span]) -> str:
        """Masks the characters before `end` that were not returned, and forgets all before it."""
        first = self._n_sent
        items = [
            (max(0, span.start - first), span.end - first, PLACEHOLDERS[span.kind])
            for span in spans
            if first < span.end <= end
        ]
        text = replace_spans(self._text[first:end], items)
        self._text, self._n_sent = self._text[end:], max(0, first - end)
        self.n_items += len(items)
        return text

    def _words(self) -> str:
        """Returns the next words that are whole and can be no item."""
        seen, starts, _ = visible(self._text)
        first, sent, begin = self._n_sent, bisect.bisect_left(starts, self._n_sent), 0
        for joint in _JOINT.finditer(seen):
            if joint.end() > sent and has_candidate(seen[begin : joint.end()]):
                break
            begin = joint.end()
        if begin > sent:
            self._n_sent = starts[begin]
        return self._text[first : self._n_sent]
