"""kill -9 of a server in the middle of a batch, and a start again: the batch goes on by itself, and
each row is answered once.
"""

import collections
import contextlib
import random
import time

import pytest

pytest.importorskip("sqlalchemy")

import sqlalchemy as sa

from hclx.serve.store.database import open_database
from hclx.serve.store.tables import usage
from hclx.studio.store.batch_records import add_batch, find_batch
from hclx.studio.store.batch_row_records import list_rows
from hclx.studio.store.people_records import create_person
from tests.helpers.postgres_server import postgres_server
from tests.helpers.studio_process import studio_process

N_ROWS, AT_ONCE, N_KILLS = 400, 4, 2
CONTENT = {
    "schema": "hclx.studio/1",
    "document": {
        **{"schema": "hclx.prompt/1", "name": "되뇌기", "input": "{text}:", "answer": "{answer}"},
        "sampling": {"max_tokens": 8, "temperature": 1},
    },
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            yield f"sqlite:///{tmp_path}/store.db"
        else:
            yield stack.enter_context(postgres_server()).format(name="postgres")


def until(database, batch_id, is_so, seconds=120):
    end = time.monotonic() + seconds
    while not is_so(batch := find_batch(database, batch_id)):
        assert time.monotonic() < end, batch
        time.sleep(0.02)
    return batch


@pytest.mark.long
def test_a_batch_survives_kills_of_its_server(url):
    draw = random.Random(7)
    with open_database(url) as database:
        person = create_person(database, "하나", "user", time.time())
        rows = [[f"row {number}"] for number in range(N_ROWS)]
        asked = database, person.id, "후기", CONTENT, ["text"], rows
        batch_id = add_batch(*asked, time.time()).id
        for kill in range(N_KILLS):
            with studio_process(url) as process:
                goal = (kill + draw.random()) * N_ROWS / (N_KILLS + 1) + 1
                batch = until(database, batch_id, lambda batch: batch.done >= goal)
                process.kill()
                process.wait()
            assert batch.done < N_ROWS
            before = [row.answer for row in list_rows(database, batch_id, 0, N_ROWS)]
        with studio_process(url):
            batch = until(database, batch_id, lambda batch: batch.state == "done")
        assert (batch.done, batch.failed, batch.runner) == (N_ROWS, 0, None)
        answers = [row.answer for row in list_rows(database, batch_id, 0, N_ROWS + 1)]
        assert len(answers) == N_ROWS and all(answer is not None for answer in answers)
        # What was there at the last kill has stayed, and at most the rows on their way ran twice.
        assert all(new == old for new, old in zip(answers, before) if old is not None)
        with database.reading() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(usage))
        assert N_ROWS - AT_ONCE * N_KILLS <= count <= N_ROWS + AT_ONCE * N_KILLS
        reasons = collections.Counter(row.error for row in list_rows(database, batch_id, 0, N_ROWS))
        assert reasons == {None: N_ROWS}
