"""Log-probabilities as the completions of OpenAI have them, and as evaluation clients read them."""

from collections.abc import Sequence

from hclx.infer import TokenLogprob
from hclx.serve.special_tokens import token_name
from hclx.text import StreamDecoder, Tokenizer


def completion_logprobs(
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    logprobs: Sequence[TokenLogprob | None],
    as_ids: bool = False,
) -> dict[str, list]:
    """Returns the object `logprobs` of a choice.

    Args:
      tokenizer: that of the model.
      tokens: the ids.
      logprobs: one for each of them; None: nothing comes before it.
      as_ids: whether tokens are named by their ids, such as "token_id:5", and not by their texts.
    """
    name = (lambda token: f"token_id:{token}") if as_ids else lambda t: token_name(tokenizer, t)
    decoder, offset, offsets = StreamDecoder(tokenizer), 0, []
    for token in tokens:
        offsets.append(offset)
        offset += len(decoder.feed(int(token)))
    return {
        "tokens": [name(token) for token in tokens],
        "token_logprobs": [None if entry is None else entry.logprob for entry in logprobs],
        "top_logprobs": [None if entry is None else _top(entry, name) for entry in logprobs],
        "text_offset": offsets,
    }


def _top(entry: TokenLogprob, name) -> dict[str, float]:
    # The token itself is last, so that it is there with its own number whatever its name is.
    return {**{name(token): value for token, value in entry.top}, name(entry.token): entry.logprob}
