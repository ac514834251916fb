"""Finds evaluation items in documents: by the share of an item's character n-grams that a document holds.

Characters are letters and digits alone, in lower case and NFKC: neither spacing nor punctuation hides a copy. Korean
items are short (a review has 30 characters), so n-grams are of characters and not of words (Brown et al. 2020,
appendix C, takes 13 words). An item of which no text is as long as an n-gram is looked for as whole lines; one that is shorter still
could be anybody's words, is not looked for, and is counted as such.
"""

import dataclasses
import unicodedata

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.batch import Ranges, TextBatch
from hclx.corpus.hashing import RangeHash, mix
from hclx.corpus.meetings import left, remaining_texts
from hclx.corpus.parts import Part, batches
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store

INDEX = "contamination/index.parquet"
ITEMS = "contamination/items.json"
REPORT = "contamination/report.json"
_LETTERS = (characters.HANGUL, characters.JAMO, characters.LATIN, characters.HAN, characters.KANA, characters.OTHER_LETTER, characters.DIGIT)
_SIEVE_BITS = 26  # of a hash: what lets few n-grams through that are in no item, and fits in memory
_WHOLE_LINE = np.uint64(0x5EED)  # sets the hash of a whole line apart from that of an n-gram


class _Letters:
    """The letters and digits of texts: hashes of their n-grams and of their whole lines."""

    def __init__(self, texts: list[str]):
        batch = TextBatch.of([unicodedata.normalize("NFKC", text).lower() for text in texts])
        keep = characters.is_one_of(batch.kinds, _LETTERS)
        position = np.concatenate([[0], np.cumsum(keep)])
        self.offsets = position[batch.offsets]
        self._hashes = RangeHash(batch.chars[keep])
        lines: Ranges = batch.lines
        self._lines = position[lines.starts], position[lines.ends], lines.documents

    def ngrams(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hash and text of every run of n letters that lies in one text."""
        lengths = np.diff(self.offsets)
        text = np.repeat(np.arange(len(lengths)), lengths)
        starts = np.arange(self.offsets[-1])
        starts = starts[starts + n <= self.offsets[1:][text]]
        return self._hashes.of(starts, starts + n), text[starts]

    def lines(self, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Hash and text of every line of so many letters."""
        starts, ends, text = self._lines
        chosen = (ends - starts >= shortest) & (ends - starts <= longest)
        return mix(self._hashes.of(starts[chosen], ends[chosen]) ^ _WHOLE_LINE), text[chosen]


def write_index(items: dict[str, list[tuple[str, ...]]], settings: ContaminationSettings, store: Store, key: str) -> None:
    """Writes what every part is compared with: (hash, item) of every n-gram, and what the items are.

    Args:
      items: set -> texts of each example.
    """
    if store.is_done(INDEX, key) and store.is_done(ITEMS, key):
        return
    names, texts, item_of_text, sets = [], [], [], {}
    for name, examples in items.items():
        for number, example in enumerate(examples):
            texts += example
            item_of_text += [len(names)] * len(example)
            names.append(f"{name}/{number}")
    letters, item_of_text = _Letters([" ".join(text.split()) for text in texts]), np.array(item_of_text, np.int64)
    hashes, text = letters.ngrams(settings.ngram)
    lines, line_text = letters.lines(settings.min_chars, settings.ngram - 1)
    grams = np.bincount(item_of_text[text], minlength=len(names))
    alone = grams[item_of_text[line_text]] == 0  # a copy within a paragraph has no line of its own, and n-grams do without
    item = np.concatenate([item_of_text[text], item_of_text[line_text[alone]]])
    pairs = np.unique(np.stack([np.concatenate([hashes, lines[alone]]), item.astype(np.uint64)], 1), axis=0)
    size = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(names))
    start = 0
    for name, examples in items.items():
        own = size[start : start + len(examples)]
        sets[name] = {"items": len(examples), "too_short": int((own == 0).sum())}
        start += len(examples)
    store.write_json(ITEMS, {"sets": sets, "names": names, "sizes": size.tolist()}, key)
    store.write_table(INDEX, pyarrow.table({"hash": pairs[:, 0], "item": pairs[:, 1].astype(np.int32)}), key)


