"""Compares the speed and the verdicts of hclx.corpus and datatrove: the same filters on the same
Korean documents.

    python -m venv runs/peers && runs/peers/bin/pip install datatrove==0.10.1 regex spacy absl-py
    python tests/benchmarks/corpus_filters.py --peer_python=runs/peers/bin/python

HCLX_DATA_DIR names the data. Each contender is a process with one thread, and they take turns; the
first round does not count. Reading and decompressing are not timed. Bounds are those of Gopher (Rae
et al. 2021, table A1), which are datatrove's defaults:

    datatrove                                              hclx.corpus

    GopherQualityFilter:
      50 to 100,000 words                                  length.words
      3 to 10 characters in the mean word                  length.mean_word
      # and ellipses, a word: at most 0.1                  script.symbols: at most 0.25 of the
                                                           visible characters
      words with a letter: at least 0.8                    script.letters: at least 0.55 of the
                                                           visible characters
      lines that begin with a bullet: at most 0.9          punctuation.bullet
      lines that end in an ellipsis: at most 0.3           punctuation.ellipsis

    GopherRepetitionFilter:
      repeated lines, and their characters                 repetition.dup_lines, dup_line_chars
      repeated paragraphs, and their characters            repetition.dup_paragraphs,
                                                           dup_paragraph_chars
      the most frequent run of 2, 3, 4 words               repetition.top_2, top_3, top_4
      repeated runs of 5, 6, 7, 8, 9, 10 words             repetition.dup_5 to dup_10, 1.5 times
                                                           the bounds

Repeated runs have larger bounds because the same text has about 1.5 times the share here (medians
1.3 to 1.6 on Wikipedia and statutes): shares are of the visible characters and not of all
characters, and a run that overlaps the run before is counted too. datatrove's English stop words
are off. datatrove stops at the first filter that a document fails, quality before repetition, and
does not keep the values; hclx computes all of them.

datatrove's word tokenizer for Korean does not start with a current kiwipiepy (it needs a model that
is no longer shipped). It is measured with two others: `str.split`, which returns eojeol as hclx
does and is the fastest, and its own fallback, spaCy's rules for any language (which make a word of
each punctuation mark).
"""

import gzip
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from absl import app, flags

PEER = flags.DEFINE_string(
    "peer_python", None, "Interpreter of an environment with datatrove.", required=True
)
DATA = flags.DEFINE_string(
    "data_dir", None, "Folder that holds corpus/SOURCE/*.jsonl.gz; default: HCLX_DATA_DIR."
)
SOURCES = flags.DEFINE_list("sources", ["kowiki", "law", "comments"], "Folders of corpus/ to read.")
MEGABYTES = flags.DEFINE_float("megabytes", 10, "Megabytes of text that are read of each source.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Number of rounds that count.", lower_bound=1)
WORKER = flags.DEFINE_string("contender", "", "Internal: the contender that this process runs.")

BOUNDS = {  # of attributes of hclx.corpus: least, most
    "length.words": (50, 100_000),
    "length.mean_word": (3, 10),
    "script.symbols": (None, 0.25),
    "script.letters": (0.55, None),
    "punctuation.bullet": (None, 0.9),
    "punctuation.ellipsis": (None, 0.3),
    "repetition.dup_lines": (None, 0.3),
    "repetition.dup_line_chars": (None, 0.2),
    "repetition.dup_paragraphs": (None, 0.3),
    "repetition.dup_paragraph_chars": (None, 0.2),
    **{f"repetition.top_{n}": (None, share) for n, share in ((2, 0.20), (3, 0.18), (4, 0.16))},
    **{
        f"repetition.dup_{n}": (None, share)
        for n, share in ((5, 0.225), (6, 0.21), (7, 0.195), (8, 0.18), (9, 0.165), (10, 0.15))
    },
}


