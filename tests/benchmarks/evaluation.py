"""Few-shot scoring on this CPU against lm-evaluation-harness' own backend for transformers.

    HCLX_DATA_DIR=data python tests/benchmarks/evaluation.py --run=runs/mine --hf=mine_hf

Both score the same reviews of NSMC, with the harness' rules of encoding, in float32, with a thread
for each core. fixed-2: the same examples before every review, and labels of two tokens; fixed-1: of
one token, for which the harness' backend reads a context once; drawn-2: other examples for every
review, as the harness draws them. Each round has other reviews and examples, so that nothing is
known from the round before. The first round, in which JAX compiles most, is not counted; the
seconds of compilation are told apart and in no ratio. Contenders are processes of their own that
take turns, and the one that waits is stopped; a ratio is the median of the rounds' ratios. Each
figure is a JSON line.
"""

import gzip
import json
import os
import random
import statistics
import sys
from pathlib import Path

from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.gpu_process import Worker  # noqa: E402

LABELS = {1: (" 부정", " 긍정"), 2: (" 나쁘다", " 좋다")}
# Case -> whether all reviews have the same examples, and the tokens of a label.
CASES = {"fixed-2": (True, 2), "fixed-1": (True, 1), "drawn-2": (False, 2)}
SECONDS = 3600

RUN = flags.DEFINE_string("run", None, "A run of hclx.", required=True)
HF = flags.DEFINE_string("hf", None, "The same model, exported by hclx.", required=True)
ITEMS = flags.DEFINE_integer("items", 100, "Reviews of a round.", lower_bound=1)
SHOTS = flags.DEFINE_integer("shots", 16, "Examples before each.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds that are counted.", lower_bound=1)
BATCH = flags.DEFINE_integer("batch", 8, "Requests at once, of each contender.", lower_bound=2)
NAMES = flags.DEFINE_list("cases", list(CASES), f"Some of {', '.join(CASES)}.")
OUTPUT = flags.DEFINE_string("output", None, "A file for the JSON lines.")


def read_reviews(split):
    """The texts of NSMC and their labels, 0 or 1."""
    path = Path(os.environ["HCLX_DATA_DIR"], "tasks", "nsmc", f"ratings_{split}.tsv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [line.rstrip("\n").split("\t") for line in stream][1:]
    return [(text, int(label)) for _, text, label in rows if text.strip()]


def pairs_of_round(case, number, train, test):
    """Contexts and continuations: for each review of the round all labels."""
    is_fixed, n_tokens = CASES[case]
    draw, labels = random.Random(f"{case} {number}"), LABELS[n_tokens]
    begin = number * ITEMS.value
    shots, pairs = draw.sample(train, SHOTS.value), []
    for text, _ in test[begin : begin + ITEMS.value]:
        if not is_fixed:
            shots = draw.sample(train, SHOTS.value)
        head = "".join(f"문장: {shot} 평가:{labels[label]}\n\n" for shot, label in shots)
        pairs += [(f"{head}문장: {text} 평가:", label) for label in labels]
    return pairs


def workers():
    """The contenders."""
    variables = {"JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    program = str(Path(__file__).with_name("evaluation_contender.py"))
    folders = {"hclx": RUN.value, "hf": HF.value}
    spec = {"batch": BATCH.value, "threads": os.cpu_count()}
    return {
        name: Worker(
            name,
            variables,
            [sys.executable, "-P", program, name, json.dumps({**spec, "folder": folder})],
        )
        for name, folder in folders.items()
    }


def ask(worker, pairs):
    """Scores pairs in a process that is stopped before and after it."""
    worker.resume()
    result = worker.ask({"pairs": pairs}, SECONDS)
    worker.pause()
    if "error" in result:
        raise SystemExit(f"{result['error']}\n{result.get('stderr', '')}")
    return result


def running(result):
    """The seconds of a task in which nothing was compiled."""
    return result["seconds"] - result["compile_seconds"]


def measure(case, contenders, train, test):
    """Returns the figures of a case."""
    rounds = []
    for number in range(1 + ROUNDS.value):
        pairs = pairs_of_round(case, number, train, test)
        rounds.append({name: ask(worker, pairs) for name, worker in contenders.items()})
        differences = [
            abs(a - b) for a, b in zip(*(result["totals"] for result in rounds[-1].values()))
        ]
        tokens = max(rounds[-1]["hf"]["label_tokens"])
        print(f"{case} round {number}: difference {max(differences):.1e}", file=sys.stderr)
        if max(differences) > 1e-3 or tokens != CASES[case][1]:
            raise SystemExit(f"{case}: labels of {tokens} tokens differ by {max(differences)}")
    first, *counted = rounds
    median = lambda values: round(statistics.median(values), 3)
    return {
        "case": case,
        "items": ITEMS.value,
        "shots": SHOTS.value,
        "rounds": len(counted),
        "threads": os.cpu_count(),
        **{f"{name}_seconds": median([running(r[name]) for r in counted]) for name in contenders},
        "first_compile_seconds": round(first["hclx"]["compile_seconds"], 3),
        "compile_seconds": median([r["hclx"]["compile_seconds"] for r in counted]),
        "ratio": median([running(r["hf"]) / running(r["hclx"]) for r in counted]),
    }


def main(_):
    train, test = read_reviews("train"), read_reviews("test")
    contenders = workers()
    try:
        rows = []
        for case in NAMES.value:
            rows.append(json.dumps(measure(case, contenders, train, test)))
            print(rows[-1], flush=True)
        if OUTPUT.value:
            Path(OUTPUT.value).write_text("\n".join(rows) + "\n", encoding="utf-8")
    finally:
        for worker in contenders.values():
            worker.kill()


if __name__ == "__main__":
    app.run(main)
