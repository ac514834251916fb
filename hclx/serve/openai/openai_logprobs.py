"""Log-probabilities as completions and chats of OpenAI have them, and as clients read them."""

from collections.abc import Sequence

from hclx.infer import UNKNOWN_TOKEN, TokenLogprob
from hclx.serve.special_tokens import token_data, token_name
from hclx.text import StreamDecoder, Tokenizer


class CompletionLogprobs:
    """Writes the object `logprobs` of a text, or of each of its parts in turn."""

    def __init__(self, tokenizer: Tokenizer, as_ids: bool = False):
        """Begins a text.

        Args:
          tokenizer: that of the model.
          as_ids: whether tokens are named by their ids, such as "token_id:5", and not by their
            texts.
        """
        self._decoder, self._offset = StreamDecoder(tokenizer), 0
        by_id = "token_id:{}".format
        self._name = by_id if as_ids else lambda token: token_name(tokenizer, token)

    def written(
        self, tokens: Sequence[int], logprobs: Sequence[TokenLogprob | None]
    ) -> dict[str, list]:
        """Returns the object of the next tokens.

        Args:
          tokens: the ids.
          logprobs: one for each of them; None: nothing comes before it.
        """
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            if token != UNKNOWN_TOKEN:
                self._offset += len(self._decoder.feed(int(token)))
        return {
            "tokens": [self._name(token) for token in tokens],
            "token_logprobs": [None if entry is None else entry.logprob for entry in logprobs],
            "top_logprobs": [None if entry is None else self._top(entry) for entry in logprobs],
            "text_offset": offsets,
        }

    def _top(self, entry: TokenLogprob) -> dict[str, float]:
        # The token itself is last, so that it is there with its own number whatever its name is.
        tops = {self._name(token): value for token, value in entry.top}
        return {**tops, self._name(entry.token): entry.logprob}


def chat_logprobs(tokenizer: Tokenizer, entries: Sequence[TokenLogprob] | None) -> dict | None:
    """Returns the object `logprobs` of an answer in a chat; None for None."""
    if entries is None:
        return None

    def described(token: int, logprob: float) -> dict:
        data, name = token_data(tokenizer, token), token_name(tokenizer, token)
        return {"token": name, "logprob": logprob, "bytes": list(data)}

    def written(entry: TokenLogprob) -> dict:
        top = [described(token, logprob) for token, logprob in entry.top]
        return {**described(entry.token, entry.logprob), "top_logprobs": top}

    return {"content": [written(entry) for entry in entries]}
