"""Names of tokens as clients see them: special ones by their names, bytes that are no text too."""

import functools
import re
from collections.abc import Sequence

from hclx.infer import UNKNOWN_TOKEN
from hclx.text import Tokenizer
from hclx.text.tokenizer import CONTROL_SYMBOLS, to_bytes, to_text

_SPELT = re.compile("(" + "|".join(map(re.escape, CONTROL_SYMBOLS)) + ")")


def encode_special(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encodes a text in which special tokens that it spells are these tokens."""
    if hasattr(tokenizer, "encode_special"):
        return tokenizer.encode_special(text)
    ids = []
    for part in _SPELT.split(text):
        is_symbol = part in CONTROL_SYMBOLS
        ids += [CONTROL_SYMBOLS.index(part)] if is_symbol else tokenizer.encode(part)
    return ids


def special_names(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns the names of special tokens: "eos_token", and others where there are some."""
    if hasattr(tokenizer, "special_names"):
        config = tokenizer.transformers_config()
        ends = {name: config[name] for name in ("eos_token", "pad_token")}
        return {**ends, **tokenizer.special_names()}
    return {
        "bos_token": CONTROL_SYMBOLS[tokenizer.begin_ids[0]],
        "eos_token": CONTROL_SYMBOLS[tokenizer.eod_id],
        "pad_token": CONTROL_SYMBOLS[tokenizer.pad_id],
    }


def decode_special(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Decodes ids to text in which special tokens are spelled by their names, so that
    `encode_special` gives the same ids.
    """
    names = _texts_of_special(tokenizer)
    parts = [names.get(token) or tokenizer.decode_bytes([token]) for token in ids]
    return to_text(b"".join(parts))


@functools.lru_cache(maxsize=4)
def _texts_of_special(tokenizer: Tokenizer) -> dict[int, bytes]:
    """The names of special tokens, by their ids."""
    if not hasattr(tokenizer, "encode_special"):
        return {token: to_bytes(name) for token, name in enumerate(CONTROL_SYMBOLS)}
    names = special_names(tokenizer).values()
    encoded = [(name, tokenizer.encode_special(name)) for name in names]
    return {ids[0]: to_bytes(name) for name, ids in encoded if len(ids) == 1}


def token_data(tokenizer: Tokenizer, token: int) -> bytes:
    """Returns the bytes of a token; none of a special token, and of one that is not known."""
    return b"" if token == UNKNOWN_TOKEN else tokenizer.decode_bytes([token])


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """Returns a text that is another for each token, as keys of a dictionary have to be: the text
    of a token; `bytes:\\xec\\x9d` for a part of a character; `token_id:7` for a special token, and
    `token_id:-1` for one that the server behind a remote engine does not tell.
    """
    data = token_data(tokenizer, token)
    if not data:
        return f"token_id:{token}"
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
