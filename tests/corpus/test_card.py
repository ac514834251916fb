"""The corpus card: its figures equal a plain count, its page is safe; wrong sums are refused."""

import html
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hclx.corpus.card import shortage, write_card
from hclx.corpus.closing_lines import closing_lines
from hclx.corpus.formatting import (
    format_bounds,
    format_bytes,
    format_difference,
    format_number,
    format_range,
    format_share,
    format_tick,
)
from hclx.corpus.layout import Shard, read_settings, read_shards, write_settings
from hclx.corpus.normalize import normalize_text
from hclx.corpus.pipeline import Corpus
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import CorpusSettings, MixSettings, Rule, SourceSettings, load_settings
from hclx.corpus.stats import target_of
from hclx.corpus.store import Store
from hclx.corpus.write_clean import SAMPLES
from hclx.errors import DataError
from hclx.text import pii
from tests.helpers import written_corpus

FATES = {
    f"text/{name}": (stage, rule) for name, (_, stage, rule) in written_corpus.DOCUMENTS.items()
}
FATES |= {
    "talk/talk.txt:1": (None, None),
    "talk/talk.txt:2": ("filter", "too_short"),
    "talk/talk.txt:3": (None, None),
}
TEXTS = {f"text/{name}": text for name, (text, _, _) in written_corpus.DOCUMENTS.items()}
TEXTS |= {f"talk/talk.txt:{line}": text for line, text in enumerate(written_corpus.TALK, 1)}
# Sizes are those of the documents, which are normalised as they are read.
TEXTS = {name: normalize_text(text) for name, text in TEXTS.items()}
VOID = ("meta",)


