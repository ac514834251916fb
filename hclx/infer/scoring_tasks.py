"""Texts on their way through the embedded engine that are read and not continued: scored or
embedded.
"""

from collections.abc import Sequence

import numpy as np

from hclx.infer.engine import RequestError, Score, StopReason, TokenLogprob
from hclx.infer.rows import Sampled
from hclx.infer.tasks import Task, token_logprob
from hclx.infer.ticket import Ticket

MOST_BRANCH_TOKENS = 64  # of all continuations of a context together; one call reads them


class ScoreTask(Task):
    """The log-probabilities of continuations of one context, which are read side by side: as
    branches, each of which begins with the last token of the context.

    Attributes:
      targets: the token that follows each of `ids`.
    """

    def __init__(
        self,
        ticket: Ticket,
        tenant: str,
        context: Sequence[int],
        continuations: Sequence[Sequence[int]],
        top: int,
    ):
        """Starts a task.

        Args:
          ticket: of the owner. Its result is the `Score` of a single continuation, or a list.
          tenant: see `GenerateRequest`.
          context: tokens, at least one.
          continuations: tokens of each, at least one.
          top: the number of alternatives of each token.
        """
        n_shared = len(context) - 1
        ids, targets, begins = list(context[:-1]), list(context[1:]), [0] * n_shared
        for continuation in continuations:
            begin = len(ids) if len(continuations) > 1 else 0
            begins += [begin] * len(continuation)
            ids += [context[-1], *continuation[:-1]]
            targets += continuation
        super().__init__(ticket, ids, tenant, n_shared, n_shared, begins)
        self.targets, self._top = targets, top
        self._lengths = list(map(len, continuations))
        self._scored: list[TokenLogprob] = []
        self._is_likeliest: list[bool] = []

    @property
    def length(self) -> int:
        """The positions that it needs."""
        return len(self.ids)

    @property
    def with_top(self) -> bool:
        """Returns whether alternatives of tokens were asked for."""
        return self._top > 0

    def next_count(self, size: int) -> int:
        """The number of tokens that a call reads of them: branches are read together."""
        n = super().next_count(size)
        if len(self._lengths) > 1 and n < self.n_left:
            n = min(n, self.n_shared - self.n_read)
        return n

    def restart(self) -> None:
        """Forgets what was read and scored."""
        super().restart()
        self._scored, self._is_likeliest = [], []

    def scored(self, n: int) -> range:
        """The indices of those of the next n tokens behind which a token is scored."""
        return range(max(0, self.n_shared - self.n_read), n)

    def add_scores(self, sampled: Sampled, row: int, n: int) -> bool:
        """Takes the next n scores, and returns whether all are there."""
        for i in range(n):
            self._scored.append(token_logprob(sampled, (row, i), self._top))
            self._is_likeliest.append(bool(sampled.is_likeliest[row, i]))
        return len(self._scored) == sum(self._lengths)

    def finish(self, reason: StopReason) -> None:
        """Gives the owner the scores, or an error if it was ended before."""
        if reason != "end":
            self.ticket.finish(RequestError(f"the request ended before it was served: {reason}"))
            return
        scores, begin = [], 0
        for n in self._lengths:
            tokens = self._scored[begin : begin + n]
            is_greedy = all(self._is_likeliest[begin : begin + n])
            total = float(sum(token.logprob for token in tokens))
            n_tokens = self.n_shared + 1 + n
            scores.append(Score(total, is_greedy, tuple(tokens), n_tokens, self.n_cached))
            begin += n
        self.ticket.finish(scores if len(scores) > 1 else scores[0])


class EmbedTask(Task):
    """The mean of the hidden states of a text."""

    def __init__(self, ticket: Ticket, ids: Sequence[int]):
        """Starts a task over the tokens `ids`."""
        super().__init__(ticket, ids, "", 0)
        self._sum_d: np.ndarray | float = 0.0
        self._n_summed = 0

    @property
    def length(self) -> int:
        """The positions that it needs."""
        return len(self.ids)

    def restart(self) -> None:
        """Forgets what was read."""
        super().restart()
        self._sum_d, self._n_summed = 0.0, 0

    def add_sum(self, sum_d: np.ndarray, n: int) -> bool:
        """Adds the sum of the next n hidden states, and returns whether all are there."""
        self._sum_d, self._n_summed = self._sum_d + sum_d, self._n_summed + n
        return self._n_summed == len(self.ids)

    def finish(self, reason: StopReason) -> None:
        """Gives the owner the mean, or an error if it was ended before."""
        is_whole = reason == "end"
        self.ticket.finish(
            np.asarray(self._sum_d) / len(self.ids)
            if is_whole
            else RequestError(f"the request ended before it was served: {reason}")
        )
