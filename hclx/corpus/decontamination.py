"""Finds evaluation items in documents: by the share of an item's character n-grams that a document
holds.

Characters are letters and digits alone, in lower case and NFKC: neither spacing nor punctuation
hides a copy. Korean items are short (a review has 30 characters), so n-grams are of characters and
not of words (Brown et al. 2020, appendix C, takes 13 words). An item of which no text is as long as
an n-gram is looked for where a word begins and a word ends; one that is shorter still could be
anybody's words, and counts where a document says nothing else.
"""

import dataclasses
import re
import unicodedata

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.dedup import left, remaining_texts
from hclx.corpus.hashing import RangeHash
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.stages import Part, batches
from hclx.corpus.store import Store
from hclx.corpus.text_batch import TextBatch

INDEX = "contamination/index.parquet"
ITEMS = "contamination/items.json"
REPORT = "contamination/report.json"
VERSION = 2  # of what counts as a copy: part of the key
_LETTERS = (
    characters.HANGUL,
    characters.JAMO,
    characters.LATIN,
    characters.HAN,
    characters.KANA,
    characters.OTHER_LETTER,
    characters.DIGIT,
)
_SIEVE_BITS = 26  # of a hash: what lets few n-grams through that are in no item, and fits in memory
_JOINING = re.compile(r"[\u1161-\u1175\u11a8-\u11c2]")  # vowels and finals of Hangul by themselves
# What stands between letters that become one syllable where nothing does: ㅇ ㅏ.
_APART = re.compile(
    r"(?<=[\u1100-\u1112])(?:[^\w\n]|_)+(?=[\u1161-\u1175])|(?<=[\u1161-\u1175가-힣])(?:[^\w\n]|_)+(?=[\u11a8-\u11c2])"
)


