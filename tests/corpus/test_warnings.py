"""Sources that give nothing are named at the end of a build and on its card, with the reasons."""

import contextlib
import json
import random
from pathlib import Path

import pytest

from hclx.corpus.card import write_card
from hclx.corpus.closing_lines import closing_lines, refuse_empty
from hclx.corpus.pipeline import Corpus
from hclx.corpus.runner import make_runner
from hclx.corpus.settings import parse_settings
from hclx.data.source import corpus_sources
from hclx.errors import DataError
from tests.helpers import generated_corpus

RNG = random.Random(5)
TEXTS = [generated_corpus.article(RNG, 4) for _ in range(12)]


def lines_of(folder: Path, texts: dict[str, list[str]], target: float = 0, **settings) -> list[str]:
    """The lines that a build prints; `settings` are those of each source, and `mix`."""
    for name, own in texts.items():
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in own)
        )
    sources = {name: {"input": f"{name}.jsonl", **settings.get(name, {})} for name in texts}
    parsed = parse_settings({"sources": sources, "near": None, "mix": settings.get("mix", {})})
    corpus = Corpus(parsed, str(folder), str(folder.with_name("out")), make_runner(workers=1))
    corpus.build()
    corpus.mix(target)
    card = write_card(corpus.store, parsed, corpus.shards)
    page = Path(corpus.store.path("card.html")).read_text(encoding="utf-8")
    assert page.count("Warning:") == len(card["warnings"])
    is_empty = not card["all"]["kept"]["documents"]
    is_nothing = not any(share["sampled"] for share in card["mixture"].values())
    message = "no document of any source is left" if is_empty else "the mixture has no document: "
    expected = pytest.raises(DataError, match=message)
    with expected if is_nothing else contextlib.nullcontext() as error:
        refuse_empty(card)
    assert is_empty or not is_nothing or "; ".join(card["warnings"]) in str(error.value)
    return closing_lines(card, "out")


@pytest.fixture()
def folder(tmp_path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def warnings(lines: list[str]) -> list[str]:
    return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]


def test_a_source_of_which_nothing_is_left_is_told_with_the_reasons(folder):
    texts = {"first": TEXTS[:3], "copies": [*TEXTS[:3], "짧다."], "short": ["짧은 글."]}
    assert warnings(lines_of(folder, texts)) == [
        "nothing is left of copies: all of its 4 documents were removed, exact_duplicate 3,"
        " too_short 1",
        "nothing is left of short: its only document was removed, too_short 1",
    ]


def test_a_source_of_which_the_mixture_takes_nothing_is_told_with_the_reason(folder):
    texts = {name: [TEXTS[i]] for i, name in enumerate(("news", "none", "wiki", "less", "off"))}
    lines = lines_of(
        folder,
        texts,
        target=100,
        none={"where": "length.chars > 1000000", "domain": "news"},
        less={"domain": "blog"},
        off={"domain": "off"},
        mix={"shares": {"news": 1, "blog": 1e-9, "off": 0}},
    )
    assert warnings(lines) == [
        "the mixture takes nothing of none: `where: length.chars > 1000000` selects none of its"
        " documents",
        "the mixture takes nothing of less: it is to give 0.00% of 1 document; raise the share"
        " of blog in mix.shares, or the target",
        "the mixture takes nothing of wiki: mix.shares has no such domain; write a `domain` of the"
        " source, or a share",
    ]
    (source,) = corpus_sources(str(folder.with_name("out")))  # and no other ends the token cache
    assert (source.name, source.rate) == ("news", 1.0)


def test_a_mixture_without_a_document_is_refused_by_the_build_and_by_training(folder):
    where = {"where": 'script.language == "en"'}
    (told,) = warnings(lines_of(folder, {"a": TEXTS[:2]}, a=where))  # and it is refused, see there
    assert told.endswith(f"`where: {where['where']}` selects none of its documents")
    with pytest.raises(DataError, match="no document of a was kept, or its `where` selects none"):
        corpus_sources(str(folder.with_name("out")))
    assert warnings(lines_of(folder, {"a": TEXTS[:2]}, a={"epochs": 0})) == []
    with pytest.raises(DataError, match="a has `epochs: 0`, or its domain a has no share"):
        corpus_sources(str(folder.with_name("out")))
    (told,) = warnings(lines_of(folder, {"a": TEXTS[:2]}, a={"epochs": 1e-9}))
    assert told.endswith("0.00% of 2 documents; raise its `epochs` or its `cap`")
    with pytest.raises(DataError, match="a is to give 0.00% of 2 documents, which is none"):
        corpus_sources(str(folder.with_name("out")))


def test_what_was_meant_is_no_warning(folder):
    texts = {"news": TEXTS[:2], "off": TEXTS[2:4]}
    assert warnings(lines_of(folder, texts, off={"epochs": 0})) == []


def test_shares_without_a_target_have_no_effect(folder):
    assert warnings(lines_of(folder, {"news": TEXTS[:2]}, mix={"shares": {"news": 1}})) == [
        "mix.shares has no effect: it divides --target_tokens, which is not given"
    ]


def test_a_corpus_of_which_nothing_is_left_is_refused(folder):
    assert len(warnings(lines_of(folder, {"short": ["짧은 글."]}))) == 1  # see there
