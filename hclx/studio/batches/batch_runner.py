"""Runs batches beside the requests of a server: it claims them from the store, and gives them back
when it ends.
"""

import asyncio
import logging
import os
import secrets
import socket

from hclx.errors import HclxError
from hclx.studio.batches.batch_work import Answer, BatchConfig, BatchWork
from hclx.studio.running.run_prompt import answer_items
from hclx.studio.store.batch_records import beat_batches, claim_batches, end_batch, fail_batch
from hclx.studio.studio import Studio

_LOG = logging.getLogger(__name__)
_ALL = -1.0  # of silence: servers that had batches of an SQLite file before are gone


class BatchRunner:
    """The batches of one server.

    Attributes:
      name: of the server in the store.
    """

    def __init__(
        self,
        studio: Studio,
        config: BatchConfig = BatchConfig(),
        answer: Answer = answer_items,
    ):
        """Prepares it; `run` is a worker of the service.

        Args:
          studio: its store has the batches, and its service the model.
          config: how many run at once, and when they are looked at.
          answer: answers rows, as `answer_items` does.
        """
        self.name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._studio, self._config, self._answer = studio, config, answer
        self._works: dict[str, tuple[BatchWork, asyncio.Task]] = {}
        self._is_running = False

    async def run(self) -> None:
        """Runs batches until it is cancelled; once at a time."""
        if self._is_running:
            return
        self._is_running = True
        self._turns = asyncio.Semaphore(self._config.rows)  # of this event loop
        # One server at a time has an SQLite file, so that others are gone when this one begins.
        is_file, silence = self._studio.database.path is not None, self._config.silent_seconds
        try:
            await self._try_to_look(_ALL if is_file else silence)
            while True:
                await asyncio.sleep(self._config.poll_seconds)
                await self._try_to_look(silence)
        finally:
            self._is_running = False
            await self._give_all_back()

    async def _try_to_look(self, silence: float) -> None:
        """Goes on whatever happens: a store may be away for a while."""
        try:
            await self._look(silence)
        except HclxError as error:
            _LOG.warning("batches: %s", error)
        except Exception:
            _LOG.exception("batches have failed; they go on")

    async def _look(self, silence: float) -> None:
        database, now = self._studio.database, self._studio.clock()
        is_ending = self._studio.service.admission.is_draining
        own = self._works and await asyncio.to_thread(beat_batches, database, self.name, now)
        for batch_id, (work, task) in tuple(self._works.items()):
            if task.done():
                await self._take_out(batch_id, task)
            elif batch_id not in own:  # it was removed, or another server has it
                task.cancel()
            elif own[batch_id] != "running" or is_ending:
                work.stop()
        most = 0 if is_ending else self._config.batches - len(self._works)
        asked = database, self.name, now, silence, most
        for record in await asyncio.to_thread(claim_batches, *asked):
            counts = self._turns, self._config.rows_of_batch
            work = BatchWork(self._studio, self.name, record, *counts, self._answer)
            self._works[record.id] = work, asyncio.create_task(work.run())
            _LOG.info("the batch %s runs: %d of %d rows", record.id, record.done, record.total)

    async def _take_out(self, batch_id: str, task: asyncio.Task) -> None:
        del self._works[batch_id]
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("the batch %s has stopped", batch_id, exc_info=error)
            asked = self._studio.database, batch_id, self.name, self._studio.clock()
            reason = {
                "code": "internal_error",
                "message": "the server has failed; its log says why",
            }
            await asyncio.to_thread(fail_batch, *asked, reason)

    async def _give_all_back(self) -> None:
        """Cancels the rows that are on their way, which run again, and lets the batches wait."""
        tasks = [task for _, task in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        database, now = self._studio.database, self._studio.clock()
        for batch_id in self._works:
            try:
                await asyncio.to_thread(end_batch, database, batch_id, self.name, now)
            except HclxError as error:
                _LOG.warning("batches: %s", error)
        self._works.clear()


__all__ = ["BatchConfig", "BatchRunner"]
