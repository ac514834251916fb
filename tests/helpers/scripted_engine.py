"""An engine that writes lines of a list, and scores by a bigram table."""

from hclx.infer import Generation
from tests.helpers.bigram_engine import BigramEngine
from tests.helpers.byte_tokenizer import ByteTokenizer


class ScriptedEngine(BigramEngine):
    """Writes a line for each request, chosen by its seed alone, as a model does.

    Attributes:
      prompts: the texts of the prompts so far.
      fails_after: requests, after which the engine raises KeyboardInterrupt; None: never.
    """

    def __init__(self, write, fails_after=None, seed=0):
        """Takes the function: (prompt, seed of the request) -> the text."""
        super().__init__(ByteTokenizer(256), seed)
        self.write, self.fails_after, self.prompts = write, fails_after, []

    def generate(self, requests):
        """See `hclx.infer.Engine`."""
        if self.fails_after is not None and len(self.prompts) >= self.fails_after:
            raise KeyboardInterrupt
        results = []
        for request in requests:
            prompt = self._tokenizer.decode_bytes(request.prompt).decode()
            text, reason = self.write(prompt, request.sampling.seed), "end"
            for stop in request.sampling.stop:
                if stop in text:
                    text, reason = text[: text.index(stop)], "stop"
            self.prompts.append(prompt)
            results.append([Generation(text, (), reason)])
        return results

    def embed(self, texts):
        """See `hclx.infer.Engine`: how often each of some letters is in a text, and its length."""
        return [[*map(text.count, "다가이고 "), float(len(text))] for text in texts]
