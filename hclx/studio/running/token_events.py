"""The events of a text's tokens: each with the characters that it completes, its log-probability
and the likeliest tokens in its place.
"""

from hclx.infer import UNKNOWN_TOKEN, Part, TokenLogprob
from hclx.serve.special_tokens import token_data, token_name
from hclx.text import StreamDecoder, Tokenizer
from hclx.text.tokenizer import to_bytes


class TokenEvents:
    """Writes the events of one text."""

    def __init__(self, tokenizer: Tokenizer):
        """Begins a text."""
        self._tokenizer, self._decoder = tokenizer, StreamDecoder(tokenizer)

    def of_part(self, part: Part) -> list[dict]:
        """Returns the events of the next part: one for each token, or one for all of its text where
        the server does not tell its tokens. Their texts together are that of the part.
        """
        if not part.tokens:
            return [_event(part.text)]
        texts = self._texts(part)
        entries = part.logprobs or (None,) * len(part.tokens)
        rows = zip(part.tokens, texts, entries, strict=True)
        return [self._token_event(*row) for row in rows]

    def _texts(self, part: Part) -> list[str]:
        """The characters that each token completes. Where a stop text keeps some of them back, the
        last token has the text.
        """
        known = [() if token == UNKNOWN_TOKEN else int(token) for token in part.tokens]
        texts = [self._decoder.feed(token) for token in known]
        if "".join(texts) == part.text:
            return texts
        return [""] * (len(texts) - 1) + [part.text]

    def _token_event(self, token: int, text: str, entry: TokenLogprob | None) -> dict:
        name = token_name(self._tokenizer, token)
        if entry is None:
            return _event(text, name)
        return _event(text, name, entry.logprob, [self._alternative(*each) for each in entry.top])

    def _alternative(self, token: int, logprob: float) -> dict:
        """A token in the place of another. A part of a character, or a special token, has a name in
        place of a text, from which nothing can go on.
        """
        name = token_name(self._tokenizer, token)
        is_text = token_data(self._tokenizer, token) == to_bytes(name)
        return {"text": name, "logprob": logprob, "is_text": is_text}


def _event(
    text: str, token: str | None = None, logprob: float | None = None, top: list | None = None
) -> dict:
    return {"text": text, "token": token, "logprob": logprob, "top": top or []}
