"""launch/plan.py for GPUs: by arithmetic, without any compiler for them, and labelled so."""

import dataclasses
import json
import re

import pytest

from hclx.config import MeshConfig
from hclx.errors import ConfigError
from hclx.parallel.chips import CHIPS
from hclx.plan.topology import check_on_gpus
from tests.helpers.commands import launch, refused
from tests.helpers.experiments import experiment

GIN = ("--gin_file=gin_configs/runs/pretrain.gin", "--gin_file=gin_configs/sizes/13b.gin")


def test_gpus_are_planned_by_arithmetic(tmp_path):
    path = tmp_path / "plan.json"
    result = launch(
        "plan.py",
        *GIN,
        "--gin_file=gin_configs/mesh/gpu_64.gin",
        "--gin.TrainConfig.accumulation_steps=2",
        "--topology=h200:64",
        f"--json={path}",
    )
    assert result.returncode == 0, result.stderr
    assert "BY ARITHMETIC" in result.stdout and "64 x h200" in result.stdout
    figures = json.loads(path.read_text())
    assert figures["method"] == "arithmetic" and figures["fits"] is True and figures["chips"] == 64
    assert {"hbm_gb_per_chip", "hbm_capacity_gb", "estimated_mfu", "step_time_s", "limits"} <= set(
        figures
    )


@pytest.mark.long
def test_a_search_finds_what_fits_and_a_plan_that_does_not_exits_64():
    assert "80 GB" in refused(launch("plan.py", *GIN, "--topology=h100:8"), 64)
    result = launch("plan.py", *GIN, "--topology=h100:8", "--search")
    assert result.returncode == 0 and "fits" in result.stdout


DEMO = ("--gin_file=runs/demo.gin",)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((*DEMO, "--topology=h100:4096"), "global_batch_size=8 in 1 microbatch.* 4096 devices"),
        (
            (*DEMO, "--topology=h100:64", "--gin.MeshConfig.model=64", "--gin.MeshConfig.fsdp=1"),
            "ModelConfig.n_heads=.* cannot be sharded model 64",
        ),
        ((*GIN, "--topology=h100:8", "--num_slices=3"), "cannot be sharded over data x fsdp = 24"),
        (
            (*GIN, "--topology=h100:64", "--gin.ComputeConfig.matmul=int8"),
            "matmul='int8' is for TPUs and this is NVIDIA H100",
        ),
        (
            (*GIN, "--topology=a100:64", "--gin.ComputeConfig.matmul=fp8"),
            "matmul='fp8' needs an NVIDIA GPU of compute capability 8.9",
        ),
        (
            (*DEMO, "--topology=h100:4096", "--search"),
            "no mesh of 4096 x h100 shards TrainConfig.global_batch_size=8.*divide the batch",
        ),
        ((*GIN, "--topology=h100:8", "--tokens=-5"), "give 0 or more tokens"),
        ((*GIN, "--topology=h100:8", "--tokens=nan"), "give 0 or more tokens"),
    ],
)
def test_a_plan_is_refused_where_pretraining_would_be(arguments, message):
    assert re.search(message, refused(launch("plan.py", *arguments), 64))


def test_parts_of_a_machine_are_joined_by_data_or_pipe():
    whole = experiment("13b", "gpu_64")
    mesh = MeshConfig(data=3, fsdp=64)
    whole = dataclasses.replace(
        whole,
        mesh=mesh,
        train=dataclasses.replace(whole.train, global_batch_size=192, accumulation_steps=1),
    )
    check_on_gpus(whole, CHIPS["h100"], num_slices=3)
    with pytest.raises(ConfigError, match="neither MeshConfig.data=3 nor .*pipe=1 is a multiple"):
        check_on_gpus(whole, CHIPS["h100"], num_slices=2)
