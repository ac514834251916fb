"""Evaluation items in documents: what hclx.corpus.decontamination flags in real text, which copies it
finds, what it takes for one.

    python tests/benchmarks/contamination.py

HCLX_DATA_DIR names the data: corpus/ and the sets of tasks/evaluation.py. Three questions:

1. Real documents, by hash: which are flagged? Each is judged again by difflib, which knows neither
  n-grams nor hashes: does the document hold 80% of the letters of one of the items that it was
  flagged for, those of each of its texts near one place and in order? The documents of which it
  says no are false alarms. What was missed in them is not known, hence:
2. Items planted as documents of their own, and between lines of documents that were not flagged:
  how many are found? Items are told apart by what they are looked for as: runs of 13 letters, whole
  words of 8 letters and more, or a whole document.
3. What cannot be a copy, although it has the letters of one: the items with their words in another
  order, and backwards.
"""

import functools
import gzip
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from absl import app, flags

from hclx.corpus.decontamination import Index, write_index
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store
from hclx.tasks.evaluation import SETS, evaluation_items

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.corpus.test_decontamination import held, letters  # noqa: E402

DATA = flags.DEFINE_string(
    "data_dir", None, "Folder that holds corpus/ and tasks/; default: HCLX_DATA_DIR."
)
SOURCES = flags.DEFINE_list(
    "sources", ["kowiki", "law", "reviews", "comments"], "Folders of corpus/."
)
DOCUMENTS = flags.DEFINE_integer(
    "documents", 20_000, "Of all sources together, as many of each as there are."
)
ITEMS = flags.DEFINE_integer("items", 1_000, "Planted, at most, of each set in each way; 0: all.")
MIN_CHARS = flags.DEFINE_integer(
    "min_chars", ContaminationSettings.min_chars, "The setting of that name."
)
SHOWN = flags.DEFINE_integer("shown", 5, "False alarms that are printed.")

ENOUGH = 0.8  # of an item's letters
Item = tuple[str, ...]


def main(_):
    begin = time.perf_counter()
    items = evaluation_items((), str(data()))
    sample = {source: documents(source) for source in SOURCES.value}
    sample = even(sample, DOCUMENTS.value)
    with tempfile.TemporaryDirectory() as folder:
        write_index(items, settings(), Store(folder), "")
        with multiprocessing.get_context("fork").Pool(
            initializer=start, initargs=(folder, items)
        ) as pool:
            clean = alarms(pool, sample, items)
            hosts = lines_of(clean)
            print(
                "\nCopies that were planted and found, in percent of the items of a set that were"
                f" ({ITEMS.value or 'all'} at most).\n"
            )
            print(planted(pool, items, hosts, WAYS))
            print("\nWhat is no copy, and was taken for one, in percent.\n")
            print(planted(pool, items, hosts, CONTROLS, sets=False))
    print(f"\n{time.perf_counter() - begin:.0f} s")


@functools.cache
def settings() -> ContaminationSettings:
    return ContaminationSettings(min_chars=MIN_CHARS.value)


@functools.cache
def classes() -> dict[str, int]:
    """What items are looked for as, and the letters of the shortest that is."""
    n, least = settings().ngram, settings().min_chars
    return {f"{n} letters and more": n, f"{least} to {n - 1}": least, "shorter": 0}


def data(*parts: str) -> Path:
    return Path(DATA.value or os.environ["HCLX_DATA_DIR"], *parts)


