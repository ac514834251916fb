"""launch/plan.py for GPUs: by arithmetic, without any compiler for them, and labelled so."""

import json

from tests.helpers.commands import launch, refused

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


def test_a_search_finds_what_fits_and_a_plan_that_does_not_exits_64():
    assert "80 GB" in refused(launch("plan.py", *GIN, "--topology=h100:8"), 64)
    result = launch("plan.py", *GIN, "--topology=h100:8", "--search")
    assert result.returncode == 0 and "fits" in result.stdout
