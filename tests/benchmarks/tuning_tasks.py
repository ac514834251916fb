"""The tasks of tests/benchmarks/tuning.py: reviews, pairs of sentences, and answers to what users
say. Each has the same items for all methods and seeds.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec
from hclx.hashing import json_hash
from hclx.prompts import PromptDocument, prompt_from_json
from hclx.tasks.fewshot import task, task_prompt
from hclx.tune.row_files import Row

SHOTS = 16
CHAT = {
    "schema": "hclx.prompt/1",
    "name": "chatbot/hclx",
    "input": "질문: {question}\n답변:",
    "answer": " {answer}",
    "answer_field": "answer",
    "separator": "\n\n",
    "stop": ["\n"],
    "parser": {"kind": "first_line"},
    "sampling": {"max_tokens": 24},
}
TINY_TEXTS = ("국이 맑고 따뜻하다", "밥이 식어서 굳었다", "차가 향기롭다", "빵이 눅눅하다")


class Sizes(NamedTuple):
    """How many items there are to learn from, to choose the best step by, and to test on."""

    train: int
    held_out: int
    test: int


class BenchmarkTask(NamedTuple):
    """A task.

    Attributes:
      spec: of few-shot evaluation: the prompt, the test items, and those from which examples are
        drawn.
      train, held_out: rows to learn from, and rows to choose the best step by.
      test: the test items as rows.
    """

    spec: RunSpec
    train: list[Row]
    held_out: list[Row]
    test: list[Row]


def nsmc(data_dir: str, sizes: Sizes) -> BenchmarkTask:
    """Sentiment of reviews; the data folder has no test split of the publisher's."""
    train, test = (by_hash(task("nsmc").items(data_dir, part)) for part in ("train", "dev"))
    return _task("nsmc", task_prompt("nsmc", "hclx"), train, test, sizes)


def klue_nli(data_dir: str, sizes: Sizes) -> BenchmarkTask:
    """Whether a sentence follows: the dev split, of whose premises two thirds are learnt from."""
    items = by_hash(task("klue_nli").items(data_dir, "dev"), "premise")
    premises = list(dict.fromkeys(item.fields["premise"] for item in items))
    learnt = set(premises[: len(premises) * 2 // 3])
    part = lambda is_learnt: [i for i in items if (i.fields["premise"] in learnt) == is_learnt]
    return _task("klue_nli", task_prompt("klue_nli", "hclx"), part(True), part(False), sizes)


def chatbot(data_dir: str, sizes: Sizes) -> BenchmarkTask:
    """Answers to what users say; equal questions are on one side."""
    path = Path(data_dir, "tasks", "chatbot_data", "ChatbotData.csv")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    items = [
        Item(str(n), {"question": row["Q"]}, row["A"], (row["A"],)) for n, row in enumerate(rows)
    ]
    items = by_hash(items, "question")
    questions = list(dict.fromkeys(item.fields["question"] for item in items))
    learnt = set(questions[: len(questions) * 9 // 10])
    part = lambda is_learnt: [i for i in items if (i.fields["question"] in learnt) == is_learnt]
    return _task("chatbot", prompt_from_json(CHAT), part(True), part(False), sizes)


TASKS = {"nsmc": nsmc, "klue_nli": klue_nli, "chatbot": chatbot}


def tiny_task(name: str) -> BenchmarkTask:
    """A few made-up items under the prompt of a task, for a trial of the benchmark."""
    prompt = prompt_from_json(CHAT) if name == "chatbot" else task_prompt(name, "hclx")
    keys, fields = list(prompt.choices), prompt.input_fields
    items = []
    for n in range(24):
        text = f"{TINY_TEXTS[n % 4]} {n}"
        answer = keys[n % len(keys)] if keys else TINY_TEXTS[n % 3]
        answers = () if keys else (answer,)
        items.append(Item(str(n), {field: text for field in fields}, answer, answers))
    return _task(name, prompt, items[:16], items[16:], Sizes(10, 6, 8), shots=2)


def by_hash(items: Sequence[Item], field: str = "") -> list[Item]:
    """Returns items in an order that follows from their content, or from that of a field."""
    return sorted(items, key=lambda i: (json_hash(i.fields.get(field, dict(i.fields))), i.id))


def _task(
    name: str,
    prompt: PromptDocument,
    train: Sequence[Item],
    test: Sequence[Item],
    sizes: Sizes,
    shots: int = SHOTS,
) -> BenchmarkTask:
    """Rows to hold out are the last ones of those that could be learnt from."""
    metrics = ("accuracy",) if prompt.choices else ("chrf",)
    pool, held_out = train[: -sizes.held_out], train[-sizes.held_out :]
    learnt = pool[: sizes.train]
    spec = RunSpec(
        *(name, "hclx", prompt, tuple(test[: sizes.test])),
        pool=tuple(learnt),
        shots=shots,
        metrics=metrics,
        main=metrics[0],
    )
    return BenchmarkTask(spec, _rows(learnt), _rows(held_out), _rows(test[: sizes.test]))


def _rows(items: Sequence[Item]) -> list[Row]:
    answer = lambda item: {"answer": item.answer}
    return [Row(item.id, {**item.fields, **answer(item)}) for item in items]
