"""Lines of `hclx augment` as a seqio task."""

import json

import pytest

seqio = pytest.importorskip("seqio")

from hclx.tasks.augmented import add_augmented  # noqa: E402
from hclx.tasks.common import VOCABULARY  # noqa: E402

LABELS = {"0": "부정", "1": "긍정"}


def examples(name):
    return list(seqio.TaskRegistry.get(name).get_dataset(None, shuffle=False).as_numpy_iterator())


def test_texts_labels_and_distributions(tokenizer_dirs, tmp_path):
    VOCABULARY.set_directory(tokenizer_dirs["train"])
    path = tmp_path / "augmented.jsonl"
    lines = [
        {
            "text": "참 좋은\u2028영화",
            "label": "1",
            "soft_label": {"1": 0.75, "0": 0.25},
            "filters": {},
        },
        {"text": "지루하다", "label": "0"},
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    add_augmented("augmented_reviews", str(path), LABELS)
    read = examples("augmented_reviews")
    assert [VOCABULARY.decode(list(map(int, e["inputs"]))) for e in read] == [
        line["text"] for line in lines
    ]
    assert [VOCABULARY.decode(list(map(int, e["targets"][:-1]))) for e in read] == ["긍정", "부정"]
    assert [e["soft_label"].tolist() for e in read] == [[0.25, 0.75], [1.0, 0.0]]


def test_a_label_that_is_unknown_names_its_line(tokenizer_dirs, tmp_path):
    VOCABULARY.set_directory(tokenizer_dirs["train"])
    path = tmp_path / "augmented.jsonl"
    path.write_text('{"text": "좋다", "label": "1"}\n{"text": "좋다", "label": "2"}\n')
    add_augmented("augmented_wrong", str(path), LABELS)
    with pytest.raises(Exception, match="augmented.jsonl:2: the label '2' is none of 0, 1"):
        examples("augmented_wrong")
