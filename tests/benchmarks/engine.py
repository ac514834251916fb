"""The engine against itself and against other programs on this CPU, in one run.

    python tests/benchmarks/engine.py --sections=transformers,bandwidth,batching
    python tests/benchmarks/engine.py --sections=prefix,grammar --run=runs/mine
    python tests/benchmarks/engine.py --sections=foreign --run=runs/mine --hf=mine_hf

transformers: `generate` of transformers with the same weights, its cache being the faster one of
two, and with a compiled forward pass; for one text, for eight at once, and for 32 of which eight
are served at once (here one begins when one ends, there the next padded batch does). bandwidth: the
share of the memory bandwidth that a step reaches. batching: continuous against static batches.
prefix: scoring with 16 examples before each item, with and without the prefix cache. grammar: what
free rows lose beside constrained ones. foreign: vLLM and llama.cpp, as
tests/convert/test_foreign_servers.py says where they are.

All is float32 and has --threads threads. Contenders are processes of their own that take turns, and
the one that waits is stopped, so that other load affects them alike; a ratio is the median of the
rounds' ratios. Each figure is a JSON line, and a table comes last.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

from absl import app, flags, logging

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import engine_sections  # noqa: E402
from tests.benchmarks.gpu_process import ROOT, Worker  # noqa: E402

SHAPES = {
    "tiny": dict(vocab_size=512, n_layers=2, d_model=64, n_heads=2, max_length=512),
    "25m": dict(vocab_size=16_384, n_layers=10, d_model=384, n_heads=6, max_length=512),
    "100m": dict(vocab_size=16_384, n_layers=12, d_model=768, n_heads=12, max_length=512),
}
LENGTH = 512  # of a prompt and its text
# Tokens of prompts and texts of eight streams.
PROMPTS, TEXTS = (16, 100, 40, 200, 64, 30, 150, 80), (128, 32, 64, 20, 100, 128, 48, 16)
# Texts of the comparison of batches: as in chats, the longest is three times as long as the mean.
SERVED_TEXTS = (16, 256, 24, 64, 128, 32, 48, 96)
SINGLE = (64, 128)
LOAD_SECONDS, CALL_SECONDS = 900, 300
SECTIONS = ("transformers", "bandwidth", "batching", "prefix", "grammar", "foreign")

NAMES = flags.DEFINE_list("sections", list(SECTIONS), f"Some of {', '.join(SECTIONS)}.")
MODELS = flags.DEFINE_list("models", ["25m", "100m"], f"Random weights: {', '.join(SHAPES)}.")
RUN = flags.DEFINE_string("run", None, "A run of hclx, beside the random weights.")
HF = flags.DEFINE_string("hf", None, "The same model as a folder of transformers.")
ITEMS = flags.DEFINE_string(
    "items",
    None,
    "A file of KoBEST SentiNeg; default: that of HCLX_DATA_DIR. Without it, or without --run, the"
    " items are random tokens.",
)
N_ITEMS = flags.DEFINE_integer("n_items", 500, "Items that are scored with the prefix cache.")
N_WITHOUT = flags.DEFINE_integer("n_without", 50, "Items that are scored without it.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns that are timed, of each contender.")
THREADS = flags.DEFINE_integer("threads", os.cpu_count(), "Threads of each contender.")
COMPILE_SECONDS = flags.DEFINE_float(
    "compile_seconds", 240, "Time limit of torch.compile; 0: it is left out."
)
OUTPUT = flags.DEFINE_string("output", None, "A file for the JSON lines.")
TINY = flags.DEFINE_bool("tiny", False, "Run all with a tiny model, as a test of this script.")


class Report:
    """The figures: each is printed at once, and all of them in the end."""

    def __init__(self, output: str | None):
        self.rows, self.file = [], open(output, "w", encoding="utf-8") if output else None

    def add(self, section: str, model: str, case: str, **figures) -> None:
        """Takes figures of one case."""
        self.rows.append({"section": section, "model": model, "case": case, **figures})
        line = json.dumps(self.rows[-1], ensure_ascii=False)
        print(line, flush=True)
        if self.file:
            print(line, file=self.file, flush=True)

    def table(self) -> str:
        """Renders all figures."""
        lines = ["| section | model | case | figures |", "|---|---|---|---|"]
        for row in self.rows:
            words = [
                f"{name} {value:,.3g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in islice(row.items(), 3, None)
            ]
            lines.append(
                f"| {row['section']} | {row['model']} | {row['case']} | {', '.join(words)} |"
            )
        return "\n".join(lines)


def main(_):
    if wrong := [name for name in NAMES.value if name not in SECTIONS]:
        raise app.UsageError(f"--sections: {wrong[0]} is not one of {', '.join(SECTIONS)}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: THREADS.value])
    os.environ["OMP_NUM_THREADS"] = str(THREADS.value)
    logging.set_verbosity(logging.ERROR)  # orbax logs a page for each model
    report = Report(OUTPUT.value)
    with tempfile.TemporaryDirectory() as place:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{place}/programs")
        for name in SECTIONS:
            if name in NAMES.value:
                section(name, place, report)
    print(f"\n{report.table()}")


def section(name: str, place: str, report: Report) -> None:
    """Runs one section."""
    if name == "transformers":
        for model in models(with_run=bool(RUN.value and HF.value)):
            against_transformers(model, place, report)
    elif name == "foreign":
        if not HF.value:
            report.add("foreign", "", "left out", why="--hf is not given: they need a tokenizer")
            return
        for model in ["run"] if TINY.value else models(with_run=True):
            against_foreign(model, place, report)
    else:
        for model in models(with_run=bool(RUN.value)):
            source = RUN.value if model == "run" else SHAPES[model]
            add = lambda case, **figures: report.add(name, model, case, **figures)
            engine_sections.SECTIONS[name](source, sizes(), add)


def models(with_run: bool) -> list[str]:
    """The models of a section: names of `SHAPES`, and "run"."""
    return ["tiny"] if TINY.value else [*MODELS.value, *(["run"] if with_run and RUN.value else [])]


def sizes() -> engine_sections.Sizes:
    """How much is measured in this process."""
    items = ITEMS.value
    if not items and os.environ.get("HCLX_DATA_DIR"):
        items = f"{os.environ['HCLX_DATA_DIR']}/tasks/kobest/SentiNeg/train.tsv"
    if TINY.value:
        mixed = tuple(zip((8, 24, 16), (16, 8, 12)))
        return engine_sections.Sizes(2, mixed, 6, LENGTH, (16, 16), 6, 2, items, 1)
    mixed = tuple(zip(PROMPTS, SERVED_TEXTS))
    return engine_sections.Sizes(
        *(8, mixed, 64, LENGTH, SINGLE, N_ITEMS.value, N_WITHOUT.value, items, ROUNDS.value)
    )


# Contenders, which are processes.


def folder_of(model: str, place: str) -> str:
    """Returns a folder of transformers with the weights of a model."""
    if model == "run":
        return HF.value
    folder = Path(place, model)
    if not folder.exists():
        code = "import json, sys; from tests.benchmarks.gpt2 import export_random as export;"
        code += " export(json.loads(sys.argv[1]), sys.argv[2])"
        command = [sys.executable, "-c", code, json.dumps(SHAPES[model]), str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
        subprocess.run(command, check=True, env=environment)
        if HF.value:
            tokenizer = Path(HF.value, "tokenizer.json").read_bytes()
            (folder / "tokenizer.json").write_bytes(tokenizer)
    return str(folder)


def start(name: str, model: str, place: str, python: str = sys.executable, **more) -> Worker:
    """Starts the process of a contender."""
    spec = {"folder": folder_of(model, place), "threads": THREADS.value, "rows": 8}
    spec |= {"length": LENGTH, "place": f"{place}/{model}_gguf", "programs": f"{place}/programs"}
    os.makedirs(spec["place"], exist_ok=True)
    spec |= {"run": RUN.value} if model == "run" else {"shape": SHAPES[model]}
    program = str(Path(__file__).with_name("engine_contender.py"))
    command = [python, "-P", program, name, json.dumps({**spec, **more})]
    return Worker(name, {"JAX_PLATFORMS": "cpu"}, command)


def ask(worker: Worker, requests, setting=None, seconds: float = CALL_SECONDS) -> dict:
    """Runs a call in a process that is stopped before and after it."""
    worker.resume()
    result = worker.ask({"requests": requests, "setting": setting}, seconds)
    worker.pause()
    return result


def cases(vocab_size: int) -> dict[str, list]:
    """The requests of each case, token ids and the number of new tokens. The last one has more of
    them than are served at once.
    """
    from hclx.infer.benchmark import random_prompts

    pairs = list(zip(PROMPTS, TEXTS))
    single = SINGLE
    if TINY.value:
        pairs, single = [(n // 8, m // 8) for n, m in pairs], (8, 16)
    make = lambda pairs: list(
        zip(random_prompts([n for n, _ in pairs], vocab_size), [m for _, m in pairs])
    )
    return {"single": make([single]), "8 mixed": make(pairs), "32 mixed": make(pairs * 4)}


def vocab_size(model: str, place: str) -> int:
    """The vocabulary of a model."""
    text = Path(folder_of(model, place), "config.json").read_text(encoding="utf-8")
    return json.loads(text)["vocab_size"]


def take_turns(own: Worker, peer: Worker, requests, setting) -> dict:
    """Times two contenders in turns, which have compiled and warmed up."""
    n = sum(count for _, count in requests)
    rounds = []
    for _ in range(1 if TINY.value else ROUNDS.value):
        rounds.append((ask(own, requests), ask(peer, requests, setting)))
        if errors := [result["error"] for result in rounds[-1] if "error" in result]:
            return {"error": errors[0]}
    rate = lambda i: n / statistics.median(pair[i]["seconds"] for pair in rounds)
    ours, theirs = rounds[-1][0]["tokens"], rounds[-1][1]["tokens"]
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return {
        "ratio": statistics.median(b["seconds"] / a["seconds"] for a, b in rounds),
        "hclx_tokens_per_second": rate(0),
        "peer_tokens_per_second": rate(1),
        "same_texts": f"{same} of {len(ours)}",
    }


def against_transformers(model: str, place: str, report: Report) -> None:
    """Times hclx in turns with the faster cache of eager transformers, and with torch.compile."""
    own, peer = start("hclx", model, place), start("transformers", model, place)
    try:
        for case, requests in cases(vocab_size(model, place)).items():
            ask(own, requests, seconds=LOAD_SECONDS)
            speeds = {}
            for cache in ("dynamic", "static"):
                ask(peer, requests, cache, LOAD_SECONDS)
                trial = ask(peer, requests, cache)
                speeds |= {cache: trial["seconds"]} if "error" not in trial else {}
            cache = min(speeds, key=speeds.get, default="dynamic")
            figures = take_turns(own, peer, requests, cache)
            report.add("transformers", model, f"{case}, eager, {cache} cache", **figures)
        peer.kill()
        if COMPILE_SECONDS.value:
            peer = start("transformers", model, place, compile=True)
            against_compiled(model, own, peer, place, report)
    finally:
        own.kill()
        peer.kill()


def against_compiled(model: str, own: Worker, peer: Worker, place: str, report: Report) -> None:
    """Times hclx in turns with a compiled forward pass, if that compiles in time."""
    for case, requests in islice(cases(vocab_size(model, place)).items(), 2):
        result = ask(peer, requests, "static", COMPILE_SECONDS.value)
        result = result if "error" in result else ask(peer, requests, "static")
        figures = result
        if "error" not in result:
            figures = take_turns(own, peer, requests, "static")
        report.add("transformers", model, f"{case}, torch.compile", **figures)


def against_foreign(model: str, place: str, report: Report) -> None:
    """Times hclx in turns with vLLM, and then with llama.cpp."""
    vllm = os.environ.get("HCLX_VLLM")
    pythons = {
        "vllm": vllm and str(Path(vllm).with_name("python")),
        "llama_cpp": os.environ.get("HCLX_LLAMA_CPP"),
    }
    more = {"source": os.environ.get("HCLX_LLAMA_CPP_SOURCE", "")}
    own = start("hclx", model, place)
    try:
        for name, python in pythons.items():
            if not python:
                report.add("foreign", model, name, error=f"HCLX_{name.upper()} is not set")
                continue
            peer = start(name, model, place, python, **more)
            try:
                for case, requests in islice(cases(vocab_size(model, place)).items(), 2):
                    for worker in (own, peer):  # loads, compiles and warms up
                        ask(worker, requests, seconds=LOAD_SECONDS)
                    figures = take_turns(own, peer, requests, None)
                    report.add("foreign", model, f"{name}, {case}", **figures)
            finally:
                peer.kill()
    finally:
        own.kill()


if __name__ == "__main__":
    app.run(main)