def place(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def documents(source: str) -> list[str]:
    """The texts of a source, by a hash of their ids."""
    found = []
    for path in sorted(data("corpus", source).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            found += [
                (place(f"{source}/{row['id']}"), row["text"]) for row in map(json.loads, file)
            ]
    return [text for _, text in sorted(found)]


def even(sample: dict[str, list[str]], n: int) -> dict[str, list[str]]:
    """The first documents of each source: n in all, divided evenly as far as there are so many."""
    taken, left = {}, n
    for i, (source, texts) in enumerate(sorted(sample.items(), key=lambda one: len(one[1]))):
        taken[source] = texts[: left // (len(sample) - i)]
        left -= len(taken[source])
    return {source: taken[source] for source in sample}


# Searching, in several processes.

_index, _items = None, {}


def start(folder: str, items: dict[str, list[Item]]) -> None:
    global _index
    _index = Index.read(Store(folder))
    _items.update(
        {
            f"{name}/{number}": item
            for name, examples in items.items()
            for number, item in enumerate(examples)
        }
    )


def search(texts: Sequence[str]) -> list[list[str]]:
    """The names of the items that each text is flagged for."""
    found: list[list[str]] = [[] for _ in texts]
    for text, item, _ in zip(*_index.search(list(texts), settings())):
        found[text].append(_index.names[item])
    return found


def judged(texts: Sequence[str]) -> list[dict[str, float]]:
    """Item -> the share of its letters that the text holds, for the items that it is flagged
    for.
    """
    return [
        {name: held(_items[name], text) for name in names}
        for text, names in zip(texts, search(texts))
    ]


def batches(texts: Sequence[str], size: int = 1 << 20) -> Iterator[list[str]]:
    batch, length = [], 0
    for text in texts:
        batch, length = [*batch, text], length + len(text)
        if length >= size:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def everywhere(pool, run: Callable, texts: Sequence[str]) -> list:
    return [one for results in pool.imap(run, batches(texts)) for one in results]


# What is flagged in real text.


def alarms(pool, sample: dict[str, list[str]], items: dict[str, list[Item]]) -> list[str]:
    """Prints what is flagged and what of it is true; gives the documents that were not flagged."""
    rows, clean, wrong, totals, groups = (
        [],
        [],
        [],
        Counter(),
        {name: Counter() for name in (*classes(), *SETS)},
    )
    kinds = {
        f"{name}/{number}": class_of(item)
        for name, examples in items.items()
        for number, item in enumerate(examples)
    }
    for source, texts in sample.items():
        count = Counter(
            documents=len(texts), megabytes=sum(len(text.encode()) for text in texts) / 1e6
        )
        for text, found in zip(texts, everywhere(pool, judged, texts), strict=True):
            true = {name for name, share in found.items() if share >= ENOUGH}
            count.update(
                flagged=bool(found), true=bool(true), pairs=len(found), true_pairs=len(true)
            )
            for group, count_of_group in groups.items():
                own = {one for one in found if group in (kinds[one], one.split("/")[0])}
                count_of_group.update(
                    flagged=bool(own),
                    true=bool(own & true),
                    pairs=len(own),
                    true_pairs=len(own & true),
                )
            if found and not true:
                wrong.append((source, max(found.items(), key=lambda one: one[1]), text))
            clean += [] if found else [text]
        rows.append(alarm_row(source, count))
        totals += count
    print(
        "Real documents, as they are. A pair: a document and an item that it was flagged for. True:"
        " by difflib.\n"
    )
    head = [
        "source",
        "documents",
        "MB",
        "flagged",
        "of these true",
        "false alarms a document",
        "pairs",
        "of these true",
    ]
    print(table(head, [*rows, alarm_row("all", totals)]))
    print()
    hit = {name: count for name, count in groups.items() if count["flagged"]}
    numbers = [
        [name, *(f"{count[key]:,}" for key in ("flagged", "true", "pairs", "true_pairs"))]
        for name, count in hit.items()
    ]
    print(table(["items", "documents flagged", "of these true", "pairs", "of these true"], numbers))
    for source, (name, share), text in wrong[: SHOWN.value]:
        known = evaluation_items((name.split("/")[0],), str(data()))[name.split("/")[0]][
            int(name.split("/")[1])
        ]
        print(
            f"\nfalse alarm: {source}, {name}, {100 * share:.0f}% of the letters of {known}\n  in"
            f" {text[:300]!r}"
        )
    return clean


def alarm_row(name: str, count: Counter) -> list[str]:
    rate = f"{100 * (count['flagged'] - count['true']) / count['documents']:.3f}%"
    numbers = [f"{count[key]:,}" for key in ("flagged", "true")]
    return [
        name,
        f"{count['documents']:,}",
        f"{count['megabytes']:.0f}",
        *numbers,
        rate,
        *(f"{count[key]:,}" for key in ("pairs", "true_pairs")),
    ]


# Copies that are planted, and what looks like one.

Way = Callable[[Item, Sequence[str], random.Random], str | None]


def lines_of(texts: Sequence[str]) -> list[str]:
    """Lines of documents, to plant copies between."""
    return [line for text in texts for line in text.split("\n")[:20] if 30 <= len(line) <= 200]


def among(copy: str, hosts: Sequence[str]) -> str:
    return "\n".join([*hosts[:2], copy, *hosts[2:]])


def alone(item: Item, hosts, rng) -> str:
    return "\n".join(item)


def as_it_is(item: Item, hosts, rng) -> str:
    return among("\n".join(item), hosts)


def respaced(item: Item, hosts, rng) -> str:
    """Other places to be spaces: none of its own, a fifth of the letters with one behind them."""
    return among(
        "\n".join(
            "".join(c + " " * (rng.random() < 0.2) for c in part if not c.isspace()).strip()
            for part in item
        ),
        hosts,
    )


def repunctuated(item: Item, hosts, rng) -> str:
    """No mark of its own, others behind a quarter of the words, and capitals for small letters of
    ASCII, and the other way round.
    """
    bare = [
        "".join((c.swapcase() if c.isascii() else c) if letters(c) else " " for c in part)
        for part in item
    ]
    words = [
        [word + rng.choice(",.!?…)”") * (rng.random() < 0.25) for word in part.split()]
        for part in bare
    ]
    return among("\n".join("“" + " ".join(part) + "”" for part in words), hosts)


def other_forms(item: Item, hosts, rng) -> str:
    """Full-width letters and marks, and Hangul in parts (NFD)."""
    wide = lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c
    return among(
        "\n".join(unicodedata.normalize("NFD", "".join(map(wide, part))) for part in item), hosts
    )


def in_a_paragraph(item: Item, hosts, rng) -> str:
    return " ".join([*hosts[:3], *item, *hosts[3:]])


def in_a_list(item: Item, hosts, rng) -> str:
    lines = [hosts[0], " / ".join(item), *hosts[1:]]
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 7))


def cut_short(item: Item, hosts, rng) -> str:
    """Without its last tenth."""
    whole = "\n".join(item)
    places = [i for i, c in enumerate(whole) if c.isalnum()]
    cut = round(len(places) / 10)
    return among(whole[: places[-cut]] if cut else whole, hosts)


def shuffled(item: Item, hosts, rng) -> str | None:
    """Its words in another order, where there is one that leaves no two of them side by side."""
    parts = [part.split() for part in item]
    # 1 3 5 0 2 4: no word stands behind its own predecessor
    mixed = [part[1::2] + part[::2] for part in parts]
    return (
        among("\n".join(map(" ".join, mixed)), hosts)
        if all(len(part) > 4 for part in parts)
        else None
    )


def backwards(item: Item, hosts, rng) -> str:
    return among("\n".join(part[::-1] for part in item), hosts)


WAYS: dict[str, Way] = {
    "a document": alone,
    "lines": as_it_is,
    "other spaces": respaced,
    "other marks, case": repunctuated,
    "full-width, NFD": other_forms,
    "in a paragraph": in_a_paragraph,
    "in a line of a list": in_a_list,
    "last tenth cut": cut_short,
}
CONTROLS: dict[str, Way] = {"words in another order": shuffled, "backwards": backwards}


def planted(
    pool,
    items: dict[str, list[Item]],
    hosts: Sequence[str],
    ways: dict[str, Way],
    sets: bool = True,
) -> str:
    """A Markdown table: a line a set and class of items, a column a way; without `sets` only those
    sets of which any was found.
    """
    rng, texts, labels = random.Random(0), [], []
    for set_name, examples in items.items():
        numbers = sorted(range(len(examples)), key=lambda i: place(f"{set_name}/{i}"))[
            : ITEMS.value or None
        ]
        for number in numbers:
            for way, plant in ways.items():
                text = plant(examples[number], rng.sample(hosts, 5), rng)
                if text is not None:
                    texts.append(text)
                    labels.append(
                        (class_of(examples[number]), set_name, f"{set_name}/{number}", way)
                    )
    n, found = Counter(), Counter()
    for (kind, set_name, name, way), names in zip(
        labels, everywhere(pool, search, texts), strict=True
    ):
        for line in ((kind, set_name), (kind, "all")):
            n[line, way] += 1
            found[line, way] += name in names
    rows = []
    for kind in classes():
        for set_name in (*items, "all"):
            line = kind, set_name
            most, any_found = (
                max(n[line, way] for way in ways),
                any(found[line, way] for way in ways),
            )
            if most and (sets or any_found or set_name == "all"):
                cells = [percent(found[line, way], n[line, way]) for way in ways]
                rows.append(
                    [
                        f"**{kind}: all sets**" if set_name == "all" else set_name,
                        f"{most:,}",
                        *cells,
                    ]
                )
    return table(["set", "items", *ways], rows)


def percent(part: int, whole: int) -> str:
    """100 and 0 are said of all and of none alone."""
    return (
        "-"
        if not whole
        else f"{100 * part // whole}"
        if part in (0, whole)
        else f"{100 * part / whole:.3f}"
    )


def class_of(item: Item) -> str:
    longest = max(len(letters(part)) for part in item)
    # of its texts, or of them as one
    length = longest if longest >= settings().min_chars else len(letters(" ".join(item)))
    return next(name for name, least in classes().items() if length >= least)


def table(head: list[str], rows: list[list[str]]) -> str:
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    app.run(main)
