"""The prompts of a trial, as tokens that fit into the context of the model."""

import dataclasses
from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError
from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.shots import Fields, draw_shots, keep, most_that_fit
from hclx.infer.model_source import ReadBy
from hclx.prompts import PromptDocument, answer_texts, encode_answers, render, soft_prompt
from hclx.text import Tokenizer, load_tokenizer


@dataclasses.dataclass(frozen=True)
class Reader:
    """The tokens and lengths by which a model reads prompts.

    Attributes:
      tokenizer: its tokenizer.
      max_length: the most tokens of a prompt and its answer.
      begin: ids before every prompt.
      slots: the ids of the soft slots of what tuning has made; they stand in every prompt, see
        `hclx.prompts.soft_prompt`.
    """

    tokenizer: Tokenizer
    max_length: int
    begin: tuple[int, ...]
    slots: tuple[int, ...] = ()


def reader_of(
    reads: ReadBy | None,
    tokenizer_dir: str | None = None,
    max_length: int | None = None,
    begin: Sequence[int] | None = None,
) -> Reader:
    """Returns how a model reads: a run says so itself, for the model of a server it is said here.

    Args:
      reads: of the run; None: a server has the model.
      tokenizer_dir: the folder of its tokenizer.
      max_length: the most tokens of a prompt and its answer; None: all that the run reads.
      begin: ids before every prompt; None: those that the tokenizer begins a document with.
    Raises:
      ConfigError: options are missing, or do not go together.
    """
    if reads is None and not (tokenizer_dir and max_length):
        raise ConfigError("a server's model needs --tokenizer_dir and --max_length too")
    if reads is not None and tokenizer_dir:
        raise ConfigError("--tokenizer_dir does not go with --model_dir: the run has a tokenizer")
    if reads is not None and max_length and max_length > reads.max_length:
        raise ConfigError(f"--max_length={max_length}: the model reads {reads.max_length}")
    tokenizer = load_tokenizer(tokenizer_dir) if reads is None else reads.tokenizer
    begin = tokenizer.begin_ids if begin is None else begin
    slots = () if reads is None else reads.slots
    return Reader(tokenizer, max_length or reads.max_length, tuple(begin), slots)


@dataclasses.dataclass(frozen=True)
class ItemPrompt:
    """The prompt of an item.

    Attributes:
      item: the item.
      text: the rendered prompt.
      context: its token ids.
      answers: key -> the text of each choice behind it; empty if the answer is generated.
      answer_ids: key -> the token ids of each choice.
      choices: key -> the text of the choice alone, whose characters and bytes are counted.
      shots: the examples in it.
      straddles: see `hclx.prompts.AnswerTokens`.
      is_truncated: whether the item has no room even without examples, so that the beginning of the
        prompt is left out.
    """

    item: Item
    text: str
    context: tuple[int, ...]
    answers: Mapping[str, str]
    answer_ids: Mapping[str, tuple[int, ...]]
    choices: Mapping[str, str]
    shots: int
    straddles: int
    is_truncated: bool


def item_prompts(spec: RunSpec, trial: int, reader: Reader) -> tuple[list[ItemPrompt], int]:
    """Returns the prompts of a trial, and the number of shots that fit.

    If the context is short, a whole number of shots is dropped for all items alike. Items that have
    no room even without shots do not count for that; the beginning of their prompts is left out.

    Raises:
      ConfigError: no prompt leaves room for an answer.
    """
    document, shots = spec.prompt, draw_shots(spec, trial)
    prompt_of = lambda item, examples, count: item_prompt(
        document, item, keep(examples, count, document.drop), reader
    )
    pairs = list(zip(spec.items, shots, strict=True))
    fitting = [pair for pair in pairs if not prompt_of(*pair, 0).is_truncated]
    fits = lambda count: not any(prompt_of(*pair, count).is_truncated for pair in fitting)
    most = max(map(len, shots))
    count = most_that_fit(most, fits) if fitting and most else 0
    return [prompt_of(*pair, count) for pair in pairs], count


def content_free_prompt(
    spec: RunSpec, fields: Fields, examples: Sequence[Fields], reader: Reader
) -> ItemPrompt:
    """Returns the prompt of an item without an answer, such as one whose fields are "N/A"."""
    return item_prompt(spec.prompt, Item("", fields, ""), examples, reader)


def item_prompt(
    document: PromptDocument,
    item: Item,
    examples: Sequence[Fields],
    reader: Reader,
    written: str = "",
) -> ItemPrompt:
    """Returns the prompt of an item.

    Args:
      document: the prompt document.
      item: its fields fill the slots.
      examples: that stand before it, whatever the document has.
      reader: how the model reads.
      written: a text behind the prompt, with which it is encoded as one text: the tokens at the
        joint are then those that the model would have read and written, while two texts that are
        encoded apart may meet in tokens that it never saw together.
    Raises:
      ConfigError: a slot has no field, or no prompt leaves room for an answer.
    """
    text, rest, head = _rendered(document, item.fields, examples, reader)
    text, rest = text + written, rest + written
    answers = answer_texts(document, item.fields)
    if answers:
        encoded = encode_answers(rest, answers, reader.tokenizer, head)
        context, answer_ids, straddles = encoded.context, encoded.answers, encoded.straddles
        longest = max(map(len, answer_ids.values()))
    else:
        context = (*head, *reader.tokenizer.encode(rest))
        context = context or (reader.tokenizer.eod_id,)
        answer_ids, straddles, longest = {}, 0, document.sampling.get("max_tokens", 128)
    room = min(reader.max_length, document.max_tokens or reader.max_length) - longest
    if room < 1:
        raise ConfigError(
            f"{document.name}: an answer has up to {longest} tokens, and the model reads"
            f" {reader.max_length}; shorten sampling.max_tokens or the choices"
        )
    is_truncated = len(context) > room
    if is_truncated:
        first = (*reader.slots, *reader.begin)
        tokens = [token for token in context if token not in reader.slots]
        context = (*first, *tokens[len(tokens) - room + len(first) :])
    choices = {key: template.text(item.fields) for key, template in document.choices.items()}
    return ItemPrompt(
        item, text, context, answers, answer_ids, choices, len(examples), straddles, is_truncated
    )


def _rendered(
    document: PromptDocument, fields: Fields, examples: Sequence[Fields], reader: Reader
) -> tuple[str, str, Sequence[int]]:
    """The text of a prompt, what of it stands behind all soft slots, and the ids before that."""
    if not reader.slots:
        text = render(document, fields, examples).text
        return text, text, reader.begin
    prompt = soft_prompt(document, fields, reader.slots, reader.tokenizer, reader.begin, examples)
    return prompt.text, prompt.rest, prompt.head
