"""Runs a suite: every run's trials on one engine, into one folder that is resumed where it ends."""

import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hclx
from hclx.evaluate.compile_time import compile_seconds
from hclx.evaluate.content_free import calibration_prompts, calibration_scores
from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.measure_bias import NO_BIAS, measure_bias, measures_bias
from hclx.evaluate.metrics import check_metrics
from hclx.evaluate.results import run_record
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.samples import SAMPLES, output_folder, replace_text
from hclx.evaluate.trial import run_trial
from hclx.infer import Engine
from hclx.progress import ProgressBar
from hclx.prompts import prompt_hash

RESULTS, SCHEMA = "results.json", "hclx.results/1"


def run_suite(
    engine: Engine,
    specs: Sequence[RunSpec],
    reader: Reader,
    model: Mapping[str, Any],
    folder: Path,
    on_batch: Callable[[], None] = lambda: None,
) -> dict:
    """Runs a suite, and writes results.json and the samples.

    Args:
      engine: of the model.
      specs: the runs; no two have one name.
      reader: how the model reads.
      model: what the results depend on, and are told apart by; JSON values.
      folder: for the results. A command that was killed goes on where it stopped.
      on_batch: is called whenever there is progress.
    Returns:
      the content of results.json.
    Raises:
      ConfigError: another command writes to the folder, it has results of other runs, or items lack
        what a metric reads.
    """
    for spec in specs:
        check_metrics(spec.metrics, spec.items, bool(spec.prompt.choices))
    began, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    plan = {"model": dict(model), "runs": [_planned(spec, reader) for spec in specs]}
    total = sum(spec.trials * len(spec.items) for spec in specs)
    with (
        output_folder(folder, plan),
        compile_seconds() as compiling,
        ProgressBar(total, "answering", "item") as progress,
    ):
        count = lambda items: (progress.update(items), on_batch())
        runs = [_run(engine, spec, specs, reader, folder, count) for spec in specs]
        results = {
            "schema": SCHEMA,
            "hclx": hclx.__version__,
            "model": dict(model),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - began, 3),
            "compile_seconds": round(compiling.seconds, 3),
            "runs": runs,
        }
        replace_text(folder / RESULTS, json.dumps(results, ensure_ascii=False, indent=1) + "\n")
    return results


def _planned(spec: RunSpec, reader: Reader) -> dict[str, Any]:
    """Returns what the samples of a run depend on."""
    simple = {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name not in ("prompt", "items", "pool")
    }
    ids = {"items": [item.id for item in spec.items], "pool": len(spec.pool)}
    read = {"begin": list(reader.begin), "max_length": reader.max_length}
    return {**simple, **ids, **read, "prompt_hash": prompt_hash(spec.prompt)}


def _run(
    engine: Engine,
    spec: RunSpec,
    specs: Sequence[RunSpec],
    reader: Reader,
    folder: Path,
    count: Callable[[int], object],
) -> dict:
    names = [f"{SAMPLES}/{spec.name}.{trial}.jsonl" for trial in range(spec.trials)]
    trials, content_free = [], []
    for trial, name in enumerate(names):
        trials.append(run_trial(engine, spec, trial, reader, folder / name, count))
        path = (folder / name).with_suffix(".calibration.json")
        content_free.append(_calibration(engine, spec, trial, reader, path, trials[-1]))
    bias = _bias(engine, spec, specs, reader, folder / SAMPLES, lambda: count(0))
    record = run_record(spec, trials, content_free, bias)
    return {**record, "bos": list(reader.begin), "samples": names}


def _calibration(
    engine: Engine, spec: RunSpec, trial: int, reader: Reader, path: Path, samples: Sequence[dict]
) -> dict[str, list[dict[str, float]]]:
    """Returns the scores of the choices behind content-free inputs, which are kept in a file."""
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    prompts = calibration_prompts(spec, trial, reader, samples[0]["shots"])
    scores = calibration_scores(engine, spec, prompts)
    replace_text(path, json.dumps(scores, ensure_ascii=False) + "\n")
    return scores


def _bias(
    engine: Engine,
    spec: RunSpec,
    specs: Sequence[RunSpec],
    reader: Reader,
    folder: Path,
    on_prompt: Callable[[], object],
) -> Mapping[str, Any]:
    """Returns the biases of a run's prompt, which are kept in a file."""
    if not measures_bias(spec):
        return NO_BIAS
    # The report has numbers of examples of its own, and is the same for every number of shots.
    asked = lambda run: (run.prompt, run.items, run.pool, run.seed, run.score, run.bias_rounds)
    alike = (run for run in specs if measures_bias(run) and asked(run) == asked(spec))
    path = folder / f"{next(alike).name}.bias.json"
    if not path.exists():
        bias = measure_bias(engine, spec, reader, on_prompt)
        replace_text(path, json.dumps(bias, ensure_ascii=False) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))
