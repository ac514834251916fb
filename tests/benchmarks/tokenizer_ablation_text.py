"""The text of tokenizer_ablation.py, and its character-level tokenizer.

    TEXT/train/*.jsonl       what tokenizers and models are trained on
    TEXT/held_out/*.jsonl    what they are measured on, a file for each kind of text
    TEXT/tuning/SEED.jsonl   reviews with their label, for fine-tuning

A document is held out by a hash of its text. Documents of the training text that hold an item of
NSMC (either split), of KLUE's dev sets or of the held-out reviews and news are left out: their
letters and digits, without everything between them.
"""

import gzip
import hashlib
import json
import random
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from hclx.data.source import ReadSettings, input_source
from hclx.data.tokenizer_text import training_texts
from hclx.hashing import json_hash
from hclx.tasks.evaluation import evaluation_items
from hclx.tasks.readers.nsmc import read_nsmc

VALIDATION_PERMILLE = 10  # of the training text, which tokenizers do not learn from either
TRAINING = {"kowiki": 11_000_000, "reviews": 4_500_000}  # bytes of text
# Source, documents, and the characters of each that are read: so few have room in one window of the
# model. No statute is trained on; its text begins behind a head of fields.
HELD_OUT = {
    "wikipedia": ("kowiki", 100, slice(0, 350)),
    "reviews": ("reviews", 1_200, slice(0, 350)),
    "law": ("law", 100, slice(1_500, 1_850)),
    "news": ("news", 300, slice(0, 350)),
}
ITEMS = ("nsmc", "klue_nli", "klue_sts", "klue_ner", "klue_dp", "korean_english_news")
NGRAM = 13  # letters by which items are looked up; shorter ones must be the whole document
TUNING_CHARACTERS = 25  # of a review that is trained on: as many labels as the tokens allow
LABELS = {"0": "부정", "1": "긍정"}  # of the prompt nsmc/hyperclova


def write_text(data: Path, folder: Path) -> None:
    """Writes the training text and the held-out text, and how many documents were left out."""
    held_out = {kind: _held_out(data, *plan) for kind, plan in HELD_OUT.items()}
    items = [text for texts in evaluation_items(ITEMS, str(data)).values() for text in texts]
    reviews = [item.fields["document"] for item in read_nsmc(_train_file(data))]
    # Whole documents of the held-out kinds are looked up, too: reviews are often written twice.
    copies = Copies([*(t for texts in items for t in texts), *reviews, *held_out["reviews"]])
    facts = {"held_out": {kind: _size(texts) for kind, texts in held_out.items()}}
    for kind, texts in held_out.items():
        _write(folder / "held_out" / f"{kind}.jsonl", texts)
    for source, most in TRAINING.items():
        texts, removed = _training(data, source, most, copies)
        _write(folder / "train" / f"{source}.jsonl", texts)
        facts[source] = {**_size(texts), "removed": removed}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


