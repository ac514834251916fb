"""Rows of vectors and pairs: their forms, and what is refused."""

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError
from hclx.prompts import load_prompt
from hclx.text import load_tokenizer
from hclx.tune import TuneConfig
from hclx.tune.row_files import Row
from hclx.tune.text_rows import group_encoder, prepare_groups
from hclx.tune.tuning_data import TuningText
from tests.helpers.tuning_runs import write_prompt

CONTRAST = TuneConfig(kind="lora", objective="contrast")
SIMILARITY = TuneConfig(kind="lora", objective="similarity", score_max=5.0)
PAIR = TuneConfig(kind="lora", objective="pair", labels="0,1", template="{text_a} / {text_b}")
QUERIES = [
    {"query": "밥은 언제 먹나", "positive": "밥은 정오에 먹는다", "negative": "차는 아침에 마신다"},
    {"query": "차는 언제 마시나", "positive": "차는 아침에 마신다"},
]


@pytest.fixture(scope="module")
def tokenizer(tokenizer_dirs):
    return load_tokenizer(tokenizer_dirs["plain"])


def rows_of(*records):
    return [Row(f"rows.jsonl:{n}", record) for n, record in enumerate(records, 1)]


def prepare(tokenizer, config, *records, length=64, held_out=(), **options):
    text = TuningText("rows.jsonl", rows_of(*records), rows_of(*held_out), **options)
    return prepare_groups(text, tokenizer, 512, config, length, 100)


def test_a_text_stands_between_the_marks_of_documents(tokenizer):
    (first, second) = map(group_encoder(tokenizer, 512, CONTRAST), rows_of(*QUERIES))
    texts = [QUERIES[0][name] for name in ("query", "positive", "negative")]
    for tokens, text in zip(first.texts, texts, strict=True):
        assert tokens.tolist() == [*tokenizer.begin_ids, *tokenizer.encode(text), tokenizer.eod_id]
    assert len(second.texts) == 2
    # equal texts have equal numbers, wherever they stand
    assert first.targets[2] == second.targets[1]
    assert len({*first.targets, *second.targets}) == 4


def test_soft_slots_stand_before_every_text(tokenizer):
    config = TuneConfig(kind="prompt_tune", length=3, objective="contrast")
    group = group_encoder(tokenizer, 512, config)(rows_of(QUERIES[0])[0])
    assert all(tokens[:3].tolist() == [512, 513, 514] for tokens in group.texts)


def test_a_pair_is_one_text_by_its_template(tokenizer):
    encode = group_encoder(tokenizer, 512, PAIR)
    group = encode(rows_of({"text_a": "국", "text_b": "밥", "label": 1})[0])
    ids = [*tokenizer.begin_ids, *tokenizer.encode("국 / 밥"), tokenizer.eod_id]
    assert [tokens.tolist() for tokens in group.texts] == [ids]
    assert group.targets == (1,)


def test_a_score_is_a_share_of_the_highest(tokenizer):
    encode = group_encoder(tokenizer, 512, SIMILARITY)
    group = encode(rows_of({"text_a": "국", "text_b": "밥", "score": "3.5"})[0])
    assert np.int32(group.targets[1]).view(np.float32) == np.float32(0.7)


def test_rows_are_packed_in_one_layout(tokenizer):
    data = prepare(tokenizer, CONTRAST, *QUERIES, held_out=QUERIES[1:])
    assert (data.n_train, data.n_held_out, data.layout.texts) == (2, 1, 3)
    assert data.train.weights_bt.sum() == 2 and data.held_out.weights_bt.sum() == 1


@pytest.mark.parametrize(
    "config, record, message",
    [
        (CONTRAST, {"query": "국"}, "no field 'positive'"),
        (CONTRAST, {"query": " ", "positive": "밥"}, "query=' ' is no text, or an empty one"),
        (SIMILARITY, {"text_a": "국", "text_b": "밥", "score": "7"}, "from 0 to .*score_max=5"),
        (SIMILARITY, {"text_a": "국", "text_b": "밥"}, "score=None is no number"),
        (SIMILARITY, {"text_a": "국", "text_b": "밥", "score": True}, "score=True is no number"),
        (PAIR, {"text_a": "국", "text_b": "밥", "label": "2"}, "'2' is not one of .*, 0, 1"),
        (PAIR, {"text_a": "국", "label": "1"}, "no field 'text_b'"),
    ],
)
def test_a_malformed_row_is_named(tokenizer, config, record, message):
    with pytest.raises(DataError, match=f"^rows.jsonl:1.*{message}"):
        prepare(tokenizer, config, record)


def test_a_label_without_a_row_is_refused(tokenizer):
    with pytest.raises(DataError, match="no row with the label '1'"):
        prepare(tokenizer, PAIR, {"text_a": "국", "text_b": "밥", "label": "0"})


def test_rows_that_are_too_long_are_counted(tokenizer):
    long = {"query": "밥" * 90, "positive": "국"}
    with pytest.raises(DataError, match="of 1 row of 2 have more than .*=64 tokens"):
        prepare(tokenizer, CONTRAST, QUERIES[1], long)
    data = prepare(tokenizer, CONTRAST, QUERIES[1], long, too_long="drop")
    assert (data.n_train, data.n_dropped) == (1, 1)
    with pytest.raises(DataError, match="no row to learn from; 1 row are too long"):
        prepare(tokenizer, CONTRAST, long, too_long="drop")


def test_a_prompt_document_is_refused(tokenizer, tmp_path):
    with pytest.raises(ConfigError, match="without a prompt document"):
        prepare(
            tokenizer, CONTRAST, *QUERIES, prompt=load_prompt(write_prompt(tmp_path / "p.json"))
        )
