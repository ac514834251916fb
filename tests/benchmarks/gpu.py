"""Times the training step on one NVIDIA GPU beside a GPT-2 in plain PyTorch, and the engine beside
transformers, and checks the attention kernels.

    python tests/benchmarks/gpu.py --seconds=480 --output=gpu.jsonl

It needs JAX, Flax, Optax and Orbax, PyTorch and transformers for the peers, and no other library of
this project.
The items of --plan run in order, and each figure is printed as soon as it is known. An item that
fails, dies or runs out of memory is one line, and the next one runs in a new process. Items that
have no time left are listed as skipped. The command ends with 1 if a kernel was wrong.
"""

import argparse
import dataclasses
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import gpu_profile, gpu_report  # noqa: E402 (neither imports JAX)
from tests.benchmarks.gpu_plan import OF_TORCH, PLAN, Item, parse_plan  # noqa: E402
from tests.benchmarks.gpu_process import Worker  # noqa: E402

# (kernel, dtype, size of a head): those of 760M and 1.3B first.
CASES = (
    ("cudnn", "bfloat16", 96),
    ("triton", "bfloat16", 96),
    ("cudnn", "bfloat16", 128),
    ("triton", "bfloat16", 128),
    ("triton", "float32", 96),
)
TINY_CASES = tuple((name, "bfloat16", 32) for name in ("cudnn", "triton"))
ENGINE_ROWS, TINY_ENGINE_ROWS = (8, 1, 64), (2,)
LEAST_SECONDS = 20.0  # an item is not started with less
OUT_OF_MEMORY, NO_TIME = "out of memory", "no time was left"
ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_MEM_FRACTION": ".92",  # JAX's own .75 leaves memory to nobody
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "TORCHINDUCTOR_COMPILE_THREADS": "8",  # leaves cores to JAX, which starts at the same time
}
# The first process shares the memory with PyTorch, which compiles beside its imports.
SHARED_MEMORY = {"XLA_PYTHON_CLIENT_MEM_FRACTION": ".7"}


def arguments(argv=None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seconds", type=float, default=480, help="Time limit of the whole run.")
    add("--candidate_seconds", type=float, default=110, help="Time limit of one item.")
    add("--peer_seconds", type=float, default=100, help="Time limit of PyTorch's turn.")
    add("--kernel_seconds", type=float, default=30, help="Time limit of all checks of kernels.")
    add(
        "--plan",
        default=PLAN,
        help="Items [SIZE:]ITEM, separated by commas. first: the training step with the settings"
        " below. peer: PyTorch on the same batch. engine: decoding and prefill by hclx's engine."
        " engine_peer: decoding by transformers. name=value[&name=value]: the first settings with"
        " these changes; with + in front, the fastest settings so far with these changes; names are"
        " fields of ComputeConfig, batch, tune (lora or prompt_tune, on a frozen base of bfloat16)"
        " or XLA's own options, which begin with xla_. profile:"
        " the largest operations of the fastest step so far. kernels: the attention kernels against"
        " attention by its definition. Default: %(default)s",
    )
    add(
        "--size",
        default="760m",
        help="A name of tests.helpers.sizes.SIZES, for items that name none.",
    )
    add("--length", type=int, default=2_048, help="Tokens of a sequence.")
    add("--batch", type=int, default=16, help="Sequences of a step.")
    add(
        "--attention",
        default="cudnn,triton,xla",
        help="Backends of attention; the first one that works is used.",
    )
    add("--remat", default="minimal", help="ComputeConfig.remat.")
    add("--scan_unroll", type=int, default=1, help="ComputeConfig.scan_unroll.")
    add("--loss_chunk_tokens", type=int, default=8_192, help="ComputeConfig.loss_chunk_tokens.")
    add(
        "--tolerance",
        type=float,
        default=2.0,
        help="Largest error of a kernel, as a multiple of XLA's error in the same dtype.",
    )
    add(
        "--output",
        default="gpu.jsonl",
        help="File for the results, one JSON object a line; or a folder for gpu.jsonl.",
    )
    add(
        "--tiny",
        action="store_true",
        help="Run all of it on a CPU with a tiny model, as a test of this script.",
    )
    options = parser.parse_args(argv)
    try:
        options.items = parse_plan(options.plan, options.size)
    except ValueError as error:
        parser.error(str(error))
    if options.tiny:
        options.length, options.batch = 128, 2
        options.items = [dataclasses.replace(item, size="tiny") for item in options.items]
    return options


def open_output(output: str):
    """Opens the file for the results, and makes its folder."""
    path = Path(output)
    path = path if path.suffix else path / "gpu.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8")


