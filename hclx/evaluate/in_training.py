"""Evaluates a suite of few-shot tasks while a run trains, on the mesh that it trains on."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from hclx.evaluate.item_prompts import Reader
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.suite import run_suite
from hclx.hashing import json_hash
from hclx.infer import (
    INFERENCE_RULES,
    EmbeddedEngine,
    EngineConfig,
    LoadedModel,
    follow,
    prepare_params,
)
from hclx.infer.calls import most_positions
from hclx.model import n_params
from hclx.parallel import axis_size, sharding_rules
from hclx.text import load_tokenizer
from hclx.train.fingerprint import fingerprint
from hclx.train.run import Run
from hclx.train.state import TrainState

FOLDER = "evaluation"
_ROWS = 16


def suite_hook(specs: Sequence[RunSpec]) -> Callable[[Run, int, TrainState], dict[str, float]]:
    """Returns a function that evaluates a suite on the parameters of a run, as `RunOptions.suite`
    takes it. A folder MODEL_DIR/evaluation/STEP-FINGERPRINT gets the results of a step, as
    `hclx evaluate` writes them.

    Args:
      specs: the runs of the suite.
    """

    def evaluate(run: Run, step: int, state: TrainState) -> dict[str, float]:
        # A run that was rewound comes to a step again, with other parameters.
        parameters = json_hash(fingerprint({"params": state.params}))
        model = _inference_model(run, state)
        if jax.process_index() != 0:
            follow(model)
            return {}
        tokenizer = load_tokenizer(run.description["tokenizer_dir"])
        reader = Reader(tokenizer, most_positions(model.config), tuple(tokenizer.begin_ids))
        facts = {"name": Path(run.model_dir).name, "model_dir": run.model_dir, "step": step}
        facts |= {"parameters": n_params(model.config), "fingerprint": parameters}
        with model.placement():
            groups = axis_size("batch")
        settings = EngineConfig(rows=-(-_ROWS // groups) * groups)
        alive = lambda: run.watchdog.alive(step)
        with EmbeddedEngine(model, tokenizer, settings) as engine:
            folder = Path(run.model_dir) / FOLDER / f"{step}-{parameters[:8]}"
            results = run_suite(engine, specs, reader, facts, folder, on_batch=alive)
        return figures(results)

    return evaluate


def _inference_model(run: Run, state: TrainState) -> LoadedModel:
    """Returns the parameters of a state, laid out for inference on the mesh of the run."""
    config, mesh = run.experiment.model, run.program.mesh
    with jax.set_mesh(mesh), sharding_rules(INFERENCE_RULES):
        params = prepare_params(state.params, config)
    return LoadedModel(params, config, "", {}, mesh, INFERENCE_RULES)


def figures(results: dict) -> dict[str, float]:
    """Returns "suite/TASK.TEMPLATE.SHOTSshot/METRIC" -> the mean of the main metric of each run."""
    values = {}
    for record in results["runs"]:
        name = f"{record['task']}.{record['template']}.{record['shots_asked']}shot"
        mean = record["metrics"][record["main"]]["mean"]
        if mean is not None:
            values[f"suite/{name}/{record['main']}"] = mean
    return values
