"""Tokenizers of other models: tokenizer.json of Hugging Face, read by the library `tokenizers`.

transformers' AutoTokenizer is not used: it builds the tokenizer of a model's class, which for many
Korean models splits text otherwise than the file says.

  tokenizer.json          the vocabulary and how text is split
  tokenizer_config.json   the names of the tokens that begin and end a document, and the template
                          of chats; without it, special_tokens_map.json may have the names, and
                          config.json the ids
  chat_template.jinja     the template, in newer folders
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hclx.errors import DataError, require
from hclx.text.tokenizer import CHAR_TO_BYTE, FOREIGN_FILE, FOREIGN_MODE, to_text

CONFIG, NAMES = "tokenizer_config.json", "special_tokens_map.json"
TEMPLATE, GENERATION = "chat_template.jinja", "generation_config.json"
COMPANIONS = (
    FOREIGN_FILE,
    CONFIG,
    NAMES,
    TEMPLATE,
    GENERATION,
    "config.json",
)
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACE = "\u2581"
_SURROGATE = re.compile("[\ud800-\udfff]")
# Where no file names the end of a document.
_ENDS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "[EOS]", "<eos>", "<|im_end|>")


class ForeignTokenizer:
    """A tokenizer of another model, with the methods of `hclx.text.Tokenizer`.

    A text that spells a special token is encoded as its characters.

    Attributes:
      folder: where it is.
      vocab_size: one more than the largest id, special and added tokens included; ids between may
        be of no token.
      eod_id: the token that ends a document; `pad_id`: that of padding, or `eod_id`.
      begin_ids: the tokens before a document.
      chat_template: in Jinja, of chats, the one named "default" of several; "" if there is none.
      generation_config: the content of that file, where the makers of the model say which tokens
        end an answer and how to sample; {} if there is none.
      metadata: `mode` and `cutter`, as those of own tokenizers.
    """

    morphemes, splits_text = "none", False

    def __init__(self, directory: Path):
        """Reads a folder.

        Raises:
          DataError: a file is damaged, the vocabulary is of a kind whose bytes are unknown, or no
            token ends a document.
          MissingExtraError: the library is not installed.
        """
        require("tokenizers")
        import tokenizers

        self.folder, self._path = directory, directory / FOREIGN_FILE
        try:
            content = self._path.read_bytes()
            self._json = json.loads(content)
            self._tokenizer = tokenizers.Tokenizer.from_str(content.decode())
        # the library raises Exception itself
        except Exception as error:
            raise DataError(f"{self._path} cannot be read: {error}") from error
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.vocab_size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        config = _read_json(directory / CONFIG)
        names = {name: value for name, value in config.items() if value is not None}
        config = {**_read_json(directory / NAMES), **names}
        self.eod_id = self._end(config, directory)
        self.pad_id = self._id_of(config.get("pad_token"), self.eod_id)
        self.begin_ids = self._begin(config)
        self._names = {name: config.get(name) for name in ("bos_token", "eos_token", "pad_token")}
        self.chat_template = _chat_template(config, directory)
        self.generation_config = _read_json(directory / GENERATION)
        self._sha256 = hashlib.sha256(content).hexdigest()
        self.metadata = {"mode": FOREIGN_MODE, "cutter": f"tokenizers {tokenizers.__version__}"}
        self._tokens = self._bytes_of_tokens()
        self._spelt = self._spelt_special_tokens()

    @property
    def fingerprint(self) -> str:
        """A SHA-256, in hexadecimal, of the file and of the token that ends a document."""
        return hashlib.sha256(f"{self._sha256} {self.eod_id}".encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Encodes a text, without tokens at its beginning and end. A lone surrogate, which the
        library cannot take, becomes U+FFFD.
        """
        ids = self._tokenizer.encode(_without_surrogates(text), add_special_tokens=False).ids
        return self._as_text(ids)

    def encode_special(self, text: str) -> list[int]:
        """Encodes a text in which special tokens that it spells are these tokens, such as one that
        a template of chats wrote.
        """
        text = _without_surrogates(text)
        return self._special_tokenizer.encode(text, add_special_tokens=False).ids

    @functools.cached_property
    def _special_tokenizer(self):
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_str(self._path.read_text(encoding="utf-8"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def special_names(self) -> dict[str, str]:
        """Returns the texts of special tokens that templates of chats name: "bos_token" and so on,
        of those that there are.
        """
        text = lambda value: value.get("content") if isinstance(value, dict) else value
        return {name: text(value) for name, value in self._names.items() if value is not None}

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Encodes each text as `encode` does."""
        texts = list(map(_without_surrogates, texts))
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [self._as_text(encoding.ids) for encoding in encodings]

    def _as_text(self, ids: list[int]) -> list[int]:
        """Ids of a text in which special tokens that it spells are its characters."""
        if self._spelt.keys().isdisjoint(ids):
            return ids
        return [part for i in ids for part in self._spelt.get(i, [i])]

    def _spelt_special_tokens(self) -> dict[int, list[int]]:
        """The ids of the characters of each special token. A Unigram model matches these tokens in
        a text as any other; they become the tokens of bytes, or unknown.
        """
        model = self._json.get("model") or {}
        if model.get("type") != "Unigram":
            return {}
        to_id, unknown_id = self._tokenizer.token_to_id, model.get("unk_id")
        spelt = {}
        for token in self._json.get("added_tokens") or []:
            parts = [to_id(f"<0x{byte:02X}>") for byte in token["content"].encode()]
            if token.get("special") and None not in parts:
                spelt[token["id"]] = parts
            elif token.get("special") and unknown_id is not None:
                spelt[token["id"]] = [unknown_id]
        return spelt

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes ids to text; special tokens have none, and invalid UTF-8 becomes U+FFFD.

        Raises:
          IndexError: an id is not in the vocabulary.
        """
        text = to_text(self.decode_bytes(ids))
        return text.removeprefix(" ") if self._adds_space else text

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Decodes ids to bytes, which need not be valid UTF-8, and keeps a space that the tokenizer
        puts before a text.

        Raises:
          IndexError: an id is not in the vocabulary.
        """
        ids = list(ids)
        if ids and not 0 <= min(ids) <= max(ids) < self.vocab_size:
            wrong = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise IndexError(f"id {wrong} is not in the vocabulary (0 to {self.vocab_size - 1})")
        return b"".join([self._tokens[i] for i in ids])

    def token_bytes(self) -> np.ndarray:
        """Returns uint8 [vocab]: the length in bytes of each token, at most 255; 0 for special
        tokens.
        """
        return np.array([min(len(token), 255) for token in self._tokens], np.uint8)

    def transformers_config(self) -> dict:
        """Returns the content of tokenizer_config.json for a folder that had none. Without it,
        transformers builds the tokenizer of the model's class, which gives other ids.
        """
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": self._tokenizer.id_to_token(self.eod_id),
            "pad_token": self._tokenizer.id_to_token(self.pad_id),
            "clean_up_tokenization_spaces": False,
        }

    @functools.cached_property
    def _kinds(self) -> set[str]:
        """The types of all parts of the file: "ByteLevel", "Metaspace", "ByteFallback"."""
        return set(re.findall(r'"type": ?"(\w+)"', json.dumps(self._json)))

    @functools.cached_property
    def _adds_space(self) -> bool:
        """Whether a text gets a space at its beginning, which is not its own."""
        return self.decode_bytes(self.encode("a"))[:1] == b" "

    def _bytes_of_tokens(self) -> list[bytes]:
        added = {token["id"]: token for token in self._json.get("added_tokens") or []}
        for token_id, token in added.items():
            name = token["content"]
            if (actual_id := self._tokenizer.token_to_id(name)) != token_id:
                raise DataError(
                    f"{self._path}: {name!r} has id {token_id}, but the library `tokenizers` gives"
                    f" it {actual_id}; the ids of the vocabulary and of added_tokens have a gap"
                )
        is_byte_level = "ByteLevel" in self._kinds
        if not is_byte_level and not self._kinds & {"Metaspace", "ByteFallback", "Replace"}:
            raise DataError(
                f"{self._path}: its tokens are neither byte-level nor with byte fallback, and other"
                " kinds are not supported"
            )
        return [
            self._bytes_of(self._tokenizer.id_to_token(i), added.get(i), is_byte_level)
            for i in range(self.vocab_size)
        ]

    @staticmethod
    def _bytes_of(token: str | None, added: dict | None, is_byte_level: bool) -> bytes:
        if token is None or (added and added.get("special")):
            return b""
        if added:
            return token.encode()
        if is_byte_level:
            # A vocabulary may hold names of control symbols beside tokens of bytes.
            is_bytes = all(char in CHAR_TO_BYTE for char in token)
            return bytes(CHAR_TO_BYTE[char] for char in token) if is_bytes else b""
        if match := _BYTE.fullmatch(token):
            return bytes([int(match[1], 16)])
        return token.replace(_SPACE, " ").encode("utf-8", "replace")

    def _id_of(self, token, default: int) -> int:
        name = token.get("content") if isinstance(token, dict) else token
        found_id = self._tokenizer.token_to_id(name) if isinstance(name, str) else None
        return default if found_id is None else found_id

    def _end(self, config: dict, directory: Path) -> int:
        own = self._id_of(config.get("eos_token"), -1)
        if own >= 0:
            return own
        for file in (GENERATION, "config.json"):
            ids = _read_json(directory / file).get("eos_token_id")
            ids = ids[0] if isinstance(ids, list) and ids else ids
            if isinstance(ids, int) and 0 <= ids < self.vocab_size:
                return ids
        for name in _ENDS:
            if (own := self._id_of(name, -1)) >= 0:
                return own
        raise DataError(f"{directory}: no token ends a document; write `eos_token` into {CONFIG}")

    def _begin(self, config: dict) -> list[int]:
        """The tokens that the file puts before a text; or else the one that begins a text, if the
        configuration asks for it; or else the end of the document before.
        """
        around = self._tokenizer.encode("", add_special_tokens=True).ids
        begin = around[:-1] if around[-1:] == [self.eod_id] and len(around) > 1 else around
        if not begin and config.get("add_bos_token"):
            begin = [self._id_of(config.get("bos_token"), self.eod_id)]
        return begin or [self.eod_id]


def _chat_template(config: dict, directory: Path) -> str:
    path = directory / TEMPLATE
    if path.is_file():  # it rules, as in transformers
        try:
            return path.read_text(encoding="utf-8")
        except ValueError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
    template = config.get("chat_template") or ""
    if isinstance(template, list):
        template = {t["name"]: t["template"] for t in template}.get("default", "")
    if not isinstance(template, str):
        raise DataError(f"{directory / CONFIG}: chat_template is no text")
    return template


def _without_surrogates(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return content if isinstance(content, dict) else {}
