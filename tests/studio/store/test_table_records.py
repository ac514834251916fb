"""Tables in the store, on both databases."""

import pytest

from hclx.studio.store import table_records
from hclx.studio.store.studio_errors import ConflictError, NotThereError, StaleRevisionError
from tests.helpers.threads import at_once

COLUMNS = ("text", "감정", "")
ROWS = [['국물이, "진해요"\n최고', "긍정", ""], ["=1+1", "<i>\x00</i>", "😀"]]


@pytest.fixture
def table(database, hana):
    """The id of a table of Hana's."""
    return table_records.create_table(database, hana, "후기", COLUMNS, ROWS, 10).id


def changed(database, table, owner, revision, name, rows=ROWS):
    asked = owner, revision, name, COLUMNS, rows, 20
    return table_records.change_table(database, table, *asked)


def test_a_table_is_kept_changed_and_removed(database, hana, table):
    record = table_records.find_table(database, table, hana)
    assert (record.name, record.columns, record.rows) == ("후기", COLUMNS, ROWS)
    assert (record.owner, record.revision, record.created, record.updated) == (hana, 1, 10, 10)
    assert changed(database, table, hana, 1, "새 이름", []) == 2
    record = table_records.find_table(database, table, hana)
    assert (record.name, record.rows, record.created, record.updated) == ("새 이름", [], 10, 20)
    (head,) = table_records.list_tables(database, hana)
    assert (head.id, head.columns, head.revision) == (table, COLUMNS, 2)
    table_records.remove_table(database, table, hana)
    assert table_records.list_tables(database, None) == []


def test_others_see_nothing_and_administrators_all(database, hana, duri, table):
    assert table_records.list_tables(database, duri) == []
    for call in (
        lambda: table_records.find_table(database, table, duri),
        lambda: changed(database, table, duri, 1, "x"),
        lambda: table_records.remove_table(database, table, duri),
    ):
        with pytest.raises(NotThereError, match=table):
            call()
    assert changed(database, table, None, 1, "관리자") == 2
    table_records.remove_table(database, table, None)


def test_of_writers_at_once_one_writes(database, hana, table):
    results = at_once([lambda i=i: changed(database, table, hana, 1, str(i)) for i in range(4)])
    (winner,) = [i for i, result in enumerate(results) if result == 2]
    assert [type(result) for result in results].count(StaleRevisionError) == 3
    assert table_records.find_table(database, table, hana).name == str(winner)


def test_a_person_has_so_many_tables(database, hana, duri, table):
    create = lambda owner: table_records.create_table(database, owner, "x", (), [], 20, 1)
    with pytest.raises(ConflictError):
        create(hana)
    assert create(duri)
