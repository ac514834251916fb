"""A request on its way through the embedded engine: what is read of it, and what came out."""

import abc
import bisect
import functools
import itertools
import time
from collections.abc import Sequence

import numpy as np

from hclx.errors import shown
from hclx.infer.adapters import NO_ADAPTER, Placement
from hclx.infer.engine import (
    GenerateRequest,
    Generation,
    Part,
    RequestError,
    StopReason,
    TokenLogprob,
)
from hclx.infer.grammar import Matcher
from hclx.infer.prefix_cache import chunk_keys
from hclx.infer.rows import RowSettings, Sampled
from hclx.infer.sampling import NEVER, SamplingConfig, TokenMasks, sampling_params
from hclx.infer.speculate import NgramLookup
from hclx.infer.text_collector import TextCollector
from hclx.infer.ticket import Ticket
from hclx.text import Tokenizer

_LONGEST = 1e9  # seconds of a deadline


class Task(abc.ABC):
    """The state that every kind of request has.

    Attributes:
      ticket: of the owner.
      ids: the tokens that are read into the cache before anything else.
      n_read: how many of them are in the cache.
      n_cached: how many of these came from the prefix cache.
      adapter: what is computed with beside the model. Positions of its prefix are the first `ids`.
      keys: of the chunks of `ids` that may come from the prefix cache.
      n_stored: how many chunks need no storing any more.
      deadline: by `time.monotonic`, or None.
      n_failures: how often a device error ended it.
    """

    def __init__(
        self,
        ticket: Ticket,
        ids: Sequence[int],
        tenant: str,
        n_reused: int,
        adapter: Placement = NO_ADAPTER,
    ):
        """Starts a task.

        Args:
          ticket: of the owner.
          ids: as above.
          tenant: see `GenerateRequest`.
          n_reused: the number of tokens at the beginning that may come from the prefix cache; less
            than all, as the last one is computed for what follows it.
          adapter: as above.
        """
        self.ticket, self.ids, self.tenant = ticket, list(ids), tenant
        self.adapter = adapter
        self.keys = chunk_keys(tenant, self.ids[:n_reused], adapter.number)
        self.n_read = self.n_cached = self.n_stored = self.n_failures = 0
        self.deadline: float | None = None

    @property
    def n_left(self) -> int:
        """The number of tokens that are still to be read."""
        return len(self.ids) - self.n_read

    @property
    def n_next(self) -> int:
        """The number of them that the next call may read."""
        return self.n_left

    def next_tokens(self, n: int) -> tuple[Sequence[int], Sequence[int]]:
        """Returns the next n tokens, and for each the index behind the last one that continues it:
        see `hclx.infer.token_tree.TokenTree`.
        """
        return self.ids[self.n_read : self.n_read + n], [n] * n

    def advance(self, n: int) -> None:
        """Counts n tokens as read."""
        self.n_read += n

    def restart(self) -> None:
        """Forgets what is in the cache."""
        self.n_read = self.n_cached = self.n_stored = 0

    @abc.abstractmethod
    def finish(self, reason: StopReason) -> None:
        """Gives the owner what there is."""


