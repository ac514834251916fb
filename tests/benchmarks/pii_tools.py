"""Compares hclx.text.pii with three public tools on the labelled Korean texts of
tests/text/pii_cases.txt: on those whose authors had not seen the rules of any of them.

    python -m venv runs/peers
    runs/peers/bin/pip install presidio-analyzer==2.2.366 scrubadub==2.0.1 datatrove==0.10.1 absl-py
    python tests/benchmarks/pii_tools.py --peer_python=runs/peers/bin/python

A predicted span is correct if it overlaps a labelled span of the same kind, so that a tool may
truncate an item or include a particle; the first column and the last line require the exact span.
The texts are the project's own, and its tests require an F1 of 0.98 of its rules on them: the first
column shows that this holds, the others how far the tools carry over to Korean. Some of what counts
against the tools is a choice of the labels: service numbers (1588-0000), private addresses and
masked mail are no items.

Presidio: its Korean recognizers, and its generic ones with the region KR, on a blank spaCy pipeline
(no model; each word is its own lemma, so that words around an item count). Every score counts, as
by default; of overlapping spans the one with the highest score counts.
scrubadub (locale ko_KR, made for documents) and the PIIFormatter of datatrove (made for corpora)
need no model either and have fewer kinds. An item of a kind that a tool does not have counts as
missed, except in the line that says otherwise. Nothing is downloaded.
"""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags

PEER = flags.DEFINE_string(
    "peer_python", None, "Interpreter of an environment with the other tools.", required=True
)
WORKER = flags.DEFINE_string("tool", "", "Run one tool; for the processes that the script starts.")

KINDS = ("rrn", "frn", "driver", "passport", "card", "brn", "phone", "account", "email", "ip")
PRESIDIO = {
    "KR_RRN": "rrn",
    "KR_FRN": "frn",
    "KR_DRIVER_LICENSE": "driver",
    "KR_PASSPORT": "passport",
    "KR_BRN": "brn",
    "CREDIT_CARD": "card",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
}
THRESHOLDS = (0.0, 0.1, 0.3, 0.4, 0.5, 1.0)

ROOT = Path(__file__).resolve().parents[2]
Found = tuple[str, int, int, float]  # kind, start, end, score
Finder = Callable[[str], list[Found]]


def main(_):
    if WORKER.value:
        finder, versions, kinds = TOOLS[WORKER.value]()
        print(
            json.dumps(
                {
                    "versions": versions,
                    "kinds": kinds,
                    "spans": [finder(text) for text in json.load(sys.stdin)],
                }
            )
        )
        return
    sys.path.insert(0, str(ROOT))
    from tests.text.pii_accuracy import N_BLIND, sets  # the tools' environment has no hclx

    texts, items = zip(*sum(sets()[:N_BLIND], ()))
    answers = {name: ask(name, texts) for name in TOOLS}
    print("; ".join(answer["versions"] for answer in answers.values()))
    print(
        f"{len(texts)} texts, {sum(map(len, items))} items in {sum(map(bool, items))} of them."
        " Precision / recall / F1 in percent.\n"
    )
    print(by_kind(answers, items))
    print("\nPresidio by the least score that counts, all kinds:\n")
    presidio_spans = answers["Presidio"]["spans"]
    rows = [
        [str(least), cell(spans_of(presidio_spans, least), items, KINDS, overlap)]
        for least in THRESHOLDS
    ]
    print(table(["score", "precision / recall / F1"], rows))


def by_kind(answers: dict[str, dict], items) -> str:
    """A Markdown table: a line a kind, then lines of all kinds; a column a tool."""
    exact = lambda a, b: a == b
    spans = {name: spans_of(answer["spans"]) for name, answer in answers.items()}
    columns = [("hclx", exact), *((name, overlap) for name in TOOLS)]
    count = lambda kinds: str(sum(label.kind in kinds for labels in items for label in labels))
    cells = lambda kinds: [cell(spans[name], items, kinds, test) for name, test in columns]
    rows = [[kind, count((kind,)), *cells((kind,))] for kind in KINDS]
    rows.append(["all", count(KINDS), *cells(KINDS)])
    own = {name: answers[name]["kinds"] for name in TOOLS}
    rows.append(
        [
            "all of the kinds that the tool has",
            "",
            *(cell(spans[name], items, own[name], test) for name, test in columns),
        ]
    )
    for line, test in (("all, of whatever kind", overlap_of_any_kind), ("all, exact spans", exact)):
        rows.append(
            [line, count(KINDS), "", *(cell(spans[name], items, KINDS, test) for name in TOOLS)]
        )
    return table(["kind", "items", "hclx, exact spans", *TOOLS], rows)


# The tools: each gives a finder, its versions, and the kinds that it has.


def hclx_tool() -> tuple[Finder, str, list[str]]:
    from hclx.text.pii import find_pii

    return (
        lambda text: [(s.kind, s.start, s.end, 1.0) for s in find_pii(text)],
        f"hclx {version('hclx')}",
        list(KINDS),
    )


