"""Makes the tables and the plot of plans in docs/performance.md, with one `launch/plan.py` a plan.

    python tests/benchmarks/plans.py --group=sizes --output_dir=runs/plans

A plan whose JSON file exists is not made again: re-run the same command to resume. A plan of a
large model takes minutes.
"""

import concurrent.futures
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Run:
    """A plan: a size or a shape, a topology, and bindings beside the gin files."""

    size: str  # a file of gin_configs/sizes, or of another folder, with its name: families/kogpt_6b
    topology: str
    bindings: tuple[str, ...]  # short names: see `SHORT`
    mesh: str = ""  # of gin_configs/mesh
    slices: int = 1
    published: str = ""  # the published MFU of a run like this, and its source

    @property
    def machine(self) -> str:
        """Topology, and the number of slices if there are several."""
        return self.topology if self.slices == 1 else f"{self.slices} x {self.topology}"

    @property
    def name(self) -> str:
        """Name of the plan's JSON file."""
        parts = (
            self.size.replace("/", "_"),
            self.topology.replace(":", "_"),
            f"{self.slices}slices" if self.slices > 1 else "",
            *self.bindings,
        )
        return "-".join(p.replace("=", "") for p in parts if p)


SHORT = {
    "batch": "TrainConfig.global_batch_size",
    "pieces": "TrainConfig.accumulation_steps",
    "length": "TrainConfig.sequence_length",
    "positions": "ModelConfig.max_length",
    "vocab": "ModelConfig.vocab_size",
    "layers": "ModelConfig.n_layers",
    "d": "ModelConfig.d_model",
    "heads": "ModelConfig.n_heads",
    "remat": "ComputeConfig.remat",
    "unroll": "ComputeConfig.scan_unroll",
    "microbatches": "ComputeConfig.pipeline_microbatches",
    "matmul": "ComputeConfig.matmul",
    **{axis: f"MeshConfig.{axis}" for axis in ("pipe", "data", "fsdp", "seq", "model")},
}


def case(size: str, topology: str, *bindings: str, **more) -> Run:
    """Builds a `Run`."""
    return Run(size, topology, bindings, **more)


