"""The model as an embedder and as a judge of pairs, on Korean test sets.

    HCLX_DATA_DIR=data python tests/benchmarks/embedding.py --base=runs/mine --folder=runs/embedding

nli: a judge of pairs, tuned on two thirds of KLUE-NLI dev by premise and on XNLI-ko dev, on the
last third. sts: vectors, tuned on KorSTS train, on KLUE-STS dev. retrieval: vectors, tuned on BoolQ
train, whose questions find their paragraph; those of BoolQ dev are asked, among the paragraphs of
dev, and with --all_paragraphs of train, too. Rivals: the base untuned, the overlap of characters,
and BM25 over bigrams. Each part is an `hclx tune` run in --folder: the same command goes on where
one was ended, and a part with all its steps is only measured. Each figure is a JSON line.
"""

import collections
import csv
import functools
import hashlib
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from absl import app, flags

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hclx.tune.text_reader import embed_texts, judge_pairs, load_reader  # noqa: E402
from hclx.tune.tune_config import TuneConfig  # noqa: E402
from hclx.tune.tuning_run import ARTEFACT  # noqa: E402
from hclx.tune.vector_metrics import cosines, pearson, retrieval, spearman  # noqa: E402

LABELS = ("entailment", "neutral", "contradiction")
PARTS = ("nli", "sts", "retrieval")
# Settings of a part beside those of its gin file.
SETTINGS = {
    "nli": {"TuneConfig.labels": repr(",".join(LABELS)), "TrainConfig.sequence_length": 128},
    "sts": {
        "TuneConfig.objective": "'similarity'",
        "TuneConfig.score_max": 5.0,
        "TrainConfig.sequence_length": 128,
    },
    "retrieval": {"TrainConfig.sequence_length": 512, "TrainConfig.global_batch_size": 8},
}

BASE = flags.DEFINE_string("base", None, "A run of hclx.", required=True)
FOLDER = flags.DEFINE_string("folder", None, "Takes rows and runs.", required=True)
NAMES = flags.DEFINE_list("parts", list(PARTS), f"Some of {', '.join(PARTS)}.")
STEPS = flags.DEFINE_integer("steps", 300, "Steps of each part.", lower_bound=8)
BATCH = flags.DEFINE_integer("batch", 16, "Rows of a step.", lower_bound=1)
RATE = flags.DEFINE_float("rate", 1e-3, "The learning rate.", lower_bound=0)
ALL = flags.DEFINE_bool("all_paragraphs", False, "Questions are asked among all paragraphs.")
OUTPUT = flags.DEFINE_string("output", None, "A file for the JSON lines.")


def data(*path):
    return Path(os.environ["HCLX_DATA_DIR"], "tasks", *path)


