"""Examples of chats by the template of the tokenizer: what the assistant says is learnt, with the
tokens by which the template ends it.
"""

from collections.abc import Sequence

import numpy as np

from hclx.errors import ConfigError, DataError, shown
from hclx.text import Tokenizer
from hclx.text.chat_template import ChatTemplate
from hclx.tune.examples import Encoder, Example
from hclx.tune.row_files import Row

ROLES = ("system", "user", "assistant", "tool")


def chat_encoder(tokenizer: Tokenizer, slots: Sequence[int] = ()) -> Encoder:
    """Returns the function that encodes rows with `messages`: a list of {"role", "content"}.

    Each answer is what the template adds to the text with which the assistant begins; the tokens
    are those of transformers where no token spans that border, and no others begin the document.

    Args:
      tokenizer: of another model, with a template of chats.
      slots: the ids of the soft slots, before everything else.
    Raises:
      ConfigError: the tokenizer has no template.
      MissingExtraError: jinja2 is not installed.
    """
    if not getattr(tokenizer, "chat_template", ""):
        raise ConfigError(
            "the tokenizer of the base has no template of chats; give rows of prompt and completion"
        )
    template = ChatTemplate(tokenizer)

    def encode(row: Row) -> Example:
        messages = _messages(row)
        tokens, weights, text = list(slots), [0] * len(slots), ""

        def add(whole: str, weight: int) -> str:
            if not whole.startswith(text):
                raise DataError(
                    f"{row.where}: the template writes earlier messages anew when others follow;"
                    " give one example for each answer"
                )
            ids = tokenizer.encode_special(whole[len(text) :])
            tokens.extend(ids)
            weights.extend([weight] * len(ids))
            return whole

        for end, message in enumerate(messages):
            if message["role"] == "assistant":
                text = add(_render(template, messages[:end], True, row), 0)
                text = add(_render(template, messages[: end + 1], False, row), 1)
        return Example(np.array(tokens, np.int32), np.array(weights, np.float32))

    return encode


def _render(template: ChatTemplate, messages: list, is_asked: bool, row: Row) -> str:
    try:
        return template.render(messages, is_asked)
    except DataError as error:
        raise DataError(f"{row.where}: {error}") from error


def _messages(row: Row) -> list[dict[str, str]]:
    messages = row.fields.get("messages")
    is_message = lambda m: (
        isinstance(m, dict) and m.get("role") in ROLES and isinstance(m.get("content"), str)
    )
    if not isinstance(messages, list) or not all(map(is_message, messages)):
        raise DataError(
            f"{row.where}: messages={shown(messages)}; give a list of"
            f' {{"role": "user", "content": "..."}}, whose roles are {", ".join(ROLES)}'
        )
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError(f"{row.where} has no message of the assistant; there is nothing to learn")
    return messages
