"""The figures of docs/serving_filter.md, on the published comments."""

import pytest

from hclx.serve.safety.categories import read_category
from hclx.serve.safety.filter_training import (
    harmless_texts,
    measure_labels,
    measure_levels,
    read_labelled,
    train_filter,
)
from hclx.serve.safety.output_filter import judge_text


@pytest.mark.long
def test_the_documented_accuracy(data_dir):
    folder, columns = data_dir / "tasks" / "korean_hate_speech", ["hate", "bias"]
    train, dev = (read_labelled(folder / f"{n}.tsv", "comments", columns) for n in ("train", "dev"))
    documents = str(data_dir / "corpus" / "kowiki" / "*.jsonl.gz")
    categories = ["curse/insult:hate=hate,offensive", "unsafe/discrimination:bias=gender,others"]
    train = train.with_harmless(harmless_texts(documents, 8000), "none")
    made = train_filter("hate", train, [*map(read_category, categories)], 5, 3.0)
    labels = measure_labels(made.model, dev)
    assert labels["hate"]["f1_macro"] > 0.56 and labels["bias"]["f1_macro"] > 0.62
    likely, possible = measure_levels(made, dev)["insult"]
    assert likely["precision"] > 0.9 and possible["precision"] > 0.8 and possible["recall"] > 0.75
    article = "대한민국의 수도는 서울이다. 한강이 도시의 가운데를 흐른다. 인구는 약 천만 명이다."
    assert [finding.level for finding in judge_text(made, article)] == [2, 2]
