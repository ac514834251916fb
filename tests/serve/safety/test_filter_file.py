"""A filter is the same once it was read; one that is damaged or of another version is refused."""

import json

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError
from hclx.serve.safety.categories import read_category
from hclx.serve.safety.filter_file import load_filter, open_rules, save_filter
from hclx.serve.safety.filter_training import LabelledTexts, read_labelled, train_filter
from hclx.serve.safety.output_filter import judge_text
from tests.serve.safety.test_label_model import HATE, TEXTS

CATEGORY = "curse/insult:hate=hate"


@pytest.fixture(scope="module")
def made():
    return train_filter(
        "mine", LabelledTexts(TEXTS, {"hate": HATE}), [read_category(CATEGORY)], 3, 3
    )


@pytest.fixture
def path(made, tmp_path):
    save_filter(made, tmp_path / "filter.npz")
    return tmp_path / "filter.npz"


def test_it_tells_what_it_was_trained_on(made):
    (bad,) = judge_text(made, "저 바보는 정말 멍청하다")
    (good,) = judge_text(made, "꽃이 피고 날씨가 좋다")
    assert bad.level == 0 and good.level == 2 and bad.probability > 0.5 > good.probability
    (blank,) = judge_text(made, " \n")
    assert blank.level == 2 and blank.probability == 0


def test_no_length_hides_a_sentence(made):
    kind = "꽃이 예쁘게 피었다. 고맙고 반가운 사람. "
    (alone,) = judge_text(made, "바보 멍청이 바보다. ")
    (hidden,) = judge_text(made, kind * 20 + "바보 멍청이 바보다. " + kind * 20)
    assert hidden.level == 0 and hidden.probability >= alone.probability


def test_a_file_is_the_filter(made, path):
    read = load_filter(path)
    assert read.name == "mine" and read.categories == made.categories
    for text in (*TEXTS, "다른 글"):
        assert read.judge(text) == made.judge(text)
    assert not list(path.parent.glob("*.tmp"))


def changed(path, **values):
    """Writes the file with other arrays, or another head."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    head = json.loads(str(arrays["head"])) | values.pop("head", {})
    np.savez(path, **{**arrays, **values, "head": np.array(json.dumps(head))})


def test_what_is_no_filter_is_refused_by_its_name(path, tmp_path):
    def refusal(match):
        with pytest.raises(DataError, match=match) as error:
            load_filter(path)
        assert str(path) in str(error.value) and "hclx train_output_filter" in str(error.value)

    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"text", content[:-30]):
        path.write_bytes(damaged)
        refusal("cannot be read as a filter")
    path.write_bytes(content)
    changed(path, head={"format": "hclx.output_filter/9"})
    refusal("has the format 'hclx.output_filter/9', and this version reads 'hclx.output_filter/1'")
    path.write_bytes(content)
    changed(path, bias=np.ones(2, np.float32))
    refusal("is damaged .its arrays are not those that were written")
    path.write_bytes(content)
    changed(path, head={"categories": [{"group": "curse"}]})
    refusal("is damaged")
    path.unlink()
    refusal("does not exist")


def test_rules_of_a_command(path):
    assert open_rules(None, None, False).changes_texts is False
    assert open_rules(str(path), 1, False).block == 1 and open_rules(None, None, True).masks_pii
    with pytest.raises(ConfigError, match="--block=0 needs --filter"):
        open_rules(None, 0, True)


def test_labelled_texts_are_read_or_refused(tmp_path):
    rows = [("text", "hate"), ('"그는 "참" 좋다', "none"), ("나쁘다", "hate")]
    path = tmp_path / "rows.tsv"
    path.write_text("\n".join(map("\t".join, rows)) + "\n", encoding="utf-8")
    read = read_labelled(str(path), "text", ["hate"])
    assert list(read.texts) == ['"그는 "참" 좋다', "나쁘다"] and read.columns == {
        "hate": ["none", "hate"]
    }
    with pytest.raises(DataError, match="rows.tsv:2 has no text 'bias'; there are 'text', 'hate'"):
        read_labelled(str(path), "text", ["bias"])
    path.write_text("text\thate\n나쁘다\n", encoding="utf-8")
    with pytest.raises(DataError, match="rows.tsv:2 has 1 cells"):
        read_labelled(str(path), "text", ["hate"])
    with pytest.raises(DataError, match="cannot be read"):
        read_labelled(str(tmp_path / "none.tsv"), "text", ["hate"])
    with pytest.raises(ConfigError, match="no text has hate='bad'; there are hate, none"):
        data = LabelledTexts(TEXTS, {"hate": HATE})
        train_filter("mine", data, [read_category("a/b:hate=bad")], 3, 3)
