"""lm-evaluation-harness on its own KoBEST definitions over local files, in a process of its own:

python -m tests.helpers.harness JSON     # the arguments of `evaluated`, and `output`
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.helpers.commands import environment

# The harness' own backend needs PyTorch, which other commands of tests do not find.
VARIABLES = {
    "PYTHONPATH": str(ROOT),
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def _is_true(text):
    return int(text.strip().lower() == "true")


# Task of the harness -> folder of the published files, and a row of these as the task reads it.
ROWS = {
    "boolq": (
        "BoolQ",
        lambda r: {
            "paragraph": r["Text"],
            "question": r["Question"],
            "label": _is_true(r["Answer"]),
        },
    ),
    "copa": (
        "COPA",
        lambda r: {
            "premise": r["sentence"],
            "question": r["question"],
            "alternative_1": r["1"],
            "alternative_2": r["2"],
            "label": int(r["Answer"]) - 1,
        },
    ),
    "hellaswag": (
        "HellaSwag",
        lambda r: {
            "context": r["context"],
            **{f"ending_{i}": r[f"choice{i}"] for i in (1, 2, 3, 4)},
            "label": int(r["label"]),
        },
    ),
    "sentineg": ("SentiNeg", lambda r: {"sentence": r["Text"], "label": int(r["Label"])}),
    "wic": (
        "WiC",
        lambda r: {
            "word": r["Target"],
            "context_1": r["SENTENCE1"],
            "context_2": r["SENTENCE2"],
            "label": _is_true(r["ANSWER"]),
        },
    ),
}


def write_kobest(source, folder, **more):
    """Writes tasks `local_kobest_...` over the published files, whose dev set is their test set.

    Args:
      source: the folder of the published files.
      folder: gets the tasks and their files.
      more: fields of the tasks that differ from the harness'.
    Returns:
      The names of the tasks.
    """
    import lm_eval.tasks

    packaged = Path(lm_eval.tasks.__file__).parent / "kobest"
    for task, (name, row) in ROWS.items():
        files = {"train": f"{task}.train.jsonl", "test": f"{task}.dev.jsonl"}
        for split, file in zip(("train", "dev"), files.values()):
            path = Path(source, name, f"{split}.tsv")
            with open(path, encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
            lines = (json.dumps(row(r), ensure_ascii=False) for r in rows)
            Path(folder, file).write_text("\n".join(lines) + "\n", encoding="utf-8")
        fields = {
            "include": str(packaged / f"kobest_{task}.yaml"),
            "task": f"local_kobest_{task}",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {split: str(Path(folder, file)) for split, file in files.items()}
            },
            "validation_split": None,
            **more,
        }
        text = json.dumps(fields, ensure_ascii=False)  # JSON is YAML
        Path(folder, f"local_kobest_{task}.yaml").write_text(text, encoding="utf-8")
    return [f"local_kobest_{task}" for task in ROWS]


def evaluated(model, model_args, tasks, include, limit, shots=0, batch_size=8):
    """Runs tasks, and returns for each its metrics and its samples.

    Args:
      model: the name of the harness' model: hclx or hf.
      model_args: its arguments.
      tasks: names of tasks.
      include: the folder of tasks.
      limit: the number of items of each.
      shots: the number of examples of each item.
      batch_size: requests at once.
    """
    import lm_eval
    from lm_eval.tasks import TaskManager

    import hclx.evaluate.lm_eval  # noqa: F401

    found = lm_eval.simple_evaluate(
        model=model,
        model_args=model_args,
        tasks=tasks,
        num_fewshot=shots,
        limit=limit,
        batch_size=batch_size,
        bootstrap_iters=0,
        log_samples=True,
        cache_requests=False,
        task_manager=TaskManager(include_path=include),
    )
    keys = ("doc_id", "prompt_hash", "target_hash", "filtered_resps", "arguments", "acc")
    return {
        task: {
            "metrics": found["results"][task],
            "samples": [{key: sample.get(key) for key in keys} for sample in samples],
        }
        for task, samples in found["samples"].items()
    }


def chatted(model, model_args, chats, settings):
    """Returns the answers of a model to chats.

    Args:
      model, model_args: as of `evaluated`.
      chats: each a list of messages.
      settings: of the harness for texts, such as "until".
    """
    from lm_eval.api.instance import Instance
    from lm_eval.api.registry import get_model

    import hclx.evaluate.lm_eval  # noqa: F401

    answerer = get_model(model).create_from_arg_obj(model_args, {})
    written = [(answerer.apply_chat_template(chat), dict(settings)) for chat in chats]
    asked = [Instance("generate_until", {}, each, index) for index, each in enumerate(written)]
    return answerer.generate_until(asked)


def evaluated_elsewhere(output, **arguments):
    """Calls `evaluated`, or with `chats` `chatted`, in a process of its own, which has one device
    and compiles as commands do.

    Args:
      output: the file for the results.
      arguments: of `evaluated` or `chatted`.
    """
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.helpers.harness",
            json.dumps({"output": str(output), **arguments}),
        ],
        env=environment(variables=VARIABLES),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(Path(output).read_text(encoding="utf-8"))


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    target = options.pop("output")
    results = (chatted if "chats" in options else evaluated)(**options)
    Path(target).write_text(json.dumps(results, ensure_ascii=False), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)  # threads of libraries would be waited for
