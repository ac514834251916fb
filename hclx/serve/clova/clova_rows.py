"""Rows of data sets as CLOVA Studio has them, as rows that are tuned on."""

from collections.abc import Mapping, Sequence
from typing import Any

from hclx.errors import DataError, shown
from hclx.tune.row_files import Row

# Its columns, in any letter case.
_COLUMNS = ("system_prompt", "c_id", "t_id", "text", "completion")


def rows_of_clova(rows: Sequence[Row], has_chats: bool) -> list[dict[str, Any]]:
    """Returns rows with `prompt` and `completion`, or with `messages`.

    Args:
      rows: with Text and Completion; or with C_ID and T_ID as well, the number of a chat and of a
        turn in it, from 0 on, and perhaps System_Prompt.
      has_chats: whether the base knows chats; else each row is a text and its completion, and chats
        of several turns are refused.
    Raises:
      DataError: a column is missing, or a turn of a chat is; the line is named.
    """
    records = [(row.where, _named(row)) for row in rows]
    where, first = records[0]
    if "c_id" not in first:
        return [_text(record) for _, record in records]
    chats: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for where, record in records:
        turns = chats.setdefault(record.get("c_id", ""), [])
        if record.get("t_id", "").strip() != str(len(turns)):
            raise DataError(
                f"{where}: T_ID={shown(record.get('t_id'))} of the chat {shown(record['c_id'])};"
                f" turns count 0, 1, 2, and this is turn {len(turns)}"
            )
        turns.append((where, record))
    if has_chats:
        return [_chat([record for _, record in turns]) for turns in chats.values()]
    for turns in chats.values():
        if len(turns) > 1 or turns[0][1].get("system_prompt"):
            raise DataError(
                f"{turns[-1][0]}: the base has no template of chats; give one turn a chat, without"
                " System_Prompt"
            )
    return [_text(turns[0][1]) for turns in chats.values()]


def _named(row: Row) -> dict[str, str]:
    """The fields of a row that are columns, by their names in small letters."""
    fields = {name.strip().lower(): value for name, value in row.fields.items()}
    missing = [name for name in ("text", "completion") if name not in fields]
    if missing:
        raise DataError(
            f"{row.where} has no {missing[0].capitalize()}; it has {', '.join(row.fields)}"
        )
    return {name: str(fields[name]) for name in _COLUMNS if fields.get(name) is not None}


def _text(record: Mapping[str, str]) -> dict[str, Any]:
    return {"prompt": record["text"], "completion": record["completion"]}


def _chat(turns: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    system = turns[0].get("system_prompt")
    messages = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        messages.append({"role": "user", "content": turn["text"]})
        messages.append({"role": "assistant", "content": turn["completion"]})
    return {"messages": messages}
