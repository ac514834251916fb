"""Few-shot tasks in seqio: what they render, and their metric functions on planted predictions."""

import csv

import numpy as np
import pytest

seqio = pytest.importorskip("seqio")

from hclx.errors import DataError  # noqa: E402
from hclx.evaluate.items import Item  # noqa: E402
from hclx.tasks import fewshot_seqio  # noqa: E402
from hclx.tasks.common import VOCABULARY  # noqa: E402
from hclx.tasks.fewshot import TASKS, task, task_prompt  # noqa: E402

REVIEWS = ["눈물이 났다", "시간이 아깝다", "또 보고 싶다", "졸다가 나왔다"]
LABELS = ["1", "0", "1", "0"]


@pytest.fixture(autouse=True)
def nsmc(tokenizer_dirs, tmp_path, monkeypatch):
    """A small NSMC in the publisher's format."""
    VOCABULARY.set_directory(tokenizer_dirs["train"])
    folder = tmp_path / "tasks" / "nsmc"
    folder.mkdir(parents=True)
    with open(folder / "ratings_test.txt", "w", encoding="utf-8") as file:
        table = csv.writer(file, "excel-tab", quoting=csv.QUOTE_NONE)
        table.writerow(["id", "document", "label"])
        table.writerows(zip(range(4), REVIEWS, LABELS, strict=True))
    monkeypatch.setenv("HCLX_DATA_DIR", str(tmp_path))


def evaluate(name, split, answers):
    """Returns the metrics that seqio's Evaluator computes if a model answers so."""
    evaluator = seqio.Evaluator(
        name,
        seqio.EncDecFeatureConverter(pack=False),
        eval_split=split,
        sequence_length={"inputs": 256, "targets": 64},
    )

    def predict(dataset):
        assert len(list(dataset)) == len(answers)
        ids = [VOCABULARY.encode(answer) for answer in answers]
        return [(n, line + [VOCABULARY.eos_id] * (64 - len(line))) for n, line in enumerate(ids)]

    metrics, _ = evaluator.evaluate(compute_metrics=True, step=0, predict_fn=predict)
    return metrics.result()[name]


def test_every_task_is_registered_with_its_metrics():
    for name, spec in TASKS.items():
        registered = seqio.TaskRegistry.get(name)
        assert [metric.__name__ for metric in registered.metric_fns] == list(spec.metrics)
        assert tuple(registered.splits) == tuple(spec.splits)
        assert registered.output_features["targets"].vocabulary is VOCABULARY


def test_inputs_are_the_prompt_and_targets_the_answer():
    dataset = seqio.TaskRegistry.get("nsmc").get_dataset(
        {"inputs": 64, "targets": 64}, "test", shuffle=False
    )
    for example, review, label in zip(dataset.as_numpy_iterator(), REVIEWS, LABELS, strict=True):
        assert example["inputs_pretokenized"].decode() == f"{review} ("
        assert example["targets_pretokenized"].decode() == {"0": "부정)", "1": "긍정)"}[label]
        assert example["inputs"].tolist() == VOCABULARY.encode(f"{review} (")
        assert example["targets"][-1] == VOCABULARY.eos_id


@pytest.mark.parametrize(
    "answers, accuracy",
    [
        (["긍정)", "부정)", "긍정)", "부정)"], 1.0),
        (["긍정)", "긍정)", "긍정) 그리고", "긍정)"], 0.5),
        (["모름", "부정)", "", "긍정)"], 0.25),
    ],
)
def test_metric_functions_count_planted_predictions(answers, accuracy):
    assert evaluate("nsmc", "test", answers)["accuracy"] == pytest.approx(accuracy)


def test_sets_without_choices_are_read_by_the_parser_of_the_prompt(tmp_path):
    folder = tmp_path / "tasks" / "korean_english_news"
    folder.mkdir()
    (folder / "a.test.ko").write_text("비가 온다.\n눈이 온다.\n", encoding="utf-8")
    (folder / "a.test.en").write_text(
        "It is raining today.\nIt is snowing today.\n", encoding="utf-8"
    )
    same = evaluate("ko_en", "test", ["It is raining today.\n한국어:", "It is snowing today."])
    assert same["bleu_13a"] == pytest.approx(100) and same["chrf"] == pytest.approx(100)
    other = evaluate("ko_en", "test", ["It is raining today.", "snow"])
    assert other["bleu_13a"] < 90


def test_the_longest_choice_that_a_text_begins_with_is_its_answer():
    alternatives = {"alternative_1": "밥을 먹었다", "alternative_2": "밥을 먹었다가 남겼다"}
    item = Item("0", {"premise": "배가 고팠다.", "connective": "그래서", **alternatives}, "1")
    prompt = task_prompt("kobest_copa", "lm_eval")
    read = lambda text: fewshot_seqio.prediction(prompt, item, text)
    assert read(" 밥을 먹었다.").answer == "0" and read("밥을 먹었다가 남겼다").answer == "1"
    assert read("잤다").answer == "" and read("잤다").probabilities == {"0": 0, "1": 0}
    assert read(" 밥을 먹었다.").probabilities == {"0": 1, "1": 0}


def test_a_task_without_the_data_folder_says_what_to_set(monkeypatch):
    monkeypatch.delenv("HCLX_DATA_DIR")
    with pytest.raises(DataError, match="HCLX_DATA_DIR is not set"):
        fewshot_seqio._items("nsmc", "test")


def test_real_items_are_rendered_in_order(data_dir, monkeypatch):
    monkeypatch.setenv("HCLX_DATA_DIR", str(data_dir))
    dataset = seqio.TaskRegistry.get("kobest_boolq").get_dataset(
        {"inputs": 4096, "targets": 64}, "dev", shuffle=False
    )
    items = task("kobest_boolq").items(str(data_dir), "dev")
    for item, example in zip(items[:20], dataset.as_numpy_iterator(), strict=False):
        assert item.fields["question"] in example["inputs_pretokenized"].decode()
        assert int(np.asarray(example["number"])) == items.index(item)
