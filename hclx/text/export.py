"""Exports of a tokenizer for other runtimes: `tokenizer.json` for Hugging Face's tokenizers, with
what its transformers need beside it, and tiktoken's ranks.

In none of them can a text become a control symbol.

Those runtimes do not split text at morphemes, so the exports of a tokenizer that does would give
other ids; it has none.
"""

import base64
import hashlib
import json
from pathlib import Path

from hclx.text.tokenizer import CONTROL_SYMBOLS, EOD_ID, PAD_ID, Tokenizer, bytes_to_chars

HUGGING_FACE_FILE = "tokenizer.json"
TRANSFORMERS_FILE = "tokenizer_config.json"
TIKTOKEN_FILE = "tiktoken.ranks"
TIKTOKEN_PATTERN = r"(?s).+"  # the whole text: tokens may hold spaces
# transformers looks for its special tokens in every text, unless it is told to split them.
_TRANSFORMERS_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "eos_token": CONTROL_SYMBOLS[EOD_ID],
    "pad_token": CONTROL_SYMBOLS[PAD_ID],
    "split_special_tokens": True,
    "clean_up_tokenization_spaces": False,
}


def byte_tokens(tokenizer: Tokenizer) -> dict[bytes, int]:
    """Maps the bytes of each token to its id, without the control symbols, by ascending id, which
    is the order in which merges apply.
    """
    first = len(CONTROL_SYMBOLS)
    return {tokenizer.decode_bytes([i]): i for i in range(first, tokenizer.vocab_size)}


def hugging_face_json(tokenizer: Tokenizer, begins: bool = False) -> dict:
    """Returns the content of `tokenizer.json`, as values that JSON can hold. Every split of a token
    into two tokens is a merge, and merges are ranked as the tokens that they make.

    Its control symbols are no added tokens, which that library looks for in every text: a text
    that spells one must not become its id.

    Args:
      tokenizer: one whose `splits_text` is false, which is not checked.
      begins: whether a text gets the token before it that its model has seen before every document,
        unless a caller wants no special tokens. Servers ask for them.
    """
    vocab = {bytes_to_chars(token): i for token, i in byte_tokens(tokenizer).items()}
    merges = [
        [token[:at], token[at:]]
        for token in vocab
        for at in range(1, len(token))
        if token[:at] in vocab and token[at:] in vocab
    ]
    controls = {symbol: i for i, symbol in enumerate(CONTROL_SYMBOLS)}
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": _begins(tokenizer) if begins else None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {**controls, **vocab},
            "merges": merges,
        },
    }


def _begins(tokenizer: Tokenizer) -> dict:
    symbols = [CONTROL_SYMBOLS[i] for i in tokenizer.begin_ids]
    before = [{"SpecialToken": {"id": symbol, "type_id": 0}} for symbol in symbols]
    text = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [*before, text("A")],
        "pair": [*before, text("A"), text("B")],
        "special_tokens": {
            symbol: {"id": symbol, "ids": [i], "tokens": [symbol]}
            for symbol, i in zip(symbols, tokenizer.begin_ids)
        },
    }


def tiktoken_ranks(tokenizer: Tokenizer) -> str:
    """Returns lines of `base64(token) id`, each with its newline, without control symbols, to be
    used with `TIKTOKEN_PATTERN`.

    Args:
      tokenizer: one whose `splits_text` is false, which is not checked.
    """
    return "".join(
        f"{base64.b64encode(token).decode()} {i}\n" for token, i in byte_tokens(tokenizer).items()
    )


def write_exports(tokenizer: Tokenizer, directory: Path, *, begins: bool = False) -> dict[str, str]:
    """Writes `tokenizer.json`, `tokenizer_config.json` and `tiktoken.ranks`, in place of any that
    exist.

    Args:
      tokenizer: one whose `splits_text` is false, which is not checked.
      directory: an existing folder.
      begins: see `hugging_face_json`.
    Returns:
      For each file from which ids follow, its name and its SHA-256 in hexadecimal.
    """
    bos = {"bos_token": CONTROL_SYMBOLS[tokenizer.begin_ids[0]]} if begins else {}
    config = json.dumps(_TRANSFORMERS_CONFIG | bos, indent=2) + "\n"
    (directory / TRANSFORMERS_FILE).write_text(config, encoding="utf-8")
    exported = json.dumps(hugging_face_json(tokenizer, begins), ensure_ascii=False)
    files = {HUGGING_FACE_FILE: exported, TIKTOKEN_FILE: tiktoken_ranks(tokenizer)}
    for name, text in files.items():
        (directory / name).write_bytes(text.encode())
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
