"""Models that users train: equal to a plain loop over bytes, and able to classify unseen text."""

import math
import random

import numpy as np
import pytest

from hclx.corpus import quality_models
from hclx.corpus.quality_models import CONTEXTS, ByteModel, QualityModel
from hclx.corpus.taggers import all_taggers
from hclx.corpus.text_batch import TextBatch
from hclx.errors import DataError
from tests.helpers.generated_corpus import article


@pytest.fixture(scope="module")
def good():
    rng = random.Random(0)
    return [article(rng, 3) for _ in range(80)]


@pytest.fixture(scope="module")
def bad(good):
    """The same syllables, shuffled."""
    rng = random.Random(1)
    return ["".join(rng.sample(text, len(text))) for text in good]


def expected_bits(trained, text):
    """Bits per byte, from dictionaries of contexts in place of hash tables."""
    pairs, contexts = [{} for _ in CONTEXTS], [{} for _ in CONTEXTS]
    for document in trained:
        data = (document + "\n").encode()
        for i, byte in enumerate(data):
            for k, n in enumerate(CONTEXTS):
                context = data[max(0, i - n) : i]
                pairs[k][context, byte] = pairs[k].get((context, byte), 0) + 1
                contexts[k][context] = contexts[k].get(context, 0) + 1
    data, bits = (text + "\n").encode(), 0.0
    for i, byte in enumerate(data):
        p = 1 / 256
        for k, n in enumerate(CONTEXTS):
            context = data[max(0, i - n) : i]
            p = (pairs[k].get((context, byte), 0) + 4.0 * p) / (contexts[k].get(context, 0) + 4.0)
        bits -= math.log2(p)
    return bits / len(data)


def test_bits_are_those_of_a_model_without_hashes(good):
    model = ByteModel.train(good[:20])
    texts = [good[0], good[30], "전혀 다른 글입니다.", "a", "가"]
    bits = model.bits_per_byte([*texts, ""])
    assert (
        bits[:-1] == pytest.approx([expected_bits(good[:20], text) for text in texts], rel=0.01)
        and bits[-1] == 0
    )


@pytest.mark.parametrize("bits", [8, 12, 20])
def test_what_may_follow_never_sums_to_more_than_one(good, bits):
    """Also with full tables: otherwise the model would not be a distribution."""
    model = ByteModel.train(good[:40], bits)
    for text in (good[0][:60], good[50][:61], "다른 말", ""):
        before = np.frombuffer(text.encode(), np.uint8)
        data = np.concatenate([np.append(before, np.uint8(byte)) for byte in range(256)])
        offsets = np.arange(257) * (len(before) + 1)
        total = model.probabilities(data, offsets)[offsets[1:] - 1].sum()
        assert total < 1 + 1e-9 and (bits < 20 or total > 1 - 1e-9)
    fuller = [ByteModel.train(good[:40], b).bits_per_byte(good[50:60]).mean() for b in (20, 12, 8)]
    assert fuller == sorted(fuller)


def test_text_like_that_of_the_training_is_less_strange(good, bad):
    model = ByteModel.train(good[:60])
    assert model.bits_per_byte(good[60:]).max() < model.bits_per_byte(bad[60:]).min()


def test_quality_tells_documents_that_it_has_not_seen(good, bad):
    model = QualityModel.train(good[:60], bad[:60])
    assert (model.score(good[60:]) > 0.5).all() and (model.score(bad[60:]) < 0.5).all()
    turned = QualityModel.train(bad[:60], good[:60])
    assert turned.score(good[60:]) == pytest.approx(1 - model.score(good[60:]), abs=0.01)


def test_training_finds_the_least_loss(good, bad):
    """No change of a single weight lowers the loss."""
    model = QualityModel.train(good[:20], bad[:20])
    loss = lambda m: (
        -np.mean([np.log(m.score(good[:20])).mean(), np.log(1 - m.score(bad[:20])).mean()])
        + 1e-4 * (m.weights.astype(float) ** 2).sum()
    )
    least = loss(model)
    for bucket in np.argsort(-np.abs(model.weights))[:20]:
        for change in (-0.05, 0.05):
            weights = model.weights.copy()
            weights[bucket] += change
            assert loss(QualityModel(weights, model.bias)) > least - 1e-6
    assert loss(QualityModel(model.weights, model.bias + 0.05)) > least - 1e-6


def test_a_document_alone_has_the_score_that_it_has_among_others(good, bad, tmp_path):
    QualityModel.train(good[:20], bad[:20]).save(tmp_path / "quality.npz")
    ByteModel.train(good[:20]).save(tmp_path / "lm.npz")
    texts = [*good[20:25], "", "가", *bad[20:25]]
    for name, tagger in all_taggers(
        {"quality": str(tmp_path / "quality.npz"), "perplexity": str(tmp_path / "lm.npz")}
    ).items():
        if name in ("quality", "perplexity"):
            ((column, together),) = tagger(TextBatch.of(texts)).items()
            assert together == pytest.approx(
                np.concatenate([tagger(TextBatch.of([text]))[column] for text in texts]), abs=1e-5
            )


def test_files_that_are_no_model_are_refused(good, tmp_path):
    ByteModel.train(good[:2]).save(tmp_path / "lm.npz")
    with pytest.raises(DataError, match="is no quality model but 'perplexity'"):
        quality_models.load(tmp_path / "lm.npz", "quality")
    (tmp_path / "bad.npz").write_bytes(b"not a model")
    for name in ("bad.npz", "none.npz"):
        with pytest.raises(DataError, match=f"{name} cannot be read as a perplexity model"):
            quality_models.load(tmp_path / name, "perplexity")
    for good_ones, others in (([], ["a"]), (["a"], [])):
        with pytest.raises(DataError, match="needs good documents and others"):
            QualityModel.train(good_ones, others)
    with pytest.raises(DataError, match="needs text"):
        ByteModel.train(["", ""])
