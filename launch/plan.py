"""Plans a run on chips that need not be attached: memory, time and what limits it.

    hclx plan --gin_file=gin_configs/runs/pretrain.gin --topology=v5p:8x8x16 \\
        --gin_file=gin_configs/sizes/82b.gin --gin_file=gin_configs/mesh/tpu_v5p_1024.gin

For TPUs the training step is compiled; GPUs (--topology=h100:64, h200:8) are planned by arithmetic,
and the page says so. Exits with 64 if the plan does not fit the memory of a chip.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # the machine that plans computes nothing

from absl import flags  # noqa: E402

from hclx.errors import ConfigError  # noqa: E402
from hclx.launching import check_output, run, take_gin_bindings  # noqa: E402

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
TOPOLOGY = flags.DEFINE_string(
    "topology", None, "Chips of one slice, such as v5p:8x16x16, v5e:16x16, v6e:16x16 or h100:64."
)
NUM_SLICES = flags.DEFINE_integer(
    "num_slices", 1, "Slices, which are joined by the data centre's network.", lower_bound=1
)
TOKENS = flags.DEFINE_float("tokens", 0, "Tokens of the run, for its days; 0: as configured.")
flags.register_validator("tokens", lambda n: 0 <= n < float("inf"), "give 0 or more tokens")
SEARCH = flags.DEFINE_bool(
    "search", False, "Try meshes, remat policies, accumulation and batches; minutes for each."
)
COMPILES = flags.DEFINE_integer(
    "search_compiles", 6, "Candidates that --search compiles.", lower_bound=1
)
JSON = flags.DEFINE_string("json", None, "File to write the figures to.")
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    from hclx.gin_bindings import load_experiment

    if not GIN_FILES.value:
        raise ConfigError("--gin_file is missing; for a first try: --gin_file=runs/pretrain.gin")
    if not TOPOLOGY.value:
        raise ConfigError("--topology is missing; give chips, such as --topology=v5p:8x8x16")
    if JSON.value:
        check_output("--json", JSON.value)
    experiment = load_experiment(GIN_FILES.value, BINDINGS)
    from hclx.plan.report import run_tokens, to_json, to_page
    from hclx.plan.topology import chip_of

    is_gpu = chip_of(TOPOLOGY.value).is_gpu
    plan, topology = (_by_arithmetic if is_gpu else _by_compilation)(experiment)
    tokens = run_tokens(experiment.train, TOKENS.value)
    print(to_page(plan, topology, tokens))
    if JSON.value:
        figures = json.dumps(to_json(plan, topology, tokens), indent=2)
        Path(JSON.value).write_text(figures + "\n", encoding="utf-8")
    if not plan.fits:
        needed, capacity = plan.peak_bytes / 1e9, plan.chip.hbm_capacity / 1e9
        raise ConfigError(f"the plan needs {needed:.1f} GB of a chip that has {capacity:.0f} GB")


def _by_compilation(experiment):
    """Returns the plan for TPUs and the name of its topology."""
    from hclx.plan.compile import compile_step
    from hclx.plan.compiled_plan import make_plan
    from hclx.plan.search import search, to_table

    make = lambda candidate: make_plan(compile_step(candidate, TOPOLOGY.value, NUM_SLICES.value))
    if SEARCH.value:
        results = search(experiment, TOPOLOGY.value, NUM_SLICES.value, make, COMPILES.value)
        print(to_table(results), end="\n\n")
    plan = results[0].plan if SEARCH.value else make(experiment)
    return plan, plan.step.topology


def _by_arithmetic(experiment):
    """Returns the same for GPUs, whose compiler needs a GPU."""
    from hclx.config import MeshConfig
    from hclx.parallel import resolve_mesh_shape
    from hclx.plan.analytic import estimate
    from hclx.plan.search import rank
    from hclx.plan.topology import check_on_gpus, chip_of, count_gpus

    chip, chips = chip_of(TOPOLOGY.value), count_gpus(TOPOLOGY.value) * NUM_SLICES.value
    if SEARCH.value:
        plan = rank(experiment, chip, chips)[0]
    else:
        mesh = MeshConfig(*resolve_mesh_shape(experiment.mesh, chips))
        plan = estimate(dataclasses.replace(experiment, mesh=mesh), chip, chips)
    check_on_gpus(plan.experiment, chip, NUM_SLICES.value)
    return plan, TOPOLOGY.value


if __name__ == "__main__":
    run(main)
