"""From a prompt to text: tokens, decode calls, whole characters, stop texts."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer.decode import NOTHING, bucket, decode, prefill
from hclx.infer.sampling import SamplingConfig
from hclx.model import Params
from hclx.text import StreamDecoder, Tokenizer


@dataclasses.dataclass(frozen=True)
class Generation:
    """What was written.

    Attributes:
      text: the continuation, without the prompt and without the stop text.
      tokens: the ids it was decoded from.
      stop_reason: "end" of the document, "length", or "stop" for a stop text.
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
    dtype: str = "float32",
    stream_every: int = 0,
    on_text: Callable[[str], None] = lambda text: None,
) -> Generation:
    """Continues a prompt, as the beginning of a document.

    Args:
      params: of the decoder.
      config: the model's shape.
      tokenizer: of the model's vocabulary.
      prompt: may be empty.
      sampling: see `SamplingConfig`.
      dtype: of activations.
      stream_every: tokens between two calls of `on_text`; 0: one call at the end. The text does not
        depend on it.
      on_text: takes each new piece of the text, whole characters only, and never a part of a stop
        text.
    Raises:
      ConfigError: the prompt leaves no room in the model's length.
    """
    ids = [tokenizer.eod_id, *tokenizer.encode(prompt)]
    room = config.max_length - len(ids)
    if room < 1:
        raise ConfigError(
            f"the prompt has {len(ids)} tokens and the model reads {config.max_length}; shorten it"
            f" to {config.max_length - 1}"
        )
    limit = min(sampling.max_tokens, room)
    size = bucket(len(ids) + limit, config.max_length)
    padded = np.full((1, bucket(len(ids), size)), tokenizer.pad_id, np.int32)
    padded[0, : len(ids)] = ids
    state = prefill(
        params,
        jnp.asarray(padded),
        jnp.array([len(ids)], jnp.int32),
        size=size,
        config=config,
        dtype=dtype,
    )
    allowed = tokenizer.token_bytes() > 0
    allowed[tokenizer.eod_id] = True
    output = _Output(tokenizer, sampling.stop, on_text)
    per_call = min(stream_every, limit) if stream_every else limit
    while not output.stopped and not output.ended and len(output.tokens) < limit:
        state, new = decode(
            params,
            state,
            jnp.int32(limit),
            jnp.asarray(allowed),
            n=per_call,
            eod_id=tokenizer.eod_id,
            # what the compiled loop depends on
            sampling=dataclasses.replace(sampling, stop=(), max_tokens=1),
            config=config,
            dtype=dtype,
        )
        output.take(np.asarray(new)[0, : limit - len(output.tokens)])
    return output.finish()


class _Output:
    """Collects tokens into text; holds back what might be the beginning of a stop text."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...], on_text: Callable[[str], None]):
        self._decoder, self._stop, self._on_text = StreamDecoder(tokenizer), stop, on_text
        self._text, self._shown = "", 0
        self.tokens: list[int] = []
        self.ended = self.stopped = False

    def take(self, ids: np.ndarray) -> None:
        """Adds the tokens of one call, up to the end of the document or the first stop text."""
        for token in ids.tolist():
            if token == NOTHING:
                self.ended = True
                break
            self.tokens.append(token)
            self._add(self._decoder.feed(token))
            if self.stopped:
                break
        self._show(len(self._text) if self.stopped else len(self._text) - self._held())

    def finish(self) -> Generation:
        """Shows what was held back."""
        if not self.stopped:
            self._add(self._decoder.flush())
        self._show(len(self._text))
        reason = "stop" if self.stopped else "end" if self.ended else "length"
        return Generation(self._text, tuple(self.tokens), reason)

    def _add(self, text: str) -> None:
        self._text += text
        found = [at for at in (self._text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self._text, self.stopped = self._text[: min(found)], True

    def _held(self) -> int:
        """Length of the longest end of the text that begins a stop text."""
        ends = (
            n for stop in self._stop for n in range(1, len(stop)) if self._text.endswith(stop[:n])
        )
        return max(ends, default=0)

    def _show(self, upto: int) -> None:
        if upto > self._shown:
            self._on_text(self._text[self._shown : upto])
            self._shown = upto