def main(_):
    if WORKER.value:
        return work(CONTENDERS[WORKER.value])
    contenders = {
        name: start(name, sys.executable if name == "hclx" else PEER.value) for name in CONTENDERS
    }
    print("; ".join(dict.fromkeys(receive(process)["versions"] for process in contenders.values())))
    results = {source: turns(contenders, source) for source in SOURCES.value}
    for process in contenders.values():
        process.stdin.close()
        process.wait()
    print(
        f"\n{ROUNDS.value} rounds. Ratio: hclx to the contender, median of the rounds' ratios"
        f" (least to greatest).\n\n{speeds(results)}"
    )
    print(
        "\nDocuments kept, and the most frequent reasons where one removes what the other"
        f" keeps.\n\n{agreements(results)}"
    )


# Contenders. Each returns a function that maps texts to reasons, with None for a text that is kept.


def hclx_filters():
    """Taggers over batches, then rules in order; see `hclx.corpus.filters`."""
    import numpy as np

    from hclx.corpus.filters import violates
    from hclx.corpus.settings import Rule
    from hclx.corpus.taggers import TAGGERS
    from hclx.corpus.text_batch import batches

    rules = [Rule(attribute, *bounds) for attribute, bounds in BOUNDS.items()]
    taggers = dict.fromkeys(rule.attribute.split(".")[0] for rule in rules)

    def run(texts: list[str]) -> list[str | None]:
        verdicts: list[str | None] = []
        for batch in batches(texts):
            columns = {name: TAGGERS[name](batch) for name in taggers}
            reasons = np.full(len(batch), None, object)
            for rule in rules:
                tagger, column = rule.attribute.split(".")
                reasons[np.equal(reasons, None) & violates(rule, columns[tagger][column])] = column
            verdicts += reasons.tolist()
        return verdicts

    return run, f"hclx {version('hclx')}, numpy {version('numpy')}"


