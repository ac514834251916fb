"""Measures the false positives and the recall of hclx.corpus.decontamination on evaluation items in
real documents.

    python tests/benchmarks/contamination.py

HCLX_DATA_DIR names the data: corpus/ and the sets of tasks/evaluation.py. The script answers three
questions:

1. Which real documents are flagged? Documents are drawn by a hash. difflib, which uses neither
   n-grams nor hashes, judges each flagged one again: does it hold 80% of the letters of an item
   that it was flagged for, with the letters of each of the item's texts near one place and in
   order? If not, it is a false positive. What was missed is not known, hence the next question.
2. How many planted items are found? Items are planted as documents of their own, and between lines
   of documents that were not flagged. They are grouped by how they are searched for: as runs of 13
   letters, as whole words of 8 letters and more, or as a whole document.
3. Is anything found that cannot be a copy, although it has the letters of one? These are the items
   with their words in another order, and backwards.
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

from hclx.corpus.contamination_index import Index, with_single_texts, write_index
from hclx.corpus.settings import ContaminationSettings
from hclx.corpus.store import Store
from hclx.tasks.evaluation import SETS, evaluation_items

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.helpers.held_out import held, letters  # noqa: E402

DATA = flags.DEFINE_string(
    "data_dir", None, "Folder that holds corpus/ and tasks/; default: HCLX_DATA_DIR."
)
SOURCES = flags.DEFINE_list(
    "sources", ["kowiki", "law", "reviews", "comments"], "Folders of corpus/ to read."
)
DOCUMENTS = flags.DEFINE_integer(
    "documents", 20_000, "Documents of all sources together, divided evenly as far as possible."
)
ITEMS = flags.DEFINE_integer(
    "items", 1_000, "Most items of a set that are planted in each way; 0: all."
)
MIN_CHARS = flags.DEFINE_integer(
    "min_chars", ContaminationSettings.min_chars, "The corpus setting contamination.min_chars."
)
SHOWN = flags.DEFINE_integer("shown", 5, "Number of false positives that are printed.")

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
            print("\nTexts that are no copies, but were found as such, in percent.\n")
            print(planted(pool, items, hosts, CONTROLS, sets=False))
    print(f"\n{time.perf_counter() - begin:.0f} s")


@functools.cache
def settings() -> ContaminationSettings:
    """Settings of the search."""
    return ContaminationSettings(min_chars=MIN_CHARS.value)


@functools.cache
def classes() -> dict[str, int]:
    """Maps the groups of items, by how they are searched for, to the letters of the shortest
    item.
    """
    n, least = settings().ngram, settings().min_chars
    return {f"{n} letters and more": n, f"{least} to {n - 1}": least, "shorter": 0}


def data(*parts: str) -> Path:
    """Path of a file or folder of the data."""
    return Path(DATA.value or os.environ["HCLX_DATA_DIR"], *parts)


def place(name: str) -> bytes:
    """Key that draws documents and items in an order that does not depend on their content."""
    return hashlib.sha256(name.encode()).digest()


def documents(source: str) -> list[str]:
    """Reads the texts of a source, sorted by a hash of their ids."""
    keyed = []
    for path in sorted(data("corpus", source).glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            keyed += [
                (place(f"{source}/{row['id']}"), row["text"]) for row in map(json.loads, file)
            ]
    return [text for _, text in sorted(keyed)]


def even(sample: dict[str, list[str]], n: int) -> dict[str, list[str]]:
    """Takes n documents in all, the first of each source, divided evenly as far as possible."""
    taken, remaining = {}, n
    for i, (source, texts) in enumerate(sorted(sample.items(), key=lambda item: len(item[1]))):
        taken[source] = texts[: remaining // (len(sample) - i)]
        remaining -= len(taken[source])
    return {source: taken[source] for source in sample}


# The search, which runs in several processes.

_index, _items = None, {}


def start(folder: str, items: dict[str, list[Item]]) -> None:
    """Initialises a process: opens the index, and names each item and each of its texts."""
    global _index
    _index = Index.read(Store(folder))
    _items.update(zip(*with_single_texts(items, settings().ngram)))


def search(texts: Sequence[str]) -> list[list[str]]:
    """Names of the items that each text is flagged for."""
    names: list[list[str]] = [[] for _ in texts]
    for text, item, _ in zip(*_index.search(list(texts), settings())):
        names[text].append(_index.names[item])
    return names


def judged(texts: Sequence[str]) -> list[dict[str, float]]:
    """Maps, for each text, the items that it is flagged for to the share of their letters that it
    holds, by difflib.
    """
    return [
        {name: held(_items[name], text) for name in names}
        for text, names in zip(texts, search(texts))
    ]


def batches(texts: Sequence[str], size: int = 1 << 20) -> Iterator[list[str]]:
    """Yields texts in lists of at least `size` characters, but for the last one."""
    batch, length = [], 0
    for text in texts:
        batch, length = [*batch, text], length + len(text)
        if length >= size:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def everywhere(pool, run: Callable, texts: Sequence[str]) -> list:
    """Results of `run` for all texts, in their order, from all processes."""
    return [result for results in pool.imap(run, batches(texts)) for result in results]


# Real documents.


def alarms(pool, sample: dict[str, list[str]], items: dict[str, list[Item]]) -> list[str]:
    """Prints how many documents are flagged, and how many of these rightly; returns those that are
    not flagged.
    """
    rows, clean, wrong, totals, groups = (
        [],
        [],
        [],
        Counter(),
        {name: Counter() for name in (*classes(), *SETS)},
    )
    named = dict(zip(*with_single_texts(items, settings().ngram)))
    kinds = {name: class_of(item) for name, item in named.items()}
    for source, texts in sample.items():
        count = Counter(
            documents=len(texts), megabytes=sum(len(text.encode()) for text in texts) / 1e6
        )
        for text, shares in zip(texts, everywhere(pool, judged, texts), strict=True):
            true = {name for name, share in shares.items() if share >= ENOUGH}
            count.update(
                flagged=bool(shares), true=bool(true), pairs=len(shares), true_pairs=len(true)
            )
            for group, count_of_group in groups.items():
                own = {name for name in shares if group in (kinds[name], name.split("/")[0])}
                count_of_group.update(
                    flagged=bool(own),
                    true=bool(own & true),
                    pairs=len(own),
                    true_pairs=len(own & true),
                )
            if shares and not true:
                wrong.append((source, max(shares.items(), key=lambda item: item[1]), text))
            clean += [] if shares else [text]
        rows.append(alarm_row(source, count))
        totals += count
    print(
        "Real documents. A pair is a document and an item that it was flagged for; it is true if"
        " difflib agrees.\n"
    )
    head = [
        "source",
        "documents",
        "MB",
        "flagged",
        "of these true",
        "false positives a document",
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
        print(
            f"\nfalse positive: {source}, {name}, {100 * share:.0f}% of the letters of"
            f" {named[name]}\n  in {text[:300]!r}"
        )
    return clean


def alarm_row(name: str, count: Counter) -> list[str]:
    """Cells of a source in the table of real documents."""
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


# Planted copies, and texts that only look like copies.

Way = Callable[[Item, Sequence[str], random.Random], str | None]


def lines_of(texts: Sequence[str]) -> list[str]:
    """Lines of documents between which copies are planted."""
    return [line for text in texts for line in text.split("\n")[:20] if 30 <= len(line) <= 200]


def among(copy: str, hosts: Sequence[str]) -> str:
    """Puts a copy between lines."""
    return "\n".join([*hosts[:2], copy, *hosts[2:]])


def alone(item: Item, hosts, rng) -> str:
    """Makes the item a document of its own."""
    return "\n".join(item)


def as_it_is(item: Item, hosts, rng) -> str:
    """Puts the unchanged item between lines."""
    return among("\n".join(item), hosts)


def respaced(item: Item, hosts, rng) -> str:
    """Removes all spaces, and puts one behind a fifth of the letters."""
    return among(
        "\n".join(
            "".join(c + " " * (rng.random() < 0.2) for c in part if not c.isspace()).strip()
            for part in item
        ),
        hosts,
    )


def repunctuated(item: Item, hosts, rng) -> str:
    """Removes all marks, puts others behind a quarter of the words, and swaps the case of ASCII
    letters.
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
    """Writes ASCII letters and marks full-width, and Hangul decomposed (NFD)."""
    wide = lambda c: chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c
    return among(
        "\n".join(unicodedata.normalize("NFD", "".join(map(wide, part))) for part in item), hosts
    )


