"""Finds evaluation items in documents, and removes the documents: the stage `contamination`.

A document holds an item if it holds a large enough share of the item's character n-grams.
Characters are letters and digits alone, in lower case and NFKC, so that neither spacing nor
punctuation hides a copy. Korean items are short (a review has 30 characters), so n-grams are of
characters and not of words (Brown et al. 2020, appendix C, takes 13 words). An item whose texts are
all shorter than an n-gram is searched for from the beginning of a word to the end of one. An item
that is shorter still could be anybody's words, and counts only if the document says nothing else.

  contamination/index.parquet   (hash, item) of every n-gram, or shorter text, of the items
  contamination/items.json      names and sizes of the items
  contamination/report.json     what was found of each evaluation set; written last
  verdicts/contamination/...    `rule`, "contaminated" or null; `value`, the largest coverage
                                of these items, float32, 0 without one; `items`, the names of those
                                that a document holds
"""

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.layout import (
    CONTAMINATION_INDEX,
    CONTAMINATION_ITEMS,
    CONTAMINATION_REPORT,
    DOCUMENTS,
    VERDICTS,
    Build,
    Shard,
)
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.shuffle import NO_HASHES, NO_IDS, concatenate
from hclx.corpus.store import Store
from hclx.corpus.text_batch import TextBatch, batches
from hclx.corpus.verdicts import read_remaining_texts, read_verdict, removals
from hclx.hashing import RangeHash

VERSION = 2  # of the definition of a copy: part of the key
_LETTERS = (
    characters.HANGUL,
    characters.JAMO,
    characters.LATIN,
    characters.HAN,
    characters.KANA,
    characters.OTHER_LETTER,
    characters.DIGIT,
)
# Bits of a hash: so many let few n-grams through that are in no item, and fit in memory.
_SIEVE_BITS = 26
_JOINING = re.compile(r"[\u1161-\u1175\u11a8-\u11c2]")  # single vowels and finals of Hangul
# Characters between letters that would be one syllable without them: ㅇ ㅏ.
_APART = re.compile(
    r"(?<=[\u1100-\u1112])(?:[^\w\n]|_)+(?=[\u1161-\u1175])|(?<=[\u1161-\u1175가-힣])(?:[^\w\n]"
    r"|_)+(?=[\u11a8-\u11c2])"
)


def decontamination_settings(build: Build) -> tuple | None:
    """Collects the values that the verdicts of this stage depend on. If they change, the stage runs
    again.

    Returns:
      (`VERSION`, `settings.contamination`, `Build.evaluation`); None if the stage is switched off.
    """
    settings = build.settings.contamination
    return settings and (VERSION, settings, build.evaluation)


def remove_contaminated(build: Build, key: str) -> None:
    """Writes the verdicts of the stage `contamination`: documents that hold an evaluation item are
    removed; and the other files that the head of this module lists.

    Args:
      build: the inputs of the corpus; the verdicts of the stages before are already written.
      key: hash of the settings of this stage and of the key of the stage before; every file that is
        written holds it.
    Raises:
      HclxError: see `Build.map_shards`.
    """
    settings, store = build.settings.contamination, build.store
    write_index(build.evaluation, settings, store, key)
    find = functools.partial(find_items, store=store, settings=settings, key=key)
    build.map_shards(find, "contamination")
    write_report(build.shards, store, key)


