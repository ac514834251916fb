"""From prompts to texts: tokens, decode calls, whole characters, stop texts."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer.decode import NO_TOKEN, DecodeState, bucket, decode, prefill
from hclx.infer.sampling import SamplingConfig, SamplingParams, sampling_params
from hclx.model import Params
from hclx.parallel import axis_size
from hclx.text import StreamDecoder, Tokenizer

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Generation:
    """The continuation of one prompt.

    Attributes:
      text: the continuation, without the prompt and without the stop text.
      tokens: the ids that were sampled, with those of a stop text, but no end-of-document token.
      stop_reason: "end" of the document, "length" if `max_tokens` or the model's length is reached,
        or "stop" for a stop text.
    """

    text: str
    tokens: tuple[int, ...]
    stop_reason: str


def generate(
    params: Params,
    config: ModelConfig,
    tokenizer: Tokenizer,
    prompt: str,
    sampling: SamplingConfig,
    *,
    stream_every: int = 0,
    on_text: Callable[[str], None] = lambda text: None,
) -> Generation:
    """Continues one prompt, as `generate_batch` does several.

    Args:
      params, config, tokenizer, stream_every: as in `generate_batch`.
      prompt: the beginning of a document; it may be empty.
      sampling: its settings.
      on_text: takes each next part of the text, as in `generate_batch`, but without an index.
    Raises:
      ConfigError: the prompt leaves no room in the model's length.
    """
    (generation,) = generate_batch(
        params,
        config,
        tokenizer,
        [prompt],
        [sampling],
        stream_every=stream_every,
        on_text=lambda row, text: on_text(text),
    )
    return generation


def generate_batch(
    params: Params,
    config: ModelConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: Sequence[SamplingConfig],
    *,
    stream_every: int = 0,
    on_text: Callable[[int, str], None] = lambda row, text: None,
) -> list[Generation]:
    """Continues prompts, each as the beginning of a document, in one batch.

    The text of a prompt depends neither on the other prompts nor on `stream_every`.

    Args:
      params: as `hclx.infer.prepare_params` or `load_for_inference` returns them. If they are on a
        mesh, it must be the ambient one: see `LoadedModel.placement`.
      config: the model's shape.
      tokenizer: that of the model.
      prompts: one or more; a prompt may be empty.
      sampling: one for each prompt. `max_tokens` is limited to the room that the prompt leaves.
      stream_every: tokens after which new text is passed on; 0: only at the end.
      on_text: takes the index of a prompt and the next part of its text, which consists of whole
        characters, is not empty and never holds a part of a stop text.
    Returns:
      One result for each prompt, in order.
    Raises:
      ConfigError: a prompt leaves no room in the model's length.
      ValueError: there are more or fewer settings than prompts.
    """
    state, settings = _read_prompts(params, config, tokenizer, prompts, sampling)
    limits = np.asarray(settings.max_tokens_b).tolist()
    # A model may have more rows than its tokenizer has tokens.
    allowed = np.zeros(config.vocab_size, bool)
    allowed[: tokenizer.vocab_size] = tokenizer.token_bytes() > 0
    allowed[tokenizer.eod_id] = True
    texts = [
        TextCollector(tokenizer, row.stop, limit, functools.partial(on_text, i))
        for i, (row, limit) in enumerate(zip(sampling, limits))
    ]
    while not all(text.is_complete for text in texts):
        state, new = decode(
            params,
            state,
            settings,
            jnp.asarray(allowed),
            n=stream_every or bucket(max(limits)),
            eod_id=tokenizer.eod_id,
            config=config,
        )
        for text, ids in zip(texts, np.asarray(new)):
            text.add(ids)
        complete = [text.is_complete for text in texts] + [True] * (len(limits) - len(texts))
        state = state._replace(done_b=state.done_b | np.array(complete))
    return [text.finish() for text in texts]


def _read_prompts(
    params: Params,
    config: ModelConfig,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: Sequence[SamplingConfig],
) -> tuple[DecodeState, SamplingParams]:
    """Prefills a cache with prompts. Rows that only fill the shards of the mesh sample nothing."""
    ids = [[*tokenizer.begin_ids, *tokenizer.encode(prompt)] for prompt in prompts]
    limits = []
    for i, (tokens, row) in enumerate(zip(ids, sampling, strict=True)):
        room = config.max_length - len(tokens)
        if room < 1:
            raise ConfigError(
                f"prompt {i} has {len(tokens)} tokens and the model reads {config.max_length};"
                f" shorten it to {config.max_length - 1}"
            )
        if row.max_tokens > room:
            _LOG.warning(
                "prompt %d: max_tokens=%d is limited to %d, because the model reads %d tokens and"
                " the prompt has %d",
                *(i, row.max_tokens, room, config.max_length, len(tokens)),
            )
        limits.append(min(row.max_tokens, room))
    n_filler = -len(ids) % axis_size("batch")
    ids += ids[-1:] * n_filler
    settings = sampling_params([*sampling, *[sampling[-1]] * n_filler])
    limits += [0] * n_filler
    size = bucket(max(len(tokens) + n for tokens, n in zip(ids, limits)), config.max_length)
    lengths = [len(tokens) for tokens in ids]
    padded = np.full((len(ids), bucket(max(lengths), size)), tokenizer.pad_id, np.int32)
    for row, tokens in zip(padded, ids):
        row[: len(tokens)] = tokens
    state = prefill(params, padded, np.array(lengths, np.int32), size=size, config=config)
    return state, settings._replace(max_tokens_b=jnp.array(limits, jnp.int32))


class TextCollector:
    """Collects the tokens of one row into text, and passes the text on in whole characters. The
    beginning of a stop text is held back until it turns out to be none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stop: tuple[str, ...],
        max_tokens: int,
        on_text: Callable[[str], None],
    ):
        """Starts an empty text.

        Args:
          tokenizer: decodes the tokens.
          stop: texts that end it.
          max_tokens: the number of tokens that completes it.
          on_text: takes each next part of it.
        """
        self._decoder, self._on_text = StreamDecoder(tokenizer), on_text
        self._stop, self._max_tokens = stop, max_tokens
        self._text, self._shown = "", 0
        self._tokens: list[int] = []
        self._ended = self._stopped = False

    @property
    def is_complete(self) -> bool:
        """Returns whether the text has its end, a stop text or its last token."""
        return self._ended or self._stopped or len(self._tokens) >= self._max_tokens

    def add(self, ids: np.ndarray) -> None:
        """Adds the tokens of one decode call, up to the end of the text.

        Args:
          ids: int32 [n], a row of the result of `decode`: `NO_TOKEN` ends the document. Tokens
            after the end of the text are ignored.
        """
        for token in ids.tolist():
            if self.is_complete:
                break
            if token == NO_TOKEN:
                self._ended = True
                break
            self._tokens.append(token)
            self._append(self._decoder.feed(token))
        self._show(len(self._text) if self._stopped else len(self._text) - self._held())

    def finish(self) -> Generation:
        """Passes on what was held back, and returns the whole; call it once, when all is added."""
        if not self._stopped:
            self._append(self._decoder.flush())
        self._show(len(self._text))
        reason = "stop" if self._stopped else "end" if self._ended else "length"
        return Generation(self._text, tuple(self._tokens), reason)

    def _append(self, text: str) -> None:
        self._text += text
        starts = [at for at in map(self._text.find, self._stop) if at >= 0]
        if starts:
            self._text, self._stopped = self._text[: min(starts)], True

    def _held(self) -> int:
        """The length of the longest end of the text that begins a stop text."""
        ends = (
            n for stop in self._stop for n in range(1, len(stop)) if self._text.endswith(stop[:n])
        )
        return max(ends, default=0)

    def _show(self, end: int) -> None:
        if end > self._shown:
            self._on_text(self._text[self._shown : end])
            self._shown = end
