"""Makes the runs of a suite: which tasks, with which prompts, on which items."""

import dataclasses
import json
import os
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hclx.errors import ConfigError, DataError, shown
from hclx.evaluate.item_files import read_items
from hclx.evaluate.items import Item
from hclx.evaluate.metrics import metrics_named
from hclx.evaluate.run_spec import RunSpec
from hclx.prompts import PromptDocument, load_prompt
from hclx.tasks import DATA_DIR_VARIABLE
from hclx.tasks.fewshot import TaskSpec, task, task_prompt

SUITES = resources.files("hclx.tasks") / "suites"
_NUMBERS = ("shots", "trials", "seed", "limit", "bias_rounds")
_WORDS = ("draw", "score", "split", "shots_split", "calibration")
_SETTINGS = (*_NUMBERS, *_WORDS)
# Of a task whose items are in a file of one's own.
_OWN = ("items", "examples", "metrics", "chance")
_NAMED = ("task", "template", "prompt")
_POOL_SHARE = 5  # a fifth of a split is kept for shots that come from it


@dataclasses.dataclass(frozen=True)
class Selection:
    """The settings by which the command line changes a suite; None leaves the suite's own value.

    Attributes:
      tasks: names of tasks, or TASK/TEMPLATE; empty: all.
      shots: numbers of shots, each of which is a run.
      trials, limit, seed, score, draw, split, shots_split, bias_rounds: see `RunSpec`; `limit` is
        the most items of each run, drawn by the seed.
    """

    tasks: tuple[str, ...] = ()
    shots: tuple[int, ...] = ()
    trials: int | None = None
    limit: int | None = None
    seed: int | None = None
    score: str | None = None
    draw: str | None = None
    split: str | None = None
    shots_split: str | None = None
    bias_rounds: int | None = None


def read_suite(name: str) -> list[dict[str, Any]]:
    """Returns the entries of a suite, which has a name or is a JSON file.

    Raises:
      ConfigError: there is no such suite.
      DataError: the file is no suite: names the entry and the field.
    """
    path = Path(name) if name.endswith(".json") else SUITES / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(Path(file.name).stem for file in SUITES.iterdir()))
        raise ConfigError(f"--suite={name}: there is none but {known}, or FILE.json")
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: a suite is a list of objects")
    for number, entry in enumerate(entries):
        where = f"{path}: entry {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("task"), str):
            raise DataError(f"{where} is {shown(entry)}: give an object with a task")
        known = [*_NAMED, *_SETTINGS, *(_OWN if "items" in entry else ())]
        if unknown := sorted(set(entry) - set(known)):
            raise DataError(f"{where} has no field {unknown[0]!r}; known are {', '.join(known)}")
        _check_settings(entry, where)
        for field in ("items", "examples", "prompt"):  # beside the file of the suite
            if field in entry:
                entry[field] = str(path.parent / entry[field])
    return entries


def _check_settings(entry: Mapping[str, Any], where: str) -> None:
    """Raises DataError if a setting has another type."""
    kinds = dict.fromkeys(_NUMBERS, int) | dict.fromkeys((*_WORDS, *_NAMED), str)
    for name, kind in kinds.items():
        if name in entry and type(entry[name]) is not kind:
            words = {int: "a whole number", str: "a text"}[kind]
            raise DataError(f"{where}: {name}={shown(entry[name])}: give {words}")


def suite_runs(
    entries: Sequence[Mapping[str, Any]], data_dir: str | None, selection: Selection
) -> tuple[list[RunSpec], list[str]]:
    """Makes the runs of a suite.

    Args:
      entries: as `read_suite` returns them.
      data_dir: the folder that holds `tasks/`; None: only items in files of one's own are read.
      selection: of the command line.
    Returns:
      The runs, and a line for each task whose files are not there.
    Raises:
      ConfigError: a task, a template, a split or a setting is unknown or out of range.
      DataError: a file is malformed.
    """
    chosen = [entry for entry in entries if _is_chosen(entry, selection.tasks)]
    if not chosen:
        names = ", ".join(dict.fromkeys(entry["task"] for entry in entries))
        raise ConfigError(f"--tasks={','.join(selection.tasks)} are none of the suite: {names}")
    specs, missing = [], []
    for entry in chosen:
        try:
            specs += _runs(entry, data_dir, selection)
        except FileNotFoundError as error:
            missing.append(str(error))
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the suite has {name} twice; give one of them another template name")
    return specs, missing


def all_runs(suite: str, selection: Selection, data_dir: str | None = None) -> list[RunSpec]:
    """Returns the runs of a suite, for a caller that leaves none out.

    Args:
      suite: its name or file.
      selection: of the command line.
      data_dir: the folder that holds `tasks/`; None: that of HCLX_DATA_DIR.
    Raises:
      ConfigError: as `suite_runs`.
      DataError: as `suite_runs`, or files are missing.
    """
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    specs, missing = suite_runs(read_suite(suite), folder, selection)
    if missing:
        listed = "; ".join(missing)
        raise DataError(f"the suite {suite} lacks files: {listed}; set {DATA_DIR_VARIABLE}")
    return specs