def in_a_paragraph(item: Item, hosts, rng) -> str:
    """Puts the item inside one paragraph."""
    return " ".join([*hosts[:3], *item, *hosts[3:]])


def in_a_list(item: Item, hosts, rng) -> str:
    """Makes the item a line of a numbered list."""
    lines = [hosts[0], " / ".join(item), *hosts[1:]]
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 7))


def truncated(item: Item, hosts, rng) -> str:
    """Removes the last tenth of the letters."""
    whole = "\n".join(item)
    places = [i for i, c in enumerate(whole) if c.isalnum()]
    removed = round(len(places) / 10)
    return among(whole[: places[-removed]] if removed else whole, hosts)


def shuffled(item: Item, hosts, rng) -> str | None:
    """Puts the words in another order, in which no two neighbours stay neighbours; None if the item
    has too few words.
    """
    parts = [part.split() for part in item]
    # 1 3 5 0 2 4: no word follows its own predecessor
    mixed = [part[1::2] + part[::2] for part in parts]
    return (
        among("\n".join(map(" ".join, mixed)), hosts)
        if all(len(part) > 4 for part in parts)
        else None
    )


def backwards(item: Item, hosts, rng) -> str:
    """Reverses each text of the item."""
    return among("\n".join(part[::-1] for part in item), hosts)