SIZES = [
    case("760m", "v5p:2x2x1", "batch=128", mesh="tpu_v5p_4"),
    case("1b3", "v5p:2x2x2", "batch=256", mesh="tpu_v5p_8"),
    case("6b9", "v5p:4x4x4", "batch=512", mesh="tpu_v5p_64"),
    case("13b", "v5p:4x4x4", "batch=512", "pieces=2", mesh="tpu_v5p_64"),
    case("39b", "v5p:4x8x8", "batch=1024", "pieces=2", mesh="tpu_v5p_256"),
    case("82b", "v5p:8x8x16", "batch=1024", mesh="tpu_v5p_1024"),
    case("204b", "v5p:8x16x16", "batch=1024", mesh="tpu_v5p_2048"),
    case("760m", "v5e:2x4", "batch=128", "pieces=4", mesh="tpu_v5e_8"),
    case("1b3", "v5e:4x4", "batch=256", "pieces=8", mesh="tpu_v5e_16"),
    case("6b9", "v5e:8x8", "batch=512", "pieces=8", mesh="tpu_v5e_64"),
    case("13b", "v5e:8x16", "batch=1024", "pieces=8", mesh="tpu_v5e_128"),
    case("39b", "v5e:16x16", "batch=1024", "pieces=16", mesh="tpu_v5e_256"),
    case("82b", "v5e:16x16", "batch=1024", "pieces=8", "remat=full", mesh="tpu_v5e_256"),
    case(
        "204b",
        "v5e:16x16",
        "batch=1024",
        "pieces=4",
        "microbatches=8",
        "remat=full",
        mesh="tpu_v5e_4x256",
        slices=4,
    ),
    case("760m", "v6e:2x4", "batch=128", "pieces=2", mesh="tpu_v6e_8"),
    case("1b3", "v6e:2x4", "batch=256", "pieces=8", mesh="tpu_v6e_8"),
    case("6b9", "v6e:4x8", "batch=512", "pieces=8", mesh="tpu_v6e_32"),
    case("13b", "v6e:8x8", "batch=512", "pieces=4", mesh="tpu_v6e_64"),
    case("39b", "v6e:16x16", "batch=1024", "pieces=4", mesh="tpu_v6e_256"),
    case("82b", "v6e:16x16", "batch=1024", "pieces=8", mesh="tpu_v6e_256"),
    case("204b", "v6e:16x16", "batch=1024", "pieces=16", "remat=full", "fsdp=64", "model=4"),
    case("760m", "h100:8", "batch=128", mesh="gpu_8"),
    case("1b3", "h100:8", "batch=256", "pieces=4", mesh="gpu_8"),
    case("6b9", "h100:64", "batch=512", mesh="gpu_64"),
    case("13b", "h100:64", "batch=1024", "pieces=4", mesh="gpu_64"),
    case("39b", "h100:256", "batch=1024", "pieces=2", mesh="gpu_256"),
    case("82b", "h100:512", "batch=1024", "pieces=2", mesh="gpu_512"),
    case("204b", "h100:1024", "batch=1024", "pieces=2", mesh="gpu_1024"),
    case("760m", "h200:8", "batch=128", mesh="gpu_8"),
    case("1b3", "h200:8", "batch=256", "pieces=2", mesh="gpu_8"),
    case("6b9", "h200:64", "batch=512", mesh="gpu_64"),
    case("13b", "h200:64", "batch=1024", "pieces=2", mesh="gpu_64"),
    case("39b", "h200:256", "batch=1024", mesh="gpu_256"),
    case("82b", "h200:512", "batch=1024", mesh="gpu_512"),
    case("204b", "h200:1024", "batch=1024", mesh="gpu_1024"),
]
CUBES = {64: "4x4x4", 256: "4x8x8", 1024: "8x8x16", 4096: "16x16x16"}
# One sequence of 2,048 tokens a chip for 82B and four for 13B, on any number of chips.
SCALING = [
    *(
        case(
            "13b",
            f"v5p:{cube}",
            f"batch={4 * chips}",
            f"data={max(1, chips // 64)}",
            "fsdp=64",
            "unroll=2",
        )
        for chips, cube in CUBES.items()
    ),
    *(
        case(
            "82b",
            f"v5p:{cube}",
            f"batch={chips}",
            f"data={max(1, chips // 64)}",
            "fsdp=64",
            "unroll=2",
        )
        for chips, cube in CUBES.items()
    ),
]
# One sequence of 131,072 tokens on 1, 2, 4 and 8 chips of eight.
CONTEXT = [
    case(
        "350m",
        "v5p:2x2x2",
        "length=131072",
        "positions=131072",
        f"seq={ways}",
        f"fsdp={8 // ways}",
        f"batch={8 // ways}",
        "remat=full",
    )
    for ways in (1, 2, 4, 8)
]
_GPT3 = ("layers=96", "d=12288", "heads=96", "vocab=50304")
PUBLISHED = [
    case(
        "204b",
        "v6e:16x16",
        *_GPT3,
        "batch=768",
        "remat=full",
        published="MaxText, GPT3-175B, fsdp 256: 41.9%",
    ),
    case(
        "204b",
        "v5p:4x4x4",
        "layers=40",
        "d=8192",
        "heads=64",
        "vocab=32000",
        "batch=384",
        "fsdp=16",
        "model=4",
        published="MaxText, 32B: 71.5%",
    ),
    case(
        "204b",
        "v5p:4x4x4",
        "layers=80",
        "d=8192",
        "heads=64",
        "vocab=32000",
        "batch=192",
        "fsdp=16",
        "model=4",
        published="MaxText, 64B: 70.3%",
    ),
    case(
        "204b",
        "v5e:16x16",
        "layers=40",
        "d=8192",
        "heads=64",
        "vocab=32000",
        "batch=1024",
        "remat=full",
        published="MaxText, 32B: 66.9%",
    ),
    case(
        "204b",
        "v5e:16x16",
        "layers=80",
        "d=8192",
        "heads=64",
        "vocab=32000",
        "batch=512",
        "remat=full",
        published="MaxText, 64B: 59.9%",
    ),
    case("204b", "a100:256", *_GPT3, "batch=1536", published="Pax, GPT-175B, fsdp 256: 50%"),
    case("204b", "h100:256", *_GPT3, "batch=1536", published="Pax, GPT-175B, fsdp 256: 38%"),
]
# Models of other families: 1 to 2 million tokens a step, at the length of their pretraining.
FAMILIES = [
    case("families/polyglot_ko_12b8", "v5p:4x4x4", "batch=1024", "pieces=4", mesh="tpu_v5p_64"),
    case("families/polyglot_ko_12b8", "v6e:8x8", "batch=512", "pieces=4", mesh="tpu_v6e_64"),
    case(
        "families/hyperclovax_think_14b",
        "v5p:4x4x4",
        "batch=512",
        "length=4096",
        "pieces=4",
        mesh="tpu_v5p_64",
    ),
    case(
        "families/hyperclovax_think_14b",
        "v6e:8x8",
        "batch=256",
        "length=4096",
        "pieces=8",
        "data=2",
        "fsdp=16",
        "model=2",
    ),
    case(
        "families/exaone_3_5_32b",
        "v5p:4x4x8",
        "batch=512",
        "length=4096",
        "pieces=4",
        "data=4",
        "fsdp=32",
        "unroll=2",
    ),
    case(
        "families/exaone_3_5_32b",
        "v6e:16x16",
        "batch=512",
        "length=4096",
        "pieces=4",
        mesh="tpu_v6e_256",
    ),
]
GROUPS = {
    "sizes": SIZES,
    "families": FAMILIES,
    "scaling": SCALING,
    "context": CONTEXT,
    "published": PUBLISHED,
}

