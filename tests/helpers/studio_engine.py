"""An engine for tests of pages: it writes what a test says, at its pace, with probabilities."""

import threading
import time

from hclx.infer import GenerateRequest, Generation, Part, TokenLogprob
from hclx.infer.ticket import Ticket
from tests.helpers.bigram_engine import BigramEngine


class StudioEngine(BigramEngine):
    """Writes a text for each request, a character at a time, and scores by a bigram table.

    Attributes:
      write: (prompt, seed) -> the text.
      pause: seconds before each character.
      prompts: the texts of the prompts so far.
      n_cancelled: requests that were cancelled before their end.
    """

    def __init__(self, tokenizer):
        super().__init__(tokenizer)
        self.reset()

    def reset(self):
        """Forgets what a test said and what it has asked."""
        self.write, self.pause = (lambda prompt, seed: " 긍정"), 0.0
        self.prompts, self.n_cancelled = [], 0

    def check(self, request):
        """See `hclx.infer.Engine`."""

    def submit(self, request):
        """See `hclx.infer.Engine`."""
        is_cancelled = threading.Event()
        ticket = Ticket(lambda ticket: is_cancelled.set())
        if not isinstance(request, GenerateRequest):
            ticket.finish(self.score([request])[0])
            return ticket
        threading.Thread(target=self._write, args=(request, ticket, is_cancelled)).start()
        return ticket

    def _write(self, request, ticket, is_cancelled):
        prompt = self._tokenizer.decode_bytes(request.prompt).decode()
        self.prompts.append(prompt)
        text, reason = self.write(prompt, request.sampling.seed), "end"
        for stop in request.sampling.stop:
            if stop in text:
                text, reason = text[: text.index(stop)], "stop"
        written, tokens, logprobs = "", [], []
        for character in text:
            if self.pause:
                time.sleep(self.pause)
            if is_cancelled.is_set():
                self.n_cancelled += 1
                reason = "cancelled"
                break
            written += character
            new = character.encode()
            entries = tuple(self._entry(token, request.sampling.logprobs) for token in new)
            tokens += new
            logprobs += entries
            has_any = request.sampling.logprobs is not None
            ticket.add_parts([Part(character, tuple(new), entries if has_any else None)])
        own = tuple(logprobs) if request.sampling.logprobs is not None else None
        ticket.finish(Generation(written, tuple(tokens), reason, len(request.prompt), 0, own))

    def _entry(self, token, n_alternatives):
        others = [ord(letter) for letter in "abcde"[: n_alternatives or 0]]
        chance = -0.1 * (token % 40)
        return TokenLogprob(token, chance, tuple((other, chance - 1) for other in others))
