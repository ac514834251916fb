"""launch/plan.py on a TPU slice that is not here: the page, the JSON, and what it refuses."""

import importlib.util
import json
import math

import pytest

from hclx.config import ModelConfig
from hclx.model import n_params
from tests.helpers.commands import launch, refused
from tests.helpers.sizes import SIZES

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="XLA's compiler for TPUs is not installed: make test EXTRAS=dev,plan",
)

MODEL = ModelConfig(vocab_size=512, n_layers=3, d_model=128, n_heads=1, max_length=128)
TOKENS = 32 * 128  # of a step
SMALL = [
    "--gin_file=gin_configs/runs/pretrain.gin",
    *(
        f"--gin.ModelConfig.{name}={getattr(MODEL, name)}"
        for name in ("vocab_size", "n_layers", "d_model", "n_heads", "max_length")
    ),
    "--gin.TrainConfig.sequence_length=128",
    "--gin.TrainConfig.global_batch_size=32",
]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    result = launch("plan.py", *SMALL, "--topology=v5p:2x2x1", f"--json={path}", "--tokens=1e9")
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(path.read_text())


def test_the_figures_are_those_of_the_program(plan):
    """Against closed formulas: parameters, state, arithmetic, gathered weights, days."""
    _, figures = plan
    assert (
        figures["parameters"] == n_params(MODEL)
        and figures["chips"] == 4
        and figures["mesh"]["fsdp"] == 4
    )
    state = 12 * n_params(MODEL) / 4
    # biases and norms are not cut
    assert state <= figures["hbm_arguments_gb"] * 1e9 <= 1.25 * state + 4 * 32 * 129
    assert figures["hbm_gb_per_chip"] >= figures["hbm_arguments_gb"] + figures["hbm_temporaries_gb"]
    assert figures["hbm_capacity_gb"] == 95 and figures["fits"] is True
    # of weights; attention and what is computed again come on top
    products = 6 * (12 * 3 * 128**2 + 512 * 128) * TOKENS / 4
    assert products < figures["flops_per_chip"] < 1.5 * products
    layers = 2 * 12 * 3 * 128**2  # bytes of all blocks in bfloat16: gathered forward and backward
    gathered = figures["collective_gb_per_chip"]["all-gather over fsdp"] * 1e9
    assert 2 * layers <= gathered <= 2 * layers + 3 * 4 * 128 * (512 + 128) + 4 * TOKENS * 128
    assert figures["days"] == pytest.approx(1e9 / figures["tokens_per_second"] / 86_400)
    assert figures["estimated_mfu"] == pytest.approx(
        figures["model_flops_per_chip"] / 459e12 / figures["step_time_s"]
    )
    ideal = figures["model_flops_per_chip"] / 459e12
    assert ideal + math.fsum(figures["losses_s"].values()) == pytest.approx(
        figures["step_time_s"], rel=1e-6
    )


def test_the_page_says_what_limits(plan):
    page, figures = plan
    for text in (
        f"{n_params(MODEL):,} parameters on 4 x v5p",
        "fits",
        "all-gather",
        "Roofline",
        "MFU",
        figures["limits"],
    ):
        assert text in page


@pytest.mark.long
def test_a_plan_that_does_not_fit_says_so_and_exits_64():
    arguments = [
        *SMALL,
        "--topology=v5e:2x2",
        "--gin.MeshConfig.data=4",
        "--gin.MeshConfig.fsdp=1",
        "--gin.ComputeConfig.remat=none",
    ]
    large = [
        f"--gin.ModelConfig.{n}={getattr(SIZES['1b3'], n)}"
        for n in ("n_layers", "d_model", "n_heads")
    ]
    assert "16 GB" in refused(launch("plan.py", *arguments, *large), 64)


@pytest.mark.parametrize(
    "topology, message",
    [
        ("v9:2x2", "unknown chip 'v9'"),
        ("v5p:3x5x7x2", "v5p:3x5x7x2"),
        ("v5p:2x2x2", "does not fit 8 device"),
    ],
)
def test_a_topology_that_cannot_be_is_refused(topology, message):
    assert message in refused(
        launch("plan.py", *SMALL, f"--topology={topology}", "--gin.MeshConfig.fsdp=4"),
        64,
        alone=False,
    )