@dataclasses.dataclass(frozen=True)
class Index:
    """hash: uint64 [g], sorted; item: int32 [g]; size: int64 [i], distinct n-grams of each item; names: of the items."""

    hash: np.ndarray
    item: np.ndarray
    size: np.ndarray
    names: list[str]
    sieve: np.ndarray

    @classmethod
    def read(cls, store: Store) -> "Index":
        """The index that `write_index` wrote."""
        table, about = store.read_table(INDEX), store.read_json(ITEMS)
        hashes = table["hash"].to_numpy()
        sieve = np.zeros(1 << _SIEVE_BITS, bool)
        sieve[hashes >> np.uint64(64 - _SIEVE_BITS)] = True
        return cls(hashes, table["item"].to_numpy(), np.array(about["sizes"]), about["names"], sieve)

    def search(self, texts: list[str], settings: ContaminationSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(text, item, coverage) of every item of which a text holds at least `settings.coverage`, by text and item."""
        letters = _Letters(texts)
        grams, lines = letters.ngrams(settings.ngram), letters.lines(settings.min_chars, settings.ngram - 1)
        hashes, text = np.concatenate([grams[0], lines[0]]), np.concatenate([grams[1], lines[1]])
        maybe = np.flatnonzero(self.sieve[hashes >> np.uint64(64 - _SIEVE_BITS)])
        first = np.searchsorted(self.hash, hashes[maybe])
        there = self.hash[np.minimum(first, len(self.hash) - 1)] == hashes[maybe]
        first, hashes, text = first[there], hashes[maybe][there], text[maybe][there]
        times = np.searchsorted(self.hash, hashes, "right") - first
        at = np.repeat(first - np.concatenate([[0], np.cumsum(times)[:-1]]), times) + np.arange(times.sum())
        found = np.unique(np.stack([np.repeat(text, times), self.item[at], at], 1), axis=0)  # each n-gram of an item once
        pair, count = np.unique(found[:, :2], axis=0, return_counts=True)
        coverage = count / self.size[pair[:, 1]]
        enough = coverage >= settings.coverage
        return pair[enough, 0], pair[enough, 1], coverage[enough]


def judge(part: Part, store: Store, settings: ContaminationSettings, key: str) -> None:
    """The verdict on a part: `contaminated` with the largest coverage, and the items that each document holds."""
    if store.is_done(f"verdicts/contamination/{part.name}.parquet", key):
        return
    index, rows, done = Index.read(store), left(part, store, "contamination"), 0
    n = store.read_table(f"documents/{part.name}.parquet", ["doc_id"]).num_rows
    value, items = np.zeros(n, np.float32), [[] for _ in range(n)]
    texts = remaining_texts(part, store, rows)
    for batch in batches(texts, [""] * len(texts)):
        for text, item, coverage in zip(*index.search(list(batch.texts), settings)):
            row = rows[done + text]
            value[row] = max(value[row], coverage)
            items[row].append(index.names[item])
        done += len(batch)
    rule = pyarrow.array(np.where(value > 0, "contaminated", None), pyarrow.string())
    columns = {"rule": rule, "value": value, "items": pyarrow.array(items, pyarrow.list_(pyarrow.string()))}
    store.write_verdict("contamination", part.name, pyarrow.table(columns), key)


def write_report(found: list[Part], store: Store, key: str) -> dict:
    """Writes, last of the stage: for each set its items, those too short to look for, those found, and documents removed."""
    report = {name: {**about, "found": 0, "documents": 0} for name, about in store.read_json(ITEMS)["sets"].items()}
    seen: set[str] = set()
    for part in found:
        for names in store.read_verdict("contamination", part.name, ["items"])["items"].to_pylist():
            seen.update(names)
            for name in {name.split("/")[0] for name in names}:
                report[name]["documents"] += 1
    for name in seen:
        report[name.split("/")[0]]["found"] += 1
    store.write_json(REPORT, {"sets": report}, key)
    return report