class GenerateTask(Task):
    """One continuation of a prompt.

    Attributes:
      sampling: the settings, with `max_tokens` limited to the room.
      tokens: sampled so far.
      n_dispatched: steps that were dispatched and whose tokens were not read yet.
      matcher: follows the grammar, or None.
    """

    def __init__(
        self,
        ticket: Ticket,
        request: GenerateRequest,
        ids: Sequence[int],
        sampling: SamplingConfig,
        tokenizer: Tokenizer,
        base_bias_v: np.ndarray,
        adapter: Placement = NO_ADAPTER,
    ):
        """Starts a task: `sampling` is that of the request within the room that `ids` leave, and
        `base_bias_v` is 0 for tokens that a text may have, and `NEVER` for others.
        """
        super().__init__(ticket, ids, request.tenant, len(ids) - 1, adapter=adapter)
        self.sampling, self._n_prompt, self._base_bias_v = sampling, len(ids), base_bias_v
        self._ends = {tokenizer.eod_id, *sampling.stop_ids}
        self._eod_id = tokenizer.eod_id
        self._collector = TextCollector(tokenizer, sampling.stop, self._add_part)
        self._starts: list[int] = []  # of the text of each token
        self._parts: list[Part] = []
        self._n_shown = self._n_in_parts = 0  # characters, and tokens
        self.tokens: list[int] = []
        self.n_dispatched = 0
        self.matcher: Matcher | None = None
        self._lookup: NgramLookup | None = None
        self._failure: RequestError | None = None
        self._logprobs: list[TokenLogprob] = []
        if request.deadline is not None:
            self.deadline = time.monotonic() + float(min(request.deadline, _LONGEST))

    @property
    def length(self) -> int:
        """The positions that may be in use once everything dispatched has run."""
        most = self._n_prompt + self.sampling.max_tokens
        return min(most, self._n_prompt + len(self.tokens) + self.n_dispatched)

    @property
    def n_ahead(self) -> int:
        """The number of tokens that may still be dispatched."""
        return self.sampling.max_tokens - len(self.tokens) - self.n_dispatched

    @property
    def with_top(self) -> bool:
        """Returns whether alternatives of tokens were asked for."""
        return bool(self.sampling.logprobs)

    def restart(self) -> None:
        """Forgets what is in the cache: prompt and text so far are read again."""
        super().restart()
        self.ids = self.ids[: self._n_prompt] + self.tokens
        self.n_dispatched = 0

    def settings(self) -> RowSettings:
        """Returns the settings of the row, with the text so far."""
        size, sampling, ends = len(self._base_bias_v), self.sampling, list(self._ends)
        bias_v = np.where(self._is_sayable_v(), np.float32(0), NEVER)
        for token, bias in sampling.logit_bias.items():
            if bias_v[token] != NEVER:
                bias_v[token] += bias
        ends_v, seen_v = np.zeros((2, size), bool)
        ends_v[ends] = True
        seen_v[[token for token in self.ids if token < size]] = True  # the others are soft slots
        seen_v[self._eod_id] = False  # it begins every prompt, and a text would hardly end
        counts_v = np.bincount(np.array(self.tokens, np.int32), minlength=size).astype(np.int32)
        row = sampling_params([sampling])
        return RowSettings(
            type(row)(*(array[0] for array in row)),
            TokenMasks(bias_v, ends_v, seen_v, counts_v),
            np.int32(len(self.tokens)),
        )

    def _is_sayable_v(self) -> np.ndarray:
        """The tokens that the text may have, and those that may end it: bool [v]."""
        sampling, ends = self.sampling, list(self._ends)
        is_sayable_v = self._base_bias_v != NEVER
        is_sayable_v[ends] = True  # also of chat models, whose turns end at a control symbol
        if sampling.allowed_tokens:
            allowed = [*sampling.allowed_tokens, *ends]
            is_sayable_v &= np.isin(np.arange(len(is_sayable_v)), allowed)
        return is_sayable_v

    @functools.cached_property
    def _sayable_w(self) -> np.ndarray:
        """The same as bits: uint32 [ceil(v / 32)]."""
        is_sayable_v = self._is_sayable_v()
        padded = np.pad(is_sayable_v, (0, -len(is_sayable_v) % 32))
        return np.packbits(padded, bitorder="little").view("<u4")

    def mask(self, all_w: np.ndarray) -> np.ndarray:
        """Returns the tokens that may come next, `all_w` without a grammar. An error of the grammar
        is raised when the next token comes.
        """
        if self.matcher is None:
            return all_w
        try:
            allowed_w = self.matcher.mask()
            if not (allowed_w & self._sayable_w).any():
                raise self._nothing_in_common()
            return allowed_w
        except RequestError as error:
            self._failure = error
            return all_w

    def _nothing_in_common(self) -> RequestError:
        return RequestError(
            "the grammar and the allowed_tokens have no token in common after"
            f" {shown(self._collector.text)}; change one of them"
        )

    def add(self, sampled: Sampled, at: tuple[int, ...]) -> StopReason | None:
        """Takes a token from what a call returned, and returns why the text ends with it, if it
        does.

        Args:
          sampled: arrays of numpy.
          at: the index of the token in them.
        Raises:
          RequestError: the grammar is too complex to be followed.
        """
        if self._failure is not None:
            raise self._failure
        token = int(sampled.tokens[at])
        if token in self._ends:
            return "end"
        if self.sampling.logprobs is not None:
            self._logprobs.append(token_logprob(sampled, at, self.sampling.logprobs))
        return self._append(token)

    def _append(self, token: int) -> StopReason | None:
        self.tokens.append(token)
        if self.matcher is not None:
            self.matcher.take(token)
        self._starts.append(len(self._collector.text))
        self._collector.add(token, len(self.tokens) >= self.sampling.min_tokens)
        self._collector.show()
        if self._collector.is_stopped:
            return "stop"
        if self.matcher is not None and self.matcher.is_complete:
            return "end"
        return "length" if len(self.tokens) >= self.sampling.max_tokens else None

    def guess(self, n: int) -> list[int]:
        """Guesses at most `n` of the next tokens, from where the last ones occurred before."""
        n = min(n, self.sampling.max_tokens - len(self.tokens) - 1)
        if n < 1:
            return []
        if self._lookup is None:
            self._lookup = NgramLookup(self.ids[: self._n_prompt])
        for token in self.tokens[len(self._lookup) - self._n_prompt :]:
            self._lookup.add(token)
        is_token = lambda token: token < len(self._base_bias_v)  # and no soft slot
        return list(itertools.takewhile(is_token, self._lookup.guess(n)))

    def append_forced(self, least: int) -> StopReason | RequestError | None:
        """Appends the tokens to which the grammar leaves no alternative. They are then read as a
        prompt is, all at once, instead of being sampled one by one.

        Args:
          least: fewer of them are left to be sampled.
        Returns:
          Why the text ends with them, if it does; an error if the grammar cannot be followed.
        """
        if self.matcher is None or self.sampling.logprobs is not None:
            return None  # the log-probabilities of these tokens are wanted too
        reason, before = None, len(self.tokens)
        try:
            forced = self.matcher.forced()
            if len(forced) < least or not self._ends.isdisjoint(forced):
                return None
            for token in forced:
                if not self._sayable_w[token // 32] >> (token % 32) & 1:
                    raise self._nothing_in_common()
                reason = self._append(token)
                if reason is not None:
                    break
        except RequestError as error:
            return error
        self.n_read = self._n_prompt + before - 1  # the last token sampled is not in the cache yet
        self.ids = self.ids[: self._n_prompt] + self.tokens
        self.show()
        return reason

    def _add_part(self, text: str) -> None:
        """Takes the next text that is certain. Its tokens are those whose text has begun."""
        self._n_shown += len(text)
        first, end = self._n_in_parts, bisect.bisect_left(self._starts, self._n_shown)
        has_logprobs = self.sampling.logprobs is not None
        logprobs = tuple(self._logprobs[first:end]) if has_logprobs else None
        self._parts.append(Part(text, tuple(self.tokens[first:end]), logprobs))
        self._n_in_parts = end

    def show(self) -> None:
        """Passes on the text that is certain."""
        parts, self._parts = self._parts, []
        self.ticket.add_parts(parts)

    def finish(self, reason: StopReason) -> None:
        """Gives the owner the text."""
        text = self._collector.finish()
        self.show()
        logprobs = None if self.sampling.logprobs is None else tuple(self._logprobs)
        self.ticket.finish(
            Generation(text, tuple(self.tokens), reason, self._n_prompt, self.n_cached, logprobs)
        )


def token_logprob(sampled: Sampled, at: tuple[int, ...], n: int) -> TokenLogprob:
    """Returns one of the tokens that a call sampled or scored, with its `n` likeliest alternatives.

    Args:
      sampled: arrays of numpy.
      at: the index of the token in them.
      n: at most `MAX_LOGPROBS`, if the call computed them.
    """
    top = zip(sampled.top_ids[at][:n].tolist(), sampled.top_logprobs[at][:n].tolist())
    return TokenLogprob(int(sampled.tokens[at]), float(sampled.logprobs[at]), tuple(top))
