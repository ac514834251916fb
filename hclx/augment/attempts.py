"""Attempts at lines: drafted by their numbers, written by the engine, read and judged."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hclx.augment.augmentation import Augmentation, line_format
from hclx.augment.line_filters import Overlap, first_reason, measured
from hclx.augment.line_format import Parsed, ParseError
from hclx.augment.seeds import Seed
from hclx.augment.selection import chosen_examples
from hclx.errors import ConfigError
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.shots import keep, most_that_fit
from hclx.hashing import json_hash
from hclx.infer import Engine, GenerateRequest, RequestError, ScoreRequest
from hclx.prompts import encode_answers

_SECOND = 1  # stream of the examples of the second pass


@dataclasses.dataclass(frozen=True)
class Draft:
    """An attempt before it is written.

    Attributes:
      number: of the attempt, from 0.
      label: the key that it is for; "" if the model chooses it.
      examples: the seeds of its prompt, by their indices.
      context: the token ids of the prompt.
    """

    number: int
    label: str
    examples: tuple[int, ...]
    context: tuple[int, ...]


class Attempts:
    """Makes attempts by an engine. An attempt is a function of its number, whatever was made
    before.
    """

    def __init__(
        self,
        engine: Engine,
        reader: Reader,
        augmentation: Augmentation,
        overlap: Overlap | None = None,
        vectors_nd: np.ndarray | None = None,
    ):
        """Prepares what attempts share.

        Args:
          engine: of the model.
          reader: how it reads.
          augmentation: what is written.
          overlap: the evaluation sets that no line may hold.
          vectors_nd: embeddings of the seeds, for the selections that need them.
        """
        self._engine, self._reader, self._settings = engine, reader, augmentation
        self._overlap, self._vectors_nd = overlap, vectors_nd
        self._format = line_format(augmentation)
        self._pools = functools.cache(augmentation.pool)
        self._grammar = functools.cache(self._made_grammar)
        self._labels = [seed.label for seed in augmentation.seeds]
        limit = augmentation.document.max_tokens or reader.max_length
        self._length = min(limit, reader.max_length)
        # A text that a grammar had to end is a character too long, and not kept.
        self._most_chars = augmentation.bounds.max_chars + 1
        longest = self._format.longest(self._most_chars)
        self._max_tokens = min(longest, self._length // 2)

    def draft(self, number: int) -> Draft:
        """Drafts an attempt.

        Raises:
          ConfigError: the prompt has no room for a line even without examples.
        """
        label = self._settings.label_of(number)
        drawn = self._drawn(label, self._settings.selection, number)
        kept = lambda count: keep(drawn, count, self._settings.document.drop)
        context = lambda count: self._context(self._seeds(kept(count)), label)
        fits = lambda count: len(context(count)) + self._max_tokens <= self._length
        count = most_that_fit(len(drawn), fits)
        if not count and not fits(0):
            raise ConfigError(
                f"{self._settings.document.name}: the prompt has {len(context(0))} tokens without"
                f" examples, and with a line of {self._max_tokens} the model reads {self._length};"
                " shorten the prompt or --max_chars"
            )
        return Draft(number, label, tuple(kept(count)), context(count))

    def text_of(self, draft: Draft) -> str:
        """Returns the prompt of an attempt."""
        return self._format.prompt(self._seeds(draft.examples), draft.label)

    def make(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Makes attempts.

        Args:
          numbers: of the attempts.
        Returns:
          for each: `number`, `examples` (ids of seeds), `raw` (what the model wrote), `reason` (""
          if only other lines can speak against it), and, if it could be read, `text`, `label`,
          `marked`, `slots`, `filters`, `soft_label`. JSON values.
        Raises:
          ConfigError: the engine does not follow grammars, or a prompt has no room.
        """
        drafts = [self.draft(number) for number in numbers]
        records, lines = [], []
        for draft, (raw, is_whole) in zip(drafts, self._written(drafts), strict=True):
            ids = [self._settings.seeds[index].id for index in draft.examples]
            records.append({"number": draft.number, "examples": ids, "raw": raw, "reason": ""})
            try:
                line = self._format.parse(raw, draft.label, is_whole)
                lines.append((draft, line, records[-1]))
            except ParseError as error:
                records[-1] |= {"reason": "could not be read", "detail": str(error)}
                records[-1] |= {"label": draft.label} if draft.label else {}
        texts = [line.text for _, line, _ in lines]
        for (_, line, record), values in zip(lines, measured(texts, self._overlap), strict=True):
            record |= _as_record(line) | {"filters": values}
            record["reason"] = first_reason(values, self._settings.bounds)
        self._judge(
            [(draft, line, record) for draft, line, record in lines if not record["reason"]]
        )
        return records

    def _seeds(self, indices: Sequence[int]) -> list[Seed]:
        return [self._settings.seeds[index] for index in indices]

    def _drawn(self, label: str, how: str, *stream: int) -> tuple[int, ...]:
        generator = np.random.default_rng([self._settings.seed, *stream])
        pool, count = self._pools(label), self._settings.shots
        return chosen_examples(how, pool, count, self._labels, self._vectors_nd, generator)

    def _context(self, examples: Sequence[Seed], label: str) -> tuple[int, ...]:
        # Spaces that end the prompt are the first characters of the line.
        text = self._format.prompt(examples, label).rstrip(" ")
        ids = (*self._reader.begin, *self._reader.tokenizer.encode(text))
        return ids or (self._reader.tokenizer.eod_id,)

    def _written(self, drafts: Sequence[Draft]) -> list[tuple[str, bool]]:
        """Returns what the model writes, and whether it ended each line itself."""
        try:
            results = self._engine.generate([self._request(draft) for draft in drafts])
        except RequestError as error:
            if self._settings.follows_grammar and "grammar" in str(error):
                raise ConfigError(
                    f"{error}. With --nogrammar lines are written without, and those that cannot be"
                    " read are counted"
                ) from error
            raise
        return [(texts[0].text, texts[0].stop_reason in ("end", "stop")) for texts in results]

    def _request(self, draft: Draft) -> GenerateRequest:
        sampling = dataclasses.replace(
            self._settings.sampling,
            seed=int(json_hash([self._settings.seed, draft.number])[:8], 16),
            max_tokens=self._max_tokens,
            stop=() if self._settings.follows_grammar else self._format.stop,
        )
        rule = self._grammar(draft.label) if self._settings.follows_grammar else None
        return GenerateRequest(draft.context, sampling, grammar=rule)

    def _made_grammar(self, label: str):
        from hclx.infer import grammar  # of an extra

        least = self._settings.bounds.min_chars
        return grammar.regex(self._format.pattern(label, least, self._most_chars))

    def _judge(self, lines: Sequence[tuple[Draft, Parsed, dict]]) -> None:
        """Adds the distribution over labels to lines, and what a second pass says of the label."""
        is_mix, least = self._settings.method == "hypermix", self._settings.bounds.min_agreement
        if is_mix and self._settings.soft_labels:
            of_lines = self._distributions([(line, draft.examples) for draft, line, _ in lines])
            for (_, _, record), shares in zip(lines, of_lines, strict=True):
                record["soft_label"] = shares
        if not least:
            return
        pairs = []
        for draft, line, _ in lines:
            others = self._drawn("", "balanced", draft.number, _SECOND) if is_mix else ()
            pairs.append((line, others[: len(draft.examples)] if is_mix else draft.examples))
        for (_, line, record), shares in zip(lines, self._distributions(pairs), strict=True):
            record["filters"]["agreement"] = shares[line.label]
            if shares[line.label] < least:
                record["reason"] = "a second pass gives another label"

    def _distributions(
        self, pairs: Sequence[tuple[Parsed, Sequence[int]]]
    ) -> list[dict[str, float]]:
        """Returns, for lines behind examples, key -> probability: the log-probabilities of whole
        answers, normalised over the labels. The paper takes the first token of each label alone, so
        that labels have to begin differently.
        """
        judged = [self._format.judged(line, self._seeds(examples)) for line, examples in pairs]
        requests = []
        for answers in judged:
            for prompt, answer in answers.values():
                read = self._reader
                tokens = encode_answers(prompt, {"": answer}, read.tokenizer, read.begin)
                requests.append(ScoreRequest(tokens.context, tokens.answers[""]))
        totals = iter([score.total for score in self._engine.score(requests)] if requests else [])
        return [_rounded(normalised({key: next(totals) for key in answers})) for answers in judged]


def normalised(totals: Mapping[str, float]) -> dict[str, float]:
    """Returns key -> probability by log-probabilities, which need not sum to 1."""
    most = max(totals.values())
    weights = {key: math.exp(total - most) for key, total in totals.items()}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}


def _rounded(shares: Mapping[str, float]) -> dict[str, float]:
    """Rounds to what is the same whichever requests share a call of the device."""
    return {key: round(share, 6) for key, share in shares.items()}


def _as_record(line: Parsed) -> dict[str, Any]:
    record: dict[str, Any] = {"text": line.text, "label": line.label}
    if line.marked:
        slots = [dataclasses.asdict(span) for span in line.spans]
        record |= {"marked": line.marked, "slots": slots}
    return record
