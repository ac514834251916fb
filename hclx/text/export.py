"""Exports of a tokenizer for other runtimes: Hugging Face `tokenizer.json` and tiktoken's ranks.

They encode text plainly, so their ids are this tokenizer's in modes `train` and `plain`.
"""

import base64
import json
from pathlib import Path

from hclx.text.byte_level import bytes_to_chars
from hclx.text.tokenizer import CONTROL_SYMBOLS, Tokenizer

HUGGING_FACE_FILE = "tokenizer.json"
TIKTOKEN_FILE = "tiktoken.ranks"
TIKTOKEN_PATTERN = r"(?s).+"  # the whole text: pieces may hold spaces


def learnt_pieces(tokenizer: Tokenizer) -> dict[bytes, int]:
    """Bytes -> id of every piece but the control symbols, in the order in which merges apply."""
    first = len(CONTROL_SYMBOLS)
    return {tokenizer.decode_bytes([i]): i for i in range(first, tokenizer.vocab_size)}


def hugging_face_json(tokenizer: Tokenizer) -> dict:
    """The content of `tokenizer.json`. Every split of a piece into two pieces is a merge, ranked as
    the piece is.
    """
    pieces = {bytes_to_chars(piece): i for piece, i in learnt_pieces(tokenizer).items()}
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    controls = {symbol: i for i, symbol in enumerate(CONTROL_SYMBOLS)}
    flags = {
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
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
        "added_tokens": [{"id": i, "content": symbol, **flags} for symbol, i in controls.items()],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
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
            "vocab": {**controls, **pieces},
            "merges": merges,
        },
    }


def tiktoken_ranks(tokenizer: Tokenizer) -> str:
    """Lines of `base64(piece) id`, to be read with `TIKTOKEN_PATTERN`."""
    return "".join(
        f"{base64.b64encode(piece).decode()} {i}\n" for piece, i in learnt_pieces(tokenizer).items()
    )


def write_exports(tokenizer: Tokenizer, directory: Path) -> None:
    """Writes both files."""
    exported = json.dumps(hugging_face_json(tokenizer), ensure_ascii=False)
    (directory / HUGGING_FACE_FILE).write_text(exported, encoding="utf-8")
    (directory / TIKTOKEN_FILE).write_text(tiktoken_ranks(tokenizer), encoding="utf-8")
