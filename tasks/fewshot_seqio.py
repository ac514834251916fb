"""Registers the tasks of few-shot evaluation with seqio: `inputs` is the rendered prompt, `targets`
the answer, and the metric functions are those of `hclx.evaluate.metrics`.

An item's own examples, or those of the prompt document, stand before it. Shots that are drawn, and
choices that are scored, are those of `hclx evaluate`: a seqio task sees one generated text, of
which the choice that it begins with is the answer.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence

from hclx.errors import DataError
from hclx.evaluate.answers import parse_answer
from hclx.evaluate.items import Item, Prediction
from hclx.prompts import PromptDocument, answer_texts, render
from hclx.tasks import DATA_DIR_VARIABLE
from hclx.tasks.common import VOCABULARY
from hclx.tasks.fewshot import TASKS, TaskSpec, task, task_prompt
from hclx.text.seqio_imports import seqio, tf

_SIGNATURE = {
    **dict.fromkeys(("inputs", "targets", "split"), tf.TensorSpec((), tf.string)),
    "number": tf.TensorSpec((), tf.int32),
}


def add_task(spec: TaskSpec, prompt: PromptDocument) -> seqio.Task:
    """Registers a task under its name.

    Args:
      spec: of the task.
      prompt: renders its items.
    """
    return seqio.TaskRegistry.add(
        spec.name,
        source=seqio.FunctionDataSource(_dataset(spec, prompt), splits=tuple(spec.splits)),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={
            "inputs": seqio.Feature(VOCABULARY, add_eos=False),
            "targets": seqio.Feature(VOCABULARY, add_eos=True),
        },
        postprocess_fn=_postprocessor(spec, prompt),
        metric_fns=[_metric(name) for name in spec.metrics],
    )


def prediction(prompt: PromptDocument, item: Item, text: str) -> Prediction:
    """Reads the answer of a model.

    Args:
      prompt: that it was asked with.
      item: that it was asked.
      text: that it generated. With choices the longest that it begins with is its answer, with
        probability 1, and "" if it begins with none.
    """
    if not prompt.choices:
        return Prediction(parse_answer(prompt.parser, text), text=text)
    answers = {key: choice.strip() for key, choice in answer_texts(prompt, item.fields).items()}
    begun = [key for key, choice in answers.items() if text.strip().startswith(choice)]
    key = max(begun, key=lambda key: len(answers[key]), default="")
    return Prediction(key, {other: float(other == key) for other in answers}, text)


def _dataset(spec: TaskSpec, prompt: PromptDocument) -> Callable[..., tf.data.Dataset]:
    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
        del shuffle_files, seed  # the order is that of the files

        def generate():
            for number, item in enumerate(_items(spec.name, split)):
                inputs, targets = _rendered(prompt, item)
                texts = {"inputs": inputs, "targets": targets, "split": split}
                yield {key: text.encode() for key, text in texts.items()} | {"number": number}

        return tf.data.Dataset.from_generator(generate, output_signature=_SIGNATURE)

    return dataset


def _rendered(prompt: PromptDocument, item: Item) -> tuple[str, str]:
    """Returns the prompt of an item, and its answer."""
    field = prompt.answer_field
    own = [{**shot.fields, field: shot.answer} for shot in item.shots]
    text = render(prompt, item.fields, own or None).text
    if prompt.choices:
        return text, answer_texts(prompt, item.fields)[item.answer]
    return text, prompt.answer.text({**item.fields, field: item.answer})


def _postprocessor(spec: TaskSpec, prompt: PromptDocument) -> Callable[..., Item | Prediction]:
    def postprocess(text: str, example: Mapping, is_target: bool = False) -> Item | Prediction:
        split = bytes(example["split"]).decode()
        item = _items(spec.name, split)[int(example["number"])]
        return item if is_target else prediction(prompt, item, text)

    return postprocess


def _metric(name: str) -> Callable[[Sequence[Item], Sequence[Prediction]], dict[str, float]]:
    def metric(targets: Sequence[Item], predictions: Sequence[Prediction]) -> dict[str, float]:
        from hclx.evaluate.metrics import METRICS

        return {name: METRICS[name].function(targets, predictions)}

    metric.__name__ = name
    return metric


def _items(name: str, split: str) -> tuple[Item, ...]:
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise DataError(f"{DATA_DIR_VARIABLE} is not set; it must name the folder that has tasks/")
    return _items_in(folder, name, split)


@functools.lru_cache(maxsize=4)
def _items_in(folder: str, name: str, split: str) -> tuple[Item, ...]:
    return task(name).items(folder, split)


for _spec in TASKS.values():
    add_task(_spec, task_prompt(_spec.name, _spec.template))