def write_tuning(data: Path, path: Path, n: int, seed: int) -> None:
    """Writes n short reviews of NSMC's training split, each a document of the prompt
    nsmc/hyperclova, half of them of each label. None has the letters of a review of the other
    split.
    """
    others = {letters(text) for (text,) in evaluation_items(("nsmc",), str(data))["nsmc"]}
    of_label: dict[str, list[str]] = {label: [] for label in LABELS}
    for item in read_nsmc(_train_file(data)):
        review = item.fields["document"]
        if 0 < len(review) <= TUNING_CHARACTERS and letters(review) not in others:
            of_label[item.answer].append(f"{review} ({LABELS[item.answer]})")
    rng = random.Random(seed)
    chosen = [text for texts in of_label.values() for text in rng.sample(texts, n // 2)]
    rng.shuffle(chosen)
    _write(path, chosen)


class Copies:
    """Finds items in documents by their letters and digits."""

    def __init__(self, items: Iterable[str]):
        """Takes the texts of the items."""
        self._short, self._long = set(), {}
        for item in {letters(text) for text in items}:
            if len(item) < NGRAM:
                self._short.add(item)
            else:
                self._long.setdefault(item[:NGRAM], []).append(item)

    def held_by(self, text: str) -> bool:
        """Returns whether a document holds an item."""
        plain = letters(text)
        starts = (plain[i : i + NGRAM] for i in range(len(plain) - NGRAM + 1))
        return plain in self._short or any(
            item in plain for start in starts for item in self._long.get(start, ())
        )


def letters(text: str) -> str:
    """Returns the letters and digits of a text, in lower case."""
    plain = unicodedata.normalize("NFKC", text).lower()
    return "".join(filter(str.isalnum, plain))


def train_character_tokenizer(text: str, folder: Path, vocab_size: int) -> None:
    """Trains BPE over characters by the library `tokenizers`, within words as ordinary BPE does.

    The alphabet holds the commonest characters, 99.95% of the text as is sentencepiece's default;
    every other character is the tokens of its bytes, so that no text is lost.

    Args:
      text: the files that DataConfig.input names.
      folder: is made, with tokenizer.json.
      vocab_size: tokens, with those of bytes.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    settings = ReadSettings(VALIDATION_PERMILLE)
    texts = list(training_texts([input_source(text)], settings, "text"))
    special = ["<|endoftext|>", "<pad>"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    # U+2581 stands for a space in other tokenizers; here spaces are characters as any other.
    counts = Counter(char for text in texts for char in text if char != "\u2581")
    alphabet = _commonest(counts, 0.9995)
    tokenizer = tokenizers.Tokenizer(models.BPE(byte_fallback=True))
    words = tokenizers.Regex(r"\s?\S+|\s")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(words, behavior="isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*special, *bytes_],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    content = json.loads(tokenizer.to_str())
    # Tokens of bytes are of the model alone: a text that spells one is its characters.
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] in special]
    folder.mkdir(parents=True, exist_ok=True)
    config = {"eos_token": special[0], "pad_token": special[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "facts.json").write_text(json.dumps({"alphabet": len(alphabet)}))
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False))


def _commonest(counts: Counter, share: float) -> list[str]:
    chars, covered, total = [], 0, counts.total()
    for char, count in counts.most_common():
        if covered >= share * total:
            break
        chars.append(char)
        covered += count
    return chars


def _held_out(data: Path, source: str, n: int, characters: slice) -> list[str]:
    texts = (text for text in _documents(data, source) if _may_be_measured(source, text))
    chosen: dict[str, None] = {}  # the same text once
    for text in texts:
        if len(chosen) == n:
            break
        if part := text[characters].strip():
            chosen[part] = None
    return list(chosen)


def _training(data: Path, source: str, most: int, copies: Copies) -> tuple[list[str], int]:
    texts, size, removed = [], 0, 0
    for text in _documents(data, source):
        if size >= most:
            break
        if _is_held_out(text):
            continue
        if copies.held_by(text):
            removed += 1
            continue
        texts.append(text)
        size += len(text.encode())
    return texts, removed


def _documents(data: Path, source: str) -> Iterator[str]:
    if source == "news":
        news = data / "tasks/korean_english_news/korean-english-park.dev.ko"
        yield from news.read_text(encoding="utf-8").splitlines()
    for path in sorted((data / "corpus" / source).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["text"] for line in lines)


def _may_be_measured(source: str, text: str) -> bool:
    return source not in TRAINING or _is_held_out(text)


def _is_held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] < 8  # of 256


def _train_file(data: Path) -> str:
    return str(data / "tasks/nsmc/ratings_train.tsv.gz")


def _size(texts: list[str]) -> dict[str, int]:
    return {
        "documents": len(texts),
        "characters": sum(map(len, texts)),
        "bytes": sum(len(text.encode()) for text in texts),
        "hash": json_hash(texts)[:16],
    }


def _write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="utf-8")
    partial.replace(path)
