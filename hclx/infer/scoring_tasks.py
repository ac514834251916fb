"""Texts on their way through the embedded engine that are read and not continued: scored or
embedded.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hclx.infer.adapters import NO_ADAPTER, Placement
from hclx.infer.engine import RequestError, Score, StopReason, TokenLogprob
from hclx.infer.rows import Sampled
from hclx.infer.tasks import Task, token_logprob
from hclx.infer.ticket import Ticket
from hclx.infer.token_tree import TokenTree, split_by_size, token_tree
from hclx.infer.warm_up import CHUNKS


class ScoredText(NamedTuple):
    """A text whose end is scored.

    Attributes:
      ids: its tokens; the last one is not read.
      first: the position of the first token that is scored, at least 1.
    """

    ids: list[int]
    first: int


class ScoreTask(Task):
    """The log-probabilities of texts that begin alike. The shared beginning is read first; then,
    call by call, as many of the rests as one call can read, each time at the same positions.
    """

    def __init__(
        self,
        ticket: Ticket,
        tenant: str,
        texts: Sequence[ScoredText],
        n_shared: int,
        top: int,
        max_length: int,
        adapter: Placement = NO_ADAPTER,
    ):
        """Starts a task.

        Args:
          ticket: of the owner. Its result is the `Score` of a single text, or a list.
          tenant: see `GenerateRequest`.
          texts: sorted by their tokens, if there are several.
          n_shared: the number of tokens with which all of them begin; less than `first` of each.
          top: the number of alternatives of each token.
          max_length: the positions of a row.
          adapter: see `Task`; the positions of its prefix begin all texts.
        """
        is_single = len(texts) == 1
        ids = texts[0].ids[:-1] if is_single else texts[0].ids[:n_shared]
        super().__init__(ticket, ids, tenant, n_shared, adapter)
        self._texts, self._n_shared, self._top = texts, n_shared, top
        self._trees: list[TokenTree] = []
        self._targets: list[list[tuple[int, int]]] = []  # of each tree: index, token behind it
        if not is_single:
            self._make_trees(min(CHUNKS[-1], max_length - n_shared))
        self.restart()

    def _make_trees(self, most_tokens: int) -> None:
        rests = [text.ids[self._n_shared : -1] for text in self._texts]
        for numbers in split_by_size(rests, most_tokens):
            tree = token_tree([rests[number] for number in numbers])
            self._trees.append(tree)
            self._targets.append(
                [
                    (path[at - 1 - self._n_shared], text.ids[at])
                    for text, path in zip((self._texts[number] for number in numbers), tree.paths)
                    for at in range(text.first, len(text.ids))
                ]
            )

    @property
    def length(self) -> int:
        """The positions that it needs."""
        return len(self.ids) + max((len(tree.tokens) for tree in self._trees), default=0)

    @property
    def with_top(self) -> bool:
        """Returns whether alternatives of tokens were asked for."""
        return self._top > 0

    @property
    def n_left(self) -> int:
        """The number of tokens that are still to be read."""
        return super().n_left + sum(len(tree.tokens) for tree in self._trees[self._n_trees :])

    @property
    def n_next(self) -> int:
        """The number of them that the next call may read: a tree is read as a whole."""
        n_shared = super().n_left
        if self._n_trees == len(self._trees):
            return n_shared
        n_all = n_shared + len(self._trees[self._n_trees].tokens)
        return n_all if n_all <= CHUNKS[-1] else n_shared

    def next_tokens(self, n: int) -> tuple[Sequence[int], Sequence[int]]:
        """Returns the next n tokens; see `Task.next_tokens`."""
        shared = self.ids[self.n_read :]
        if n <= len(shared):
            return super().next_tokens(n)
        tree = self._trees[self._n_trees]
        ends = [len(shared) + end for end in tree.ends]
        return [*shared, *tree.tokens], [n] * len(shared) + ends

    def next_targets(self, n: int) -> list[tuple[int, int]]:
        """The indices of those of the next n tokens behind which a token is scored, and these."""
        n_shared = super().n_left
        if n > n_shared:
            return [(n_shared + at, token) for at, token in self._targets[self._n_trees]]
        if self._trees:
            return []
        first, ids = max(0, self._texts[0].first - 1 - self.n_read), self._texts[0].ids
        return [(at, ids[self.n_read + at + 1]) for at in range(first, n)]

    def advance(self, n: int) -> None:
        """Counts n tokens as read. The next tree takes the place of the one among them."""
        n_shared = super().n_left
        self._n_trees += n > n_shared
        self.n_read += min(n, n_shared)

    def restart(self) -> None:
        """Forgets what was read and scored."""
        super().restart()
        self._n_trees = 0
        self._scored: list[TokenLogprob] = []
        self._is_likeliest: list[bool] = []

    def add_scores(self, sampled: Sampled, row: int, n: int) -> bool:
        """Takes the next n scores, and returns whether all are there."""
        for i in range(n):
            self._scored.append(token_logprob(sampled, (row, i), self._top))
            self._is_likeliest.append(bool(sampled.is_likeliest[row, i]))
        return len(self._scored) == sum(len(text.ids) - text.first for text in self._texts)

    def finish(self, reason: StopReason) -> None:
        """Gives the owner the scores, or an error if it was ended before."""
        if reason != "end":
            self.ticket.finish(RequestError(f"the request ended before it was served: {reason}"))
            return
        scores, begin = [], 0
        for text in self._texts:
            end = begin + len(text.ids) - text.first
            tokens, is_greedy = self._scored[begin:end], all(self._is_likeliest[begin:end])
            total = float(sum(token.logprob for token in tokens))
            scores.append(Score(total, is_greedy, tuple(tokens), len(text.ids), self.n_cached))
            begin = end
        self.ticket.finish(scores if len(scores) > 1 else scores[0])


class EmbedTask(Task):
    """The mean of the hidden states of a text, with those of soft slots."""

    def __init__(self, ticket: Ticket, ids: Sequence[int], adapter: Placement = NO_ADAPTER):
        """Starts a task over the tokens `ids`, the first of which are the prefix of `adapter`."""
        super().__init__(ticket, ids, "", 0, adapter=adapter)
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
        return self._n_summed == len(self.ids) - self.adapter.n_prefix

    def finish(self, reason: StopReason) -> None:
        """Gives the owner the mean, or an error if it was ended before."""
        is_whole = reason == "end"
        self.ticket.finish(
            np.asarray(self._sum_d) / self._n_summed
            if is_whole
            else RequestError(f"the request ended before it was served: {reason}")
        )
