"""Does HyperMix help a student? python -m tests.benchmarks.augmentation --model_dir=RUN
--data_dir=DATA --output=DIR [--shares=0.001,0.01] [--seeds=5] [--multiplier=1]

A few labelled reviews of NSMC train a student alone, and together with as many lines that a model
writes behind them. Rows of the table:

  real             the reviews alone
  real twice       the same reviews twice, so that as many rows are trained on
  more real        as many other reviews with their labels: what real data would bring
  hypermix         the lines with their soft labels
  hypermix hard    the lines with the labels that the model wrote
  hypermix oracle  the lines with the label distribution of a teacher that learnt the whole training
                   set: the mechanism, even where the prompted model is at chance

The student is a logistic regression on character n-grams of one to four, with soft targets; so is
the teacher. It stands in for a fine-tuned model, whose absolute accuracy is higher. Accuracy is on
the whole test set, and each interval (Student's t over seeds) is that of the difference to "real",
paired by seeds.
"""

import argparse
import json
import math
import random
import statistics
import time
from pathlib import Path

import numpy as np
from scipy import sparse, stats
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier

from hclx.augment.augmentation import Augmentation
from hclx.augment.seeds import Seed
from hclx.augment.words import built_in_prompt
from hclx.augment.write_lines import AUGMENTED, write_lines
from hclx.evaluate.item_prompts import reader_of
from hclx.infer import SamplingConfig
from hclx.infer.model_source import model_source
from hclx.tasks.readers.nsmc import read_nsmc

LABELS = {"0": "부정", "1": "긍정"}
ROWS = ("real twice", "more real", "hypermix", "hypermix hard", "hypermix oracle")
VECTORIZER = HashingVectorizer(
    analyzer="char_wb", ngram_range=(1, 4), n_features=2**18, alternate_sign=False
)


class Student:
    """A logistic regression with soft targets: each text counts for either label by its share."""

    def fit(self, texts, positive):
        """Trains on texts with the probability of the label 1."""
        features, positive = VECTORIZER.transform(texts), np.asarray(positive, float)
        both = sparse.vstack([features, features])
        labels = np.repeat([1, 0], len(texts))
        weights = np.concatenate([positive, 1 - positive])
        self._model = LogisticRegression(C=10.0, max_iter=300)
        self._model.fit(both[weights > 0], labels[weights > 0], weights[weights > 0])
        return self

    def accuracy(self, features, labels):
        """Returns the share of texts whose label is right."""
        return float((self._model.predict(features) == labels).mean())


def oracle(items):
    """Returns a function: texts -> probability of the label 1, by all training reviews."""
    model = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0, max_iter=20)
    features = VECTORIZER.transform([item.fields["document"] for item in items])
    model.fit(features, [int(item.answer) for item in items])
    return lambda texts: model.predict_proba(VECTORIZER.transform(texts))[:, 1]


def sampled(items, share, seed, blocks=1):
    """Draws a share of the items, class by class as often, as many times without overlap."""
    stream, draws = random.Random(f"{share} {seed}"), [[] for _ in range(blocks)]
    for label in LABELS:
        own = stream.sample([i for i in items if i.answer == label], len(items) // 2 - 1)
        count = max(1, round(share * len(items) / 2))
        for block, draw in enumerate(draws):
            draw += own[block * count : (block + 1) * count]
    return draws


def interval(differences):
    """Returns the mean, and half of the 95% interval by Student's t."""
    n = len(differences)
    half = math.nan
    if n > 1:
        half = stats.t.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return statistics.mean(differences), half


def lines_of(engine, reader, facts, items, seed, n, options, folder):
    """Writes the lines of one draw, or reads them if they are there."""
    seeds = tuple(Seed(item.id, item.fields["document"], item.answer) for item in items)
    augmentation = Augmentation(
        "hypermix",
        built_in_prompt("hypermix", "영화 평", "감정", LABELS),
        LABELS,
        seeds,
        shots=options.shots,
        selection="balanced",
        seed=seed,
        sampling=SamplingConfig(temperature=options.temperature),
    )
    write_lines(engine, reader, augmentation, facts, folder, n)
    return [json.loads(line) for line in (folder / AUGMENTED).open(encoding="utf-8")]


def scores(real, other, lines, teacher, test):
    """Returns row -> accuracy of a student."""
    texts, labels = split(real)
    written = [line["text"] for line in lines]
    soft = [line["soft_label"]["1"] for line in lines]
    hard = [float(line["label"]) for line in lines]
    sets = {
        "real": (texts, labels),
        "real twice": (texts + texts, labels + labels),
        "more real": tuple(a + b for a, b in zip((texts, labels), split(other))),
        "hypermix": (texts + written, labels + soft),
        "hypermix hard": (texts + written, labels + hard),
        "hypermix oracle": (texts + written, labels + list(teacher(written))),
    }
    return {name: Student().fit(*data).accuracy(*test) for name, data in sets.items()}


def split(items):
    """Returns the texts and the labels of items."""
    return [item.fields["document"] for item in items], [float(item.answer) for item in items]


def arguments():
    """Returns the options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model_dir", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--shares", default="0.001,0.01")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--multiplier", type=float, default=1.0, help="lines for each review")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--rows", type=int, default=32)
    return parser.parse_args()


def main():
    """Prints the table."""
    options = arguments()
    folder = Path(options.data_dir) / "tasks" / "nsmc"
    train, held = (
        [
            item
            for item in read_nsmc(str(folder / f"ratings_{name}.tsv.gz"))
            if item.fields["document"].strip()
        ]
        for name in ("train", "test")
    )
    teacher = oracle(train)
    texts, labels = split(held)
    test = (VECTORIZER.transform(texts), np.array(labels))
    right = np.mean((teacher(texts) > 0.5) == labels)
    print(f"oracle teacher: {right:.4f} of {len(held):,} test reviews")
    source = model_source(options.model_dir, None, None, None, None, options.rows)
    with source.open() as engine:
        reader = reader_of(source.reads)
        for share in map(float, options.shares.split(",")):
            results, began, agree = [], time.monotonic(), []
            for seed in range(options.seeds):
                real, other = sampled(train, share, seed, 2)
                n = round(options.multiplier * len(real))
                place = Path(options.output) / f"{share:g}.{seed}"
                lines = lines_of(engine, reader, source.facts(), real, seed, n, options, place)
                results.append(scores(real, other, lines, teacher, test))
                likely = teacher([line["text"] for line in lines]) > 0.5
                agree.append(
                    np.mean([(line["label"] == "1") == p for line, p in zip(lines, likely)])
                )
                print(f"share {share:g} seed {seed}: {results[-1]}", flush=True)
            show(share, len(real), n, results, agree, time.monotonic() - began)


def show(share, n_real, n_lines, results, agree, seconds):
    """Prints the rows of a share."""
    base = [result["real"] for result in results]
    print(
        f"\n{share:.1%}: {n_real:,} reviews, {n_lines:,} lines, {len(results)} seeds,"
        f" {seconds:.0f} s; written labels agree with the oracle's in {np.mean(agree):.3f}"
    )
    print("| rows | accuracy | difference to real [95%] |\n|---|---:|---:|")
    print(f"| real | {np.mean(base):.4f} | |")
    for name in ROWS:
        mean, half = interval([result[name] - result["real"] for result in results])
        value = np.mean([result[name] for result in results])
        print(f"| {name} | {value:.4f} | {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}] |")


if __name__ == "__main__":
    main()
