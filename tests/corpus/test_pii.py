"""Finding and masking personal data: accuracy on labelled Korean texts, and text that must stay."""

from collections import Counter

import pytest

from hclx.corpus import pii
from hclx.corpus.pii import (
    ACCURACY,
    KINDS,
    PLACEHOLDERS,
    Span,
    candidate_rows,
    find_pii,
    is_business_number,
    is_luhn,
    is_resident_number,
    mask_pii,
)
from tests.conftest import ROOT
from tests.corpus.pii_accuracy import CASES, Score, accuracy, labelled, score, sets


def plain_scores(cases) -> dict[str, tuple[float, float, float]]:
    """Kind, and "all" -> precision, recall and F1 of exact spans, by counting in sets."""
    correct, predicted, labels = Counter(), Counter(), Counter()
    for text, spans in cases:
        guess = set(find_pii(text))
        for counter, items in (
            (correct, guess & set(spans)),
            (predicted, guess),
            (labels, set(spans)),
        ):
            counter.update(span.kind for span in items)
            counter["all"] += len(items)
    return {
        k: (
            correct[k] / predicted[k],
            correct[k] / labels[k],
            2 * correct[k] / (predicted[k] + labels[k]),
        )
        for k in (*KINDS, "all")
    }


def test_the_cases_are_the_lines_of_the_file_without_their_marks():
    lines = CASES.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("# ")]
    for line, (text, spans) in zip(lines, labelled(), strict=True):
        before, *marked = line.split("[[")
        items = [part.split("]]")[0].split("|", 1) for part in marked]
        rest = (part.split("|", 1)[1].replace("]]", "", 1) for part in marked)
        assert text == before + "".join(rest)
        assert [[span.kind, text[span.start : span.end]] for span in spans] == items


def test_the_labelled_set_is_large_enough():
    cases = labelled()
    assert (
        sum(bool(spans) for _, spans in cases) >= 300
        and sum(not spans for _, spans in cases) >= 300
    )
    assert len({text for text, _ in cases}) == len(cases)
    counts = Counter(span.kind for _, spans in cases for span in spans)
    assert set(counts) == set(KINDS) and min(counts.values()) >= 25


def test_the_published_figures_name_the_sets_as_they_are():
    sizes = [(len(cases), sum(len(spans) for _, spans in cases)) for cases in sets()]
    assert [(run["texts"], run["items"]) for run in ACCURACY["first_runs"]] == sizes
    documentation = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
    assert all(f"{100 * run['f1']:.1f}%" in documentation for run in ACCURACY["first_runs"])


def test_f1_of_every_kind_on_the_labelled_set():
    result, plain = accuracy(), plain_scores(labelled())
    assert set(result) == set(plain)
    for kind, score_ in result.items():
        assert (score_.precision, score_.recall, score_.f1) == pytest.approx(plain[kind])
    assert result["all"].items == sum(result[kind].items for kind in KINDS)
    assert plain["all"][2] >= 0.98 and min(f1 for _, _, f1 in plain.values()) >= 0.95, plain


def test_what_the_rules_get_wrong_is_known():
    """At most numbers with a hyphen and a wrong check digit, which valid numbers issued since 2020
    have too, and a zero that is a letter.
    """
    known = [
        "O1O-5273-9061",
        "900101-1234561",
        "850505-2004170",
        "771225-1111118",
        "880214-5127343",
    ]
    failed = [text for text, spans in labelled() if find_pii(text) != list(spans)]
    unknown = [text for text in failed if not any(number in text for number in known)]
    assert not unknown and len(failed) <= len(known), unknown or failed


@pytest.mark.parametrize("holds, ratio", [(False, "recall"), (True, "precision")])
def test_a_broken_rule_lowers_its_score(monkeypatch, holds, ratio):
    before = accuracy()
    monkeypatch.setattr(pii, "is_luhn", lambda digits: holds)
    broken = accuracy()
    assert getattr(broken["card"], ratio) < getattr(before["card"], ratio)
    assert broken["card"].f1 < 0.95 < before["card"].f1 and broken["all"].f1 < before["all"].f1
    assert broken["email"] == before["email"]


def test_a_score_counts_kinds_and_places():
    items = [[Span("phone", 0, 5), Span("card", 7, 9)], [Span("phone", 3, 6)], []]
    predictions = [
        [Span("phone", 0, 5), Span("phone", 7, 9)],
        [Span("phone", 4, 6)],
        [Span("ip", 0, 4)],
    ]
    assert score(predictions, items) == Score(items=3, predictions=4, correct=1, recalled=1)
    assert score(predictions, items, ("card",)).f1 == 0
    assert score(predictions, items, ("phone",)) == Score(2, 3, 1, 1)
    overlaps = lambda a, b: a.kind == b.kind and a.start < b.end and b.start < a.end
    loose = score(predictions, items, ("phone",), overlaps)
    assert loose == Score(2, 3, 2, 2)
    assert (loose.precision, loose.recall, loose.f1) == (2 / 3, 1, 0.8)
    assert (score([[]], items[:1]).precision, score([[]], items[:1]).f1) == (None, 0)
    assert score([[]], [[]]).recall is None