WAYS: dict[str, Way] = {
    "a document": alone,
    "lines": as_it_is,
    "other spaces": respaced,
    "other marks, case": repunctuated,
    "full-width, NFD": other_forms,
    "in a paragraph": in_a_paragraph,
    "in a line of a list": in_a_list,
    "last tenth removed": truncated,
}
CONTROLS: dict[str, Way] = {"words in another order": shuffled, "backwards": backwards}


def planted(
    pool,
    items: dict[str, list[Item]],
    hosts: Sequence[str],
    ways: dict[str, Way],
    sets: bool = True,
) -> str:
    """Markdown table of the share of planted items that are found, with a line for each set and
    class of items and a column for each way; without `sets`, only sets of which any was found.
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
    n, hits = Counter(), Counter()
    for (kind, set_name, name, way), names in zip(
        labels, everywhere(pool, search, texts), strict=True
    ):
        for line in ((kind, set_name), (kind, "all")):
            n[line, way] += 1
            hits[line, way] += name in names
    rows = []
    for kind in classes():
        for set_name in (*items, "all"):
            line = kind, set_name
            most, any_hit = (
                max(n[line, way] for way in ways),
                any(hits[line, way] for way in ways),
            )
            if most and (sets or any_hit or set_name == "all"):
                cells = [percent(hits[line, way], n[line, way]) for way in ways]
                rows.append(
                    [
                        f"**{kind}: all sets**" if set_name == "all" else set_name,
                        f"{most:,}",
                        *cells,
                    ]
                )
    return table(["set", "items", *ways], rows)


def percent(part: int, whole: int) -> str:
    """Share in percent; 100 and 0 have no decimals, and mean all and none."""
    return (
        "-"
        if not whole
        else f"{100 * part // whole}"
        if part in (0, whole)
        else f"{100 * part / whole:.3f}"
    )


def class_of(item: Item) -> str:
    """Group of an item: see `classes`."""
    longest = max(len(letters(part)) for part in item)
    # Short texts are searched for joined.
    length = longest if longest >= settings().min_chars else len(letters(" ".join(item)))
    return next(name for name, least in classes().items() if length >= least)


def table(head: list[str], rows: list[list[str]]) -> str:
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    app.run(main)
