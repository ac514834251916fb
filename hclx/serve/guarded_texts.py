"""Texts on their way from the engine, as the rules of the server let them leave."""

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable

from hclx.infer import Generation, Part
from hclx.infer.engine import UNKNOWN_TOKEN
from hclx.serve.backend import TextStreams
from hclx.serve.caller import Usage
from hclx.serve.metrics import Metrics
from hclx.serve.safety.output_filter import Finding
from hclx.serve.safety.output_rules import OutputGuard, OutputRules


class GuardedTexts:
    """`TextStreams` behind the rules of a server. Texts are judged and masked in threads."""

    def __init__(
        self,
        texts: TextStreams,
        rules: OutputRules,
        metrics: Metrics,
        prompt_of: Callable[[int], str] = lambda index: "",
    ):
        """Takes the texts of a request, and how the prompt of each ends."""
        self._texts, self._rules, self._metrics = texts, rules, metrics
        self._prompt_of, self._guards = prompt_of, {}

    async def parts(self) -> AsyncIterator[tuple[int, Part | None]]:
        """Yields the index of a text and its next part that may leave; None at its end. A text
        that is flagged ends in the engine too. Parts of texts that may be changed have no tokens:
        these are in the result.
        """
        async for index, part in self._texts.parts():
            if not self._rules.changes_texts:
                yield index, part
                continue
            guard = self._guard_of(index)
            was_blocked = guard.is_blocked
            feed = guard.finish if part is None else functools.partial(guard.feed, part.text)
            if passed := await asyncio.to_thread(feed):
                yield index, Part(passed)
            if guard.is_blocked and not was_blocked:
                self._texts.cancel(index)
            if part is None:
                yield index, None

    async def result(self, index: int) -> Generation:
        """Awaits a whole text. The `stop_reason` of one that was flagged is "content_filter"; one
        that was changed tells neither its tokens, which are `UNKNOWN_TOKEN`, nor their
        log-probabilities.

        Raises:
          ApiError: it has failed, or the server ends.
        """
        if not self._rules.changes_texts:
            return await self._texts.result(index)
        if self._rules.block is not None and not self._guards:
            async for _ in self.parts():  # a flagged text ends in the engine as that of a stream
                pass
        is_streamed, guard = index in self._guards, self._guard_of(index)
        result = await self._written(index)
        if not is_streamed:
            await asyncio.to_thread(guard.feed, result.text)
            await asyncio.to_thread(guard.finish)
        self._metrics.count_masked(guard.n_masked)
        if not guard.is_blocked and guard.text == result.text:
            return result
        return dataclasses.replace(
            result,
            text=guard.text,
            tokens=(UNKNOWN_TOKEN,) * len(result.tokens),
            logprobs=None,
            stop_reason="content_filter" if guard.is_blocked else result.stop_reason,
        )

    async def findings(self, index: int) -> list[Finding]:
        """Judges a text that has ended, as the model has written it: a finding for each category of
        the filter; [] if there is none.
        """
        result = await self._written(index)
        findings = await asyncio.to_thread(self._rules.judge_text, result.text)
        self._metrics.count_findings(findings)
        return findings

    def used(self, seconds: float) -> Usage:
        """See `TextStreams.used`."""
        return self._texts.used(seconds)

    def _guard_of(self, index: int) -> OutputGuard:
        if index not in self._guards:
            self._guards[index] = OutputGuard(self._rules, self._prompt_of(index))
        return self._guards[index]

    async def _written(self, index: int) -> Generation:
        is_blocked = index in self._guards and self._guards[index].is_blocked
        return await self._texts.result(index, may_be_cancelled=is_blocked)