def read_tsv(*path):
    """Rows of a file as dicts; a quotation mark is a character as others are."""
    with open(data(*path), encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


@functools.cache
def nli():
    """Pairs to learn from, and those of a third of the premises of KLUE-NLI dev."""
    pair = lambda a, b, label: {"text_a": a, "text_b": b, "label": label}
    path = data("klue", "klue-nli-v1.1", "klue-nli-v1.1_dev.json")
    klue = json.loads(path.read_text(encoding="utf-8"))
    hashed = lambda text: hashlib.sha256(text.encode()).hexdigest()
    premises = sorted({row["premise"] for row in klue}, key=hashed)
    asked = set(premises[: math.ceil(len(premises) / 3)])
    pairs = [(r["premise"], r["hypothesis"], r["gold_label"]) for r in klue]
    xnli = read_tsv("kor_nlu", "KorNLI", "xnli.dev.ko.tsv")
    others = [pair(r["sentence1"], r["sentence2"], r["gold_label"]) for r in xnli]
    own = [pair(*fields) for fields in pairs if fields[0] not in asked]
    return own + others, [pair(*fields) for fields in pairs if fields[0] in asked]


@functools.cache
def sts():
    """Scored pairs of KorSTS, and those of KLUE-STS dev."""
    rows = read_tsv("kor_nlu", "KorSTS", "sts-train.tsv")
    learnt = [
        {"text_a": r["sentence1"], "text_b": r["sentence2"], "score": r["score"]} for r in rows
    ]
    path = data("klue", "klue-sts-v1.1", "klue-sts-v1.1_dev.json")
    asked = [
        (row["sentence1"], row["sentence2"], row["labels"]["real-label"])
        for row in json.loads(path.read_text(encoding="utf-8"))
    ]
    return learnt, asked


@functools.cache
def boolq():
    """Questions and their paragraphs: to learn from, and to ask."""
    train, dev = (
        [(r["Question"], r["Text"]) for r in read_tsv("kobest", "BoolQ", f"{split}.tsv")]
        for split in ("train", "dev")
    )
    asked = {text for _, text in dev}
    learnt = [{"query": q, "positive": text} for q, text in train if text not in asked]
    return learnt, dev


def tuned(part, rows):
    """Tunes a part; returns the path of the artefact, and the seconds of this command."""
    folder = Path(FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    path, run = folder / f"{part}.jsonl", folder / f"{part}_{STEPS.value}"
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    settings = {
        "TrainConfig.total_steps": STEPS.value,
        "TrainConfig.global_batch_size": BATCH.value,
        "TrainConfig.eval_every": STEPS.value // 8 * 4,
        "TrainConfig.eval_windows": 16,
        "TrainConfig.checkpoint_every": STEPS.value // 8,
        "OptimizerConfig.learning_rate": RATE.value,
        "OptimizerConfig.warmup_steps": max(1, STEPS.value // 20),
        "DataConfig.validation_permille": 30,
        **SETTINGS[part],
    }
    gin = "pair" if part == "nli" else "embed"
    command = [sys.executable, str(ROOT / "launch" / "tune.py"), f"--gin_file=runs/{gin}.gin"]
    command += [f"--base={BASE.value}", f"--data={path}", f"--model_dir={run}", "--too_long=drop"]
    command += [f"--gin.{name}={value}" for name, value in settings.items()]
    began = time.monotonic()
    # An artefact is the last thing that a run writes.
    if not (run / ARTEFACT).exists():
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return run / ARTEFACT, time.monotonic() - began


def say(part, **figures):
    record = {"part": part, "steps": STEPS.value, "rate": RATE.value, **figures}
    line = json.dumps(record, ensure_ascii=False)
    print(line, flush=True)
    if OUTPUT.value:
        with open(OUTPUT.value, "a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")


def ask_nli():
    learnt, asked = nli()
    artefact, seconds = tuned("nli", learnt)
    expected = np.array([LABELS.index(pair["label"]) for pair in asked])
    probabilities_nc = judge_pairs(load_reader(BASE.value, artefact), asked)
    answers = probabilities_nc.argmax(-1)
    say(
        "nli",
        learnt=len(learnt),
        asked=len(asked),
        seconds=round(seconds),
        accuracy=float((answers == expected).mean()),
        entailed_or_not=float(((probabilities_nc[:, 0] > 0.5) == (expected == 0)).mean()),
        always_not=float((expected != 0).mean()),
    )


def overlap(a, b):
    """The share of characters that two texts have in common (Dice), spaces aside."""
    counts = [collections.Counter(text.replace(" ", "")) for text in (a, b)]
    return 2 * (counts[0] & counts[1]).total() / (counts[0] + counts[1]).total()


def ask_sts():
    learnt, asked = sts()
    scores = [score for _, _, score in asked]
    say_scores = lambda who, found, **more: say(
        "sts",
        of=who,
        asked=len(asked),
        pearson=pearson(found, scores),
        spearman=spearman(found, scores),
        **more,
    )
    say_scores("overlap of characters", np.array([overlap(a, b) for a, b, _ in asked]))
    readers = {"base, mean": lambda: load_reader(BASE.value, untuned=untuned())}
    artefact, seconds = tuned("sts", learnt)
    readers["tuned"] = lambda: load_reader(BASE.value, artefact)
    for who, load in readers.items():
        reader = load()
        sides = [embed_texts(reader, [row[i] for row in asked]) for i in range(2)]
        say_scores(who, cosines(*sides), seconds=round(seconds), learnt=len(learnt))


def untuned():
    return TuneConfig(kind="finetune", objective="contrast", pooling="mean")


def bm25_ranks(questions, paragraphs, own, k=1.5, b=0.75):
    """The rank of the own paragraph of each question by BM25 over bigrams inside of words."""
    grams = lambda text: [w[i : i + 2] for w in text.split() for i in range(max(1, len(w) - 1))]
    counts = [collections.Counter(grams(text)) for text in paragraphs]
    lengths = np.array([c.total() for c in counts])
    frequency = collections.Counter(gram for c in counts for gram in c)
    idf = {g: math.log(1 + (len(counts) - n + 0.5) / (n + 0.5)) for g, n in frequency.items()}
    postings = collections.defaultdict(list)
    for number, c in enumerate(counts):
        for gram, n in c.items():
            norm = k * (1 - b + b * lengths[number] / lengths.mean())
            postings[gram].append((number, idf[gram] * n * (k + 1) / (n + norm)))
    ranks = []
    for question, number in zip(questions, own):
        scores = np.zeros(len(paragraphs))
        for gram in grams(question):
            for at, value in postings.get(gram, ()):
                scores[at] += value
        ranks.append((scores >= scores[number]).sum())
    return np.array(ranks)


def ask_retrieval():
    learnt, dev = boolq()
    artefact, seconds = tuned("retrieval", learnt)
    questions, paragraphs = [q for q, _ in dev], list(dict.fromkeys(text for _, text in dev))
    if ALL.value:
        paragraphs = list(dict.fromkeys([*paragraphs, *(row["positive"] for row in learnt)]))
    own = [paragraphs.index(text) for _, text in dev]
    size = {"asked": len(questions), "paragraphs": len(paragraphs)}
    ranks = bm25_ranks(questions, paragraphs, own)
    figures = {"r1": (ranks <= 1).mean(), "r10": (ranks <= 10).mean(), "mrr": (1 / ranks).mean()}
    say("retrieval", of="BM25 over bigrams", **size, **{k: float(v) for k, v in figures.items()})
    readers = [("base, mean", load_reader(BASE.value, untuned=untuned()))] if not ALL.value else []
    for who, reader in [*readers, ("tuned", load_reader(BASE.value, artefact))]:
        vectors = embed_texts(reader, questions), embed_texts(reader, paragraphs)
        say("retrieval", of=who, **size, **retrieval(*vectors, own), seconds=round(seconds))


def main(_):
    for part in NAMES.value:
        {"nli": ask_nli, "sts": ask_sts, "retrieval": ask_retrieval}[part]()


if __name__ == "__main__":
    app.run(main)
