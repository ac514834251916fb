"""An engine that writes a text in small parts, until it is cancelled."""

import threading
import time

from hclx.infer import Generation, Part, TokenLogprob
from hclx.infer.ticket import Ticket


class WritingEngine:
    """Writes one text for each request, a token a character.

    Attributes:
      text: what it writes.
      size: the characters of a part.
      pause: seconds before each part.
      n_cancelled: the number of requests that were cancelled before they had ended.
      embed: the function of texts that makes their vectors.
      prompts: of the requests so far.
    """

    def __init__(self, text, size=3, embed=None):
        self.text, self.size, self.n_cancelled, self.prompts = text, size, 0, []
        self._embed, self.pause = embed, 0.0

    def submit(self, request):
        """See `hclx.infer.Engine`."""
        self.prompts.append(request.prompt)
        is_cancelled = threading.Event()
        ticket = Ticket(lambda ticket: is_cancelled.set())
        threading.Thread(target=self._write, args=(request, ticket, is_cancelled)).start()
        return ticket

    def check(self, request):
        """See `hclx.infer.Engine`."""

    def embed(self, texts, artefact=None):
        """See `hclx.infer.Engine`."""
        return [self._embed(text) for text in texts]

    def _write(self, request, ticket, is_cancelled):
        written = ""
        while written != self.text and not is_cancelled.is_set():
            time.sleep(self.pause)
            part = self.text[len(written) : len(written) + self.size]
            written += part
            ticket.add_parts([Part(part)])
        self.n_cancelled += is_cancelled.is_set()
        tokens = tuple(100 + i % 100 for i in range(len(written)))
        logprobs = None
        if request.sampling.logprobs is not None:
            logprobs = tuple(TokenLogprob(token, -1.0) for token in tokens)
        reason = "end" if written == self.text else "cancelled"
        ticket.finish(Generation(written, tokens, reason, len(request.prompt), 0, logprobs))