def _is_chosen(entry: Mapping[str, Any], names: Sequence[str]) -> bool:
    own = f"{entry['task']}/{entry.get('template', '')}"
    return not names or entry["task"] in names or own in names


def _runs(entry: Mapping[str, Any], data_dir: str | None, selection: Selection) -> list[RunSpec]:
    values = {name: entry[name] for name in _SETTINGS if name in entry}
    of_command = [name for name in _SETTINGS if name not in ("shots", "calibration")]
    chosen = {name: getattr(selection, name) for name in of_command}
    values |= {name: value for name, value in chosen.items() if value is not None}
    own = "items" in entry
    defaults, prompt = _own_task(entry) if own else _published_task(entry)
    settings = {**defaults, **values}
    if settings["draw"] == "fixed" and "shots" not in values:
        settings["shots"] = len(prompt.examples)
    split, shots_split = settings["split"], settings["shots_split"]
    if own:
        items, pool = settings.pop("of")
    else:
        items, pool = _items_of(task(entry["task"]), data_dir, settings)
    counts = selection.shots or (settings["shots"],)
    settings = {name: settings[name] for name in settings if name not in ("limit", "template")}
    runs = []
    for shots in dict.fromkeys(counts):
        answered, others = items, pool
        if shots and settings["draw"] == "trial" and split == shots_split:
            answered, others = _apart(items, shots, settings["seed"])
        is_random = shots and settings["draw"] in ("trial", "item")
        # Else all trials are the same.
        trials = settings["trials"] if is_random or prompt.sampling.get("temperature") else 1
        answered = _limited(answered, values.get("limit"), settings["seed"])
        runs.append(
            RunSpec(
                entry["task"],
                entry.get("template", defaults["template"]),
                prompt,
                answered,
                others,
                **{**settings, "shots": shots, "trials": trials},
            )
        )
    return runs


def _published_task(entry: Mapping[str, Any]) -> tuple[dict[str, Any], PromptDocument]:
    spec = task(entry["task"])
    if "prompt" in entry:
        prompt = load_prompt(entry["prompt"])
        template = entry.get("template", Path(entry["prompt"]).stem)
    else:
        template = entry.get("template", spec.template)
        prompt = task_prompt(spec.name, template)
    defaults = {
        "template": template,
        "split": spec.test_split,
        "shots_split": spec.shots_split,
        "shots": spec.shots,
        "trials": spec.trials,
        "draw": spec.draw,
        "seed": 0,
        "metrics": spec.metrics,
        "main": spec.main,
        "chance": spec.chance,
    }
    if prompt.examples:
        defaults["draw"] = "fixed"
    return defaults, prompt


def _own_task(entry: Mapping[str, Any]) -> tuple[dict[str, Any], PromptDocument]:
    if "prompt" not in entry:
        raise ConfigError(f"{entry['task']} has items of its own, and no prompt: name its file")
    prompt = load_prompt(entry["prompt"])
    metrics = tuple(entry.get("metrics", ("accuracy",) if prompt.choices else ("exact_match",)))
    metrics_named(metrics)
    examples = read_items(entry["examples"]) if "examples" in entry else ()
    defaults = {
        "template": Path(entry["prompt"]).stem,
        "split": Path(entry["items"]).stem,
        "shots_split": Path(entry["examples"]).stem if examples else "prompt",
        "shots": 0,
        "trials": 1,
        "draw": "trial" if examples else "fixed",
        "seed": 0,
        "metrics": metrics,
        "main": metrics[0],
        "chance": entry.get("chance"),
        "of": (read_items(entry["items"]), examples),
    }
    return defaults, prompt


def _items_of(
    spec: TaskSpec, data_dir: str | None, settings: Mapping[str, Any]
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Reads the items of a task, and those that shots are drawn from."""
    splits = [settings["split"]]
    if settings["draw"] in ("trial", "item"):
        splits.append(settings["shots_split"])
    for split in splits:
        if data_dir is None:
            raise FileNotFoundError(f"{spec.name}: no data folder")
        try:
            spec.files(data_dir, split)
        except DataError as error:
            raise FileNotFoundError(f"{spec.name}: {error}") from error
    items = [spec.items(data_dir, split) for split in splits]
    return items[0], items[-1] if len(items) > 1 else ()


def _apart(
    items: Sequence[Item], shots: int, seed: int
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Divides the items of a split into those that are answered and those that are shots."""
    count = max(shots, len(items) // _POOL_SHARE)
    pool = set(random.Random(f"{seed} pool").sample(range(len(items)), min(count, len(items))))
    part = lambda is_pool: tuple(item for n, item in enumerate(items) if (n in pool) == is_pool)
    return part(False), part(True)


def _limited(items: Sequence[Item], limit: int | None, seed: int) -> tuple[Item, ...]:
    """Returns at most `limit` items, drawn by the seed, in their order."""
    if limit is None or len(items) <= limit:
        return tuple(items)
    chosen = sorted(random.Random(f"{seed} items").sample(range(len(items)), limit))
    return tuple(items[number] for number in chosen)
