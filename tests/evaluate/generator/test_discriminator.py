"""DA and DF1 on planted texts, and the classifier against scikit-learn."""

import numpy as np
import pytest

from hclx.errors import DataError
from hclx.evaluate.generator import discriminator
from hclx.evaluate.generator.discriminator import (
    MARGIN,
    Pair,
    discriminate,
    independent,
    matched_pair,
    similarities,
    wilson,
)

WORDS = (
    "아침 저녁 시장 골목 아이 어른 나무 바람 바다 배 고기 생선 할머니 손자 편지 기차 역 표 가방"
    " 우산 비 눈 길 다리 강 산 들 꽃 벌 나비 고양이 강아지 집 문 창 불 물 밥 국 김치"
).split()
ENDINGS = ("에 갔다.", "를 보았다.", "와 놀았다.", "에서 쉬었다.", "로 떠났다.", "만 남았다.")


LONG = pytest.mark.long


def sentences(rng, n=12):
    """A text of a grammar: what stands before an ending says which words may follow it."""
    words, first = [], rng.integers(len(WORDS))
    for _ in range(n):
        first = (first + rng.integers(1, 6)) % len(WORDS)
        words.append(f"{WORDS[first]}{ENDINGS[first % len(ENDINGS)]}")
    return " ".join(words)


def pairs_of(human, model):
    pairs = [matched_pair(h, m, str(i)) for i, (h, m) in enumerate(zip(human, model, strict=True))]
    return [pair for pair in pairs if pair is not None]


@pytest.mark.parametrize(
    "copies, n", [(1, 80), pytest.param(1, 150, marks=LONG), pytest.param(4, 100, marks=LONG)]
)
def test_texts_of_one_kind_are_told_apart_by_nobody(copies, n):
    """The interval holds 0.5 as often as it says, over draws of the texts, and p is uniform; also
    where a document has several pairs, which say no more than one.
    """
    rng = np.random.default_rng(copies)
    covered, f1_covered, small = 0, 0, 0
    for _ in range(n):
        texts = [sentences(rng, 6) for _ in range(60)]
        pairs = pairs_of(texts[:30], texts[30:])
        result = discriminate(pairs * copies, seeds=2)
        covered += result.accuracy_interval[0] <= 0.5 <= result.accuracy_interval[1]
        f1_covered += result.f1_interval[0] <= 0.5 <= result.f1_interval[1]
        small += result.p_value <= 0.1
    # Within 3 standard deviations of the binomials of 0.95 and 0.1.
    assert min(covered, f1_covered) >= n * (0.95 - 3 * (0.95 * 0.05 / n) ** 0.5)
    assert abs(small / n - 0.1) <= 3 * (0.1 * 0.9 / n) ** 0.5


def test_a_sampler_of_single_words_is_found_out():
    rng = np.random.default_rng(1)
    human = [sentences(rng) for _ in range(100)]
    pool = " ".join(sentences(rng) for _ in range(300)).replace(".", "").split()
    model = [" ".join(rng.choice(pool, 60)) for _ in human]
    result = discriminate(pairs_of(human, model))
    assert result.accuracy > 0.9 and result.accuracy_interval[0] > 0.8
    assert result.f1 > 0.9 and result.p_value < 0.01
    assert len(result.accuracies) == 5 and result.pairs == 100


@pytest.mark.long
def test_the_less_is_wrong_the_closer_to_a_half():
    rng = np.random.default_rng(2)
    human = [sentences(rng) for _ in range(120)]
    pool = " ".join(sentences(rng) for _ in range(300)).split()

    def spoilt(text, share):
        return " ".join(rng.choice(pool) if rng.random() < share else w for w in text.split())

    of = lambda share: discriminate(
        pairs_of(human, [spoilt(sentences(rng), share) for _ in human]), seeds=2
    )
    good, middling, bad = (of(share).accuracy for share in (0.0, 0.3, 1.0))
    assert good < middling < bad and abs(good - 0.5) < 0.12


def test_the_classifier_is_ridge_regression_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rng = np.random.default_rng(3)
    texts = [sentences(rng, rng.integers(1, 9)) for _ in range(60)]
    counter = text.CountVectorizer(
        analyzer="char", ngram_range=(1, 5), binary=True, lowercase=False
    )
    features = preprocessing.normalize(counter.fit_transform(texts).astype(float))
    kernel = similarities(texts)
    np.testing.assert_allclose(kernel, (features @ features.T).toarray(), atol=1e-12)
    labels = np.where(rng.random(60) < 0.5, 1.0, -1.0)
    fold = np.arange(60) % 3
    guesses = discriminator._guesses(kernel, labels[:, None], fold, 3)[:, 0]
    for k in range(3):
        oracle = linear.Ridge(alpha=discriminator.RIDGE, fit_intercept=False, solver="cholesky")
        oracle.fit(features[fold != k], labels[fold != k])
        assert (guesses[fold == k] == (oracle.predict(features[fold == k]) > 0)).all()


def test_documents_are_not_in_two_folds(monkeypatch):
    """Of each document the same text is in many pairs, once as the model's: who has seen it in
    training is always wrong about it or always right.
    """
    seen = []
    guesses = discriminator._guesses

    def watch(kernel_ii, labels_is, fold_i, folds):
        seen.append(fold_i)
        return guesses(kernel_ii, labels_is, fold_i, folds)

    monkeypatch.setattr(discriminator, "_guesses", watch)
    rng = np.random.default_rng(4)
    pairs = [Pair(sentences(rng), sentences(rng), str(i % 25)) for i in range(75)]
    discriminate(pairs, seeds=3)
    assert len(seen) == 3 and any((seen[0] != fold).any() for fold in seen)
    for fold_i in seen:
        assert (fold_i[:75] == fold_i[75:]).all()
        for document in range(25):
            assert len(set(fold_i[document:75:25])) == 1
        assert set(np.bincount(fold_i)) == {30}


def test_pairs_have_one_length_and_do_not_show_their_ends():
    pair = matched_pair("가" * 100, "나" * 60 + "\ufffd", "")
    assert pair.human == "가" * (61 - MARGIN) and pair.model == "나" * (61 - MARGIN)
    assert matched_pair("가" * 100, "나" * (MARGIN + 31), "") is None
    assert matched_pair("가" * 100, "", "") is None


@pytest.mark.parametrize("n", [0, 19])
def test_too_few_documents_are_refused(n):
    rng = np.random.default_rng(5)
    texts = [sentences(rng) for _ in range(2 * n)]
    with pytest.raises(DataError, match=f"pairs of {n} documents; give 20 or more"):
        discriminate(pairs_of(texts[:n], texts[n:]))


@pytest.mark.parametrize("share, n", [(0.5, 100), (0.93, 40), (1.0, 12.5), (0.0, 8)])
def test_the_interval_is_that_of_wilson(share, n):
    """The bounds are the shares p from which `share` is 1.96 standard deviations away."""
    for bound in wilson(share, n):
        assert abs(share - bound) == pytest.approx(1.959964 * np.sqrt(bound * (1 - bound) / n))


def test_independent_texts_of_tosses():
    tosses = np.random.default_rng(6).binomial(80, 0.5, 20_000) / 80
    assert independent(tosses) == pytest.approx(80, rel=0.03)
