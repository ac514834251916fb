"""The index of evaluation items: which documents hold them, and where.

A document holds an item if it holds a large enough share of the item's character n-grams.
Characters are letters and digits alone, in lower case and NFKC, so that neither spacing nor
punctuation hides a copy. Korean items are short (a review has 30 characters), so n-grams are of
characters and not of words (Brown et al. 2020, appendix C, takes 13 words). An item whose texts are
all shorter than an n-gram is searched for from the beginning of a word to the end of one. An item
that is shorter still could be anybody's words, and is held only by a document that says nothing
else. Of an item of several texts each text that has an n-gram is an item of its own, too: a
hypothesis without its premise is still a copy.

  contamination/index.parquet   (hash, item) of every n-gram, or shorter text, of the items
  contamination/items.json      names and sizes of the items
"""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow

from hclx.corpus import characters
from hclx.corpus.layout import CONTAMINATION_INDEX, CONTAMINATION_ITEMS
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store
from hclx.corpus.text_batch import TextBatch
from hclx.errors import DataError
from hclx.hashing import RangeHash

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
# The least share of an item's n-grams at a place of a text, if no place has enough of them alone:
# fewer are words that the text repeats.
_LEAST_PART = 0.1
_JOINING = re.compile(r"[\u1161-\u1175\u11a8-\u11c2]")  # single vowels and finals of Hangul
# Characters between letters that would be one syllable without them: ㅇ ㅏ.
_APART = re.compile(
    r"(?<=[\u1100-\u1112])(?:[^\w\n]|_)+(?=[\u1161-\u1175])|(?<=[\u1161-\u1175가-힣])(?:[^\w\n]"
    r"|_)+(?=[\u11a8-\u11c2])"
)