def _normalised(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFC", _APART.sub("", text)) if _JOINING.search(text) else text


class _Letters:
    """The letters and digits of texts, and all marks of a text that has none: hashes of parts of
    them.

    counts: int64 [t], letters and digits of each text.
    """

    def __init__(self, texts: list[str]):
        batch = TextBatch.of([_normalised(text) for text in texts])
        keep = characters.is_one_of(batch.kinds, _LETTERS)
        self.counts = batch.count(keep)
        keep |= np.repeat(self.counts == 0, batch.n_chars) & (batch.kinds != characters.SPACE)
        position, words = np.concatenate([[0], np.cumsum(keep)]), batch.split(~keep)
        self._offsets = position[batch.offsets]
        self._words = position[words.starts], position[words.ends], words.documents
        self._hashes = RangeHash(batch.chars[keep])

    def ngrams(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hash and text of every run of n letters that lies in one text."""
        lengths = np.diff(self._offsets)
        return self._runs(
            np.arange(self._offsets[-1]), np.repeat(np.arange(len(lengths)), lengths), n
        )

    def phrases(self, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Hash and text of every run of so many letters that begins where a word does, and ends
        where one does.
        """
        starts, ends, text = self._words
        is_end = np.zeros(self._offsets[-1] + longest + 1, bool)
        is_end[ends] = True
        whole = [(n, is_end[starts + n]) for n in range(shortest, longest + 1)]
        return _joined([self._runs(starts[fits], text[fits], n) for n, fits in whole])

    def wholes(self, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Hash and text of every text of so many letters."""
        starts, ends = self._offsets[:-1], self._offsets[1:]
        chosen = np.flatnonzero((ends - starts >= shortest) & (ends - starts <= longest))
        return self._hashes.of(starts[chosen], ends[chosen]), chosen

    def _runs(self, starts: np.ndarray, text: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        inside = starts + n <= self._offsets[1:][text]
        return self._hashes.of(starts[inside], starts[inside] + n), text[inside]


def _joined(found: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    empty = np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return tuple(np.concatenate(arrays) for arrays in zip(empty, *found))


def write_index(
    items: dict[str, list[tuple[str, ...]]], settings: ContaminationSettings, store: Store, key: str
) -> None:
    """Writes what every part is compared with: (hash, item) of every n-gram, or shorter text, and
    what the items are.

    Args:
      items: set -> texts of each example.
    """
    if store.is_done(INDEX, key) and store.is_done(ITEMS, key):
        return
    texts, item_of_text = _texts(
        [example for examples in items.values() for example in examples], settings.min_chars
    )
    letters, n_items = _Letters(texts), sum(map(len, items.values()))
    grams, text = letters.ngrams(settings.ngram)
    wholes, whole_text = letters.wholes(1, settings.ngram - 1)
    short = letters.counts < settings.min_chars
    # the item has longer ones
    skip = np.isin(item_of_text, item_of_text[text]) | (
        short & (np.bincount(item_of_text)[item_of_text] > 1)
    )
    wholes, whole_text = wholes[~skip[whole_text]], whole_text[~skip[whole_text]]
    hashes, item = np.concatenate([grams, wholes]), item_of_text[np.concatenate([text, whole_text])]
    order = np.lexsort((item, hashes))
    hashes, item = hashes[order], item[order]
    first = np.append(True, (np.diff(hashes) != 0) | (np.diff(item) != 0))[: len(item)]
    hashes, item = hashes[first], item[first]
    size = np.bincount(item, minlength=n_items)
    too_short = np.bincount(item_of_text, ~short, minlength=n_items) == 0
    names, sets = [], {}
    for name, examples in items.items():
        own = slice(len(names), len(names) + len(examples))
        sets[name] = {"items": len(examples), "too_short": int(too_short[own].sum())}
        names += [f"{name}/{number}" for number in range(len(examples))]
    store.write_json(ITEMS, {"sets": sets, "names": names, "sizes": size.tolist()}, key)
    store.write_table(INDEX, pyarrow.table({"hash": hashes, "item": item.astype(np.int32)}), key)


def _texts(examples: list[tuple[str, ...]], min_chars: int) -> tuple[list[str], np.ndarray]:
    """What each item is looked for as, and the item of each, int64 [t]: its texts; as one, where
    none has `min_chars` letters.
    """
    texts, item = (
        [text for example in examples for text in example],
        np.repeat(np.arange(len(examples)), list(map(len, examples))),
    )
    long = np.bincount(item, _Letters(texts).counts >= min_chars, minlength=len(examples)) > 0
    chosen = [
        example if is_long else (" ".join(example),) for example, is_long in zip(examples, long)
    ]
    texts = [" ".join(text.split()) for example in chosen for text in example]
    return texts, np.repeat(np.arange(len(examples)), list(map(len, chosen)))


@dataclasses.dataclass(frozen=True)
class Index:
    """hash: uint64 [g], sorted; item: int32 [g]; size: int64 [i], distinct hashes of each item;
    names: of the items.
    """

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
        return cls(
            hashes, table["item"].to_numpy(), np.array(about["sizes"]), about["names"], sieve
        )

    def search(
        self, texts: list[str], settings: ContaminationSettings
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(text, item, coverage) of every item of which a text holds at least `settings.coverage`,
        by text and item.
        """
        letters = _Letters(texts)
        n, least = settings.ngram, settings.min_chars
        hashes, text = _joined(
            [letters.ngrams(n), letters.phrases(least, n - 1), letters.wholes(1, least - 1)]
        )
        maybe = np.flatnonzero(self.sieve[hashes >> np.uint64(64 - _SIEVE_BITS)])
        first = np.searchsorted(self.hash, hashes[maybe])
        there = self.hash[np.minimum(first, len(self.hash) - 1)] == hashes[maybe]
        first, hashes, text = first[there], hashes[maybe][there], text[maybe][there]
        times = np.searchsorted(self.hash, hashes, "right") - first
        at = np.repeat(first - np.concatenate([[0], np.cumsum(times)[:-1]]), times) + np.arange(
            times.sum()
        )
        # each n-gram of an item once
        found = np.unique(np.stack([np.repeat(text, times), self.item[at], at], 1), axis=0)
        pair, count = np.unique(found[:, :2], axis=0, return_counts=True)
        coverage = count / self.size[pair[:, 1]]
        enough = coverage >= settings.coverage
        return pair[enough, 0], pair[enough, 1], coverage[enough]


def judge(part: Part, store: Store, settings: ContaminationSettings, key: str) -> None:
    """The verdict on a part: `contaminated` with the largest coverage, and the items that each
    document holds.
    """
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
    columns = {
        "rule": rule,
        "value": value,
        "items": pyarrow.array(items, pyarrow.list_(pyarrow.string())),
    }
    store.write_verdict("contamination", part.name, pyarrow.table(columns), key)


def write_report(found: list[Part], store: Store, key: str) -> dict:
    """Writes, last of the stage: for each set its items, those too short to look for within a
    document, those found, and documents removed.
    """
    report = {
        name: {**about, "found": 0, "documents": 0}
        for name, about in store.read_json(ITEMS)["sets"].items()
    }
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