@pytest.mark.parametrize(
    "text, masked",
    [
        ("연락처는 010-1234-5678로 주세요", "연락처는 <전화번호>로 주세요"),
        # the first check digit is right
        (
            "주문번호 900101-1234568 아니고 900101-1234567",
            "주문번호 <주민등록번호> 아니고 <주민등록번호>",
        ),
        ("a.b@naver.com에게, 900101-1234567입니다", "<이메일>에게, <주민등록번호>입니다"),
        ("신한 110-123-456789은 제 것", "신한 <계좌번호>은 제 것"),
        # Each is alone, so that the search is not started by another item.
        ("02-123-4567로", "<전화번호>로"),
        ("8.8.8.8에서", "<IP주소>에서"),
        ("hong＠naver.com", "<이메일>"),
        ("hong 골뱅이 naver.com", "<이메일>"),
        ("hong(at)naver.com", "<이메일>"),
        ("2021.10.12 010-1234-5678", "2021.10.12 <전화번호>"),
        ("010-1234-5678 2021.10.12", "<전화번호> 2021.10.12"),
        (
            "2021-03-04, 12345678901원, 제12조의2, 법률 제17799호",
            "2021-03-04, 12345678901원, 제12조의2, 법률 제17799호",
        ),
        ("", ""),
    ],
)
def test_a_mask_leaves_what_stands_around_an_item(text, masked):
    assert mask_pii(text, find_pii(text)) == masked


def test_many_texts_are_searched_for_what_could_be_an_item_as_each_alone_is():
    texts = [
        "",
        "010-12",
        "34-5678",
        "010-1234-5678",
        "",
        "@",
        "가",
        "hong@naver.com",
        *(text for text, _ in labelled()),
    ]
    alone = [i for i, text in enumerate(texts) if candidate_rows([text])]
    assert candidate_rows(texts) == alone and {
        i for i, text in enumerate(texts) if find_pii(text)
    } <= {*alone} < {*range(len(texts))}


def test_no_two_items_overlap():
    assert [span.kind for span in find_pii("계좌 900101-1234567, 입금 후 010-1234-5678")] == [
        "rrn",
        "phone",
    ]
    for text, _ in labelled():
        spans = find_pii(text)
        assert all(span.end <= following.start for span, following in zip(spans, spans[1:])), text


def test_a_masked_text_has_nothing_left_to_mask():
    for text, spans in labelled():
        predicted = find_pii(text)
        masked = mask_pii(text, predicted)
        assert not find_pii(masked), text
        assert all(
            masked.count(PLACEHOLDERS[kind]) == n
            for kind, n in Counter(span.kind for span in predicted).items()
        )


def test_long_texts_are_searched_as_short_ones_are():
    cases = [text for text, _ in labelled()]
    joined = "\n\n".join(text + " " * 80 for text in cases)
    starts, position = [], 0
    for text in cases:
        starts.append(position)
        position += len(text) + 82
    expected = [
        Span(s.kind, s.start + start, s.end + start)
        for text, start in zip(cases, starts)
        for s in find_pii(text)
    ]
    assert find_pii(joined) == expected


@pytest.mark.parametrize(
    "text",
    ["1" * 50_000, "1-" * 30_000, "@" * 50_000, "a." * 30_000 + "@", "010-1234-5678 " * 3_000],
)
def test_a_text_made_to_be_slow_is_not(text):
    import time

    begin = time.perf_counter()
    find_pii(text)
    assert time.perf_counter() - begin < 5


def test_check_digits_by_their_definitions():
    # of a generator for tests
    assert is_luhn("4539578763621486") and not is_luhn("4539578763621487")
    digits = "13579246"  # invented
    for ninth in range(10):
        total = (
            sum(w * int(d) for w, d in zip([1, 3, 7, 1, 3, 7, 1, 3, 5], digits + str(ninth)))
            + ninth * 5 // 10
        )
        check = -total % 10
        assert [is_business_number(f"{digits}{ninth}{d}") for d in range(10)] == [
            d == check for d in range(10)
        ]
    weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]
    base = "900101123456"
    check = (11 - sum(w * int(d) for w, d in zip(weights, base)) % 11) % 10
    assert [is_resident_number(base + str(d)) for d in range(10)] == [d == check for d in range(10)]


def test_no_rule_looks_across_the_end_of_a_line():
    """So that removing lines from a text does not change the items of the others."""
    texts = [text for text, _ in labelled()]
    for text, following in zip(texts, texts[1:]):
        expected = [
            *find_pii(text),
            *(
                Span(span.kind, span.start + len(text) + 1, span.end + len(text) + 1)
                for span in find_pii(following)
            ),
        ]
        assert find_pii(f"{text}\n{following}") == expected
