"""The rows of a batch on their way: a few at once, each answered as if its owner asked."""

import asyncio
import contextlib
import dataclasses
import logging
import zlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from hclx.errors import ConfigError, HclxError
from hclx.serve.api_error import ApiError
from hclx.studio.content import Content, content_from_json
from hclx.studio.running.item_plan import MESSAGE
from hclx.studio.running.run_prompt import answer_items, error_facts
from hclx.studio.store.batch_records import BatchRecord, end_batch, explain_batch, fail_batch
from hclx.studio.store.batch_row_records import BatchRow, keep_row, next_rows
from hclx.studio.studio import Studio

_LOG = logging.getLogger(__name__)
BATCH_ROUTE = "/studio/api/batches"  # by which usage is counted
_READ_AHEAD = 64
_MOST_TRIES = 8  # of a row, where the server or what is behind it fails
_LONGEST_WAIT = 300.0  # seconds, after which a quota is asked again: it may have been raised
_STORE_WAIT = 1.0
# Of errors that all rows of a batch would have.
_OF_BATCH = (401, 403, 404)
Answer = Callable[..., Awaitable[list[dict[str, Any]]]]


@dataclasses.dataclass(frozen=True)
class BatchConfig:
    """How batches run in a server.

    Attributes:
      batches: that it has at once; the others wait.
      rows: of all of them that are on their way at once, in turns.
      rows_of_batch: of one of them.
      poll_seconds: after which the store is looked at again.
      silent_seconds: after which a server that said nothing has lost its batches.
    """

    batches: int = 16
    rows: int = 6
    rows_of_batch: int = 4
    poll_seconds: float = 1.0
    silent_seconds: float = 30.0


def needed_fields(content: Content) -> tuple[str, ...]:
    """Returns the names of the fields of which a row needs a text."""
    return (MESSAGE,) if content.view == "chat" else content.document.input_fields


