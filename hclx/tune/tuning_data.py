"""The data of tuning: rows become examples, some are held out, and all are packed."""

import collections
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hclx.config import TrainConfig
from hclx.data import BatchLoader
from hclx.data.batch import Batch
from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.progress import counted
from hclx.prompts import SOFT, PromptDocument, prompt_hash, soft_places
from hclx.text import Tokenizer
from hclx.train.run_parts import Ranges
from hclx.train.step import Program
from hclx.tune.chats import chat_encoder
from hclx.tune.examples import (
    Encoder,
    Example,
    choice_examples,
    prompt_encoder,
    row_fields,
    text_encoder,
)
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.packing import pack, size
from hclx.tune.row_files import Row
from hclx.tune.text_groups import Layout
from hclx.tune.tune_config import TuneConfig

_LOG = logging.getLogger(__name__)

TOO_LONG = ("refuse", "drop")


@dataclasses.dataclass(frozen=True)
class TuningText:
    """The text of a run of tuning, as it was given.

    Attributes:
      name: of the data, for config.json: the path of a file, or a published task.
      rows: what is learnt from, and what is held out of it.
      held_out: rows of their own that are held out; None: a share of `rows`, by
        `DataConfig.validation_permille`.
      prompt: the prompt document; None: the rows say what they mean.
      too_long: "refuse" or "drop": what happens to examples that are longer than a sequence.
    """

    name: str
    rows: Sequence[Row]
    held_out: Sequence[Row] | None = None
    prompt: PromptDocument | None = None
    too_long: str = "refuse"


class TuningData(NamedTuple):
    """Examples that are ready for a run.

    Attributes:
      train, held_out: packed, and None where nothing is held out.
      n_train, n_held_out: how many examples they are.
      n_dropped: how many examples were too long.
      choices: of the held-out examples, each choice; [] if answers are no choices.
      labels: of these examples.
      hashes: "text" and, with a prompt document, "prompt".
      layout: of rows of vectors and pairs; None: the rows are of completions.
    """

    train: Batch
    held_out: Batch | None
    n_train: int
    n_held_out: int
    n_dropped: int
    choices: list[dict[str, Example]]
    labels: list[str]
    hashes: dict[str, str]
    layout: Layout | None = None

    def open_loader(self, train: TrainConfig, program: Program, skip: Ranges) -> BatchLoader:
        """Returns the loader of the examples that are learnt from."""
        return _loader(self.train, "train", train, program, skip)

    def open_validation(
        self, train: TrainConfig, program: Program
    ) -> contextlib.AbstractContextManager[BatchLoader | None]:
        """Returns the loader of the held-out ones, if the run evaluates."""
        if self.held_out is None or not train.eval_every:
            return contextlib.nullcontext()
        return _loader(self.held_out, "validation", train, program)


def prepare_examples(
    text: TuningText,
    tokenizer: Tokenizer,
    vocab_size: int,
    config: TuneConfig,
    length: int,
    permille: int,
) -> TuningData:
    """Encodes, splits and packs the rows of a run. It is the same in every process.

    Args:
      text: the rows.
      tokenizer: of the base.
      vocab_size: of the base: the id of the first soft slot.
      config: the method; soft prompts alone have slots.
      length: of a sequence.
      permille: of the rows that are held out, by hash, if none are given. Equal rows are on one
        side.
    Raises:
      ConfigError: the prompt document has soft slots where they cannot stand.
      DataError: a row is malformed or too long, or a choice or everything has no example.
    """
    has_slots = config.kind in ("prompt_tune", "p_tune")
    slots = range(vocab_size, vocab_size + config.length) if has_slots else ()
    _check_prompt(text.prompt, config, slots)
    encode = encoder_of(text.prompt, text.rows[:1], tokenizer, slots)
    rows = split_rows(text, permille)
    kept, n_dropped = [], 0
    for part in rows:
        examples = [(row, encode(row)) for row in part]
        fitting = [pair for pair in examples if size(pair[1]) <= length]
        if text.too_long == "refuse" and len(fitting) < len(examples):
            raise _too_long(examples, length)
        n_dropped += len(examples) - len(fitting)
        kept.append(fitting)
    train, held_out = kept
    _check_examples(text, [example for _, example in train], n_dropped)
    choices = []
    if text.prompt and text.prompt.choices:
        fields = [row_fields(text.prompt, row) for row, _ in held_out]
        choices = [choice_examples(text.prompt, f, tokenizer, slots) for f in fields]
    packed = [
        pack([example for _, example in part], length, tokenizer.eod_id).rows if part else None
        for part in kept
    ]
    labels = [example.label for _, example in held_out] if choices else []
    hashes = {"text": _hash(kept)}
    if text.prompt:
        hashes = {"prompt": prompt_hash(text.prompt), **hashes}
    return TuningData(*packed, len(train), len(held_out), n_dropped, choices, labels, hashes)


