"""Every published shape trains from scratch by the command, shrunk by overrides, and is resumed;
and the planner has an estimate of the whole shape.
"""

import dataclasses
import json
import math

import pytest

from hclx.config import MeshConfig
from hclx.gin_bindings import load_experiment
from hclx.parallel.chips import CHIPS
from hclx.plan.analytic import estimate
from hclx.train.metrics_writer import read_metrics
from tests.conftest import ROOT
from tests.helpers.commands import TINY, launch
from tests.helpers.experiments import experiment

FILES = sorted(ROOT.glob("gin_configs/families/*.gin"))
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
RESUMED = ("kogpt_6b", "exaone_4_32b", "hyperclovax_think_14b", "polyglot_ko_1b3")


def model_of(path):
    return load_experiment([str(path)], ["DataConfig.mixture=kowiki"]).model


def shrunk(model):
    """Overrides of sizes alone, so that all that distinguishes the family stays."""
    sizes = {"vocab_size": 512, "n_layers": 4, "d_model": 64, "n_heads": 4, "max_length": 128}
    smaller = {"mlp_size": 96, "kv_heads": 2, "head_size": 24, "rotary_size": 8, "window": 16}
    smaller["rope_original_length"] = 32
    sizes |= {name: size for name, size in smaller.items() if getattr(model, name)}
    return [f"--gin.ModelConfig.{name}={size}" for name, size in sizes.items()]


def train(path, folder, total_steps, shared):
    return launch(
        "pretrain.py",
        f"--gin_file={path}",
        *(flag for flag in TINY if not flag.startswith("--gin.ModelConfig.")),
        *shrunk(model_of(path)),
        f"--gin.TrainConfig.total_steps={total_steps}",
        "--gin.TrainConfig.checkpoint_every=2",
        "--gin.TrainConfig.eval_every=0",
        "--gin.OptimizerConfig.warmup_steps=1",
        f"--model_dir={folder}",
        *shared,
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Bindings of a tokenizer and a token cache that all runs read."""
    folder = tmp_path_factory.mktemp("shared")
    places = [f"--gin.DataConfig.{name}_dir={folder}/{name}" for name in ("tokenizer", "cache")]
    done = train(FILES[0], folder / "run", 2, places)
    assert done.returncode == 0, done.stderr
    return places


@pytest.mark.long
@EACH_FILE
def test_a_shape_trains_from_scratch(path, shared, tmp_path):
    done = train(path, tmp_path / "run", 2, shared)
    assert done.returncode == 0, done.stderr
    losses = [r["loss"] for r in read_metrics(tmp_path / "run") if "loss" in r]
    assert len(losses) == 2 and all(abs(loss - math.log(512)) < 1 for loss in losses)
    model = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["model"]
    whole = dataclasses.asdict(model_of(path))
    overridden = {flag.split(".")[2].split("=")[0] for flag in shrunk(model_of(path))}
    kept = {name: value for name, value in whole.items() if name not in overridden}
    assert kept.items() <= model.items()
    if path.stem in RESUMED:
        done = train(path, tmp_path / "run", 4, shared)
        assert done.returncode == 0, done.stderr
        steps = [r["step"] for r in read_metrics(tmp_path / "run") if "loss" in r]
        assert steps == [1, 2, 3, 4]


@EACH_FILE
def test_the_planner_has_an_estimate_of_the_whole_shape(path):
    model = model_of(path)
    whole = experiment("13b", "one_device")
    whole = dataclasses.replace(
        whole,
        model=model,
        mesh=MeshConfig(fsdp=64),
        train=dataclasses.replace(whole.train, global_batch_size=64, sequence_length=1024),
    )
    plan = estimate(whole, CHIPS["h100"], 64)
    assert 0.1 < plan.mfu < 0.8
    tables = (2 if not model.tied_head else 1) * model.vocab_size * model.d_model
    assert plan.bytes["embedding, its gradient, logits"] == 4 * (
        2 * tables + model.vocab_size * model.d_model
    )