def presidio_tool() -> tuple[Finder, str, list[str]]:
    import tldextract
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.nlp_engine import SlimSpacyNlpEngine
    from spacy.language import Language

    # the list that it brings, not the one on the network
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

    @Language.component("words_as_lemmas")
    def words_as_lemmas(doc):
        for token in doc:
            token.lemma_ = token.text
        return doc

    engine = SlimSpacyNlpEngine(
        supported_languages=["ko"], generic_tokenizer="blank", auto_download=False
    )
    engine.load()
    engine.nlp["ko"].add_pipe("words_as_lemmas")
    korean = (
        known.KrRrnRecognizer,
        known.KrFrnRecognizer,
        known.KrDriverLicenseRecognizer,
        known.KrPassportRecognizer,
        known.KrBrnRecognizer,
    )
    generic = (known.CreditCardRecognizer, known.EmailRecognizer, known.IpRecognizer)
    recognizers = [recognizer(supported_language="ko") for recognizer in (*korean, *generic)]
    recognizers.append(known.PhoneRecognizer(supported_language="ko", supported_regions=("KR",)))
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=["ko"])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["ko"])

    def find(text: str) -> list[Found]:
        return [
            (PRESIDIO[result.entity_type], result.start, result.end, result.score)
            for result in analyzer.analyze(text, "ko", list(PRESIDIO))
        ]

    versions = (
        f"Presidio {version('presidio-analyzer')} (spaCy {version('spacy')}, phonenumbers"
        f" {version('phonenumbers')})"
    )
    return find, versions, list(PRESIDIO.values())


def scrubadub_tool() -> tuple[Finder, str, list[str]]:
    from scrubadub.detectors import CreditCardDetector, EmailDetector, PhoneDetector

    detectors = {
        "phone": PhoneDetector(locale="ko_KR"),
        "email": EmailDetector(locale="ko_KR"),
        "card": CreditCardDetector(locale="ko_KR"),
    }
    find = lambda text: [
        (kind, filth.beg, filth.end, 1.0)
        for kind, detector in detectors.items()
        for filth in detector.iter_filth(text)
    ]
    return find, f"scrubadub {version('scrubadub')}", list(detectors)


def datatrove_tool() -> tuple[Finder, str, list[str]]:
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()  # it replaces; its patterns and its check of addresses say what
    replacers = {"email": formatter.emails_replacer, "ip": formatter.ip_replacer}

    def find(text: str) -> list[Found]:
        matches = (
            (kind, replacer, match)
            for kind, replacer in replacers.items()
            for match in replacer.regex.finditer(text)
        )
        return [
            (kind, *match.span(), 1.0)
            for kind, replacer, match in matches
            if replacer.validator is None or replacer.validator(match[0])
        ]

    return find, f"datatrove {version('datatrove')}", list(replacers)


TOOLS = {
    "hclx": hclx_tool,
    "Presidio": presidio_tool,
    "scrubadub": scrubadub_tool,
    "datatrove": datatrove_tool,
}


def version(package: str) -> str:
    return importlib.metadata.version(package)


def ask(name: str, texts: Sequence[str]) -> dict:
    """What a tool finds in each text, in a process of its own environment."""
    python = sys.executable if name == "hclx" else PEER.value
    command = [python, __file__, f"--tool={name}", f"--peer_python={PEER.value}"]
    result = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{name} ended with {result.returncode}:\n{result.stderr}")
    answer = json.loads(result.stdout)
    return {**answer, "spans": [[tuple(span) for span in spans] for spans in answer["spans"]]}


# Scores.


def best(spans: list[Found], least: float) -> list[Found]:
    """What was found from a score on; of those that overlap, that with the greatest score, then the
    longest.
    """
    kept: list[Found] = []
    for span in sorted(spans, key=lambda s: (-s[3], s[1] - s[2])):
        if span[3] >= least and not any(
            span[1] < other[2] and other[1] < span[2] for other in kept
        ):
            kept.append(span)
    return kept


def spans_of(spans_by_text: list[list[Found]], least: float = 0.0) -> list[list]:
    """The spans of each text."""
    from hclx.text.pii import Span

    return [
        [Span(kind, start, end) for kind, start, end, _ in best(spans, least)]
        for spans in spans_by_text
    ]


def overlap(a, b) -> bool:
    return a.kind == b.kind and overlap_of_any_kind(a, b)


def overlap_of_any_kind(a, b) -> bool:
    return a.start < b.end and b.start < a.end


def cell(predictions, items, kinds: Sequence[str], same: Callable) -> str:
    """Precision / recall / F1 of some kinds."""
    from tests.text.pii_accuracy import score

    result = score(predictions, items, kinds, same)
    return " / ".join(
        "-" if value is None else f"{100 * value:.1f}"
        for value in (result.precision, result.recall, result.f1)
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    line = lambda cells: "| " + " | ".join(cells) + " |"
    return "\n".join([line(head), "|" + "---|" * len(head), *map(line, rows)])


if __name__ == "__main__":
    app.run(main)