def _normalise(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFC", _APART.sub("", text)) if _JOINING.search(text) else text


class _Letters:
    """Hashes of runs of the letters and digits of texts; a text without any has its marks instead.

    Attributes:
      counts: letters and digits of each text, int64 [t].
    """

    def __init__(self, texts: list[str]):
        batch = TextBatch.of([_normalise(text) for text in texts])
        keep = characters.is_one_of(batch.kinds, _LETTERS)
        self.counts = batch.count(keep)
        keep |= np.repeat(self.counts == 0, batch.n_chars) & (batch.kinds != characters.SPACE)
        position, words = np.concatenate([[0], np.cumsum(keep)]), batch.split(~keep)
        self._offsets = position[batch.offsets]
        self._words = position[words.starts], position[words.ends], words.documents
        self._hashes = RangeHash(batch.chars[keep])

    def ngrams(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes every run of n letters within a text.

        Returns:
          hash, uint64 [m], and the index of the text, int64 [m].
        """
        lengths = np.diff(self._offsets)
        return self._runs(
            np.arange(self._offsets[-1]), np.repeat(np.arange(len(lengths)), lengths), n
        )

    def phrases(self, shortest: int, longest: int) -> list[np.ndarray]:
        """Hashes every run of `shortest` to `longest` letters that consists of whole words.

        Returns:
          hash, uint64 [m], and the index of the text, int64 [m].
        """
        starts, ends, text = self._words
        is_end = np.zeros(self._offsets[-1] + longest + 1, bool)
        is_end[ends] = True
        fits = [(n, is_end[starts + n]) for n in range(shortest, longest + 1)]
        runs = [self._runs(starts[at], text[at], n) for n, at in fits]
        return concatenate(runs, NO_HASHES, NO_IDS)

    def wholes(self, shortest: int, longest: int) -> tuple[np.ndarray, np.ndarray]:
        """Hashes every text that has `shortest` to `longest` letters, as a whole.

        Returns:
          hash, uint64 [m], and the index of the text, int64 [m].
        """
        starts, ends = self._offsets[:-1], self._offsets[1:]
        chosen = np.flatnonzero((ends - starts >= shortest) & (ends - starts <= longest))
        return self._hashes.of(starts[chosen], ends[chosen]), chosen

    def _runs(self, starts: np.ndarray, text: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        inside = starts + n <= self._offsets[1:][text]
        return self._hashes.of(starts[inside], starts[inside] + n), text[inside]


def write_index(
    items: dict[str, list[tuple[str, ...]]], settings: ContaminationSettings, store: Store, key: str
) -> None:
    """Writes the index of evaluation items that every shard is compared with: index.parquet and
    items.json, see the head of this module.

    Args:
      items: evaluation set -> texts of each example.
      settings: the length of an n-gram, and from how many letters on a text is searched for.
      store: the folder of the corpus.
      key: hash of the settings and inputs of the result; a file that has it is not written again.
    """
    if store.is_done(CONTAMINATION_INDEX, key) and store.is_done(CONTAMINATION_ITEMS, key):
        return
    examples = [example for own in items.values() for example in own]
    texts, item_of_text = _search_strings(examples, settings.min_chars)
    letters = _Letters(texts)
    is_short = letters.counts < settings.min_chars
    hashes, item = _index_columns(letters, item_of_text, is_short, settings.ngram)
    size = np.bincount(item, minlength=len(examples))
    too_short = np.bincount(item_of_text, ~is_short, minlength=len(examples)) == 0
    names, sets = [], {}
    for name, own in items.items():
        place = slice(len(names), len(names) + len(own))
        sets[name] = {"items": len(own), "too_short": int(too_short[place].sum())}
        names += [f"{name}/{number}" for number in range(len(own))]
    described = {"sets": sets, "names": names, "sizes": size.tolist()}
    store.write_json(CONTAMINATION_ITEMS, described, key)
    table = pyarrow.table({"hash": hashes, "item": item.astype(np.int32)})
    store.write_table(CONTAMINATION_INDEX, table, key)


def _search_strings(
    examples: Sequence[tuple[str, ...]], min_chars: int
) -> tuple[list[str], np.ndarray]:
    """The strings to search for, and the item of each, int64 [t].

    An item contributes each of its texts, or all of them joined if every one is shorter than
    `min_chars` letters.
    """
    texts = [text for example in examples for text in example]
    item = np.repeat(np.arange(len(examples)), list(map(len, examples)))
    is_long = np.bincount(item, _Letters(texts).counts >= min_chars, minlength=len(examples)) > 0
    chosen = [example if long else (" ".join(example),) for example, long in zip(examples, is_long)]
    texts = [" ".join(text.split()) for example in chosen for text in example]
    return texts, np.repeat(np.arange(len(examples)), list(map(len, chosen)))


def _index_columns(
    letters: _Letters, item_of_text: np.ndarray, is_short: np.ndarray, ngram: int
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct (hash, item) of the index, sorted: uint64 [g] and int64 [g]."""
    grams, gram_text = letters.ngrams(ngram)
    wholes, whole_text = letters.wholes(1, ngram - 1)
    # A text that is shorter than an n-gram counts only if its item has no longer text.
    has_grams = np.isin(item_of_text, item_of_text[gram_text])
    is_alone = np.bincount(item_of_text)[item_of_text] == 1
    counts = ~(has_grams | (is_short & ~is_alone))
    wholes, whole_text = wholes[counts[whole_text]], whole_text[counts[whole_text]]
    hashes = np.concatenate([grams, wholes])
    item = item_of_text[np.concatenate([gram_text, whole_text])]
    order = np.lexsort((item, hashes))
    hashes, item = hashes[order], item[order]
    is_first = np.append(True, (np.diff(hashes) != 0) | (np.diff(item) != 0))[: len(item)]
    return hashes[is_first], item[is_first]


@dataclasses.dataclass(frozen=True)
class Index:
    """The n-grams of the evaluation items.

    Attributes:
      hash: uint64 [g], sorted.
      item: the index in `names` of the item of each, int32 [g].
      size: distinct hashes of each item, int64 [i].
      names: of the items, SET/NUMBER: the place of the item in its evaluation set, from 0.
      sieve: bool [2^26], whether a hash with these uppermost bits exists.
    """

    hash: np.ndarray
    item: np.ndarray
    size: np.ndarray
    names: list[str]
    sieve: np.ndarray

    @classmethod
    def read(cls, store: Store) -> "Index":
        """Reads the index that `write_index` wrote.

        Args:
          store: the folder of the corpus.
        Raises:
          DataError: the table of the index is missing or damaged.
        """
        table, items = store.read_table(CONTAMINATION_INDEX), store.read_json(CONTAMINATION_ITEMS)
        hashes = table["hash"].to_numpy()
        sieve = np.zeros(1 << _SIEVE_BITS, bool)
        sieve[hashes >> np.uint64(64 - _SIEVE_BITS)] = True
        sizes = np.array(items["sizes"])
        return cls(hashes, table["item"].to_numpy(), sizes, items["names"], sieve)

    def search(
        self, texts: list[str], settings: ContaminationSettings
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Finds the items that texts hold.

        Args:
          texts: the texts to search.
          settings: the same that the index was written with.
        Returns:
          (text, item, coverage), [n] each, of every item of which a text holds at least
          `settings.coverage`, by text and item: index of the text, int64; index of the item, int64;
          the share of the item's n-grams that the text holds, float64.
        """
        letters = _Letters(texts)
        n, shortest = settings.ngram, settings.min_chars
        hashes, text = concatenate(
            [letters.ngrams(n), letters.phrases(shortest, n - 1), letters.wholes(1, shortest - 1)],
            NO_HASHES,
            NO_IDS,
        )
        maybe = np.flatnonzero(self.sieve[hashes >> np.uint64(64 - _SIEVE_BITS)])
        first = np.searchsorted(self.hash, hashes[maybe])
        is_match = self.hash[np.minimum(first, len(self.hash) - 1)] == hashes[maybe]
        first, hashes, text = first[is_match], hashes[maybe][is_match], text[maybe][is_match]
        times = np.searchsorted(self.hash, hashes, "right") - first
        begins = np.concatenate([[0], np.cumsum(times)[:-1]])
        at = np.repeat(first - begins, times) + np.arange(times.sum())
        # Each n-gram of an item counts once.
        matches = np.unique(np.stack([np.repeat(text, times), self.item[at], at], 1), axis=0)
        pair, count = np.unique(matches[:, :2], axis=0, return_counts=True)
        coverage = count / self.size[pair[:, 1]]
        is_enough = coverage >= settings.coverage
        return pair[is_enough, 0], pair[is_enough, 1], coverage[is_enough]


def find_items(shard: Shard, store: Store, settings: ContaminationSettings, key: str) -> None:
    """Writes the verdicts on a shard, a row for each document: `rule`, `value`, `items`, see the
    head of this module.

    Args:
      shard: the documents; the verdicts of the stages before are already written, and documents
        that one of them removed are not searched: their row has null, 0 and no items.
      store: the folder of the corpus; holds the index.
      settings: the same that the index was written with.
      key: hash of the settings and inputs of the result; a file that has it is not written again.
    Raises:
      DataError: the documents or the index cannot be read.
    """
    if store.is_done(shard.file(VERDICTS, stage="contamination"), key):
        return
    index, rows, done = Index.read(store), removals(shard, store, before="contamination").kept, 0
    n = store.n_rows(shard.file(DOCUMENTS))
    value, items = np.zeros(n, np.float32), [[] for _ in range(n)]
    for batch in batches(read_remaining_texts(shard, store, rows)):
        for text, item, coverage in zip(*index.search(list(batch.texts), settings)):
            row = rows[done + text]
            value[row] = max(value[row], coverage)
            items[row].append(index.names[item])
        done += len(batch)
    rule = np.where(value > 0, "contaminated", None)
    columns = {
        "rule": pyarrow.array(rule, pyarrow.string()),
        "value": value,
        "items": pyarrow.array(items, pyarrow.list_(pyarrow.string())),
    }
    store.write_table(shard.file(VERDICTS, stage="contamination"), pyarrow.table(columns), key)


def write_report(shards: Sequence[Shard], store: Store, key: str) -> dict:
    """Writes the report of the evaluation items that were found, last of the stage.

    Args:
      shards: all shards of the corpus, with their verdicts of this stage.
      store: the folder of the corpus.
      key: hash of all that the result depends on, which the file then has.
    Returns:
      set -> the number of its `items`, those `too_short` to be searched for within a document,
      those `found` in a document, and the `documents` that hold one and were removed.
    """
    sets = store.read_json(CONTAMINATION_ITEMS)["sets"]
    report = {name: {**counts, "found": 0, "documents": 0} for name, counts in sets.items()}
    seen: set[str] = set()
    for shard in shards:
        table = read_verdict(store, shard, "contamination", ["items"])
        for names in table["items"].to_pylist():
            seen.update(names)
            for name in {name.split("/")[0] for name in names}:
                report[name]["documents"] += 1
    for name in seen:
        report[name.split("/")[0]]["found"] += 1
    store.write_json(CONTAMINATION_REPORT, {"sets": report}, key)
    return report