def encoder_of(
    prompt: PromptDocument | None,
    rows: Sequence[Row],
    tokenizer: Tokenizer,
    slots: Sequence[int],
) -> Encoder:
    """Returns the function that encodes rows of the form that the first one has."""
    if prompt:
        return prompt_encoder(prompt, tokenizer, slots)
    if rows and "messages" in rows[0].fields:
        return chat_encoder(tokenizer, slots)
    return text_encoder(tokenizer, slots)


def _loader(
    rows: Batch, name: str, train: TrainConfig, program: Program, skip: Ranges = ()
) -> PackedLoader:
    return PackedLoader(
        rows,
        name,
        seed=train.seed,
        global_batch_size=train.global_batch_size,
        sharding=program.batch_sharding,
        skip=skip,
    )


def _check_prompt(prompt: PromptDocument | None, config: TuneConfig, slots: Sequence[int]) -> None:
    """Refuses more places for soft slots than there are slots; tells if a place stays empty."""
    places = soft_places(prompt) if prompt else 0
    if slots and places > len(slots):
        raise ConfigError(
            f"{prompt.name} has {{{SOFT}}} in {places} places, and TuneConfig.length={len(slots)};"
            " give at least one slot for each"
        )
    if places and not slots:
        _LOG.warning("%s has {%s}, which %s leaves empty", prompt.name, SOFT, config.kind)


def split_rows(text: TuningText, permille: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """The rows that are learnt from, and those that are held out: those with the lowest hashes, if
    none are given.
    """
    if text.held_out is not None:
        return text.rows, text.held_out
    rows = text.rows
    hashes = [json_hash(row.fields) for row in rows]
    distinct = sorted(set(hashes))
    held = set(distinct[: len(distinct) * permille // 1000])
    part = lambda is_held: [r for r, h in zip(rows, hashes) if (h in held) == is_held]
    return part(False), part(True)


def _too_long(examples: list[tuple[Row, Example]], length: int) -> DataError:
    long = [(row, size(example)) for row, example in examples if size(example) > length]
    row, longest = max(long, key=lambda pair: pair[1])
    return DataError(
        f"{counted(len(long), 'example')} of {len(examples)} have more than"
        f" TrainConfig.sequence_length={length} tokens, the longest {longest} ({row.where}); give a"
        " longer sequence, or --too_long=drop to leave them out"
    )


def _check_examples(text: TuningText, train: Sequence[Example], n_dropped: int) -> None:
    """Refuses a text of which nothing can be learnt, or nothing about one of the choices."""
    if not train:
        why = f"; {counted(n_dropped, 'example')} are too long" if n_dropped else ""
        raise DataError(f"{text.name} has no example to learn from{why}")
    if text.prompt and text.prompt.shares_choices:
        counts = collections.Counter(example.label for example in train)
        empty = [key for key in text.prompt.choices if not counts[key]]
        if empty:
            raise DataError(
                f"{text.name} has no example of the choice {empty[0]!r} of {text.prompt.name} to"
                f" learn from ({', '.join(f'{k}: {n}' for k, n in sorted(counts.items()))}); add"
                " some, or remove the choice"
            )


def _hash(parts: Sequence[Sequence[tuple[Row, Any]]]) -> str:
    """A SHA-256 of all examples in their order, as tokens and weights."""
    digest = hashlib.sha256()
    for part in parts:
        for _, example in part:
            digest.update(np.int64(len(example.tokens)).tobytes())
            digest.update(example.tokens.tobytes() + example.weights.tobytes())
        digest.update(b"|")
    return digest.hexdigest()
