"""Examples of tuning: rows as tokens, of which only the completion is learnt.

A row has one of these forms:
  with a prompt document  the fields of its slots, and the answer: the key of a choice, or a text
  plain texts             "prompt" (or "text"), which may be empty, and "completion"
  a chat                  "messages": see hclx/tune/chats.py

Soft slots stand where `{soft}` stands in the prompt document, or else before everything: see
hclx/prompts/soft_slots.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hclx.errors import DataError, shown
from hclx.prompts import (
    SOFT,
    PromptDocument,
    answer_texts,
    encode_answers,
    soft_places,
    soft_prompt,
)
from hclx.text import Tokenizer
from hclx.tune.row_files import Row


class Example(NamedTuple):
    """A sequence that is learnt from.

    Attributes:
      tokens: int32 [n]; ids from the size of the vocabulary on are soft slots.
      weights: float32 [n], of each token as a target; those of the prompt are 0.
      label: the key of the choice, "" if the answer is no choice.
    """

    tokens: np.ndarray
    weights: np.ndarray
    label: str = ""


Encoder = Callable[[Row], Example]


def make_example(context: Sequence[int], completion: Sequence[int], label: str = "") -> Example:
    """Returns the example of a context, which may not be empty, and what is learnt behind it."""
    tokens = np.array([*context, *completion], np.int32)
    weights = np.zeros(len(tokens), np.float32)
    weights[len(context) :] = 1
    return Example(tokens, weights, label)


def prompt_encoder(
    document: PromptDocument, tokenizer: Tokenizer, slots: Sequence[int] = ()
) -> Encoder:
    """Returns the function that encodes rows of a prompt document.

    A choice is encoded as `hclx evaluate` scores it. A generated answer is followed by the token
    that ends a document.

    Args:
      document: the prompt.
      tokenizer: of the base.
      slots: the ids of the soft slots; empty: there are none.
    Raises:
      ConfigError: as `hclx.prompts.soft_places`.
    """
    soft_places(document)

    def encode(row: Row) -> Example:
        fields = row_fields(document, row)
        label = fields[document.answer_field]
        if document.choices:
            return choice_examples(document, fields, tokenizer, slots)[label]
        prompt = soft_prompt(document, fields, slots, tokenizer)
        answer = document.answer.text(fields)
        return _generated(prompt.head, prompt.rest, answer, tokenizer, row)

    return encode


def choice_examples(
    document: PromptDocument,
    fields: Mapping[str, str],
    tokenizer: Tokenizer,
    slots: Sequence[int] = (),
) -> dict[str, Example]:
    """Returns key -> the example of each choice. The arguments are those of `prompt_encoder`, and
    the fields of a row.
    """
    prompt = soft_prompt(document, fields, slots, tokenizer)
    texts = answer_texts(document, fields)
    encoded = encode_answers(prompt.rest, texts, tokenizer, prompt.head)
    return {key: make_example(encoded.context, ids, key) for key, ids in encoded.answers.items()}


def text_encoder(tokenizer: Tokenizer, slots: Sequence[int] = ()) -> Encoder:
    """Returns the function that encodes rows of plain texts."""

    def encode(row: Row) -> Example:
        names = [name for name in ("prompt", "text") if name in row.fields]
        if len(names) != 1 or "completion" not in row.fields:
            raise DataError(
                f"{row.where} has the fields {', '.join(row.fields)}; give prompt (or text) and"
                " completion, messages, or a prompt document (--prompt) that says what they mean"
            )
        prompt, completion = (_text(row, name) for name in (names[0], "completion"))
        return _generated([*slots, *tokenizer.begin_ids], prompt, completion, tokenizer, row)

    return encode


def row_fields(document: PromptDocument, row: Row) -> dict[str, str]:
    """Returns the fields of a row as texts, with the answer under the document's `answer_field`.

    Raises:
      DataError: a field is missing, is no text, or the answer is no key of the choices.
    """
    slot = document.answer_field
    answer = slot if slot in row.fields else "answer"
    needed = [name for name in document.input_fields if name != SOFT]
    needed += [name for name in document.answer.fields if name not in (slot, *needed)]
    if lacking := [name for name in (*needed, answer) if name not in row.fields]:
        raise DataError(
            f"{row.where} has no {shown(lacking[0])}, which {document.name} needs; it has"
            f" {', '.join(row.fields)}"
        )
    fields = {name: _text(row, name) for name in needed}
    fields[slot] = _text(row, answer)
    if document.choices and fields[slot] not in document.choices:
        raise DataError(
            f"{row.where}: {answer}={shown(fields[slot])} is no choice of {document.name}:"
            f" {', '.join(document.choices)}"
        )
    return fields


def _generated(
    head: Sequence[int], prompt: str, completion: str, tokenizer: Tokenizer, row: Row
) -> Example:
    """The example of a text that is generated: its context is what a model reads when it generates,
    and the completion is encoded with it where that leaves the context as it is.
    """
    if not completion:
        raise DataError(f"{row.where}: the completion is empty; there is nothing to learn")
    context, whole = tokenizer.encode(prompt), tokenizer.encode(prompt + completion)
    ids = whole[len(context) :] if whole[: len(context)] == context else []
    ids = ids or tokenizer.encode(completion)
    return make_example([*head, *context] or [tokenizer.eod_id], [*ids, tokenizer.eod_id])


def _text(row: Row, name: str) -> str:
    """The value of a field; a whole number, as labels often are, is a text too."""
    value = row.fields[name]
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise DataError(f"{row.where}: {name}={shown(value)} is no text")
    return value
