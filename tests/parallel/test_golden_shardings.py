"""Where each parameter lies in the main plans, against files that a reader can check.

After a change that is meant: python -m tests.parallel.test_golden_shardings
"""

import json
import math
from pathlib import Path

import jax
import pytest
from jax.sharding import AbstractMesh, AxisType

from hclx.config import MESH_AXES
from hclx.gin_bindings import load_experiment
from hclx.model import n_params
from hclx.train.optimizer import decay_mask, make_optimizer
from hclx.train.state import abstract_state

GOLDEN = Path(__file__).parent / "golden"
PLANS = {
    "82b_v5p_1024": ("82b", "tpu_v5p_1024", 1024),
    "204b_v5p_2048": ("204b", "tpu_v5p_2048", 2048),
}


def shardings(size: str, machine: str, chips: int):
    """The mesh, and for each parameter its shape, the mesh axes of its dimensions, and what one
    chip holds.
    """
    experiment = load_experiment(
        [f"gin_configs/{f}.gin" for f in ("runs/pretrain", f"sizes/{size}", f"mesh/{machine}")], []
    )
    assert math.prod(experiment.mesh.shape) == chips
    mesh = AbstractMesh(
        experiment.mesh.shape, MESH_AXES, axis_types=(AxisType.Auto,) * len(MESH_AXES)
    )
    params = abstract_state(
        experiment.model,
        experiment.train,
        make_optimizer(experiment.optimizer, decay_mask(experiment.model)),
        mesh,
    ).params
    leaves = {
        jax.tree_util.keystr(path, simple=True, separator="/"): x
        for path, x in jax.tree_util.tree_leaves_with_path(params)
    }
    describe = lambda x: (
        f"{list(x.shape)} by {list(x.sharding.spec)}: {list(x.sharding.shard_shape(x.shape))}"
    )
    return experiment, leaves, {name: describe(x) for name, x in leaves.items()}


@pytest.mark.parametrize("plan", PLANS)
def test_parameters_lie_where_the_file_says(plan):
    experiment, leaves, described = shardings(*PLANS[plan])
    assert described == json.loads((GOLDEN / f"{plan}.json").read_text())
    held = sum(math.prod(x.sharding.shard_shape(x.shape)) for x in leaves.values())
    # Nothing large is whole on every chip: what is held over the even share is biases and norms.
    assert (
        held
        < 1.02 * n_params(experiment.model) / (experiment.mesh.fsdp * experiment.mesh.model)
        + 40 * experiment.model.n_layers * experiment.model.d_model
    )


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for plan, arguments in PLANS.items():
        (GOLDEN / f"{plan}.json").write_text(json.dumps(shardings(*arguments)[2], indent=1) + "\n")