def datatrove_filters(words: str):
    """Calls datatrove's filters on one document after the other, without its pipeline."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
    from datatrove.utils.word_tokenizers import WhitespaceTokenizer, WordTokenizer

    class Eojeol(WordTokenizer):
        def word_tokenize(self, text):
            return text.split()

        sent_tokenize = span_tokenize = word_tokenize  # no filter here asks for sentences

    tokenizer = Eojeol() if words == "eojeol" else WhitespaceTokenizer()
    # The bounds are datatrove's defaults.
    quality = GopherQualityFilter(min_stop_words=None, language=tokenizer)
    repetition = GopherRepetitionFilter(language=tokenizer)

    def verdict(document: Document) -> str | None:
        for text_filter in (quality, repetition):
            kept = text_filter.filter(document)
            if kept is not True:
                return kept[1]
        return None

    def run(texts: list[str]) -> list[str | None]:
        return [verdict(Document(text=text, id="")) for text in texts]

    return run, f"datatrove {version('datatrove')}, spaCy {version('spacy')}"


CONTENDERS = {
    "hclx": hclx_filters,
    "datatrove, str.split": lambda: datatrove_filters("eojeol"),
    "datatrove, its fallback": lambda: datatrove_filters("spacy"),
}


def version(package: str) -> str:
    """Version of an installed package."""
    return importlib.metadata.version(package)


def work(contender) -> None:
    """Filters the source that each line of stdin names, and prints the seconds and the reasons."""
    run, versions = contender()
    answer({"versions": versions})
    texts: dict[str, list[str]] = {}
    for source in map(str.strip, sys.stdin):
        if source not in texts:
            texts[source] = read(source)
        begin, cpu = time.perf_counter(), time.process_time()
        reasons = run(texts[source])
        answer(
            {
                "seconds": time.perf_counter() - begin,
                "cpu": time.process_time() - cpu,
                "reasons": reasons,
                **size(texts[source]),
            }
        )


def answer(message: dict) -> None:
    """Prints a line of JSON for the process that started this one."""
    print(json.dumps(message), flush=True)


def size(texts: list[str]) -> dict[str, int]:
    """Numbers of documents and bytes."""
    return {"documents": len(texts), "bytes": sum(len(text.encode()) for text in texts)}


def read(source: str) -> list[str]:
    """Reads the first documents of a source."""
    texts, remaining_bytes = [], MEGABYTES.value * 1e6
    for path in sorted(
        Path(DATA.value or os.environ["HCLX_DATA_DIR"], "corpus", source).glob("*.jsonl.gz")
    ):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                if remaining_bytes <= 0:
                    return texts
                texts.append(json.loads(line)["text"])
                remaining_bytes -= len(texts[-1].encode())
    return texts


# Rounds.


def start(name: str, python: str) -> subprocess.Popen:
    """Starts a contender in a process of its own."""
    data = [f"--data_dir={DATA.value}"] if DATA.value else []
    command = [
        python,
        __file__,
        f"--contender={name}",
        f"--peer_python={PEER.value}",
        f"--megabytes={MEGABYTES.value}",
        *data,
    ]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **threads},
    )


def receive(process: subprocess.Popen) -> dict:
    """Reads the next answer of a contender."""
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{process.args[2]} ended with {process.wait()}")
    return json.loads(line)


def turns(contenders: dict[str, subprocess.Popen], source: str) -> dict[str, list[dict]]:
    """Returns the answers of each contender in the rounds that count; the order of the contenders
    rotates.
    """
    answers: dict[str, list[dict]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(ROUNDS.value + 1):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            process = contenders[name]
            process.stdin.write(f"{source}\n")
            process.stdin.flush()
            answers[name].append(receive(process))
    return {name: rounds[1:] for name, rounds in answers.items()}


def speeds(results: dict[str, dict[str, list[dict]]]) -> str:
    """Markdown table of speeds, with a line for each source and contender."""
    rows = []
    for source, answers in results.items():
        for name, rounds in answers.items():
            text = rounds[0]
            times_of = {kind: [turn[kind] for turn in rounds] for kind in ("seconds", "cpu")}
            faster = ["", ""]
            if name != "hclx":
                faster = [
                    spread([b / a[kind] for a, b in zip(answers["hclx"], times)])
                    for kind, times in times_of.items()
                ]
            seconds = statistics.median(times_of["seconds"])
            amount = f"{text['documents']:,} documents, {text['bytes'] / 1e6:.1f} MB"
            rows.append(
                [
                    source,
                    amount,
                    name,
                    f"{text['documents'] / seconds:,.0f}",
                    f"{text['bytes'] / 1e6 / seconds:.2f}",
                    *faster,
                ]
            )
    return table(
        ["source", "text", "contender", "documents/s", "MB/s", "hclx is faster by", "by CPU time"],
        rows,
    )


def spread(values: list[float]) -> str:
    """Median, least and greatest value."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def agreements(results: dict[str, dict[str, list[dict]]]) -> str:
    """Markdown table of how many documents each keeps, with a line for each source and peer."""
    rows = []
    for source, answers in results.items():
        ours = answers["hclx"][0]["reasons"]
        for name in list(answers)[1:]:
            theirs = answers[name][0]["reasons"]
            pairs = list(zip(ours, theirs, strict=True))
            only = [[a for a, b in pairs if a and not b], [b for a, b in pairs if b and not a]]
            both, neither = (
                sum(not a and not b for a, b in pairs),
                sum(bool(a and b) for a, b in pairs),
            )
            agreed = f"{100 * (both + neither) / len(pairs):.2f}%"
            rows.append([source, name, f"{both:,}", f"{neither:,}", agreed, *map(frequent, only)])
    return table(
        [
            "source",
            "peer",
            "both keep",
            "both remove",
            "agreement",
            "only hclx removes",
            "only the peer removes",
        ],
        rows,
    )


def frequent(reasons: list[str]) -> str:
    """Number of reasons, and the three most frequent ones."""
    counts = ", ".join(f"{reason} {n:,}" for reason, n in Counter(reasons).most_common(3))
    return f"{len(reasons):,}" + (f" ({counts})" if counts else "")


def table(head: list[str], rows: list[list[str]]) -> str:
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    app.run(main)