def verdict(case: dict, tolerance: float) -> str:
    """Judges a case of `gpu_kernels.compare`: ok, WRONG, refused (the kernel cannot serve), or
    failed.
    """
    if "error" in case:
        return "refused" if case["error"].startswith("ConfigError") else "failed"
    limits = {name: tolerance * case[f"xla_{name}"] + 1e-3 for name in ("context", "gradient")}
    # Written so that a NaN is wrong.
    return "ok" if all(case[name] <= limit for name, limit in limits.items()) else "WRONG"


class Benchmark:
    """The run of a plan, and its results, which are in the output file as soon as they are
    known.

    Args:
      options: see `arguments`.
      caches: a folder for the caches of compiled programs.
    """

    def __init__(self, options: argparse.Namespace, caches: str):
        self.options, self.begin = options, time.monotonic()
        # What is compiled and autotuned for one candidate is there for the next. CUDA's caches are
        # apart, because a paused process may hold the lock of one.
        self.variables = ENVIRONMENT | {"JAX_COMPILATION_CACHE_DIR": f"{caches}/jax"}
        self.variables_of_torch = ENVIRONMENT | {"CUDA_CACHE_PATH": f"{caches}/cuda"}
        self.later = list(options.items)
        self.file = open_output(options.output)
        self.rows, self.checks, self.profiles, self.skipped = [], [], {}, []
        self.engine_rows = []
        self.backends = options.attention.split(",")  # those that have not failed
        self.first = {}  # the first settings that worked, by size
        self.jax = self.spare = self.torch = None  # processes
        self.prepared = None  # (size, batch) that PyTorch's process was told to compile

    def run(self) -> int:
        """Runs all items. Returns the exit code."""
        actions = {
            "first": self.run_first,
            "change": self.run_change,
            "peer": self.run_peer,
            "engine": self.run_engine,
            "engine_peer": self.run_engine_peer,
            "profile": self.run_profile,
            "kernels": self.run_kernels,
        }
        try:
            self.start_imports()
            while self.later:
                item = self.later.pop(0)
                if self.left() < LEAST_SECONDS:
                    self.skip(item, NO_TIME)
                else:
                    actions[item.action](item)
        finally:
            for worker in filter(None, (self.jax, self.spare, self.torch)):
                worker.kill()
            print(f"\n{self.report()}", flush=True)
            self.file.close()
        return 1 if any(check["verdict"] in ("WRONG", "failed") for check in self.checks) else 0

    def left(self) -> float:
        """Seconds that are left, but for three in which the run ends."""
        return self.begin + self.options.seconds - time.monotonic() - 3

    def say(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        print(f"{time.monotonic() - self.begin:5.0f} s  {text}", flush=True)

    def record(self, kind: str, result: dict) -> None:
        """Writes a result to the output file."""
        self.file.write(json.dumps({"kind": kind, **result}) + "\n")
        self.file.flush()

    def skip(self, item: Item, why: str) -> None:
        """Lists an item that is not run."""
        self.skipped.append({"item": item.text, "why": why})
        self.say(f"{item.text}: skipped, {why}")
        self.record("skipped", self.skipped[-1])

    # Processes. At most one uses the GPU at a time; the others import, or are paused.

    def start_imports(self) -> None:
        """Starts the imports of JAX, and beside them PyTorch's imports and compilation."""
        if self.left() < LEAST_SECONDS:
            return
        peers = [item.size for item in self.later if item.action == "peer"]
        self.spare = Worker("jax", self.variables | (SHARED_MEMORY if peers else {}))
        if peers:
            self.prepare_peer(peers[0], self.options.batch)

    def ask_jax(self, task: dict, seconds: float, on_event=lambda event: None) -> dict:
        """Runs a task in JAX's process, within the time that is left.

        From the end of the imports to the result, PyTorch's process is paused, and the next
        process of JAX imports. A process in which a task failed is not used again.
        """
        if not self.jax:
            self.jax, self.spare = self.spare or Worker("jax", self.variables), None

        def take_gpu():
            if self.torch:
                self.torch.pause()
            if not self.spare and any(item.action not in OF_TORCH for item in self.later):
                self.spare = Worker("jax", self.variables)

        def handle(event):
            if event["event"] == "ready":
                self.say(f"JAX was imported in {event['seconds']:.0f} s")
                take_gpu()
            elif event["event"] == "compiled":
                self.say(f"compiled in {event['seconds']:.0f} s")
            else:
                on_event(event)

        if self.jax.ready:
            take_gpu()
        task = {"tiny": self.options.tiny, "length": self.options.length, **task}
        result = self.jax.ask(task, min(seconds, self.left()), handle)
        if "error" in result:
            self.retire_jax()
        if self.torch:
            self.torch.resume()
        return result

    def retire_jax(self) -> None:
        """Ends JAX's process, which frees the GPU's memory."""
        if self.jax:
            self.jax.kill()
            self.jax = None

    def prepare_peer(self, size: str, batch: int) -> None:
        """Lets PyTorch's process compile for a model and a batch, as soon as it can."""
        self.torch = self.torch or Worker("torch", self.variables_of_torch)
        self.prepared = size, batch
        self.torch.start({"do": "prepare", **self.peer_task(size, batch)})

    def peer_task(self, size: str, batch: int) -> dict:
        """Returns the fields of a task for PyTorch's process."""
        options = self.options
        return {"tiny": options.tiny, "length": options.length, "size": size, "batch": batch}

    # Items.

    def run_first(self, item: Item) -> None:
        """Times the first settings: with half the batch if memory does not suffice, with the next
        backend of attention if one fails.
        """
        names = ("remat", "scan_unroll", "loss_chunk_tokens")
        settings_of_all = {name: getattr(self.options, name) for name in names}
        batch = self.options.batch
        while self.backends and batch and self.left() >= LEAST_SECONDS:
            settings = {"attention": self.backends[0], "batch": batch, **settings_of_all}
            row = self.candidate(item.size, settings)
            if "error" not in row:
                self.first[item.size] = settings
                return
            if row["error"] == OUT_OF_MEMORY:
                batch //= 2
            else:
                self.backends.pop(0)

    def run_change(self, item: Item) -> None:
        """Times the first or the best settings with a change."""
        best = gpu_report.fastest(self.rows, item.size)
        base = best["settings"] if item.on_best and best else self.first.get(item.size)
        if base:
            self.candidate(item.size, base | item.changes)
        else:
            self.skip(item, "the first settings have no figure")

    def candidate(self, size: str, settings: dict) -> dict:
        """Times hclx's training step with some settings, and prints the figure."""
        self.say(f"{size}: " + " ".join(f"{name}={value}" for name, value in settings.items()))
        task = {"do": "train", "size": size, **settings}
        result = self.ask_jax(task, self.options.candidate_seconds)
        return self.add({"size": size, "by": "hclx", "settings": settings, **result})

    def run_peer(self, item: Item) -> None:
        """Times PyTorch on the batch of the first settings, while no process of JAX has memory.

        If only half of the batch fits in memory, hclx is timed with that half, too.
        """
        self.retire_jax()
        first = self.first.get(item.size)
        batch = first["batch"] if first else self.options.batch
        end = time.monotonic() + self.options.peer_seconds
        seconds = lambda: min(end - time.monotonic(), self.left())
        self.say(f"{item.size}: PyTorch, batch={batch}")
        if self.prepared != (item.size, batch):
            if self.prepared:
                self.torch.finish(seconds())  # of no use: the batch became smaller
            self.prepare_peer(item.size, batch)
        result = self.torch.finish(seconds())
        self.prepared, compile_seconds = None, 0.0
        if "error" in result:
            self.say(f"PyTorch did not compile ahead: {result['error']}")
        else:
            compile_seconds = self.torch.running_seconds(result["begin"], result["end"])
            self.say(f"PyTorch compiled in {compile_seconds:.0f} s")
        if self.torch.alive:
            task = {"do": "peer", **self.peer_task(item.size, batch)}
            result = self.torch.ask(task, seconds())
        self.renew_torch()
        settings = {"attention": "sdpa", "batch": result.get("batch", batch)}
        if "error" not in result:
            result["compile_seconds"] += compile_seconds
            result |= self.utilisation(item.size, result["tokens_per_second"])
        self.add({"size": item.size, "by": "PyTorch", "settings": settings, **result})
        self.say(gpu_report.ratio(self.rows, item.size))
        if first and settings["batch"] != batch:
            self.candidate(item.size, first | {"batch": settings["batch"]})

    def renew_torch(self) -> None:
        """Ends PyTorch's process, whose compiler would keep the parameters and with them the
        memory, and starts the next one if there is something left for it.
        """
        self.torch.kill()
        again = any(later.action in OF_TORCH for later in self.later)
        self.torch = Worker("torch", self.variables_of_torch) if again else None
        self.prepared = None

    def run_engine(self, item: Item) -> None:
        """Times decoding and prefill by hclx's engine."""
        self.say(f"{item.size}: engine")
        task, add = self.engine_task("engine", item.size), self.adding_engine(item.size, "hclx")
        result = self.ask_jax(
            task, self.options.candidate_seconds, lambda event: add(event["case"])
        )
        if "error" in result:
            add(result)

    def run_engine_peer(self, item: Item) -> None:
        """Times transformers' `generate` on a model of the same shape, while no process of JAX has
        memory.
        """
        self.retire_jax()
        if self.torch and (self.prepared or not self.torch.alive):  # what it prepares comes later
            self.renew_torch()
        self.torch = self.torch or Worker("torch", self.variables_of_torch)
        self.say(f"{item.size}: transformers")
        add = self.adding_engine(item.size, "transformers")
        handle = lambda event: add(event["case"]) if event["event"] == "case" else None
        task = self.engine_task("engine_peer", item.size)
        result = self.torch.ask(task, min(self.options.peer_seconds, self.left()), handle)
        if "error" in result:
            add(result)
            self.renew_torch()
        for text in gpu_report.engine_ratios(self.engine_rows, item.size):
            self.say(text)

    def engine_task(self, do: str, size: str) -> dict:
        """Returns a task of tests/benchmarks/gpu_engine.py."""
        tiny = self.options.tiny
        rows = TINY_ENGINE_ROWS if tiny else ENGINE_ROWS
        return {"do": do, "size": size, "rows": rows, "tiny": tiny}

    def adding_engine(self, size: str, by: str):
        """Returns a function that keeps and prints a figure of an engine, or the error."""

        def add(case: dict) -> None:
            self.engine_rows.append({"size": size, "by": by, **case})
            self.say(gpu_report.engine_figure(self.engine_rows[-1]))
            self.record("engine", self.engine_rows[-1])

        return add

    def utilisation(self, size: str, tokens_per_second: float) -> dict:
        """Returns the `mfu` of a peer by hclx's formula, whose constants come with hclx's rows."""
        for row in self.rows:
            if row["size"] == size and "peak_flops" in row:
                return {"mfu": tokens_per_second * row["flops_per_token"] / row["peak_flops"]}
        return {}

    def add(self, row: dict) -> dict:
        """Keeps and prints a figure, or the error in its place."""
        self.rows.append(row)
        self.say(gpu_report.figure(row))
        self.record("figure", row)
        return row

    def run_profile(self, item: Item) -> None:
        """Traces the fastest step. The process is not used again: a profiler leaves traces."""
        best = gpu_report.fastest(self.rows, item.size)
        if not best:
            return self.skip(item, "no step has a figure")
        self.say(f"{item.size}: profile of the fastest step")
        task = {"do": "profile", "size": item.size, **best["settings"]}
        result = self.ask_jax(task, self.options.candidate_seconds)
        self.retire_jax()
        self.profiles[item.size] = {"settings": best["settings"], **result}
        self.record("profile", {"size": item.size, **self.profiles[item.size]})
        self.say(self.profile_report(item.size))

    def profile_report(self, size: str) -> str:
        """Renders a profile, or the error in its place."""
        profile = self.profiles[size]
        settings = " ".join(f"{name}={value}" for name, value in profile["settings"].items())
        text = profile["error"] if "error" in profile else gpu_profile.table(profile)
        return f"profile of {size} with {settings}: {text}"

    def run_kernels(self, item: Item) -> None:
        """Checks the kernels. A case in which the process dies has failed, and the next process
        checks the rest.
        """
        end = time.monotonic() + self.options.kernel_seconds
        cases = list(TINY_CASES if self.options.tiny else CASES)
        result = {"error": NO_TIME}
        while cases and (seconds := end - time.monotonic()) > 0:
            task = {"do": "kernels", "cases": cases, "length": 128 if self.options.tiny else 512}
            answered = len(self.checks)
            result = self.ask_jax(task, seconds, lambda event: self.add_check(event["case"]))
            cases = cases[len(self.checks) - answered :]
            if cases and end > time.monotonic():
                self.add_check(self.unchecked(cases.pop(0), result["error"]))
        for case in cases:
            self.add_check(self.unchecked(case, result["error"]), "not run")

    def unchecked(self, case: tuple, error: str) -> dict:
        """Returns the result of a case that has none."""
        return dict(zip(("attention", "dtype", "head"), case), error=error)

    def add_check(self, case: dict, judgement: str = "") -> None:
        """Keeps and prints the result of a case, and what it means."""
        case = {**case, "verdict": judgement or verdict(case, self.options.tolerance)}
        self.checks.append(case)
        self.say(gpu_report.check(case))
        self.record("check", case)

    def report(self) -> str:
        """Renders all results."""
        sizes = dict.fromkeys(item.size for item in self.options.items if item.action == "peer")
        lines = [
            f"Training step, sequences of {self.options.length} tokens, bfloat16 with float32"
            " master weights, AdamW with clipping",
            "",
            gpu_report.FIGURES,
            *map(gpu_report.figure, self.rows),
            "",
            *(gpu_report.ratio(self.rows, size) for size in sizes),
        ]
        if self.engine_rows:
            lines += ["", gpu_report.ENGINE, *map(gpu_report.engine_figure, self.engine_rows), ""]
            for size in dict.fromkeys(row["size"] for row in self.engine_rows):
                lines += gpu_report.engine_ratios(self.engine_rows, size)
        for size in self.profiles:
            lines += ["", self.profile_report(size)]
        if self.checks:
            lines += ["", gpu_report.CHECKS, *map(gpu_report.check, self.checks)]
        if self.skipped:
            lines += [
                "",
                "Skipped: " + "; ".join(f"{x['item']} ({x['why']})" for x in self.skipped),
            ]
        return "\n".join(lines)


def main():
    # So that the processes are ended, and the report is printed, if a time limit ends this one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = arguments()
    with tempfile.TemporaryDirectory() as caches:
        sys.exit(Benchmark(options, caches).run())


if __name__ == "__main__":
    main()
