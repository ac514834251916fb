"""Compiles MaxText's training step for the chips of one of our plans, and prints the memory of a
chip and the bytes of its collectives.

    python3.12 -m venv /tmp/maxtext
    /tmp/maxtext/bin/pip install maxtext 'jax[tpu]'    # and what maxtext imports
    python tests/benchmarks/maxtext_plan.py --maxtext_python=/tmp/maxtext/bin/python \\
        --output=runs/plans/maxtext.hlo

The model is GPT3-175B on 1,024 chips of v5p, fsdp 128 x tensor 8, one sequence of 2,048 tokens a
chip, bfloat16. This is our plan of it:

    python launch/plan.py --gin_file=gin_configs/runs/pretrain.gin \\
        --gin_file=gin_configs/sizes/204b.gin --gin.ModelConfig.n_layers=96 \\
        --gin.ModelConfig.vocab_size=50304 --gin.MeshConfig.fsdp=128 --gin.MeshConfig.model=8 \\
        --topology=v5p:8x8x16
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from absl import app, flags

# Runs in MaxText's Python, and saves the compiled program, which MaxText's command does not.
KEEP = """
import runpy, sys, jax
path = sys.argv.pop(1)
analyse = jax.stages.Compiled.memory_analysis
def keep(compiled):
    open(path, "w").write(compiled.as_text())
    return analyse(compiled)
jax.stages.Compiled.memory_analysis = keep
import maxtext, pathlib
sys.argv.insert(1, str(pathlib.Path(maxtext.__file__).parent / "configs/base.yml"))
runpy.run_module("maxtext.trainers.pre_train.train_compile", run_name="__main__")
"""
# These are the options of the v5p recipes that MaxText ships.
XLA_OPTIONS = (
    "--xla_tpu_megacore_fusion_allow_ags=false --xla_enable_async_collective_permute=true"
    " --xla_tpu_enable_ag_backward_pipelining=true"
    " --xla_tpu_enable_data_parallel_all_reduce_opt=true"
    " --xla_tpu_data_parallel_opt_different_sized_ops=true"
    " --xla_tpu_enable_async_collective_fusion=true --xla_tpu_overlap_compute_collective_tc=true"
    " --xla_enable_async_all_gather=true --xla_sc_disable_megacore_partitioning=true"
    " --xla_tpu_use_tc_device_shape_on_sc=true"
    " --xla_tpu_enable_sparse_core_collective_offload_all_gather=true"
    " --xla_tpu_enable_async_collective_fusion_fuse_all_gather=false"
)
MODEL = (
    "run_name=plan base_output_directory=/tmp enable_checkpointing=false steps=5"
    " dataset_type=synthetic attention=flash model_name=gpt3-175b ici_fsdp_parallelism=128"
    " ici_tensor_parallelism=8 compile_topology=v5p-2048 compile_topology_num_slices=1"
    " per_device_batch_size=1 remat_policy=minimal max_target_length=2048"
)

PYTHON = flags.DEFINE_string(
    "maxtext_python",
    "",
    "Python of the environment that has MaxText. If it is empty, --output must exist.",
)
OUTPUT = flags.DEFINE_string("output", "runs/plans/maxtext.hlo", "File for the compiled program.")
TOPOLOGY = flags.DEFINE_string(
    "topology", "v5p:8x8x16", "Chips of the plan, as launch/plan.py names them."
)


def main(_):
    path = Path(OUTPUT.value)
    if PYTHON.value:
        path.parent.mkdir(parents=True, exist_ok=True)
        no_machine = {
            "JAX_PLATFORMS": "cpu",
            "TPU_SKIP_MDS_QUERY": "1",
            "TPU_WORKER_HOSTNAMES": "localhost",
            "TPU_ACCELERATOR_TYPE": "v5p-8",
        }
        command = [PYTHON.value, "-c", KEEP, str(path), *MODEL.split()]
        run = subprocess.run(
            command,
            env=os.environ | no_machine | {"LIBTPU_INIT_ARGS": XLA_OPTIONS},
            capture_output=True,
            text=True,
        )
        if run.returncode:
            sys.exit(run.stderr[-2000:])
        print(*re.findall(r"CompiledMemoryStats\(.*", run.stdout), sep="\n")
    for kind, n in traffic(path.read_text()).items():
        print(f"{kind:<20} {n / 1e9:10.2f} GB a chip, a step")


def traffic(text: str) -> dict[str, float]:
    """Sums the bytes of each kind of collective in a compiled program, given as text, with the
    same reader as our plans; what is in a loop counts once for each turn.
    """
    os.environ["JAX_PLATFORMS"] = "cpu"
    from hclx.config import MeshConfig
    from hclx.parallel import make_mesh
    from hclx.plan.compile import topology_devices
    from hclx.plan.hlo import parse_hlo
    from hclx.plan.simulate import simulate
    from hclx.plan.topology import chip_of

    mesh = make_mesh(MeshConfig(fsdp=-1), topology_devices(TOPOLOGY.value))
    bytes_of: dict[str, float] = {}
    for (kind, _), n in simulate(parse_hlo(text), mesh, chip_of(TOPOLOGY.value)).traffic.items():
        bytes_of[kind] = bytes_of.get(kind, 0.0) + n
    return bytes_of


if __name__ == "__main__":
    app.run(main)
