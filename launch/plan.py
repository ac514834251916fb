"""Plans a run on TPUs that are not here: memory, time and what limits it, from the step as compiled for them.

    python launch/plan.py --gin_file=gin_configs/runs/pretrain.gin --gin_file=gin_configs/sizes/82b.gin \
        --gin_file=gin_configs/mesh/tpu_v5p_1024.gin --topology=v5p:8x8x16

Exits with 64 when the plan does not fit the memory of a chip.
"""

import json
import os
import sys
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # the machine that plans computes nothing

from absl import flags  # noqa: E402

from hclx.errors import ConfigError  # noqa: E402
from hclx.launching import run, take_gin_bindings  # noqa: E402

GIN_FILES = flags.DEFINE_multi_string("gin_file", [], "Gin file; repeatable, later ones win.")
TOPOLOGY = flags.DEFINE_string("topology", None, "Chips of one slice, such as v5p:8x16x16, v5e:16x16 or v6e:16x16.")
NUM_SLICES = flags.DEFINE_integer("num_slices", 1, "Slices, which the data centre's network joins.", lower_bound=1)
TOKENS = flags.DEFINE_float("tokens", 0, "Tokens that days are counted for; 0: those of the run.")
SEARCH = flags.DEFINE_bool("search", False, "Try meshes, remat policies, accumulation and batches; minutes for each that is compiled.")
COMPILES = flags.DEFINE_integer("search_compiles", 6, "Candidates that --search compiles.", lower_bound=1)
JSON = flags.DEFINE_string("json", None, "File that takes the figures.")
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    from hclx.gin_bindings import load_experiment

    if not GIN_FILES.value:
        raise ConfigError("--gin_file is missing; for a first try: --gin_file=gin_configs/runs/pretrain.gin")
    if not TOPOLOGY.value:
        raise ConfigError("--topology is missing; give the chips of a slice, such as --topology=v5p:8x8x16")
    experiment = load_experiment(GIN_FILES.value, BINDINGS)
    from hclx.plan.compile import compile_step
    from hclx.plan.report import make_plan, run_tokens, to_json, to_page
    from hclx.plan.search import search, to_table

    make = lambda candidate: make_plan(compile_step(candidate, TOPOLOGY.value, NUM_SLICES.value))
    if SEARCH.value:
        results = search(experiment, TOPOLOGY.value, NUM_SLICES.value, make, COMPILES.value)
        print(to_table(results), end="\n\n")
        plan = results[0].plan
    else:
        plan = make(experiment)
    tokens = run_tokens(plan, TOKENS.value)
    print(to_page(plan, tokens))
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(to_json(plan, tokens), indent=2) + "\n", encoding="utf-8")
    if not plan.fits:
        raise ConfigError(f"the plan needs {plan.step.peak_bytes / 1e9:.1f} GB of a chip that has {plan.step.chip.hbm_capacity / 1e9:.0f} GB")


if __name__ == "__main__":
    run(main)
