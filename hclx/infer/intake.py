"""Checks requests and makes tasks of them, before they meet the device."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hclx.errors import shown
from hclx.infer.adapters import Placement
from hclx.infer.engine import GenerateRequest, RequestError, ScoreRequest
from hclx.infer.sampling import MAX_LOGPROBS, NEVER, SamplingConfig
from hclx.infer.scoring_tasks import EmbedTask, ScoredText, ScoreTask
from hclx.infer.tasks import GenerateTask
from hclx.infer.ticket import Ticket
from hclx.infer.token_tree import group_texts
from hclx.text import Tokenizer
from hclx.text.tokenizer import to_bytes

_LOG = logging.getLogger(__name__)
MOST_CANDIDATES = 1024  # of a request; each is a task, that all others would wait for
# Texts to score that share a beginning are read together: each has at most so many tokens behind
# it, and all of them so many, so that other rows have their share.
_MOST_REST, _MOST_TOKENS = 128, 2048
_WHOLE = (int, np.integer)
_NUMBER = (*_WHOLE, float, np.floating)


def check_request(request: GenerateRequest) -> None:
    """Raises RequestError for a value of another type or out of range, as far as no model has to be
    asked for that.
    """
    _check_kind(request, GenerateRequest)
    if not (_is(request.n, _WHOLE) and 1 <= request.n <= MOST_CANDIDATES):
        raise RequestError(
            f"n={shown(request.n)} is out of range: give 1 to {MOST_CANDIDATES:,}; more candidates"
            " are other requests with other seeds"
        )
    deadline, grammar = request.deadline, request.grammar
    if deadline is not None and not (_is(deadline, _NUMBER) and deadline >= 0):
        raise RequestError(f"deadline={shown(deadline)}: give 0 seconds or more, or None")
    if grammar is not None and not hasattr(grammar, "matcher"):
        raise RequestError(f"grammar={shown(grammar)}: make it by hclx.infer.grammar")
    if not isinstance(request.sampling, SamplingConfig):
        raise RequestError(f"sampling={shown(request.sampling)}: give a SamplingConfig")
    _check_place(request)


def check_score_request(request: ScoreRequest) -> None:
    """Raises RequestError as `check_request` does."""
    _check_kind(request, ScoreRequest)
    if not (_is(request.top, _WHOLE) and 0 <= request.top <= MAX_LOGPROBS):
        raise RequestError(f"top={shown(request.top)} is out of range: give 0 to {MAX_LOGPROBS}")
    _check_place(request)


def within_room(sampling: SamplingConfig, n_prompt: int, max_length: int) -> SamplingConfig:
    """Returns settings whose lengths fit behind a prompt.

    Args:
      sampling: the settings.
      n_prompt: the number of tokens of the prompt.
      max_length: the most tokens of a prompt and its continuation.
    Raises:
      RequestError: there is no room at all.
    """
    room = max_length - n_prompt
    if room < 1:
        raise RequestError(
            f"the prompt has {n_prompt} tokens and the model reads {max_length};"
            f" shorten it to {max_length - 1}"
        )
    if sampling.max_tokens > room:
        _LOG.warning(
            "max_tokens=%s is limited to %d, because the model reads %d tokens and the prompt"
            " has %d",
            *(shown(sampling.max_tokens), room, max_length, n_prompt),
        )
    return dataclasses.replace(
        sampling,
        max_tokens=min(sampling.max_tokens, room),
        min_tokens=min(sampling.min_tokens, room),
    )


class Intake:
    """Turns requests into tasks of one model."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocab_size: int,
        max_length: int,
        on_cancel: Callable[[Ticket], None],
        find_adapter: Callable[[str | None], Placement],
    ):
        """Prepares what all requests share.

        Args:
          tokenizer: that of the model.
          vocab_size: rows of the model's embedding, of which a tokenizer may use fewer.
          max_length: the most tokens of a prompt and its continuation.
          on_cancel: takes the ticket of a request that its owner cancels.
          find_adapter: returns the place of an adapter by its name.
        """
        self._tokenizer, self._vocab_size = tokenizer, vocab_size
        self._max_length, self._on_cancel = max_length, on_cancel
        self._find_adapter = find_adapter
        token_bytes = tokenizer.token_bytes()
        # Longer texts are refused before they are encoded, which takes seconds for a book. Some
        # tokenizers compose characters first, which leaves a third of the bytes at least.
        self._most_bytes = 4 * max_length * int(token_bytes.max())
        self._bias_v = np.full(vocab_size, NEVER, np.float32)
        self._bias_v[: tokenizer.vocab_size][token_bytes > 0] = 0
        self._bias_v[tokenizer.eod_id] = 0

    def generate_tasks(self, request: GenerateRequest) -> list[GenerateTask]:
        """Returns the task of each continuation of a request.

        Raises:
          RequestError: it cannot be served, with the reason.
        """
        check_request(request)
        adapter = self._find_adapter(request.artefact)
        ids = self._prompt_ids(request.prompt, "prompt", adapter)
        self._check_tokens(request.sampling)
        sampling = within_room(request.sampling, len(ids), self._max_length)
        return [self._task(request, ids, sampling, i, adapter) for i in range(request.n)]

    def _task(
        self, request, ids, sampling: SamplingConfig, index: int, adapter: Placement
    ) -> GenerateTask:
        sampling = dataclasses.replace(sampling, seed=sampling.seed + index)
        ticket = Ticket(self._on_cancel)
        task = GenerateTask(ticket, request, ids, sampling, self._tokenizer, self._bias_v, adapter)
        if request.grammar is not None:
            task.matcher = request.grammar.matcher(self._tokenizer, self._vocab_size)
        return task

    def score_tasks(self, requests: Sequence[ScoreRequest]) -> list[tuple[ScoreTask, list[int]]]:
        """Returns tasks with the numbers of the requests that each serves: texts that begin alike
        are read together.

        Raises:
          RequestError: a request cannot be served, with the reason.
        """
        kinds: dict[tuple[str, int, Placement], list[int]] = {}
        for number, request in enumerate(requests):
            check_score_request(request)
            kind = request.tenant, request.top, self._find_adapter(request.artefact)
            kinds.setdefault(kind, []).append(number)
        tasks = []
        for (tenant, top, adapter), numbers in kinds.items():
            texts = self._scored_texts({number: requests[number] for number in numbers}, adapter)
            read = [texts[number].ids[:-1] for number in numbers]
            limits = [texts[number].first - 1 for number in numbers]
            for group in group_texts(read, limits, _MOST_REST, _MOST_TOKENS):
                served = [numbers[number] for number in group.numbers]
                settings = group.n_shared, top, self._max_length, adapter
                ticket = Ticket(self._on_cancel)
                task = ScoreTask(ticket, tenant, [texts[n] for n in served], *settings)
                tasks.append((task, served))
        return tasks

    def _scored_texts(
        self, requests: Mapping[int, ScoreRequest], adapter: Placement
    ) -> dict[int, ScoredText]:
        """The tokens of requests; a context that several have is encoded once."""
        encode = functools.cache(lambda context: self._prompt_ids(context, "context", adapter))
        texts = {}
        for number, request in requests.items():
            context, is_whole = request.context, request.continuation is None
            known = isinstance(context, str)
            ids = list(encode(context) if known else self._prompt_ids(context, "context", adapter))
            first = self._first_scored(ids) if is_whole else len(ids)
            if not is_whole:
                ids += self._encode(request.continuation, "continuation")
            if len(ids) <= first:
                raise RequestError(
                    "there is no token to score: the context has one token alone"
                    if is_whole
                    else "there is no token to score: the continuation is empty"
                )
            self._check_length(ids, n_unread=1)  # the last one is scored, and not read
            texts[number] = ScoredText(ids, first)
        return texts

    def _first_scored(self, ids: Sequence[int]) -> int:
        """The position behind the first token of a text; what is before that is no token."""
        is_token = [token < self._vocab_size for token in ids]
        first = is_token.index(True) + 1 if any(is_token) else len(ids)
        if not all(is_token[first:]):
            raise RequestError(
                "a text with soft slots in it is scored as a continuation: give what is before the"
                " last of them as context"
            )
        return first

    def embed_task(self, text: str, artefact: str | None = None) -> EmbedTask:
        """Returns the task of a text. Raises RequestError if the model cannot read so much, or if
        there is no such artefact.
        """
        adapter = self._find_adapter(artefact)
        ids = self._prompt_ids(text, "text", adapter)
        self._check_length(ids)
        return EmbedTask(Ticket(self._on_cancel), ids, adapter)

    def _check_tokens(self, sampling: SamplingConfig) -> None:
        """Raises RequestError if the settings have ids that are none, or leave no token."""
        for name in ("allowed_tokens", "stop_ids", "logit_bias"):
            self._check_ids(list(getattr(sampling, name)), f"sampling.{name}")
        if not sampling.allowed_tokens:
            return
        ends = {self._tokenizer.eod_id, *sampling.stop_ids}
        words = [token for token in sampling.allowed_tokens if self._bias_v[token] == 0]
        if not words and ends.isdisjoint(sampling.allowed_tokens):
            raise RequestError(
                f"sampling.allowed_tokens={shown(sampling.allowed_tokens)} has control symbols"
                " alone, which no text has; add other tokens"
            )
        if sampling.min_tokens and ends.issuperset(words):
            raise RequestError(
                f"sampling.allowed_tokens={shown(sampling.allowed_tokens)} end a text, which has to"
                f" have min_tokens={sampling.min_tokens} before; add other tokens"
            )

    def _prompt_ids(self, prompt: str | Sequence[int], name: str, adapter: Placement) -> list[int]:
        ids = self._encode(prompt, name, len(adapter.slots))
        if isinstance(prompt, str):
            ids = [*self._tokenizer.begin_ids, *ids]
        if not ids and not adapter.slots:
            raise RequestError(f"the {name} has no tokens; give the end-of-document token at least")
        return adapter.lay(ids, self._vocab_size)

    def _encode(self, text: str | Sequence[int], name: str, n_slots: int = 0) -> list[int]:
        if isinstance(text, str):
            if len(text) > self._most_bytes or len(to_bytes(text)) > self._most_bytes:
                raise RequestError(
                    f"the {name} has {len(text):,} characters, and the model reads"
                    f" {self._max_length:,} tokens; shorten it"
                )
            return self._tokenizer.encode(text)
        if not isinstance(text, list | tuple | np.ndarray):
            raise RequestError(f"the {name} is {shown(text)}: give a text or token ids")
        self._check_ids(text, name, n_slots)
        return [int(token) for token in text]

    def _check_ids(self, ids: Sequence[int], name: str, n_slots: int = 0) -> None:
        for token in ids:
            if not _is(token, _WHOLE):
                raise RequestError(f"{name} has {shown(token)}, which is no token id")
            if not 0 <= token < self._vocab_size + n_slots:
                slots = f", with {n_slots} soft slots" if n_slots else ""
                raise RequestError(
                    f"{name} has the token id {shown(token)}, and the vocabulary ends at"
                    f" {self._vocab_size + n_slots - 1}{slots}"
                )

    def _check_length(self, ids: Sequence[int], n_unread: int = 0) -> None:
        if len(ids) - n_unread > self._max_length:
            raise RequestError(
                f"the text has {len(ids)} tokens and the model reads {self._max_length}; shorten it"
            )


def _is(value: object, kinds: tuple[type, ...]) -> bool:
    """Returns whether a value is a number of these kinds; true and false are none."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _check_kind(request: object, kind: type) -> None:
    if not isinstance(request, kind):
        raise RequestError(f"a request is {shown(request)}: give a {kind.__name__}")


def _check_place(request: GenerateRequest | ScoreRequest) -> None:
    if not isinstance(request.tenant, str):
        raise RequestError(f"tenant={shown(request.tenant)}: give a text")