def n_bytes(texts) -> int:
    return sum(len(text.encode()) for text in texts)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(store, settings, shards, card) of the written corpus."""
    folder = tmp_path_factory.mktemp("card")
    raw, config = written_corpus.write(folder)
    settings = load_settings(config)
    corpus = Corpus(settings, str(raw), str(folder / "out"), make_runner(workers=1))
    corpus.build()
    return (
        corpus.store,
        settings,
        corpus.shards,
        write_card(corpus.store, settings, corpus.shards),
    )


def page(store: Store) -> str:
    return Path(store.path("card.html")).read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects a page's text, and checks that its elements are closed in order."""

    def __init__(self, source: str):
        super().__init__()
        self.open, self.text, self.attributes = [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    @property
    def shown(self) -> str:
        """The text, with white space as a browser shows it."""
        return " ".join("".join(self.text).split())

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def test_every_number_is_that_of_a_plain_count(built):
    store, _, _, card = built
    for name in ("text", "talk", None):
        source = card["sources"][name] if name else card["all"]
        own = {
            doc: fate for doc, fate in FATES.items() if name is None or doc.startswith(f"{name}/")
        }
        assert (source["documents"], source["bytes"]) == (
            len(own),
            n_bytes(TEXTS[doc] for doc in own),
        )
        remaining = dict(own)
        for stage in ("filter", "exact", "paragraph", "near"):
            rules = Counter(rule for at, rule in own.values() if at == stage)
            assert {
                rule: entry["documents"] for rule, entry in source["removed"].get(stage, {}).items()
            } == rules
            for rule in rules:
                assert source["removed"][stage][rule]["bytes"] == n_bytes(
                    TEXTS[doc] for doc in own if own[doc] == (stage, rule)
                )
            remaining = {doc: fate for doc, fate in remaining.items() if fate[0] != stage}
            assert source["after"][stage] == {
                "documents": len(remaining),
                "bytes": n_bytes(TEXTS[doc] for doc in remaining),
            }
        kept = {doc: text for doc, text in written_corpus.kept().items() if doc in own}
        assert source["kept"] == {"documents": len(kept), "bytes": n_bytes(kept.values())}
        assert list(source["after"]) == ["filter", "exact", "paragraph", "near"]
    assert json.loads(Path(store.path("card.json")).read_text(encoding="utf-8")) == json.loads(
        json.dumps(card)
    )


def test_reasons_are_in_the_order_of_stages_and_then_of_counts(built):
    for source in (built[3]["all"], *built[3]["sources"].values()):
        removed = source["removed"]
        stages = [stage for stage in ("filter", "exact", "paragraph", "near") if stage in removed]
        assert list(removed) == stages
        for rules in removed.values():
            assert list(rules) == sorted(rules, key=lambda name: (-rules[name]["documents"], name))


def test_the_rest_is_counted(built):
    card = built[3]
    assert card["all"]["clusters"] == {"exact": {"3": 1}, "near": {"2": 1}}
    assert card["all"]["masked"] == card["sources"]["text"]["masked"] == {"email": 1, "phone": 1}
    first = written_corpus.STAY["well"].split("\n")[0]
    assert card["all"]["cut_paragraphs"] == {"paragraphs": 2, "chars": 2 * len(first)}
    assert card["all"]["files"] == 3 and card["all"]["quarantined"] == card["sources"]["text"][
        "quarantined"
    ] == len(written_corpus.QUARANTINE)
    for counts in card["all"]["histograms"].values():
        assert (sum(counts["all"]), sum(counts["kept"])) == (len(FATES), len(written_corpus.kept()))
    assert card["contamination"] is card["mixture"] is None


def test_each_reason_has_examples_with_what_the_rule_saw(built):
    card = built[3]
    assert {
        rule: {example["doc_id"] for example in shown} for rule, shown in card["samples"].items()
    } == {
        rule: {doc for doc, fate in FATES.items() if fate[1] == rule}
        for rule in {rule for _, rule in FATES.values() if rule}
    }
    example = next(
        example
        for example in card["samples"]["too_short"]
        if example["doc_id"] == "talk/talk.txt:2"
    )
    assert (
        example["attribute"],
        example["min"],
        example["max"],
        example["value"],
        example["text"],
    ) == (
        "length.alphanumerics",
        5.0,
        None,
        1.0,
        "네.",
    )
    text = Reader(page(built[0])).shown
    assert (
        "length.alphanumerics is 1, and must be ≥ 5" in text
        and "length.chars is 10, and must be ≥ 50" in text
        and "equal documents: 3" in text
    )


def test_what_was_set_aside_is_shown_by_reason_and_masked(built):
    card = built[3]
    assert {reason: entry["documents"] for reason, entry in card["quarantine"].items()} == {
        "invalid UTF-8": 1,
        "no string field `text`": 1,
        "not JSON": 1,
    }
    (example,) = card["quarantine"]["not JSON"]["examples"]
    assert (example["file"], example["line"]) == ("text/a.jsonl", 3) and example[
        "reason"
    ].startswith("not JSON (")
    assert (
        "010-9876-5432" not in json.dumps(card, ensure_ascii=False) + page(built[0])
        and "<전화번호>" in example["beginning"]
    )


def test_what_the_owner_of_a_source_can_do_is_told_with_the_number_of_documents(built):
    card, advice = built[-1], "1 removed by html_page: `html: strip` in the source keeps"
    (note,) = [note for note in card["sources"]["text"]["notes"] if note.startswith(advice)]
    assert not [note for note in card["sources"]["talk"]["notes"] if "removed by" in note]
    assert f"  {note}" in closing_lines(card, "out") and html.escape(note) in page(built[0])


def test_the_page_stands_alone_and_nothing_in_it_comes_alive(built):
    source = page(built[0])
    reader = Reader(source)
    assert written_corpus.MARKUP in "".join(reader.text) and '"><b>markup' in "".join(reader.text)
    assert html.escape(written_corpus.MARKUP).replace(
        "&#x27;", "&#39;"
    ) in source and not re.search(r"<(script|img|b|link|iframe|object)\b|url\(|@import", source)
    assert {value for _, name, value in reader.attributes if name == "href"} >= {
        "#reasons",
        "#examples",
        "#quarantine",
    }
    assert all(
        value.startswith("#") for _, name, value in reader.attributes if name in ("href", "src")
    )
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]