class BatchWork:
    """A batch that a server has. `run` works until its rows have ended, or it is stopped.

    Attributes:
      record: the batch, as it was claimed.
    """

    def __init__(
        self,
        studio: Studio,
        runner: str,
        record: BatchRecord,
        turns: asyncio.Semaphore,
        n_workers: int = BatchConfig.rows_of_batch,
        answer: Answer = answer_items,
    ):
        """Takes a batch.

        Args:
          studio: its store has the batch, and its service the model.
          runner: the server, by the name in the store.
          record: the batch.
          turns: of the rows of all batches.
          n_workers: rows that are on their way at once.
          answer: answers rows, as `answer_items` does.
        """
        self.record = record
        self._studio, self._runner, self._turns, self._answer = studio, runner, turns, answer
        self._n_workers, self._stop, self._lock = n_workers, asyncio.Event(), asyncio.Lock()
        self._rows: deque[BatchRow] = deque()
        self._next, self._tries = 0, Counter[int]()
        self._resumes, self._is_explained = 0.0, False
        self._failure: Mapping[str, str] | None = None

    def stop(self) -> None:
        """Takes no more rows; those that are on their way end first."""
        self._stop.set()

    async def run(self) -> None:
        """Answers the rows that have not ended, and says in the store how the batch stands then."""
        try:
            await self._answer_rows()
        except ConfigError as error:  # its owner was removed, or its content is none any more
            self._fail("invalid_request", str(error))
        store, record = self._studio.database, self.record
        asked = store, record.id, self._runner, self._studio.clock()
        if self._failure is not None:
            await _kept(fail_batch, *asked, self._failure)
        else:
            await _kept(end_batch, *asked)

    async def _answer_rows(self) -> None:
        record = self.record
        content = content_from_json(record.content, needs_document=True)
        fields = needed_fields(content)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._n_workers):
                group.create_task(self._work(content, fields))

    async def _work(self, content: Content, fields: Sequence[str]) -> None:
        while await self._may_go_on() and (row := await self._row()) is not None:
            item = dict(zip(self.record.columns, row.fields))
            item = {name: item[name] for name in fields if name in item}
            async with self._turns:
                if self._stop.is_set():
                    return
                result = await self._result(content, item, self._seed(content) + row.number)
            if not await self._has_to_wait(row, result.get("error")):
                await self._keep(row, result)

    def _seed(self, content: Content) -> int:
        """Returns that of the first row, which is the same each time that a row runs."""
        own = zlib.crc32(self.record.id.encode())
        return content.document.sampling.get("seed", own)

    async def _result(self, content: Content, item: Mapping[str, str], seed: int) -> dict[str, Any]:
        """Returns what `answer_items` does for a row; if that has failed, at least its `error`."""
        try:
            # Asked each time, so that it is refused once the owner has no right to the model.
            caller = await asyncio.to_thread(self._studio.caller_of, self.record.owner)
            asked = self._studio, caller, content, [item], seed % 2**32
            (result,) = await self._answer(*asked, route=BATCH_ROUTE)
            return result
        except ApiError as error:
            return {"error": error_facts(error)}
        except ConfigError as error:
            return {"error": {"code": "forbidden", "message": str(error), "status": 403}}
        except HclxError as error:
            _LOG.error("a row of the batch %s: %s", self.record.id, error)
            text = "the server cannot read or write its store just now"
            facts = {"code": "store_unavailable", "message": text, "status": 503}
            return {"error": {**facts, "retry_after": 5}}
        except Exception:
            _LOG.exception("a row of the batch %s failed", self.record.id)
            text = "the server has failed at this row; its log says why"
            return {"error": {"code": "internal_error", "message": text, "status": 500}}

    async def _has_to_wait(self, row: BatchRow, error: Mapping[str, Any] | None) -> bool:
        """Returns whether a row runs again, once the server or a quota allows it, or not here."""
        if error is None:
            return False
        seconds, status = error.get("retry_after"), error["status"]
        param = error.get("param") or ""
        if status in _OF_BATCH or param.split(".")[0] == "content":
            self._fail(error["code"], error["message"])
            return True
        if seconds is None:
            return False
        if status != 429:
            self._tries[row.number] += 1
            seconds = max(seconds, 2.0 ** self._tries[row.number] / 2)
        is_ending = self._studio.service.admission.is_draining
        if self._tries[row.number] >= _MOST_TRIES and not is_ending:
            return False
        self._rows.appendleft(row)
        loop = asyncio.get_running_loop()
        self._resumes = max(self._resumes, loop.time() + min(seconds, _LONGEST_WAIT))
        self._is_explained = True
        reason = {"code": error["code"], "message": error["message"]}
        await _kept(explain_batch, self._studio.database, self.record.id, self._runner, reason)
        return True

    async def _may_go_on(self) -> bool:
        """Waits until rows may run; returns whether they may still."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set() and (seconds := self._resumes - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)
        return not self._stop.is_set()

    async def _row(self) -> BatchRow | None:
        async with self._lock:
            if not self._rows:
                asked = self._studio.database, self.record.id, self._next, _READ_AHEAD
                self._rows.extend(await _kept(next_rows, *asked))
                if self._rows:
                    self._next = self._rows[-1].number + 1
            return self._rows.popleft() if self._rows else None

    async def _keep(self, row: BatchRow, result: dict[str, Any]) -> None:
        error = result.pop("error")
        facts = error and {name: error[name] for name in ("code", "message")}
        asked = self._studio.database, self.record.id, self._runner, row.number
        await _kept(keep_row, *asked, None if error else result, facts)
        has_waited = asyncio.get_running_loop().time() >= self._resumes
        if self._is_explained and has_waited and not error:
            self._is_explained = False
            await _kept(explain_batch, self._studio.database, self.record.id, self._runner, None)

    def _fail(self, code: str, message: str) -> None:
        self._failure = {"code": code, "message": message}
        self.stop()


async def _kept(function: Callable, *arguments):
    """Calls a function of the store in a thread, again and again while the store is away: what a
    row has cost is not lost.
    """
    while True:
        try:
            return await asyncio.to_thread(function, *arguments)
        except HclxError as error:
            _LOG.warning("a batch waits for the store: %s", error)
            await asyncio.sleep(_STORE_WAIT)
