"""The engine as an event loop sees it: nothing blocks the loop, and who leaves is cancelled."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from hclx.errors import HclxError, shown
from hclx.infer import Engine, GenerateRequest, Generation, Part, Score, ScoreRequest
from hclx.infer.ticket import Ticket
from hclx.serve.api_error import ApiError, error_of, invalid
from hclx.serve.caller import Caller, Usage
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.special_tokens import encode_special
from hclx.serve.tuning.tuned_models import TunedModels
from hclx.text import Tokenizer
from hclx.text.chat_template import ChatTemplate
from hclx.text.documents import composed
from hclx.text.foreign_tokenizer import ForeignTokenizer
from hclx.text.tokenizer import to_bytes

_THREADS = 32
_AT_ONCE = 16  # texts of a request to score or to embed
_LAST = 128  # tokens of a prompt in which something of its text may begin
_LONG = 1000  # characters, or ids, that take about a millisecond


class TextStreams:
    """Texts on their way from the engine."""

    def __init__(
        self,
        requests: Sequence[GenerateRequest],
        tickets: Sequence[Ticket],
        loop: asyncio.AbstractEventLoop,
    ):
        """Takes requests and their tickets, whose parts are passed to the loop from now on."""
        self._requests, self._tickets, self._parts = requests, tickets, asyncio.Queue()

        def pass_on(index: int, parts: Sequence[Part] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
                loop.call_soon_threadsafe(self._parts.put_nowait, (index, parts))

        for index, ticket in enumerate(tickets):
            ticket.listen(functools.partial(pass_on, index))

    async def parts(self) -> AsyncIterator[tuple[int, Part | None]]:
        """Yields the index of a text and its next part; None at its end."""
        n_left = len(self._tickets)
        while n_left:
            index, parts = await self._parts.get()
            n_left -= parts is None
            for part in (None,) if parts is None else parts:
                yield index, part

    def cancel(self, index: int) -> None:
        """Ends a text as it is."""
        self._tickets[index].cancel()

    def cancel_all(self) -> None:
        """Ends all texts as they are; `result` says that the server did."""
        for ticket in self._tickets:
            ticket.cancel()

    async def result(self, index: int, may_be_cancelled: bool = False) -> Generation:
        """Awaits a whole text. Raises ApiError if it has failed, or the server ends.

        Args:
          index: of the text.
          may_be_cancelled: whether it may have been ended by `cancel`.
        """
        result = await _result(self._tickets[index])
        if result.stop_reason == "cancelled" and not may_be_cancelled:
            raise ApiError(503, "shutting_down", "the text was ended by the server", retry_after=5)
        return result

    def used(self, seconds: float) -> Usage:
        """Returns the tokens of all texts, each prompt counted once; those of texts that were
        cancelled, too. It blocks until they have ended.

        Args:
          seconds: that a text is waited for; one that does not end by then counts nothing.
        """
        results = []
        for request, ticket in zip(self._requests, self._tickets):
            with contextlib.suppress(HclxError, TimeoutError):
                results.append((request.prompt, ticket.result(seconds)))
        firsts = dict(reversed(results)).values()
        return Usage(
            sum(result.n_prompt for result in firsts),
            sum(len(result.tokens) for _, result in results),
            sum(result.n_cached for result in firsts),
        )

    async def results(self) -> list[Generation]:
        """Awaits all of them. Raises ApiError as `result` does."""
        return [await self.result(index) for index in range(len(self._tickets))]


@dataclasses.dataclass(frozen=True)
class Backend:
    """An engine, and how it is served.

    Attributes:
      engine: is called from the event loop and from threads.
      tokenizer: that of the model; None: a remote engine tells no tokens.
      models: name -> the artefact of the engine that it stands for; None: the model alone.
      max_length: the most tokens of a prompt and its continuation.
      root: the name of the model where it is from, which clients only show: no path of the server.
      chat_template: None: the model is a base model, that knows no chats.
      keeps_tenants: whether the engine keeps the prefix caches of tenants apart; else the server
        names it none.
      rules: what is done with texts before they leave.
      tuned: models beside these, which come and go; each is seen by its tenant alone.
    """

    engine: Engine
    tokenizer: Tokenizer
    models: Mapping[str, str | None]
    max_length: int
    root: str = ""
    chat_template: ChatTemplate | None = None
    keeps_tenants: bool = True
    rules: OutputRules = OutputRules()
    tuned: TunedModels = dataclasses.field(default_factory=TunedModels)

    def artefact_of(self, model: str, caller: Caller | None = None) -> str | None:
        """Returns the artefact of a served name.

        Args:
          model: the name.
          caller: who asks, and may have models of his own; None: someone who has none.
        Raises:
          ApiError: 404, there is no such name.
        """
        if model in self.models:
            return self.models[model]
        own = caller and self.tuned.find(model, caller.tenant)
        if own:
            return own.artefact
        names = ", ".join(map(repr, self.names_for(caller)))
        raise ApiError(
            404,
            "model_not_found",
            f"model={shown(model)} is not served here; there are {names}",
            "model",
        )

    def names_for(self, caller: Caller | None) -> list[str]:
        """Returns the names of the models that a caller may ask for; those of everyone first."""
        own = self.tuned.of_tenant(caller.tenant) if caller else ()
        return [*self.models, *(model.name for model in own)]

    def as_read(self, text: str) -> str:
        """Returns a text as the model reads it: in NFC, as the texts of its training were, since
        macOS takes syllables apart. The tokenizers of others do as their files say.
        """
        return text if isinstance(self.tokenizer, ForeignTokenizer) else composed(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns the number of tokens of each text alone; many of them take a thread."""
        return [len(self.tokenizer.encode(self.as_read(text))) for text in texts]

    async def encode(self, text: str, begins: bool = True, special: bool = False) -> list[int]:
        """Encodes a text as it is read, a long one in a thread.

        Args:
          text: the text.
          begins: whether the tokens that begin a document are put before it.
          special: whether special tokens that the text spells are these tokens.
        """

        def encode() -> list[int]:
            encode_text = encode_special if special else type(self.tokenizer).encode
            ids = encode_text(self.tokenizer, self.as_read(text))
            return [*self.tokenizer.begin_ids, *ids] if begins else ids

        return await self._in_thread(encode) if len(text) > _LONG else encode()

    def end_of(self, prompt: str | Sequence[int]) -> str:
        """Returns the last characters of a prompt; slots of an artefact are none."""
        if isinstance(prompt, str):
            return prompt[-_LAST:]
        last = [token for token in prompt[-_LAST:] if token < self.tokenizer.vocab_size]
        return self.tokenizer.decode(last)

    def check_ids(self, ids: Iterable[int], name: str) -> None:
        """Raises ApiError (400) for an id that is not in the vocabulary."""
        last = self.tokenizer.vocab_size - 1
        for token in ids:
            if not 0 <= token <= last:
                raise invalid(
                    f"{name}: the token id {shown(token)} is out of vocabulary (0 to {last})", name
                )

    @functools.cached_property
    def _threads(self) -> concurrent.futures.Executor:
        # Of its own, so that keys are checked while all of these wait for the engine.
        return concurrent.futures.ThreadPoolExecutor(_THREADS, "hclx-backend")

    def _in_thread(self, function: Callable, *arguments) -> asyncio.Future:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    @functools.cached_property
    def _most_bytes(self) -> int:
        """The bytes of a text that is certainly too long; tokenizers that compose characters leave
        a third of the bytes at least.
        """
        return 4 * self.max_length * int(self.tokenizer.token_bytes().max())

    def check_text(self, text: str, name: str) -> None:
        """Raises ApiError (400) for a text that is too long whatever its tokens are, which encoding
        it would take seconds to show.
        """
        if len(text) > self._most_bytes or len(to_bytes(text)) > self._most_bytes:
            raise ApiError(
                400,
                "context_length_exceeded",
                f"{name} has {len(text):,} characters, and the model reads {self.max_length:,}"
                " tokens; shorten it",
                name,
            )

    def check_read(self, n_tokens: int, name: str) -> None:
        """Raises ApiError (400) for a text of more tokens than the model reads."""
        if n_tokens > self.max_length:
            raise ApiError(
                400,
                "context_length_exceeded",
                f"{name} has {n_tokens} tokens and the model reads {self.max_length}; shorten it",
                name,
            )

    def check_length(
        self, n_prompt: int, max_tokens: int | None, param: str, artefact: str | None = None
    ) -> int:
        """Returns the most tokens that may follow a prompt: `max_tokens`, or all that there is room
        for if that is None.

        Args:
          n_prompt: the tokens of the prompt.
          max_tokens: that are asked for.
          param: the name of that field.
          artefact: puts soft slots or a prefix before the prompt. Those of a remote engine are not
            known, and its server refuses what is too long.
        Raises:
          ApiError: 400, all together are more than the model reads.
        """
        length_of = getattr(self.engine, "adapter_length", lambda name: 0)
        try:
            n_before = length_of(artefact)
        except HclxError as error:  # it was removed just now
            raise error_of(error) from error
        room = self.max_length - n_before - n_prompt
        if room < (1 if max_tokens is None else max_tokens):
            before = f", before which this model has {n_before}," if n_before else ""
            asked, change = f" and {param}={max_tokens}", "shorten the prompt or ask for fewer"
            if max_tokens is None:
                asked, change = "", "shorten it, so that there is room for a text"
            raise ApiError(
                400,
                "context_length_exceeded",
                f"the prompt has {n_prompt} tokens{before}{asked}, and the model reads"
                f" {self.max_length} in all; {change}",
                param if room > 0 else "prompt",
            )
        return room if max_tokens is None else max_tokens

    @contextlib.asynccontextmanager
    async def started(self, requests: Sequence[GenerateRequest]) -> AsyncIterator[TextStreams]:
        """Submits requests with n=1 together; those that have not ended are cancelled at the end of
        the context, whatever ends it.

        Raises:
          ApiError: the engine refuses one of them; then none goes on.
        """
        loop = asyncio.get_running_loop()
        async with self._submitted(requests) as tickets:
            yield TextStreams(requests, tickets, loop)

    async def check(self, request: GenerateRequest) -> None:
        """Raises ApiError (400) if the engine would not take a request; nothing runs."""
        try:
            await self._in_thread(self.engine.check, self._as_taken(request))
        except HclxError as error:
            raise error_of(error) from error

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Score]:
        """Computes the log-probabilities of texts. Raises ApiError if one is refused."""
        return [score async for score in self.scores(requests)]

    async def scores(self, requests: Sequence[ScoreRequest]) -> AsyncIterator[Score]:
        """Yields the log-probabilities of texts in order, as soon as they are there. The engine
        has a few of them at a time, so that other requests have their share. Raises ApiError if
        one is refused; who leaves cancels those that are left.
        """
        for first in range(0, len(requests), _AT_ONCE):
            async with self._submitted(requests[first : first + _AT_ONCE]) as tickets:
                for ticket in tickets:
                    yield await _result(ticket)

    async def embed(self, texts: Sequence[str], artefact: str | None) -> list[Sequence[float]]:
        """Computes a vector for each text, a few at a time, so that the texts of a client that has
        left do not go on for long. Raises ApiError if one is refused.
        """
        vectors: list[Sequence[float]] = []
        try:
            for first in range(0, len(texts), _AT_ONCE):
                few = [
                    self.as_read(text) if isinstance(text, str) else text
                    for text in texts[first : first + _AT_ONCE]
                ]
                vectors += await self._in_thread(self.engine.embed, few, artefact)
        except HclxError as error:
            raise error_of(error) from error
        return vectors

    @contextlib.asynccontextmanager
    async def _submitted(self, requests) -> AsyncIterator[list[Ticket]]:
        tickets: list[Ticket] = []
        try:
            for request in requests:
                tickets.append(await self._submit(request))
            yield tickets
        except HclxError as error:
            raise error_of(error) from error
        finally:
            for ticket in tickets:
                if not ticket.is_done:
                    ticket.cancel()

    def _as_taken(self, request: GenerateRequest | ScoreRequest) -> GenerateRequest | ScoreRequest:
        """Returns a request without its tenant, if the engine knows none. A salt of the client's
        own stays, so that an engine that cannot honour it refuses it.
        """
        if self.keeps_tenants or "/" in request.tenant:
            return request
        return dataclasses.replace(request, tenant="")

    async def _submit(self, request: GenerateRequest | ScoreRequest) -> Ticket:
        request = self._as_taken(request)
        prompt = request.prompt if isinstance(request, GenerateRequest) else request.context
        is_long = len(prompt) > _LONG or getattr(request, "grammar", None) is not None
        if not is_long:
            return self.engine.submit(request)
        ticket = self._in_thread(self.engine.submit, request)
        try:
            return await asyncio.shield(ticket)
        except asyncio.CancelledError:  # the thread goes on, and its ticket is nobody's
            ticket.add_done_callback(lambda done: done.exception() or done.result().cancel())
            raise


async def _result(ticket: Ticket):
    try:
        # Cancelling is the ticket's business: a future that is cancelled gets no result.
        return await asyncio.shield(asyncio.wrap_future(ticket.future))
    except HclxError as error:
        raise error_of(error) from error
