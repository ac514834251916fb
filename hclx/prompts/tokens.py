"""Prompts as tokens: with the span of each token, and split where the answer begins."""

import bisect
import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from hclx.errors import ConfigError, shown
from hclx.prompts.render import Rendering, Span
from hclx.text import Tokenizer


@dataclasses.dataclass(frozen=True)
class PromptTokens:
    """The tokens of a rendered prompt.

    Attributes:
      ids: those that begin a document, and those of the text.
      spans: for each of them, the index in `Rendering.spans` of the text that it begins in; None
        for those that begin a document, or belong to no text.
    """

    ids: tuple[int, ...]
    spans: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class AnswerTokens:
    """A prompt and its possible answers, ready to be scored.

    Attributes:
      context: ids of the prompt; at least one.
      answers: key -> ids of the answer behind it; at least one each.
      straddles: how many answers have a token that begins in the prompt, so that the prompt's last
        token is another than without an answer.
    """

    context: tuple[int, ...]
    answers: Mapping[str, tuple[int, ...]]
    straddles: int


def encode_prompt(
    rendering: Rendering, tokenizer: Tokenizer, begin: Sequence[int] | None = None
) -> PromptTokens:
    """Encodes a rendered prompt.

    Args:
      rendering: of `render`.
      tokenizer: any. Of the rare ones that have no tokens for all bytes, each character that they
        lose puts the tokens behind it earlier by its bytes.
      begin: ids before the text; None: those that the tokenizer begins a document with.
    """
    begin = tokenizer.begin_ids if begin is None else begin
    ids = tokenizer.encode(rendering.text)
    lengths = [len(tokenizer.decode_bytes([token])) for token in ids]
    starts = _byte_offsets(rendering)
    last = len(rendering.spans) - 1
    # Some tokenizers put a space before a text, which is no byte of it.
    offset, spans = min(0, starts[-1] - sum(lengths)), []
    for length in lengths:
        # An unknown character of a tokenizer without tokens for all bytes has no byte.
        span = min(bisect.bisect_right(starts, max(0, offset)) - 1, last)
        spans.append(span if span >= 0 else None)
        offset += length
    return PromptTokens((*begin, *ids), (*(None for _ in begin), *spans))


def encode_answers(
    prompt: str,
    answers: Mapping[str, str],
    tokenizer: Tokenizer,
    begin: Sequence[int] | None = None,
) -> AnswerTokens:
    """Encodes a prompt with each of its answers, and splits the ids where the answer begins.

    Spaces that end the prompt belong to the answers, and prompt and answer are encoded together;
    the ids behind those of the prompt alone are the answer's. lm-evaluation-harness does the same,
    so that scores compare (`TemplateLM._encode_pair` of version 0.4).

    Args:
      prompt: the text before the answers.
      answers: key -> text, none of them empty.
      tokenizer, begin: as in `encode_prompt`.
    Raises:
      ConfigError: an answer is empty.
    """
    if empty := [key for key, text in answers.items() if not text]:
        raise ConfigError(f"the answer {shown(empty[0])} is empty: it has no token to score")
    begin = list(tokenizer.begin_ids if begin is None else begin)
    context = prompt.rstrip()
    spaces = prompt[len(context) :]
    # What the first token of an answer follows if nothing stands before it.
    begin = begin if begin or context else [*tokenizer.begin_ids, tokenizer.eod_id][:1]
    head = begin + tokenizer.encode(context)
    ids_of, straddles = {}, 0
    for key, text in answers.items():
        ids = begin + tokenizer.encode(context + spaces + text)
        # An answer that merged with the prompt's end still has its last token.
        straddles += ids[: len(head)] != head or len(ids) == len(head)
        ids_of[key] = tuple(ids[min(len(head), len(ids) - 1) :])
    return AnswerTokens(tuple(head), ids_of, straddles)


def span_of(rendering: Rendering, tokens: PromptTokens, index: int) -> Span | None:
    """Returns the span that a token begins in, None for one that begins a document."""
    number = tokens.spans[index]
    return None if number is None else rendering.spans[number]


def _byte_offsets(rendering: Rendering) -> list[int]:
    """Returns the first byte of each span, and the length of the text in bytes."""
    texts = (rendering.text[span.start : span.end] for span in rendering.spans)
    lengths = (len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return [0, *itertools.accumulate(lengths)]
