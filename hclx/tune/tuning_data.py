"""The data of tuning: rows become examples, some are held out, and all are packed."""

import collections
import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hclx.config import DataConfig, TrainConfig
from hclx.data import BatchLoader
from hclx.data.batch import Batch
from hclx.errors import ConfigError, DataError
from hclx.hashing import json_hash
from hclx.progress import counted
from hclx.prompts import SOFT, PromptDocument, load_prompt, prompt_hash, soft_places
from hclx.text import Tokenizer
from hclx.train.run_parts import Ranges
from hclx.train.step import Program
from hclx.tune.chats import chat_encoder
from hclx.tune.class_balance import class_weights, oversample
from hclx.tune.examples import (
    Encoder,
    Example,
    choice_examples,
    prompt_encoder,
    row_fields,
    text_encoder,
)
from hclx.tune.packed_loader import PackedLoader
from hclx.tune.packing import ChoiceBatch, pack, pack_choices, size
from hclx.tune.row_files import Row, read_rows
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


def text_of_files(
    data: str, validation: str | None, prompt: str | None, settings: DataConfig, too_long: str
) -> TuningText:
    """Reads the rows of files, and their prompt document.

    Args:
      data: the rows: see `hclx.tune.row_files.read_rows`.
      validation: the same, to hold out; None: a share of the others is.
      prompt: a prompt document; None: there is none.
      settings: the encoding, and at most how many rows are learnt from.
      too_long: see `TuningText`.
    Raises:
      ConfigError, DataError: as `read_rows` and `load_prompt`.
    """
    rows = read_rows(data, settings.encoding, settings.max_documents)
    held_out = read_rows(validation, settings.encoding) if validation else None
    return TuningText(data, rows, held_out, load_prompt(prompt) if prompt else None, too_long)


class TuningData(NamedTuple):
    """Examples that are ready for a run.

    Attributes:
      train, held_out: packed, and None where nothing is held out; what is learnt from is a
        `ChoiceBatch` where the loss is that of choices.
      n_train, n_held_out: how many examples they are.
      n_dropped: how many examples were too long.
      counts: label -> examples of this choice that are learnt from, in the order of the prompt
        document; {} if answers are no choices.
      choices: of the held-out examples, each choice; [] if answers are no choices.
      labels: of these examples.
      hashes: "text" and, with a prompt document, "prompt".
      layout: of rows of vectors and pairs; None: the rows are of completions.
    """

    train: Batch | ChoiceBatch
    held_out: Batch | None
    n_train: int
    n_held_out: int
    n_dropped: int
    counts: dict[str, int]
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
    encode = _encoder(text, tokenizer, slots)
    rows = split_rows(text, permille)
    kept, n_dropped = [], 0
    for part in rows:
        examples = [encode(row) for row in part]
        fitting = [example for example in examples if example.room(config) <= length]
        if text.too_long == "refuse" and len(fitting) < len(examples):
            raise _too_long(examples, config, length)
        n_dropped += len(examples) - len(fitting)
        kept.append(fitting)
    train, held_out = kept
    _check_examples(text, [encoded.example for encoded in train], n_dropped)
    hashes = {"text": _hash(kept)}
    if text.prompt:
        hashes = {"prompt": prompt_hash(text.prompt), **hashes}
    return TuningData(
        _pack_all(_balanced(train, config), config, length, tokenizer.eod_id),
        # the validation loss is that of tokens; that of choices is measured beside it
        _pack_all(held_out, TuneConfig(), length, tokenizer.eod_id) if held_out else None,
        *(len(train), len(held_out), n_dropped, _counts(text.prompt, train)),
        [encoded.options for encoded in held_out if encoded.options],
        [encoded.example.label for encoded in held_out if encoded.options],
        hashes,
    )


