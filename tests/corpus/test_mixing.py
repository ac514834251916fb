"""The mixture: shares by the table within what exists, and a choice of documents that only grows
with its share.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hclx.corpus.expression import evaluate
from hclx.corpus.mixing import allocate_with_caps, check_target, solve
from hclx.corpus.settings import HYPERCLOVA, MixSettings, SourceSettings
from hclx.errors import ConfigError
from tests.helpers.built_corpora import corpus, kept, raw_name

MIX = MixSettings(bytes_per_token=5.0, max_epochs=4.0)


def source(domain, **more):
    return SourceSettings(input="", domain=domain, **more)


def test_the_table_is_that_of_the_paper():
    assert sum(HYPERCLOVA.values()) == pytest.approx(561.8)


def test_shares_follow_the_table_where_there_is_enough():
    available = {name: (1000, 10**9) for name in HYPERCLOVA}
    shares = solve(available, {name: source(name) for name in HYPERCLOVA}, MIX, target=1e8)
    for name, share in shares.items():
        assert share.rate == pytest.approx(HYPERCLOVA[name] / 561.8)
        assert (
            share.epochs * share.tokens
            == pytest.approx(share.requested)
            == pytest.approx(1e8 * HYPERCLOVA[name] / 561.8)
        )


def test_what_one_domain_cannot_give_the_others_do_up_to_their_limit():
    available = {"a": (1, 500), "b": (1, 5000), "c": (1, 50_000)}  # 100, 1,000 and 10,000 tokens
    sources = {"a": source("blog"), "b": source("blog"), "c": source("news")}
    mix = MixSettings(shares={"blog": 3.0, "news": 1.0}, bytes_per_token=5.0, max_epochs=4.0)
    shares = solve(available, sources, mix, target=20_000)
    tokens = {name: share.epochs * share.tokens for name, share in shares.items()}
    # blog has all it can, four times
    assert tokens == pytest.approx({"a": 400, "b": 4_000, "c": 15_600})
    assert shares["a"].requested + shares["b"].requested == pytest.approx(15_000)
    everything = solve(available, sources, mix, target=1e9)
    assert all(share.epochs == pytest.approx(4) for share in everything.values())


def test_allocation_with_caps_against_small_steps():
    draw = np.random.default_rng(0)
    for _ in range(30):
        names = "abcde"
        shares = {n: float(draw.integers(0, 5)) for n in names}
        limits = {n: float(draw.integers(0, 50)) for n in names}
        amount = float(draw.integers(0, 150))
        expected, step = dict.fromkeys(names, 0.0), 0.002
        for _ in range(40_000):
            free = [n for n in names if shares[n] and expected[n] < limits[n]]
            remaining = amount - sum(expected.values())
            if remaining <= 0 or not free:
                break
            for n in free:
                expected[n] = min(limits[n], expected[n] + step * shares[n])
        assert allocate_with_caps(amount, shares, limits) == pytest.approx(expected, abs=0.1)


def test_epochs_caps_and_temperature_without_a_target():
    available = {"a": (10, 1000), "b": (10, 4000), "c": (10, 500)}
    sources = {"a": source("", epochs=2.0), "b": source("", cap=2000), "c": source("", epochs=0.0)}
    shares = solve(available, sources, MixSettings(bytes_per_token=1.0), 0)
    assert {name: (share.epochs, share.kept) for name, share in shares.items()} == {
        "a": (2, 1),
        "b": (0.5, 0.5),
        "c": (0, 0),
    }
    assert shares["a"].rate == shares["b"].rate == 0.5
    even = solve(
        {"a": (1, 100), "b": (1, 10_000)},
        {"a": source(""), "b": source("")},
        MixSettings(temperature=2.0, bytes_per_token=1.0),
        0,
    )
    assert even["b"].rate / even["a"].rate == pytest.approx(10)


def ids(folder: Path) -> set[str]:
    return {
        json.loads(line)["doc_id"]
        for path in folder.glob("mixture/*/*.jsonl.gz")
        for line in gzip.decompress(path.read_bytes()).splitlines()
    }


def test_a_larger_share_holds_a_smaller_one(raw, built):  # noqa: F811
    sizes, before = [], set()
    for epochs in (0.0, 0.3, 0.6, 1.0):
        sources = {
            name: {**settings, "epochs": epochs} for name, settings in small_sources().items()
        }
        other = corpus(raw[0], Path(built.store.root), sources=sources)
        other.build()
        other.mix()
        document_ids = ids(Path(built.store.root))
        assert before <= document_ids
        sizes.append(len(document_ids))
        before = document_ids
    everything = set(kept(built))
    assert before == everything and sizes[0] == 0
    assert 0.1 < sizes[1] / len(everything) < 0.5 < sizes[2] / len(everything) < 0.85


def test_a_file_of_the_mixture_that_was_lost_is_made_again_and_one_of_no_part_removed(raw, built):  # noqa: F811
    built.build()
    built.mix()
    file = Path(built.store.root) / "mixture" / f"{raw_name('talk', 'talk/t.txt')}-00000.jsonl.gz"
    content = file.read_bytes()
    other = file.with_name("00009-00000.jsonl.gz")
    file.rename(other)
    built.mix()
    assert file.read_bytes() == content and not other.exists()


def test_a_target_that_no_source_can_serve_is_refused():
    sources = {"a": SourceSettings("x"), "b": SourceSettings("x", domain="mine")}
    with pytest.raises(ConfigError, match=r"domains blog, cafe, .* belongs to one \(theirs are a,"):
        check_target(sources, MixSettings(), 1000)
    check_target(sources, MixSettings(), 0)
    check_target(sources, MixSettings({"mine": 1.0}), 1000)
    check_target(sources, MixSettings({"a": 1.0, "mine": 0.0}), 1000)  # 0 leaves it out


def test_a_source_without_a_domain_belongs_to_that_of_its_own_name():
    sources = {
        "news": SourceSettings("x"),
        "mine": SourceSettings("x", domain="news"),
        "talk": SourceSettings("x", domain="blog"),
    }
    available = dict.fromkeys(sources, (10, 4500))  # 1,000 tokens each
    shares = solve(available, sources, MixSettings({"news": 1.0, "blog": 3.0}), 1000)
    assert {name: share.requested for name, share in shares.items()} == pytest.approx(
        {"news": 125, "mine": 125, "talk": 750}
    )
    assert [share.domain for share in shares.values()] == ["news", "news", "blog"]


def small_sources():
    from tests.helpers import generated_corpus

    return generated_corpus.SETTINGS["sources"]


def test_where_keeps_the_documents_that_fulfil_it(raw, built):  # noqa: F811
    sources = small_sources()
    sources = {
        **sources,
        "news": {**sources["news"], "where": "length.chars >= 400 and not pii.items > 0"},
    }
    other = corpus(raw[0], Path(built.store.root), sources=sources)
    built.build()
    built.mix()  # of all documents
    other.build()
    shares = other.mix()
    texts = kept(built)
    expected = {
        name
        for name, text in texts.items()
        if name.startswith("talk/")
        or (len(raw[1].get(name, text)) >= 400 and name != "news/private")
    }
    news = [texts[name].encode() for name in expected if name.startswith("news/")]
    assert ids(Path(built.store.root)) == expected and 0 < len(news) < len(
        [name for name in texts if name.startswith("news/")]
    )
    assert (shares["news"].documents, shares["news"].bytes) == (len(news), sum(map(len, news)))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a.x > 1", [False, False, True]),
        ("a.x >= 1 and a.x < 2", [False, True, False]),
        ("not (a.x == 0 or a.x == 2)", [False, True, False]),
        ("0 < a.x <= 2", [False, True, True]),
        ("b.s == 'ko' or a.x == -1", [True, False, True]),
        ("b.s != 'ko'", [False, True, False]),
    ],
)
def test_expressions(text, expected):
    columns = {"a.x": np.array([0, 1, 2]), "b.s": np.array(["ko", "en", "ko"], object)}
    assert evaluate(text, columns.__getitem__).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "a.x",
        "__import__('os').remove('x') > 1",
        "a.x + 1 > 2",
        "[a.x] == 1",
        "a.x > (lambda: 1)()",
        "a.x is None",
        "x > 1",
        "a.b.c > 1",
        "a.x >",
        "",
    ],
)
def test_nothing_else_is_an_expression(text):
    with pytest.raises(ConfigError):
        evaluate(text, lambda name: np.zeros(1))


@pytest.mark.parametrize("text", ["b.s > 1", "a.x == 'ko'", "a.x == b.s"])
def test_a_number_is_not_compared_with_a_string(text):
    columns = {"a.x": np.array([0, 1]), "b.s": np.array(["ko", "en"], object)}
    with pytest.raises(ConfigError, match="compares a number with a string"):
        evaluate(text, columns.__getitem__)