GROUP = flags.DEFINE_enum("group", "sizes", list(GROUPS), "Group of plans to make.")
OUTPUT = flags.DEFINE_string("output_dir", "runs/plans", "Folder for the JSON files of the plans.")
ONLY = flags.DEFINE_string(
    "only", "", "Make only plans whose names contain this; the tables show all plans that exist."
)
WORKERS = flags.DEFINE_integer(
    "workers", 1, "Plans made at a time; each takes a core and up to 4 GB.", lower_bound=1
)
PLOT = flags.DEFINE_string(
    "plot", "", "PNG file for a plot of MFU against chips, of the group `scaling`."
)


def main(_):
    folder = Path(OUTPUT.value) / GROUP.value
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        run
        for run in GROUPS[GROUP.value]
        if ONLY.value in run.name and not (folder / f"{run.name}.json").exists()
    ]
    with concurrent.futures.ThreadPoolExecutor(WORKERS.value) as pool:
        for run, message in zip(missing, pool.map(lambda run: make(run, folder), missing)):
            print(f"{run.name}: {message}", file=sys.stderr, flush=True)
    results = [(run, read(run, folder)) for run in GROUPS[GROUP.value]]
    print(table([(run, figures) for run, figures in results if figures is not None]))
    if PLOT.value:
        plot([(run, figures) for run, figures in results if figures], PLOT.value)


def command(run: Run, path: Path) -> list[str]:
    """Command line that plans a run and writes a JSON file."""
    size = run.size if "/" in run.size else f"sizes/{run.size}"
    files = ["runs/pretrain", size, *([f"mesh/{run.mesh}"] if run.mesh else [])]
    quote = lambda value: value if value.isdecimal() else f"'{value}'"
    bound = [
        f"--gin.{SHORT[key]}={quote(value)}" for key, value in (b.split("=") for b in run.bindings)
    ]
    gin = [f"--gin_file=gin_configs/{name}.gin" for name in files]
    return [
        sys.executable,
        "launch/plan.py",
        *gin,
        *bound,
        f"--topology={run.topology}",
        f"--num_slices={run.slices}",
        f"--json={path}",
    ]


