"""Finding and masking personal data: accuracy on labelled Korean texts, and text that must stay."""

import unicodedata
from collections import Counter

import pytest

from hclx.text.pii import (
    ACCURACY,
    KINDS,
    PLACEHOLDERS,
    Span,
    candidate_rows,
    find_pii,
    mask_pii,
    masked,
    payment_numbers,
)
from hclx.text.pii.check_digits import (
    is_bar_code,
    is_business_number,
    is_company_number,
    is_luhn,
    is_resident_number,
)
from hclx.text.pii.plain_text import HYPHENS, MIDDLE_DOTS, SLASHES, SPACES
from tests.conftest import ROOT
from tests.helpers.timing import cpu_seconds
from tests.text.pii_accuracy import CASES, N_BLIND, Score, accuracy, labelled, score, sets


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
    sizes = [(len(cases), sum(len(spans) for _, spans in cases)) for cases in sets()[:N_BLIND]]
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
    have too.
    """
    known = [
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
    monkeypatch.setattr(payment_numbers, "is_luhn", lambda digits: holds)
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
        ("8.8.8.128에서", "<IP주소>에서"),
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
    [
        "우리는 2019-05-11 14시에 만났다.",
        "국민의힘 2024-04-10 108석",
        "우리나라 인구 1990 2000 2010 순",
        "하나의 표: 2010 2015 2020",
        "우리 학교 개교 1923-04-05 100주년",
        "신한 2015 2016 2017 우승",
        "기업은행 2023-11-04 2023-11-05 2연전",
        "농협 2021. 3. 4. 개점",
        "토스 2015/02/26 10:00 공개",
        "국민은행 20240511 20240512 점검",
        "입금 20240511-093107",
    ],
)
def test_dates_and_years_after_a_word_that_is_also_a_bank_are_no_account(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "관리번호 02-2023-0154",
        "문서번호 032-2023-0007호",
        "접수번호 051-2020-1234",
        "등록번호 110111-1848914",
        "삼성전자(110111-0006246)",
        "주식회사 한빛 110111-1234567",
        "8801062000012 라면",  # a resident number would have this check digit too
        "표 1.2.3.4 참조",
        "파이어폭스 3.6.13.1을",
        "꼭짓점 배치는 3.5.3.5이다.",
        "EC 3.6.3.9",
        "EC 1.14.13.39",
        "릴리즈 1 패치 (11.1.1.3)",
        "2.0.0.9",
        "6.4.9.1",
        "1.1.3.1부터는",
        "주소를 지니는 62.0.0.0/8",
        "주민번호 앞자리 850314 뒷자리 1204573",
        "신한은행 02-2023-0154호 공문",
        "고객센터 1588-1234로 문의",  # a service number names no person
        "git@github.com:naver/hclx.git",
        "they are at seventeen dot eight",
        "여권을 집에 두고 그냥 온 사람들은 M482 B 1937 창구로",  # not just behind the word
    ],
)
def test_numbers_of_documents_companies_goods_and_sections_are_no_items(text):
    assert masked(text) == text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("연락처 010 - 3894 - 2217", "연락처 <전화번호>"),
        ("전화 010‑3894‑2217", "전화 <전화번호>"),
        ("010\xa03894\xa02217", "<전화번호>"),
        ("010·3894·2217", "<전화번호>"),
        ("010/3894/2217", "<전화번호>"),
        ("(010)3894-2217", "<전화번호>"),
        ("Tel:025743382", "Tel:<전화번호>"),
        ("전화 0317734021번", "전화 <전화번호>번"),
        ("(+82) 2-574-3382", "<전화번호>"),
        ("+82(0)10-5521-9083", "<전화번호>"),
        ("080-123-4567", "<전화번호>"),
        ("카드 9409 - 1234 - 5678 - 9013", "카드 <카드번호>"),
        ("운전면허 11 - 19 - 123456 - 70", "운전면허 <운전면허번호>"),
        ("송장번호 010-3894-2217", "송장번호 <전화번호>"),  # it may be one: the mask errs so
        ("여권 M 48213907", "여권 <여권번호>"),
        ("여권번호 M4821 3907", "여권번호 <여권번호>"),
        ("여권번호 M - 48213907", "여권번호 <여권번호>"),
        ("여권번호 M·48213907", "여권번호 <여권번호>"),
        ("여권 m 48213907", "여권 <여권번호>"),
        ("여권번호: M 123 45678", "여권번호: <여권번호>"),
        ("부산 S·1234 5678호", "부산 S·1234 5678호"),
        ("여권번호는 M482 B 1937이다", "여권번호는 <여권번호>이다"),
        ("여권 SC-4073316", "여권 <여권번호>"),
        ("旅券番號 M48213907", "旅券番號 <여권번호>"),
        ("458702-04-219873 국민은행 김영수", "<계좌번호> 국민은행 김영수"),
        ("458702-04-219873 예금주 김영수", "<계좌번호> 예금주 김영수"),
        ("주민등록번호 850314.1204573", "주민등록번호 <주민등록번호>"),
        ("사업자등록번호 : 215 - 87 - 09341", "사업자등록번호 : <사업자등록번호>"),
        ("홍길동@도메인.한국", "<이메일>"),
        ("kim@회사.com", "<이메일>"),
        ("hong[at]naver[dot]com으로", "<이메일>으로"),
        ("홍길동<gildong@naver.com>", "홍길동<<이메일>>"),
        ("01148685950@naver.com", "<이메일>"),
        ("사례하겠습니다.union@naver.com 입니다", "사례하겠습니다.<이메일> 입니다"),
        ("접속 8.8.8.8", "접속 <IP주소>"),
        ("::ffff:211.234.57.78", "::ffff:<IP주소>"),
    ],
)
def test_forms_that_people_write(text, expected):
    assert masked(text) == expected


@pytest.mark.parametrize("separator", [*HYPHENS, *MIDDLE_DOTS, *SLASHES, "－", "／"])
@pytest.mark.parametrize("space", ["", " ", "\xa0"])
def test_every_kind_has_the_same_separators(separator, space):
    separator = f"{space}{separator}{space}"
    items = {
        "rrn": ("주민번호 {}", "850314", "1204573"),
        "driver": ("면허 {}", "11", "19", "123456", "70"),
        "card": ("카드 {}", "9409", "1234", "5678", "9013"),
        "brn": ("사업자번호 {}", "215", "87", "09341"),
        "phone": ("{}", "010", "3894", "2217"),
        "account": ("국민은행 {}", "458702", "04", "219873"),
    }
    for kind, (line, *groups) in {**items, "landline": ("{}", "02", "574", "3382")}.items():
        item = separator.join(groups)
        placeholder = PLACEHOLDERS["phone" if kind == "landline" else kind]
        assert masked(line.format(item)) == line.format(placeholder), (kind, item)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_separates_the_groups_of_an_item(space):
    assert masked(space.join(["010", "3894", "2217"])) == "<전화번호>"
    assert masked("농협 " + space.join(["302", "0847", "3321", "51"])) == "농협 <계좌번호>"


@pytest.mark.parametrize("hidden", ["\u200b", "\ufeff", "\u2060", "\xad", "\u200e", "\u200b\u2060"])
def test_characters_that_cannot_be_seen_hide_nothing(hidden):
    """Places are those of the text that was given."""
    text = f"가{hidden} 010-{hidden}3894{hidden}-2217{hidden}번, {hidden}hong@na{hidden}ver.com"
    first, second = find_pii(text)
    assert text[first.start : first.end] == f"010-{hidden}3894{hidden}-2217"
    assert text[second.start : second.end] == f"hong@na{hidden}ver.com"
    seen = text.replace(hidden, "")
    assert mask_pii(text, [first, second]).replace(hidden, "") == masked(seen)
    assert candidate_rows(["가", text, f"01{hidden}0-3894"]) == candidate_rows(
        ["가", seen, "010-3894"]
    )


@pytest.mark.parametrize(
    "address", ["hong@example.com", "a.b@mail.example.org", "hong@회사.example", "a@b.test"]
)
def test_addresses_of_reserved_domains_are_nobodys(address):
    assert masked(f"메일은 {address}로 보낸다") == f"메일은 {address}로 보낸다"
    assert masked("메일은 hong@myexample.com로") == "메일은 <이메일>로"


def test_words_in_decomposed_hangul_are_read():
    for text, spans in labelled():
        apart = unicodedata.normalize("NFD", text)
        items = [unicodedata.normalize("NFC", apart[s.start : s.end]) for s in find_pii(apart)]
        assert items == [text[s.start : s.end] for s in find_pii(text)], text


@pytest.mark.parametrize(
    "unit",
    [
        *("1", "31415926535897932384", "-", "1-", ".", "a.", " ", "1 ", "1    ", "010-"),
        *("a@", "a@b.", "가@나.", "a at b dot ", "(at)", "1.2.3.4.", "1.2.3.4 ", "2001:"),
        *("010-1234-5678 ", "110-222-333333 ", "번호 1234567 ", "\u200b1", "\u1112\u1161"),
    ],
)
def test_time_grows_as_the_text_does(unit):
    seconds = []
    for n_chars in (20_000, 160_000):
        text = unit * (n_chars // len(unit))
        seconds.append(cpu_seconds(lambda: (find_pii(text), candidate_rows([text]))))
    assert seconds[1] < max(0.1, 32 * seconds[0])  # 8 times as long; 64 times if quadratic


@pytest.mark.parametrize(
    "text",
    ["1" * 50_000, "1-" * 30_000, "@" * 50_000, "a." * 30_000 + "@", "010-1234-5678 " * 3_000],
)
def test_a_text_made_to_be_slow_is_not(text):
    assert cpu_seconds(find_pii, text) < 5


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
    # of a company that everybody knows, and of a book
    assert is_company_number("1301110006246") and not is_company_number("1301110006247")
    assert is_bar_code("9788936434120") and not is_bar_code("9788936434121")


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