def _normalise(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFC", _APART.sub("", text)) if _JOINING.search(text) else text


class Runs(NamedTuple):
    """Runs of letters in texts, [m] each.

    Attributes:
      hash: uint64.
      text: the index of the text, int64.
      start, end: of the run, in letters of all texts together, int64; the end is exclusive.
    """

    hash: np.ndarray
    text: np.ndarray
    start: np.ndarray
    end: np.ndarray


class _Letters:
    """Hashes of runs of the letters and digits of texts; a text without any has its marks instead.

    Attributes:
      counts: letters and digits of each text, int64 [t].
      offsets: the letters before each text, and those of all, int64 [t + 1]; marks count in a text
        without letters.
    """

    def __init__(self, texts: list[str]):
        batch = TextBatch.of([_normalise(text) for text in texts])
        keep = characters.is_one_of(batch.kinds, _LETTERS)
        self.counts = batch.count(keep)
        keep |= np.repeat(self.counts == 0, batch.n_chars) & (batch.kinds != characters.SPACE)
        words, kept = batch.split(~keep), np.flatnonzero(keep)
        self.offsets = np.searchsorted(kept, batch.offsets)
        ends = np.cumsum(words.lengths)
        self._words = ends - words.lengths, ends, words.documents
        self._hashes = RangeHash(batch.chars[kept])

    def ngrams(self, n: int) -> Runs:
        """Hashes every run of n letters within a text."""
        lengths = np.diff(self.offsets)
        return self._runs(
            np.arange(self.offsets[-1]), np.repeat(np.arange(len(lengths)), lengths), n
        )

    def phrases(self, shortest: int, longest: int) -> Iterator[Runs]:
        """Hashes every run of `shortest` to `longest` letters that consists of whole words, length
        by length.
        """
        starts, ends, text = self._words
        is_end = np.zeros(self.offsets[-1] + longest + 1, bool)
        is_end[ends] = True
        for n in range(shortest, longest + 1):
            fits = is_end[starts + n]
            yield self._runs(starts[fits], text[fits], n)

    def wholes(self, shortest: int, longest: int) -> Runs:
        """Hashes every text that has `shortest` to `longest` letters, as a whole."""
        starts, ends = self.offsets[:-1], self.offsets[1:]
        chosen = np.flatnonzero((ends - starts >= shortest) & (ends - starts <= longest))
        starts, ends = starts[chosen], ends[chosen]
        return Runs(self._hashes.of(starts, ends), chosen, starts, ends)

    def searched(self, settings: ContaminationSettings) -> Iterator[Runs]:
        """Hashes all that an item could be: n-grams, shorter runs of whole words, and the whole of
        a text that is shorter still.
        """
        yield self.ngrams(settings.ngram)
        yield from self.phrases(settings.min_chars, settings.ngram - 1)
        yield self.wholes(1, settings.min_chars - 1)

    def _runs(self, starts: np.ndarray, text: np.ndarray, n: int) -> Runs:
        inside = starts + n <= self.offsets[1:][text]
        starts, text = starts[inside], text[inside]
        ends = starts + n
        return Runs(self._hashes.of(starts, ends), text, starts, ends)


def count_letters(texts: list[str]) -> np.ndarray:
    """Counts the letters and digits of texts as they are compared, int64 [t]."""
    return _Letters(texts).counts


def with_single_texts(
    items: dict[str, list[tuple[str, ...]]], ngram: int
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Returns the names and the texts of all items; and behind them, of items with several texts of
    `ngram` letters or more, each of these, SET/NUMBER#PLACE, as it may have been copied alone.

    Args:
      items: evaluation set -> texts of each example.
      ngram: letters of an n-gram.
    """
    names = [f"{name}/{number}" for name, own in items.items() for number in range(len(own))]
    examples = [example for own in items.values() for example in own]
    n_letters = count_letters([text for example in examples for text in example])
    is_long, singles = iter(n_letters >= ngram), []
    for name, example in zip(names, examples):
        long = [(f"{name}#{i}", (text,)) for i, text in enumerate(example, 1) if next(is_long)]
        singles += long if len(long) > 1 else []  # one alone is what is looked for of the item
    return [*names, *(name for name, _ in singles)], [*examples, *(text for _, text in singles)]


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
    names, examples = with_single_texts(items, settings.ngram)
    texts, item_of_text = _search_strings(examples, settings.min_chars)
    letters = _Letters(texts)
    is_short = letters.counts < settings.min_chars
    hashes, item = _index_columns(letters, item_of_text, is_short, settings.ngram)
    size = np.bincount(item, minlength=len(examples))
    too_short = np.bincount(item_of_text, ~is_short, minlength=len(examples)) == 0
    sets, begin = {}, 0
    for name, own in items.items():
        place, begin = slice(begin, begin + len(own)), begin + len(own)
        sets[name] = {"items": len(own), "too_short": int(too_short[place].sum())}
    described = {"sets": sets, "names": names, "sizes": size.tolist()}
    store.write_json(CONTAMINATION_ITEMS, described, key)
    table = pyarrow.table({"hash": hashes, "item": item.astype(np.int32)})
    store.write_table(CONTAMINATION_INDEX, table, key)


def item_of(name: str) -> str:
    """Returns the name of an item, SET/NUMBER, by its own name or that of one of its texts."""
    return name.split("#")[0]


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
    grams, gram_text, *_ = letters.ngrams(ngram)
    wholes, whole_text, *_ = letters.wholes(1, ngram - 1)
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


class Place(NamedTuple):
    """A place where a text holds an item, or a part of it.

    Attributes:
      start, end: in letters of the text; the end is exclusive.
      is_copy: it holds letters enough to be a copy; fewer could be a stock phrase.
    """

    start: int
    end: int
    is_copy: bool


def read_items(store: Store) -> dict:
    """Reads items.json: `sets`, set -> its counts; `names` and `sizes` of all items.

    Args:
      store: the folder of the corpus.
    Raises:
      DataError: it is missing or damaged.
    """
    items = store.read_json(CONTAMINATION_ITEMS)
    if not items or not {"sets", "names", "sizes"} <= set(items):
        raise DataError(
            f"{store.path(CONTAMINATION_ITEMS)} is missing or damaged; build the corpus again"
        )
    return items


@dataclasses.dataclass(frozen=True)
class Index:
    """The n-grams of the evaluation items.

    Attributes:
      hash: uint64 [g], sorted.
      item: the index in `names` of the item of each, int32 [g].
      size: distinct hashes of each item, int64 [i].
      names: of the items, SET/NUMBER: the place of the item in its evaluation set, from 0; and of
        their single texts, SET/NUMBER#PLACE, from 1.
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
          DataError: a file of the index is missing or damaged.
        """
        table, items = store.read_table(CONTAMINATION_INDEX), read_items(store)
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
        runs, at = self._matches(_Letters(texts).searched(settings))
        # Each n-gram of an item counts once.
        matches = np.unique(np.stack([runs.text, self.item[at], at], 1), axis=0)
        pair, count = np.unique(matches[:, :2], axis=0, return_counts=True)
        coverage = count / self.size[pair[:, 1]]
        is_enough = coverage >= settings.coverage
        return pair[is_enough, 0], pair[is_enough, 1], coverage[is_enough]

    def locate(
        self,
        texts: list[str],
        text: np.ndarray,
        item: np.ndarray,
        settings: ContaminationSettings,
    ) -> tuple[list[list[Place]], np.ndarray]:
        """Finds the places where texts hold items: where n-grams of an item are close together,
        and enough of them that it is no accident.

        Args:
          texts: the texts.
          text, item: indices of a text and of an item that it holds, see `search`, int64 [n].
          settings: the same that the index was written with.
        Returns:
          The places of each pair, by position; and the number of letters of each text, int64.
        """
        letters = _Letters(texts)
        runs, at = self._matches(letters.searched(settings))
        pair = runs.text * len(self.names) + self.item[at]
        order = np.lexsort((at, runs.start, pair))
        pair, at = pair[order], at[order]
        starts, ends = (
            (place - letters.offsets[runs.text])[order] for place in (runs.start, runs.end)
        )
        pairs = text * len(self.names) + item
        edges = [np.searchsorted(pair, pairs, side).tolist() for side in ("left", "right")]
        places = [
            _places(starts[first:last], ends[first:last], at[first:last], self.size[i], settings)
            for i, first, last in zip(item, *edges)
        ]
        return places, np.diff(letters.offsets)

    def _matches(self, runs: Iterable[Runs]) -> tuple[Runs, np.ndarray]:
        """The runs that are in the index, a row for each item, and the rows of the index, int64
        [m]; in the order of the runs.
        """
        matches, rows = [], []
        for run in runs:
            maybe = np.flatnonzero(self.sieve[run.hash >> np.uint64(64 - _SIEVE_BITS)])
            hashes = run.hash[maybe]
            first = np.searchsorted(self.hash, hashes)
            times = np.searchsorted(self.hash, hashes, "right") - first
            begins = np.cumsum(times) - times
            rows.append(np.repeat(first - begins, times) + np.arange(times.sum()))
            matches.append(Runs(*(column[np.repeat(maybe, times)] for column in run)))
        return Runs(*map(np.concatenate, zip(*matches))), np.concatenate(rows)


def _places(
    starts: np.ndarray,
    ends: np.ndarray,
    at: np.ndarray,
    size: int,
    settings: ContaminationSettings,
) -> list[Place]:
    """The places of an item in a text: those that hold enough of it alone, or else its parts.

    Args:
      starts, ends: of the runs of letters that are also in the item, int64 [m], by start.
      at: which of the item's n-grams each is, int64 [m].
      size: how many distinct n-grams the item has.
    """
    gap = starts[1:] - np.maximum.accumulate(ends)[:-1]
    edges = [0, *(np.flatnonzero(gap > 2 * settings.ngram) + 1).tolist(), len(starts)]
    places, counts = [], []
    for first, last in zip(edges[:-1], edges[1:]):
        grams, index = np.unique(at[first:last], return_index=True)
        n_letters = int((ends - starts)[first:last][index].sum())
        end = int(ends[first:last].max(initial=0))
        places.append(Place(int(starts[first]), end, n_letters >= settings.ngram))
        counts.append(len(grams))
    is_whole = max(counts) >= settings.coverage * size
    least = (settings.coverage if is_whole else _LEAST_PART) * size
    return [place for place, count in zip(places, counts) if count >= least]
