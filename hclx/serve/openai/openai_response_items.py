"""The items of an answer of /v1/responses, and the events by which they come."""

import itertools
import uuid
from collections.abc import Iterator, Sequence

from hclx.serve.event_stream import event
from hclx.serve.openai.openai_fields import dump
from hclx.serve.tool_formats import ToolCall

Event = tuple[str, dict]  # its type, and its other fields


class NumberedEvents:
    """Writes events with their numbers."""

    def __init__(self):
        """Begins at 0."""
        self._numbers = itertools.count()

    def written(self, kind: str, fields: dict) -> str:
        """Returns the next event."""
        data = {"type": kind, "sequence_number": next(self._numbers), **fields}
        return event(dump(data), kind)


class Items:
    """Collects the items of an answer: messages with one text each, and calls of functions.

    Attributes:
      items: as the answer has them; the text of the last one grows.
    """

    def __init__(self):
        """Begins without items."""
        self.items: list[dict] = []
        self._is_open = False  # the last item is a message that may go on

    def add(self, part: str | ToolCall, logprobs: Sequence[dict] = ()) -> Iterator[Event]:
        """Adds what an answer says or calls next, and yields its events.

        Args:
          part: a text or a call.
          logprobs: of the tokens of a text.
        """
        if isinstance(part, ToolCall):
            yield from self.close()
            yield from self._call(part)
            return
        if not self._is_open:
            yield from self._open()
        content = self.items[-1]["content"][0]
        content["text"] += part
        content["logprobs"] += logprobs
        fields = {**self._place(), "delta": part, "logprobs": list(logprobs)}
        yield "response.output_text.delta", fields

    def close(self, status: str = "completed") -> Iterator[Event]:
        """Ends a message that is open, and yields its events."""
        if not self._is_open:
            return
        self._is_open = False
        item, place = self.items[-1], self._place()
        item["status"] = status
        (content,) = item["content"]
        text = {"text": content["text"], "logprobs": content["logprobs"]}
        yield "response.output_text.done", {**place, **text}
        yield "response.content_part.done", {**place, "part": content}
        yield "response.output_item.done", {"output_index": place["output_index"], "item": item}

    def _place(self) -> dict:
        index = len(self.items) - 1
        return {"item_id": self.items[-1]["id"], "output_index": index, "content_index": 0}

    def _open(self) -> Iterator[Event]:
        self._is_open = True
        item = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant"}
        item |= {"status": "in_progress", "content": []}
        self.items.append(item)
        yield "response.output_item.added", {"output_index": len(self.items) - 1, "item": item}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield "response.content_part.added", {**self._place(), "part": dict(part)}
        item["content"] = [part]

    def _call(self, call: ToolCall) -> Iterator[Event]:
        item = {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "call_id": call.id}
        item |= {"name": call.name, "arguments": call.arguments_text, "status": "completed"}
        self.items.append(item)
        place = {"item_id": item["id"], "output_index": len(self.items) - 1}
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield "response.output_item.added", {"output_index": place["output_index"], "item": begun}
        kind = "response.function_call_arguments"
        yield f"{kind}.delta", {**place, "delta": item["arguments"]}
        yield f"{kind}.done", {**place, "name": call.name, "arguments": item["arguments"]}
        yield "response.output_item.done", {"output_index": place["output_index"], "item": item}