def test_links_lead_to_sections_and_bars_fill_their_width(built):
    reader = Reader(page(built[0]))
    ids = {value for _, name, value in reader.attributes if name == "id"}
    assert {f"#{anchor}" for anchor in ids} == {
        value for _, name, value in reader.attributes if name == "href"
    }
    bars = re.findall(
        r'<svg role="img" aria-label="what became of (\w+)">(.*?)</svg>', page(built[0]), re.S
    )
    assert [name for name, _ in bars] == 2 * ["text", "talk", "all"]
    for _, inside in bars:
        places = re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', inside)
        starts, widths = ([float(number) for number in column] for column in zip(*places))
        ends = [start + width for start, width in zip(starts, widths)]
        assert [*starts, 100] == pytest.approx([0, *ends], abs=0.01)


def test_equal_corpora_give_equal_bytes(built):
    store, settings, shards, _ = built
    before = [Path(store.path(name)).read_bytes() for name in ("card.html", "card.json")]
    write_card(store, settings, shards)
    assert [Path(store.path(name)).read_bytes() for name in ("card.html", "card.json")] == before


def test_settings_and_shards_are_known_to_the_corpus(built):
    store, settings, shards, _ = built
    assert read_settings(store) == settings and read_shards(store, settings) == shards
    assert [list(source.rules) for source in read_settings(store).sources.values()] == [
        list(source.rules) for source in settings.sources.values()
    ]
    with pytest.raises(
        DataError, match="settings.json is missing; --output must be the folder of a corpus"
    ):
        read_settings(Store(store.path("corpus")))


# A corpus that consists of statistics alone, so that it may have many shards.


def removal(part: int, index: int) -> dict:
    order = f"{(7919 * (10 * part + index)) % 100_003:016x}"
    return {
        "order": order,
        "doc_id": f"wiki/{part}:{index}",
        "value": 0.25,
        "text": f"글 {part}",
        "attribute": "script.hangul",
        "min": 0.25,
        "max": None,
    }


def many(folder: Path, n: int, source: str = "wiki"):
    """(store, settings, shards) of n shards with 10 documents each: 3 kept, 5 and 2 removed; and 2
    quarantined lines in each file.
    """
    store = Store(str(folder))
    settings = CorpusSettings(
        {source: SourceSettings("*.jsonl", rules={"not_korean": Rule("script.hangul", min=0.25)})}
    )
    for i in range(n):
        file = f"{source}/{i:05d}"
        name = f"{file}-00000"
        store.write_json(
            f"documents/{file}.json",
            {
                "parts": [{"name": name, "documents": 10, "bytes": 1_000}],
                "quarantined": {"invalid UTF-8": 2},
            },
            "key",
        )
        line = (
            json.dumps(
                {
                    "file": f"{i}.jsonl",
                    "line": 1,
                    "reason": "invalid UTF-8 at byte %d" % i,
                    "beginning": "가",
                },
                ensure_ascii=False,
            )
            + "\n"
        )
        store.write_text(f"quarantine/{file}.jsonl", line + line.replace('"line": 1', '"line": 2'))
        figures = {
            "documents": 10,
            "bytes": 1_000,
            "kept": {"documents": 3, "bytes": 290},
            "removed": {
                "filter": {"not_korean": {"documents": 5, "bytes": 500}},
                "exact": {"exact_duplicate": {"documents": 2, "bytes": 200}},
            },
            "samples": {
                "not_korean": [removal(i, index) for index in range(5)],
                "exact_duplicate": [],
            },
            "masked": {"phone": i % 2},
            "clusters": {"exact": {"2": 1, "70": 1}, "near": {}},
            "contamination": {"quiz": {"items": 1, "found": i % 2}},
        }
        store.write_json(f"figures/{name}.json", figures, "key")
    return store, settings, [Shard(f"{source}/{i:05d}-00000", i) for i in range(n)]


