"""A language model in closed form, for tests of what stands around an engine: the probability of a
token depends on the token before it alone.
"""

import numpy as np

from hclx.infer import Generation, Score, TokenLogprob


class BigramEngine:
    """An engine whose log-probabilities are a table, [previous, next].

    Attributes:
      log_p: the table, each row of which is normalised.
      calls: the requests that were served.
    """

    def __init__(self, tokenizer, seed=0, scale=2.0):
        logits = np.random.default_rng(seed).normal(0, scale, (tokenizer.vocab_size,) * 2)
        logits[:, : tokenizer.eod_id + 1] = -30  # control symbols
        self.log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        self.calls = []
        self._tokenizer = tokenizer

    def total(self, context, continuation):
        """Returns the log-probability of ids behind others."""
        ids = (*context, *continuation)
        pairs = range(len(context), len(ids))
        return sum(self.log_p[ids[i - 1], ids[i]] for i in pairs)

    def score(self, requests):
        """See `hclx.infer.Engine`."""
        self.calls += requests
        results = []
        for request in requests:
            ids = (*request.context, *request.continuation)
            rows = [(ids[i - 1], ids[i]) for i in range(len(request.context), len(ids))]
            tokens = tuple(TokenLogprob(b, float(self.log_p[a, b])) for a, b in rows)
            greedy = all(self.log_p[a].argmax() == b for a, b in rows)
            results.append(Score(sum(t.logprob for t in tokens), greedy, tokens))
        return results

    def generate(self, requests):
        """See `hclx.infer.Engine`; the likeliest token each time, up to a stop text."""
        self.calls += requests
        return [[self._continue(request)] for request in requests]

    def _continue(self, request):
        ids, sampling = list(request.prompt), request.sampling
        for _ in range(sampling.max_tokens):
            ids.append(int(self.log_p[ids[-1]].argmax()))
            new = ids[len(request.prompt) :]
            text = self._tokenizer.decode_bytes(new).decode(errors="replace")
            for stop in sampling.stop:
                if stop in text:
                    return Generation(text[: text.index(stop)], tuple(new), "stop")
        return Generation(text, tuple(new), "length")
