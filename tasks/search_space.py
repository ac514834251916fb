"""Makes the space of a search for prompts: the templates of a task, and its items."""

from collections.abc import Sequence
from pathlib import Path

from hclx.errors import ConfigError
from hclx.evaluate.run_search import SearchSpace, divided
from hclx.prompts import PromptDocument, load_prompt
from hclx.tasks.fewshot import task, task_prompt, templates


def search_space(
    name: str,
    template_names: Sequence[str],
    data_dir: str | None,
    n_validation: int,
    n_pool: int,
    split: str | None = None,
    shots_split: str | None = None,
    seed: int = 0,
    score: str = "total",
) -> SearchSpace:
    """Makes the space of a search.

    Args:
      name: of a task.
      template_names: names of its templates, or files *.json; empty: all of its templates.
      data_dir: the folder that holds `tasks/`.
      n_validation, n_pool: see `divided`.
      split: the one that the prompt is for, whose items are left out; None: the task's.
      shots_split: the one that validation items and examples are drawn from; None: the task's.
      seed, score: see `RunSpec`.
    Raises:
      ConfigError: a name is unknown, the task's examples are each item's own, or both splits are
        the same.
      DataError: a file is missing or malformed.
    """
    spec = task(name)
    split, shots_split = split or spec.test_split, shots_split or spec.shots_split
    if spec.draw == "own":
        raise ConfigError(f"{name}: each item has examples of its own, so that none are searched")
    if split == shots_split:
        others = ", ".join(other for other in spec.splits if other != split)
        raise ConfigError(
            f"{name}: validation items from the split {split} would be those that the prompt is"
            f" for; name another --shots_split: {others or 'the task has none'}"
        )
    if data_dir is None:
        raise ConfigError("give --data_dir, the folder that holds tasks/, or set HCLX_DATA_DIR")
    prompts = _prompts(name, template_names)
    test, items = spec.items(data_dir, split), spec.items(data_dir, shots_split)
    validation, pool = divided(items, test, n_validation, n_pool, seed)
    if not validation:
        raise ConfigError(f"{name}: the split {shots_split} has too few items that are no test")
    return SearchSpace(name, prompts, pool, validation, test, shots_split, spec.main, score, seed)


def _prompts(name: str, template_names: Sequence[str]) -> dict[str, PromptDocument]:
    """Returns name of a template -> its prompt."""
    prompts = {}
    for template in template_names or templates(name):
        is_file = template.endswith(".json")
        key = Path(template).stem if is_file else template
        if key in prompts:
            raise ConfigError(f"--templates names {key} twice; rename one of the files")
        prompts[key] = load_prompt(template) if is_file else task_prompt(name, template)
    return prompts