def test_many_shards_are_added_up_and_the_sample_is_of_all_of_them(tmp_path):
    store, settings, shards = many(tmp_path, 200)
    card = write_card(store, settings, shards)
    every = card["all"]
    assert (every["documents"], every["bytes"], every["kept"], every["quarantined"]) == (
        2_000,
        200_000,
        {"documents": 600, "bytes": 58_000},
        400,
    )
    assert every["removed"]["filter"]["not_korean"] == {"documents": 1_000, "bytes": 100_000}
    assert every["masked"] == {"phone": 100} and every["clusters"]["exact"] == {"2": 200, "70": 200}
    assert card["contamination"] == {"quiz": {"items": 200, "found": 100}}
    least = sorted(
        (removal(part, index) for part in range(200) for index in range(5)),
        key=lambda example: example["order"],
    )[:SAMPLES]
    assert card["samples"]["not_korean"] == least
    assert card["quarantine"] == {
        "invalid UTF-8": {
            "documents": 400,
            "examples": card["quarantine"]["invalid UTF-8"]["examples"],
        }
    }
    examples = card["quarantine"]["invalid UTF-8"]["examples"]
    assert (
        len(examples)
        == SAMPLES
        == len({(example["file"], example["line"]) for example in examples})
        < len({example["file"] for example in examples}) * 2
    )
    text = Reader(page(store)).shown
    assert (
        "Of 2,000 documents in 200 files, 600 were kept and 1,400 removed; 400 more records could"
        " not be read" in text
    )
    assert "51 to 100" in text and "wiki/" in text and "100 kB" in text


def test_the_name_of_a_source_stays_in_its_attribute(tmp_path):
    store, settings, shards = many(tmp_path, 1, source='a" onload="b')
    write_card(store, settings, shards)
    reader = Reader(page(store))
    assert ("svg", "aria-label", 'what became of a" onload="b') in reader.attributes and not [
        a for a in reader.attributes if a[1] == "onload"
    ]