def make(run: Run, folder: Path) -> str:
    """Plans a run and returns a line about it; the JSON file of one that does not compile holds the
    reason.
    """
    path = folder / f"{run.name}.json"
    result = subprocess.run(command(run, path), cwd=ROOT, capture_output=True, text=True)
    if not path.exists():
        reason = (
            result.stderr.strip().splitlines()[-1]
            if result.stderr.strip()
            else f"exit code {result.returncode}"
        )
        path.write_text(json.dumps({"error": reason}) + "\n", encoding="utf-8")
        return reason
    figures = json.loads(path.read_text(encoding="utf-8"))
    return f"MFU {100 * figures['estimated_mfu']:.1f}%, {figures['hbm_gb_per_chip']:.1f} GB"


def read(run: Run, folder: Path) -> dict | None:
    """Figures of a plan, or None if it has not been made."""
    path = folder / f"{run.name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def table(results: list[tuple[Run, dict]]) -> str:
    """Markdown table with a line for each plan."""
    head = [
        "size",
        "parameters",
        "chips",
        "mesh",
        "batch",
        "pieces",
        "remat",
        "HBM a chip",
        "step",
        "estimated MFU",
        "by",
        "published",
    ]
    rows = []
    for run, f in results:
        shape = {key: value for key, value in (b.split("=") for b in run.bindings)}
        size = f"GPT {shape['d']} x {shape['layers']}" if "d" in shape else run.size
        if "error" in f:
            rows.append([size, "", run.machine, *["-"] * 4, f["error"], *["-"] * 3, run.published])
            continue
        mesh = " x ".join(f"{axis} {n}" for axis, n in f["mesh"].items() if n > 1)
        share = 100 * f["hbm_gb_per_chip"] / f["hbm_capacity_gb"]
        hbm = f"{f['hbm_gb_per_chip']:.1f} GB, {share:.0f}%" + (
            "" if f["fits"] else ": does not fit"
        )
        windows = f"{f['global_batch_size']:,} x {f['sequence_length']:,}"
        speed = [f"{f['step_time_s']:.2f} s", f"{100 * f['estimated_mfu']:.1f}%"]
        rows.append(
            [
                size.rpartition("/")[2],
                f"{f['parameters'] / 1e9:.3f}B" if "/" in size else "",
                f"{f['chips']:,} ({run.machine})",
                mesh,
                windows,
                str(f["accumulation_steps"]),
                f["remat"],
                hbm,
                *speed,
                f["method"],
                run.published,
            ]
        )
    keep = [i for i in range(len(head)) if any(row[i] for row in rows)] or list(range(len(head)))
    line = lambda cells: "| " + " | ".join(cells[i] for i in keep) + " |"
    return "\n".join([line(head), "|" + "---|" * len(keep), *map(line, rows)])


def plot(results: list[tuple[Run, dict]], path: str) -> None:
    """Plots estimated MFU against chips, with a line for each size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for size in dict.fromkeys(run.size for run, _ in results):
        points = [
            (f["chips"], 100 * f["estimated_mfu"])
            for run, f in results
            if run.size == size and f.get("fits")
        ]
        axes.plot(*zip(*points), marker="o", label=size)
    axes.set(
        xscale="log",
        xlabel="chips of TPU v5p",
        ylabel="estimated MFU, %",
        ylim=(0, 100),
        title="Weak scaling, by compilation",
    )
    chips = sorted({f["chips"] for _, f in results if "chips" in f})
    axes.set_xticks(chips, [f"{n:,}" for n in chips])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    app.run(main)
