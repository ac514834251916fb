"""Tiny tokenizers of the kinds that Korean models have, made by the library `tokenizers`."""

import json

LINES = [
    "오늘 아침에는 비가 내렸고, 낮부터는 맑게 개었다.",
    "국립중앙도서관은 1945년에 문을 열었다. 책은 천만 권이 넘는다!",
    "그는 don't라고 말했다; 값은 12,345원이었다.",
    "가나다라 마바사 아자차카 타파하, 그리고 다시 가나다라.",
]
TEXTS = [
    *LINES,
    "",
    " ",
    "  두 칸, 그리고\n\n  줄바꿈\t탭",
    "이모지 🙂👨‍👩‍👧 와 한자 漢字, 뷁 쀍 꿝",
    "\u3000전각 공백\xa0과 \u1112\u1161\u11ab 첫가끝",
    "끝에 빈칸 ",
    "\x00\x07 제어 문자",
]
# The pattern of Llama 3 and Qwen, as far as it matters to Korean.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _byte_level(split=None, normalizer=None):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split:
        last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, last])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|begin_of_text|>", "<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def _begin_with(tokenizer, token):
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    return tokenizer


def _split(behavior, invert):
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(PATTERN), behavior, invert=invert)


def _qwen():
    from tokenizers import normalizers

    tokenizer = _byte_level(_split("isolated", False), normalizers.NFC())
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(["<tool_call>"])
    return tokenizer


def _spaces(style):
    """Parts that make spaces U+2581: a normaliser (Llama 2), or Metaspace (later files)."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    if style == "normalizer":
        return (
            normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
            None,
            decoders.Sequence(
                [
                    decoders.Replace("▁", " "),
                    decoders.ByteFallback(),
                    decoders.Fuse(),
                    decoders.Strip(" ", 1, 0),
                ]
            ),
        )
    return None, pre_tokenizers.Metaspace(prepend_scheme=style), decoders.Metaspace()


def _sentencepiece(model, style, byte_fallback=True):
    from tokenizers import Tokenizer, models, trainers

    special = ["<unk>", "<s>", "</s>"]
    if model == "bpe":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        trainer = trainers.BpeTrainer(
            vocab_size=200, special_tokens=special, limit_alphabet=80, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    normalizer, pre_tokenizer, decoder = _spaces(style)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoder
    lines = LINES if pre_tokenizer else [word for line in LINES for word in line.split()]
    tokenizer.train_from_iterator(lines, trainer)
    if byte_fallback:
        content = json.loads(tokenizer.to_str())
        vocab = content["model"]["vocab"]
        if model == "bpe":
            content["model"]["vocab"] = vocab | {b: len(vocab) + i for i, b in enumerate(BYTES)}
        else:
            content["model"]["vocab"] = vocab + [[b, -20.0] for b in BYTES]
        content["model"]["byte_fallback"] = True
        tokenizer = Tokenizer.from_str(json.dumps(content))
    return _begin_with(tokenizer, "<s>")


# name -> (function that makes it, name of the token that ends a document)
KINDS = {
    "GPT-2": (_byte_level, "<|endoftext|>"),
    "Llama 3": (
        lambda: _begin_with(_byte_level(_split("isolated", False)), "<|begin_of_text|>"),
        "<|endoftext|>",
    ),
    "Midm": (lambda: _byte_level(_split("removed", True)), "<|endoftext|>"),
    "Qwen": (_qwen, "<|im_end|>"),
    "Llama 2": (lambda: _sentencepiece("bpe", "normalizer"), "</s>"),
    "Metaspace": (lambda: _sentencepiece("bpe", "first"), "</s>"),
    "Gemma": (lambda: _sentencepiece("bpe", "never"), "</s>"),
    "Unigram": (lambda: _sentencepiece("unigram", "always"), "</s>"),
    "Unigram without bytes": (
        lambda: _sentencepiece("unigram", "always", byte_fallback=False),
        "</s>",
    ),
    "KoGPT2": (lambda: _sentencepiece("bpe", "always", byte_fallback=False), "</s>"),
}
LOSSY = ("KoGPT2", "Unigram without bytes")  # without byte fallback


def save_tokenizer(name, folder, **config):
    """Writes tokenizer.json and tokenizer_config.json of a kind, and returns the folder."""
    make, end = KINDS[name]
    folder.mkdir(parents=True, exist_ok=True)
    make().save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
