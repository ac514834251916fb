"""Values of lines, and the bounds that decide which lines are kept."""

import dataclasses
import functools
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hclx.corpus.contamination_index import Index, item_of, write_index
from hclx.corpus.minhash import shingle_hashes
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store, key_of
from hclx.corpus.taggers.text_stats import script
from hclx.corpus.text_batch import TextBatch
from hclx.errors import check_ranges
from hclx.text.pii import find_pii

SHINGLE = 3  # characters without spaces: lines are short, and a document of the corpus has 10
_UNSEEN = ("Cc", "Cn", "Co", "Cs", "Zl", "Zp")  # categories of characters that no line should have
_REPLACED = "\ufffd"  # in place of bytes that are no text


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The lines that are kept.

    Attributes:
      min_chars, max_chars: of a text.
      language: ISO 639-1, as the corpus' tagger tells it; "": any. Texts of fewer than 20 letters,
        none of them Korean or Japanese, are in no language.
      near: the least Jaccard similarity to a seed or an earlier line, of runs of 3 characters
        without spaces, at which a line is a near duplicate.
      min_agreement: the least probability that a second pass gives the label; 0: there is none.
    """

    min_chars: int = 2
    max_chars: int = 100
    language: str = "ko"
    near: float = 0.7
    min_agreement: float = 0.0

    def __post_init__(self):
        checks = {
            "min_chars": (self.min_chars >= 1, "1 or more"),
            "max_chars": (self.min_chars <= self.max_chars <= 2000, "min_chars up to 2,000"),
            "near": (0 < self.near <= 1, "a value above 0 and at most 1"),
            "min_agreement": (0 <= self.min_agreement <= 1, "a value from 0 to 1"),
        }
        check_ranges(self, checks)


class NearDuplicates:
    """Texts that a line is compared with: by all letters and digits, and by shared shingles. The
    shingles are those of the corpus' MinHash, but lines are so short that the similarity is
    computed, not estimated.
    """

    def __init__(self, texts: Sequence[str] = ()):
        """Takes the first texts."""
        self._sizes: list[int] = []
        self._members: dict[int, list[int]] = defaultdict(list)
        self._keys: set[str] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Adds a text."""
        shingles = _shingles(text)
        for shingle in shingles:
            self._members[shingle].append(len(self._sizes))
        self._sizes.append(len(shingles))
        self._keys.add(_letters(text))

    def has(self, text: str) -> bool:
        """Returns whether a text is there, whatever its case, spaces and punctuation."""
        return _letters(text) in self._keys

    def similarity(self, text: str) -> float:
        """Returns the highest Jaccard similarity to a text."""
        shingles = _shingles(text)
        shared = Counter(other for shingle in shingles for other in self._members.get(shingle, ()))
        union = lambda other, count: len(shingles) + self._sizes[other] - count
        return max((count / union(other, count) for other, count in shared.items()), default=0.0)


def _shingles(text: str) -> set[int]:
    hashes, _ = shingle_hashes(TextBatch.of([text.casefold()]), SHINGLE)
    return set(hashes.tolist())


def _letters(text: str) -> str:
    """Returns letters and digits alone; a text without any is itself."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, plain)) or text.strip()


class Overlap:
    """Finds items of evaluation sets in texts, as the corpus' decontamination does."""

    def __init__(self, items: Mapping[str, Sequence[str]], folder: Path):
        """Makes the index.

        Args:
          items: name of a set -> its texts.
          folder: for the index.
        """
        self._settings, store = ContaminationSettings(), Store(str(folder))
        self._names = list(items)
        numbered = {
            f"set{n}": [(text,) for text in texts] for n, texts in enumerate(items.values())
        }
        write_index(numbered, self._settings, store, key_of(numbered, self._settings))
        self._index = Index.read(store)

    def of(self, texts: Sequence[str]) -> list[str]:
        """Returns for each text the item that it holds the most of, such as "test.csv#17", counted
        from 0; "" if it holds none.
        """
        names, coverages = [""] * len(texts), [0.0] * len(texts)
        for text, item, coverage in zip(*self._index.search(list(texts), self._settings)):
            if coverage > coverages[text]:
                names[text], coverages[text] = item_of(self._index.names[item]), coverage
        return [self._place(name) if name else "" for name in names]

    def _place(self, name: str) -> str:
        number, _, item = name.removeprefix("set").partition("/")
        return f"{self._names[int(number)]}#{item}"


def measured(texts: Sequence[str], overlap: Overlap | None) -> list[dict[str, Any]]:
    """Returns the values of each text that do not depend on other lines: `characters`, `language`,
    `pii` (the kinds of personal data), `overlap` (an item of an evaluation set) and `unseen`
    (whether it has characters that cannot be seen).
    """
    shown = ["".join(filter(_is_seen, text)) for text in texts]
    languages = script(TextBatch.of(shown))["language"] if texts else []
    overlaps = overlap.of(shown) if overlap and texts else [""] * len(texts)
    return [
        {
            "characters": len(text),
            "unseen": len(plain) < len(text),
            "language": str(language),
            "pii": sorted({span.kind for span in find_pii(plain)}),
            "overlap": place,
        }
        for text, plain, language, place in zip(texts, shown, languages, overlaps, strict=True)
    ]


@functools.lru_cache(maxsize=4096)
def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN and character != _REPLACED


def first_reason(values: Mapping[str, Any], bounds: Bounds) -> str:
    """Returns why a line is not kept, by the values of `measured`; "" if nothing speaks against
    it.
    """
    if values["unseen"]:
        return "characters that cannot be seen"
    if values["characters"] < bounds.min_chars:
        return "too short"
    if values["characters"] > bounds.max_chars:
        return "too long"
    if bounds.language and values["language"] != bounds.language:
        return "another language"
    if values["pii"]:
        return "personal data"
    return "text of an evaluation set" if values["overlap"] else ""