def rows_of(store: Store, first: str, last: bool = False) -> list[list[str]]:
    """Cells of each row of the first or last table whose first column has the heading `first`."""
    table = [
        table
        for table in re.findall(r"<table>.*?</table>", page(store), re.S)
        if f"<th>{first}</th>" in table
    ][-1 if last else 0]
    text = lambda cell: html.unescape(re.sub("<[^>]*>", "", cell))
    return [
        [text(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", line)]
        for line in re.findall(r"<tr[^>]*>.*?</tr>", table, re.S)
    ][1:]


def test_items_of_personal_data_have_a_table_by_kind_and_source(built):
    lines = {line[1]: line for line in rows_of(built[0], "kind")}
    for kind in (*pii.KINDS, None):
        masked = {"phone": 1, "email": 1, None: 2}.get(kind, 0)
        mask = pii.PLACEHOLDERS[kind] if kind else ""
        assert lines[mask][2:] == [str(masked), "0", str(masked)]
    assert len(lines) == len(pii.KINDS) + 1


def test_the_published_accuracy_of_masking_is_quoted(built):
    store, *_, card = built
    assert card["pii_accuracy"] == pii.ACCURACY
    assert rows_of(store, "labelled set") == [
        ["1", "841", "465", "97.5%"],
        ["2", "408", "263", "94.7%"],
        ["3", "240", "146", "98.0%"],
    ]
    text = Reader(page(store)).shown
    assert "Measured on 2026-11-22, not on this corpus" in text
    assert "the figure for unseen text: an F1 of 98.0% on 146 items." in text


def test_control_characters_are_shown_as_symbols(tmp_path):
    store, settings, shards = many(tmp_path, 1)
    name = "figures/wiki/00000-00000.json"
    stats = store.read_json(name)
    stats["samples"]["not_korean"][0]["text"] = "\0가\x1b\x7f\n"
    store.write_json(name, stats)
    write_card(store, settings, shards)
    assert "<blockquote>␀가␛␡\n</blockquote>" in page(store)


def test_evaluation_sets_have_a_table(tmp_path):
    store, settings, shards = many(tmp_path, 3)
    write_card(store, settings, shards)
    assert rows_of(store, "evaluation set") == [["quiz", "3", "–", "1", *["–"] * 4]]


def mixture(store: Store, target: float) -> None:
    """Writes a mixture with a target of 10,000 tokens, of which the table requests 5,000, 3,000 and
    2,000 from three sources; the first has only 250, which are repeated four times.
    """
    sources = {
        "wiki": ("<wiki>", 5_000, 250, 4.0),
        "blog": ("blog", 3_000, 5_000, 0.8),
        "blog_more": ("blog", 2_000, 1_000, 2.0),
        "idle": ("others", 0, 70, 0.0),
    }
    share = lambda domain, requested, tokens, epochs: {
        **{
            "domain": domain,
            "requested": requested,
            "tokens": tokens,
            "epochs": epochs,
            "documents": 7,
            "bytes": 5 * tokens,
        },
        **{"kept": min(1, epochs), "rate": tokens * epochs / 7_000},
    }
    store.write_json(
        "mixture/mixture.json",
        {
            "target_tokens": target,
            "sources": {name: share(*values) for name, values in sources.items()},
        },
    )


def test_a_mixture_without_a_target_has_a_table(tmp_path):
    store, settings, shards = many(tmp_path, 1)
    write_card(store, settings, shards)
    assert "Mixture" not in page(store)
    mixture(store, 0)
    card = write_card(store, settings, shards)
    assert (
        card["mixture"]["wiki"]["domain"] == "<wiki>"
        and card["mixture_target"] is None
        and "was to have" not in Reader(page(store)).shown
    )
    lines = {line[0]: line[1:] for line in rows_of(store, "source", last=True)}
    assert lines["wiki"] == ["<wiki>", "7", "1.2 kB", "250", "4.00", "1,000", "14.3%"] and lines[
        "blog"
    ][4:] == ["0.80", "4,000", "57.1%"]


def test_of_a_mixture_that_lacks_nothing_nothing_is_said():
    domains = {
        "blog": {"requested": 60, "available": 200, "actual": 60, "difference": 0},
        "news": {"requested": 40, "available": 40, "actual": 40, "difference": 0},
    }
    target = {"tokens": 100, "actual": 100, "max_epochs": 4, "absent": [], "domains": domains}
    assert shortage(target) == ["The mixture was to have 100 tokens, and has 100."]


def test_a_mixture_of_an_older_version_is_read():
    source = {"domain": "blog", "tokens": 100.0, "epochs": 0.5}
    read = lambda field: target_of(
        {"target_tokens": 60, "sources": {"a": {**source, field: 60.0}}}, MixSettings()
    )
    assert read("wanted") == read("requested") and read("wanted")["domains"]["blog"]["share"] == 1


def test_what_a_mixture_lacks_is_said_by_domain(tmp_path):
    store, settings, shards = many(tmp_path, 1)
    mixture(store, 10_000)
    target = write_card(store, settings, shards)["mixture_target"]
    assert {
        name: (d["requested"], d["available"], d["actual"], d["difference"])
        for name, d in target["domains"].items()
    } == {
        "<wiki>": (5_000, 250, 1_000, -4_000),
        "blog": (5_000, 6_000, 6_000, 1_000),
        "others": (0, 70, 0, 0),
    }
    text = Reader(page(store)).shown
    assert "The mixture was to have 10,000 tokens, and has 7,000: 3,000 are missing." in text
    assert (
        "<wiki> gives 1,000 of the 5,000 tokens that the table requests from it: 250 are available,"
        " and mix.max_epochs (4) and the caps of its sources allow no more." in text
    )
    assert (
        "The difference was taken from blog." in text
        and "The table requests nothing from others." in text
    )
    assert (
        "No source belongs to the domains cafe, news, comments, kin, modu, wiki_en_jp: their share"
        in text
    )
    assert rows_of(store, "domain") == [
        ["<wiki>", "50.0%", "5,000", "250", "1,000", "-4,000", "14.3%"],
        ["blog", "50.0%", "5,000", "6,000", "6,000", "+1,000", "85.7%"],
        ["others", "0.0%", "0", "70", "0", "0", "0.0%"],
    ]


@pytest.mark.parametrize(
    "name, change, message",
    [
        (
            "figures/wiki/00001-00000.json",
            {"kept": {"documents": 4, "bytes": 1}},
            "of 10 documents, 4 were kept and 7 removed",
        ),
        (
            "figures/wiki/00001-00000.json",
            {"removed": {}},
            "of 10 documents, 3 were kept and 0 removed",
        ),
        ("figures/wiki/00001-00000.json", None, "00001-00000.json is missing or damaged"),
        (
            "documents/wiki/00001.json",
            {"parts": [{"name": "wiki/00001-00000", "documents": 11}]},
            "of 11 documents, 3 were kept and 7 removed",
        ),
        (
            "documents/wiki/00001.json",
            {"quarantined": {"no text": 3}},
            "quarantine/wiki/00001.jsonl has 2 lines, and 3 records were quarantined",
        ),
        ("quarantine/wiki/00001.jsonl", None, "quarantine/wiki/00001.jsonl cannot be read"),
    ],
)
def test_a_document_that_is_not_exactly_one_of_the_three_is_refused(
    tmp_path, name, change, message
):
    store, settings, shards = many(tmp_path, 3)
    if change is None:
        store.remove(name)
    else:
        store.write_json(name, {**store.read_json(name), **change})
    with pytest.raises(DataError, match=re.escape(message)):
        write_card(store, settings, shards)
    assert not Path(store.path("card.html")).exists()


def test_settings_are_written_once(tmp_path):
    store, settings, _ = many(tmp_path, 1)
    write_settings(store, settings)
    before = Path(store.path("settings.json")).stat().st_mtime_ns
    write_settings(store, settings)
    assert Path(store.path("settings.json")).stat().st_mtime_ns == before
    store.write_json("settings.json", {"sources": {"wiki": {"inputs": "x"}}})
    with pytest.raises(DataError, match="settings.json: sources.wiki.inputs is unknown"):
        read_settings(store)


@pytest.mark.parametrize(
    "shown, expected",
    [
        (format_bytes(0), "0 B"),
        (format_bytes(999), "999 B"),
        (format_bytes(1_000), "1.0 kB"),
        (format_bytes(99_940), "99.9 kB"),
        (format_bytes(99_960), "100 kB"),
        (format_bytes(999_600), "1.0 MB"),
        (format_bytes(3_210_000_000_000), "3.2 TB"),
        (format_number(1234567), "1,234,567"),
        (format_number(0.123456), "0.1235"),
        (format_number(6390.2), "6,390"),
        (format_number(float("inf")), "inf"),
        (format_bounds({"min": 2.2, "max": 10.0}), "2.2 to 10"),
        (format_bounds({"min": 5}), "≥ 5"),
        (format_bounds({"min": None, "max": 1000000}), "≤ 1,000,000"),
        (format_bounds({}), ""),
        (format_difference(-4000), "-4,000"),
        (format_difference(1000), "+1,000"),
        (format_difference(0), "0"),
        (format_share(1, 8), "12.5%"),
        (format_share(1, 10_000), "< 0.1%"),
        (format_share(0, 3), "0.0%"),
        (format_share(0.25), "25.0%"),
        (format_share(1, 0), "–"),
        (format_range(2, 2), "2"),
        (format_range(101, 1000), "101 to 1,000"),
        (format_range(1001, None), "1,001 or more"),
        (format_tick(0.05), "0.05"),
        (format_tick(20_000), "20k"),
    ],
)
def test_numbers_are_written_as_they_are_read(shown, expected):
    assert shown == expected
