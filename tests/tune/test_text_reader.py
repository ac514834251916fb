"""Runs of vectors and pairs, and what reads their results."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from hclx.config import ComputeConfig, DataConfig, OptimizerConfig
from hclx.errors import ConfigError, DataError
from hclx.model import hidden_states
from hclx.parallel import make_mesh
from hclx.train.metrics_writer import read_metrics
from hclx.train.run import RunOptions
from hclx.train.whole_model import read_whole_model
from hclx.tune import TuneConfig
from hclx.tune.artefact import read_artefact
from hclx.tune.merged_run import check_merge
from hclx.tune.row_files import Row
from hclx.tune.text_reader import embed_texts, judge_pairs, load_reader
from hclx.tune.tuning_data import TuningText
from hclx.tune.tuning_run import ARTEFACT, read_base, tune
from tests.helpers.meshes import ONE, devices_of
from tests.helpers.tuning_runs import SHORT_RUN, TEXTS, write_base

TRAIN = dataclasses.replace(SHORT_RUN, total_steps=12, eval_every=6, checkpoint_every=6)
MESH = make_mesh(ONE, devices_of(ONE))
CONTRAST = TuneConfig(kind="lora", objective="contrast", sizes="8", rank=4)
PAIR = TuneConfig(kind="lora", objective="pair", labels="same,other", rank=4)
STEPS = ("step", "last_step")
UNTUNED = TuneConfig(kind="finetune", objective="contrast")
QUERIES = [{"query": f"{text}?", "positive": f"{text}.", "negative": "눈"} for text in TEXTS]
PAIRS = [
    {"text_a": a, "text_b": b, "label": "same" if a == b else "other"}
    for a in TEXTS[:2]
    for b in TEXTS[:2]
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, tuning_base):
    return SimpleNamespace(folder=tmp_path_factory.mktemp("vectors"), base=tuning_base)


def run(place, name, config, records, rate=2e-2, **train):
    of_base, tokenizer_dir = read_base(place.base)
    experiment = dataclasses.replace(
        of_base,
        mesh=ONE,
        compute=ComputeConfig(dtype="float32"),
        optimizer=OptimizerConfig(learning_rate=rate, warmup_steps=1, weight_decay=0.0),
        data=DataConfig(input="rows", tokenizer_dir=tokenizer_dir),
        train=dataclasses.replace(TRAIN, **train),
    )
    rows = [Row(f"rows:{n}", record) for n, record in enumerate(records, 1)]
    start = RunOptions(init_from=place.base, lease_seconds=1.0)
    text = TuningText("rows", rows, held_out=rows)
    model_dir = place.folder / name
    _, figures = tune(experiment, config, text, str(model_dir), start, MESH)
    return model_dir, figures


@pytest.fixture(scope="module")
def contrast(place):
    return run(place, "contrast", CONTRAST, QUERIES)


@pytest.fixture(scope="module")
def pair(place):
    return run(place, "pair", PAIR, PAIRS)


def test_queries_learn_to_find_their_texts(contrast, place):
    """The figures are those of the artefact, read again; nothing is said of bytes."""
    model_dir, figures = contrast
    assert set(figures) == {*STEPS, "validation_loss", "validation_r1", "validation_mrr"}
    losses = [record["loss"] for record in read_metrics(model_dir)]
    assert losses[-1] < losses[0] / 2
    reader = load_reader(place.base, model_dir / ARTEFACT)
    queries, texts = (embed_texts(reader, [q[n] for q in QUERIES]) for n in ("query", "positive"))
    own = (queries @ texts.T).argmax(1) == np.arange(4)
    assert own.mean() == figures["validation_r1"] == 1


def test_a_vector_is_that_of_the_text_alone(place):
    reader = load_reader(place.base, untuned=UNTUNED)
    texts = ["밥", "국이 맑다 " * 4, *TEXTS]
    vectors = embed_texts(reader, texts)
    tokenizer = reader.tokenizer
    for text, vector in zip(texts, vectors):
        ids = np.array([[*tokenizer.begin_ids, *tokenizer.encode(text), tokenizer.eod_id]])
        rows = ids, np.zeros_like(ids), np.arange(ids.size)[None]
        states = hidden_states(reader.params, *rows, reader.model, reader.compute)
        mean = np.asarray(states[0]).mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    # The same in smaller calls, and the first entries at length 1.
    small = dataclasses.replace(reader, call_tokens=32)
    np.testing.assert_allclose(embed_texts(small, texts), vectors, atol=1e-5)
    first = vectors[:, :8] / np.linalg.norm(vectors[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(embed_texts(reader, texts, size=8), first, atol=1e-6)
    assert embed_texts(reader, []).shape == (0, 32)


def test_pairs_are_judged_as_the_run_judged_them(pair, place):
    model_dir, figures = pair
    assert set(figures) == {*STEPS, "validation_loss", "validation_accuracy"}
    reader = load_reader(place.base, model_dir / ARTEFACT)
    probabilities = judge_pairs(reader, PAIRS)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    own = np.array([["same", "other"].index(pair["label"]) for pair in PAIRS])
    assert (probabilities.argmax(1) == own).mean() == figures["validation_accuracy"]
    loss = -np.log(probabilities[np.arange(4), own]).mean()
    assert loss == pytest.approx(figures["validation_loss"], abs=1e-4)


def test_the_head_is_in_the_artefact(pair):
    head = read_artefact(pair[0] / ARTEFACT).tune["pair_head"]
    assert head["weight"].shape == (32, 2) and head["bias"].shape == (2,)
    assert np.abs(head["bias"]).max() > 0


def test_a_run_resumes_to_the_last_digit(place, pair):
    """As one that was ended after its first save, and that an older version began."""
    folder = shutil.copytree(pair[0], place.folder / "again")
    shutil.rmtree(folder / "checkpoints" / "12")
    (folder / ARTEFACT).unlink()
    described = json.loads((folder / "config.json").read_text())
    del described["tune"]["symmetric"]
    (folder / "config.json").write_text(json.dumps(described))
    _, figures = run(place, "again", PAIR, PAIRS)
    assert figures == pair[1]
    assert (folder / ARTEFACT).read_bytes() == (pair[0] / ARTEFACT).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("objective", ["similarity", "pair"])
def test_scores_are_learnt_in_full(place, objective):
    """By a run whose checkpoint is the result, with the head in it."""
    config = TuneConfig(kind="finetune", objective=objective, score_max=5.0)
    rows = [{**pair, "score": 5.0 if pair["label"] == "same" else 1.0} for pair in PAIRS]
    model_dir, figures = run(place, f"{objective}_full", config, rows, rate=3e-3, total_steps=18)
    assert set(figures) == {*STEPS, "validation_loss", "validation_pearson", "validation_spearman"}
    reader = load_reader(str(model_dir))
    scores = np.array([row["score"] for row in rows])
    if objective == "pair":
        answers = judge_pairs(reader, PAIRS)
        assert answers.shape == (4,) and answers.max() <= 5
        with pytest.raises(ConfigError, match="judge of pairs, whose head"):
            read_whole_model(model_dir)
    else:
        sides = [embed_texts(reader, [row[name] for row in rows]) for name in ("text_a", "text_b")]
        answers = (sides[0] * sides[1]).sum(1)
        assert read_whole_model(model_dir)[0].model == reader.model
    assert np.corrcoef(answers, scores)[0, 1] > 0.9


def test_what_a_reader_cannot_do_is_refused(place, contrast, pair):
    vectors = load_reader(place.base, contrast[0] / ARTEFACT)
    judge = load_reader(place.base, pair[0] / ARTEFACT)
    with pytest.raises(ConfigError, match="has no vectors"):
        embed_texts(judge, ["밥"])
    with pytest.raises(ConfigError, match="it judges none"):
        judge_pairs(vectors, PAIRS)
    with pytest.raises(DataError, match="text 1 is empty"):
        embed_texts(vectors, ["밥", " "])
    with pytest.raises(DataError, match="text 0 has .* tokens, and the model reads 96"):
        embed_texts(vectors, ["밥" * 200])
    with pytest.raises(ConfigError, match="none of a vector of 32"):
        embed_texts(vectors, ["밥"], size=33)
    with pytest.raises(DataError, match="pair 0 has no field 'text_b'"):
        judge_pairs(judge, [{"text_a": "밥"}])
    with pytest.raises(ConfigError, match="not tuned for vectors or pairs"):
        load_reader(place.base)
    with pytest.raises(ConfigError, match="is a run of lora; give its base"):
        load_reader(str(pair[0]))
    with pytest.raises(ConfigError, match="no place for the head"):
        check_merge(str(place.folder / "merged"), PAIR)


def test_an_artefact_of_another_base_is_refused(place, pair, tokenizer_dirs):
    other = write_base(place.folder / "other", tokenizer_dirs["plain"], seed=1)
    with pytest.raises(DataError, match="tuned on another base"):
        load_reader(str(other), pair[0] / ARTEFACT)


def test_a_batch_is_not_split_for_contrast(place):
    with pytest.raises(ConfigError, match="accumulation_steps=2 would split"):
        run(place, "split", CONTRAST, QUERIES, accumulation_steps=2)
    with pytest.raises(ConfigError, match="a vector of this base has 32 entries"):
        run(place, "sizes", dataclasses.replace(CONTRAST, sizes="64"), QUERIES)