class Encoded(NamedTuple):
    """A row as what is learnt from it.

    Attributes:
      row: as it was read.
      example: the right answer behind its prompt.
      options: key -> the example of each choice; {} if answers are no choices.
    """

    row: Row
    example: Example
    options: dict[str, Example]

    def room(self, config: TuneConfig) -> int:
        """Returns the positions of a row of tokens that it fills."""
        is_choice = config.objective == "choices"
        return sum(map(size, self.options.values() if is_choice else [self.example]))

    def times(self, factor: float) -> "Encoded":
        """Returns it with weights that are `factor` times as large."""
        heavier = lambda example: example._replace(weights=np.float32(factor) * example.weights)
        options = {key: heavier(example) for key, example in self.options.items()}
        return Encoded(self.row, heavier(self.example), options)


def _encoder(
    text: TuningText, tokenizer: Tokenizer, slots: Sequence[int]
) -> Callable[[Row], Encoded]:
    prompt = text.prompt
    encode = encoder_of(prompt, text.rows[:1], tokenizer, slots)

    def encode_choices(row: Row) -> Encoded:
        fields = row_fields(prompt, row)
        options = choice_examples(prompt, fields, tokenizer, slots)
        return Encoded(row, options[fields[prompt.answer_field]], options)

    has_choices = prompt and prompt.choices
    return encode_choices if has_choices else lambda row: Encoded(row, encode(row), {})


def _pack_all(
    examples: Sequence[Encoded], config: TuneConfig, length: int, pad_id: int
) -> Batch | ChoiceBatch:
    if config.objective == "choices":
        labels = [encoded.example.label for encoded in examples]
        return pack_choices([encoded.options for encoded in examples], labels, length, pad_id)
    return pack([encoded.example for encoded in examples], length, pad_id).rows


def _counts(prompt: PromptDocument | None, train: Sequence[Encoded]) -> dict[str, int]:
    counts = collections.Counter(encoded.example.label for encoded in train)
    return {key: counts[key] for key in prompt.choices} if prompt else {}


def _balanced(examples: Sequence[Encoded], config: TuneConfig) -> list[Encoded]:
    """The examples with the weights of their classes, or some of them more than once."""
    labels = [encoded.example.label for encoded in examples]
    if config.balance == "sampling":
        return [examples[index] for index in oversample(labels, config.seed)]
    if config.balance == "weights":
        factors = class_weights(labels)
        return [encoded.times(factors[encoded.example.label]) for encoded in examples]
    return list(examples)


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
    rows: Batch | ChoiceBatch, name: str, train: TrainConfig, program: Program, skip: Ranges = ()
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
    """Refuses what needs choices without choices, and more places for soft slots than there are
    slots; tells if a place stays empty.
    """
    for name, plain in (("objective", "text"), ("balance", "none")):
        value = getattr(config, name)
        if value != plain and not (prompt and prompt.choices):
            raise ConfigError(
                f"TuneConfig.{name}={value!r} needs a prompt document with choices (--prompt); give"
                f" one, or TuneConfig.{name}={plain!r}"
            )
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


def _too_long(examples: Sequence[Encoded], config: TuneConfig, length: int) -> DataError:
    longest = max(examples, key=lambda encoded: encoded.room(config))
    n_long = sum(encoded.room(config) > length for encoded in examples)
    together = ", all choices of a row together," if config.objective == "choices" else ""
    return DataError(
        f"{counted(n_long, 'example')} of {len(examples)}{together} have more than"
        f" TrainConfig.sequence_length={length} tokens, the longest {longest.room(config)}"
        f" ({longest.row.where}); give a longer sequence, or --too_long=drop to leave them out"
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


def _hash(parts: Sequence[Sequence[Encoded]]) -> str:
    """A SHA-256 of all examples in their order, as tokens and weights."""
    digest = hashlib.sha256()
    for part in parts:
        for _, example, _ in part:
            digest.update(np.int64(len(example.tokens)).tobytes())
            digest.update(example.tokens.tobytes() + example.weights.tobytes())
        digest.update(b"|")
    return digest.hexdigest()
