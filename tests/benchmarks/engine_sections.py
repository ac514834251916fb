"""Sections of tests/benchmarks/engine.py that compare the engine with itself, in one process."""

import contextlib
import csv
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

SHOTS = 16
LABELS = {"0": " 부정", "1": " 긍정"}
# A text that goes on for longer than those of the free rows.
SCHEMA = {
    "type": "array",
    "items": {"type": "string", "maxLength": 8},
    "minItems": 500,
    "maxItems": 500,
}


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
      rows: of the engine.
      mixed: tokens of the prompt and the text of several requests.
      n_requests: of the comparison of batches.
      length: tokens of a prompt and its text, at most.
      single: tokens of the prompt and the text where all are alike.
      n_items, n_without: that are scored with the prefix cache, and without it.
      items: a file of KoBEST SentiNeg, or None.
      rounds: turns that are timed.
    """

    rows: int
    mixed: tuple[tuple[int, int], ...]
    n_requests: int
    length: int
    single: tuple[int, int]
    n_items: int
    n_without: int
    items: str | None
    rounds: int


def load(source: str | dict):
    """Returns the model of a run with its tokenizer, or one with random weights."""
    from hclx.config import ModelConfig
    from hclx.infer import load_for_inference
    from hclx.infer.random_model import NumberTokenizer, random_model
    from hclx.text import load_tokenizer

    if isinstance(source, str):
        model = load_for_inference(source, dtype="float32")
        return model, load_tokenizer(model.tokenizer_dir)
    return random_model(ModelConfig(**source), "float32"), NumberTokenizer(source["vocab_size"])


@contextlib.contextmanager
def engine(model, tokenizer, rows: int, length: int, prefix_tokens: int = 0) -> Iterator:
    """An engine with few programs: its cache is no longer than needed."""
    from hclx.infer import EmbeddedEngine, EngineConfig

    with EmbeddedEngine(model, tokenizer, EngineConfig(rows, length, prefix_tokens)) as served:
        yield served


def bandwidth(source: str | dict, sizes: Sizes, add: Callable) -> None:
    """The share of the bandwidth that a step reaches, with one row and with all."""
    from hclx.infer.benchmark import read_bandwidth, step_bytes, step_seconds

    model, tokenizer = load(source)
    prompt, new = sizes.single
    for rows in (1, sizes.rows):
        with engine(model, tokenizer, rows, prompt + new) as served:
            read = read_bandwidth()
            seconds = step_seconds(served, rows, prompt, new, model.config.vocab_size)
            read = max(read, read_bandwidth())  # other work may have disturbed one of them
        n_bytes = step_bytes(model, rows, prompt + new * 5 / 8)
        add(
            f"{rows} rows",
            share=n_bytes / seconds / read,
            step_ms=1e3 * seconds,
            step_mb=n_bytes / 1e6,
            gb_per_second=read / 1e9,
        )


def batching(source: str | dict, sizes: Sizes, add: Callable) -> None:
    """Continuous against static batches: these wait until all of their requests have ended."""
    import numpy as np

    from hclx.infer.benchmark import generate_all, random_prompts

    model, tokenizer = load(source)
    draw = np.random.default_rng(0).integers(0, len(sizes.mixed), sizes.n_requests)
    lengths, counts = zip(*(sizes.mixed[i] for i in draw))
    prompts = random_prompts(lengths, model.config.vocab_size)
    batches = [slice(i, i + sizes.rows) for i in range(0, sizes.n_requests, sizes.rows)]
    length = max(n + m for n, m in sizes.mixed)
    with engine(model, tokenizer, sizes.rows, length) as served:
        continuous = lambda: generate_all(served, prompts, counts)[0]
        static = lambda: sum(generate_all(served, prompts[i], counts[i])[0] for i in batches)
        continuous(), static()
        rounds = [(continuous(), static()) for _ in range(sizes.rounds)]
    rate = lambda i: sum(counts) / statistics.median(pair[i] for pair in rounds)
    add(
        f"{sizes.n_requests} requests, {sizes.rows} rows",
        ratio=statistics.median(b / a for a, b in rounds),
        continuous_tokens_per_second=rate(0),
        static_tokens_per_second=rate(1),
    )


def prefix(source: str | dict, sizes: Sizes, add: Callable) -> None:
    """Scores the labels of items after 16 examples, with the prefix cache and without it; and what
    of both was computed.
    """
    from hclx.infer import ScoreRequest

    model, tokenizer = load(source)
    contexts, labels, answers = scored_items(source, sizes, model.config.vocab_size)
    requests = [ScoreRequest(context, label) for context in contexts for label in labels]
    n_first = 2 * len(labels) * sizes.rows
    kinds, results = {"with": 4096, "without": 0}, {}
    for kind, tokens in kinds.items():
        n = sizes.n_items if tokens else sizes.n_without
        length = min(model.config.max_length, 2048)
        with engine(model, tokenizer, sizes.rows, length, tokens) as served:
            # Compiles; another tenant's requests share nothing with those that are timed.
            served.score([dataclasses.replace(r, tenant="first") for r in requests[:n_first]])
            start = time.perf_counter()
            scores = served.score(requests[: n * len(labels)])
            seconds = time.perf_counter() - start
        computed = sum(score.n_prompt - score.n_cached for score in scores)
        totals = [score.total for score in scores]
        rows = [totals[i : i + len(labels)] for i in range(0, len(totals), len(labels))]
        results[kind] = (seconds / n, computed / n, [row.index(max(row)) for row in rows])
    (fast, few, chosen), (slow, many, chosen_without) = results["with"], results["without"]
    right = f"{sum(a == b for a, b in zip(chosen, answers))} of {len(answers)}"
    same = sum(a == b for a, b in zip(chosen, chosen_without))
    add(
        f"{sizes.n_items} items with, {sizes.n_without} without, {SHOTS} examples",
        ratio=slow / fast,
        fewer_tokens=many / few,
        tokens_with=few,
        tokens_without=many,
        items_per_second=1 / fast,
        same_labels=f"{same} of {len(chosen_without)}",
        **({"right": right} if answers else {}),
    )


def scored_items(source: str | dict, sizes: Sizes, vocab_size: int):
    """Returns contexts, labels, and the index of the right label of each: of a file, if there is
    one and a run that reads text; else random tokens.
    """
    from hclx.infer.benchmark import random_prompts

    if isinstance(source, dict) or not sizes.items:
        (head,) = random_prompts([SHOTS * 24], vocab_size)
        own = random_prompts([24] * sizes.n_items, vocab_size, seed=1)
        return [head + ids for ids in own], random_prompts([1, 2], vocab_size, seed=2), []
    with open(sizes.items, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    line = lambda row: f"문장: {row['Text']}\n감정:"
    of_label = lambda label: [row for row in rows if row["Label"] == label][: SHOTS // 2]
    shots = [row for pair in zip(of_label("0"), of_label("1")) for row in pair]
    used = {row["ID"] for row in shots}
    items = [row for row in rows if row["ID"] not in used][: sizes.n_items]
    if len(items) < sizes.n_items:
        raise SystemExit(f"--items={sizes.items} has {len(items)} items; give fewer by --n_items")
    head = "".join(f"{line(row)}{LABELS[row['Label']]}\n\n" for row in shots)
    answers = [list(LABELS).index(row["Label"]) for row in items]
    return [head + line(row) for row in items], list(LABELS.values()), answers


def grammar(source: str | dict, sizes: Sizes, add: Callable) -> None:
    """The speed of free rows while the other half follows a JSON schema, against that while the
    other half is free too.
    """
    from hclx.infer import GenerateRequest, SamplingConfig
    from hclx.infer import grammar as grammars
    from hclx.infer.benchmark import random_prompts, request_of

    model, tokenizer = load(source)
    tokenizer = tokenizer if isinstance(source, str) else sample_tokenizer(source["vocab_size"])
    prompt, new = sizes.single
    half = sizes.rows // 2
    prompts = random_prompts([prompt] * sizes.rows, tokenizer.vocab_size)
    rule = grammars.json_schema(SCHEMA)
    longer = sizes.length - prompt

    def seconds(served, rule) -> float:
        sampling = SamplingConfig(max_tokens=longer, temperature=1.0, seed=1)
        if rule is None:
            sampling = SamplingConfig(max_tokens=longer, min_tokens=longer, temperature=1.0)
        start = time.perf_counter()
        others = [
            served.submit(GenerateRequest(ids, sampling, grammar=rule)) for ids in prompts[half:]
        ]
        free = [served.submit(request_of(ids, new)) for ids in prompts[:half]]
        for ticket in free:
            ticket.result()
        passed = time.perf_counter() - start
        if any(other.is_done for other in others):
            raise SystemExit("the other rows ended before the free ones: give longer texts")
        for other in others:
            other.cancel()
            other.result()
        return passed

    with engine(model, tokenizer, sizes.rows, sizes.length) as served:
        seconds(served, None), seconds(served, rule)  # compiles
        rounds = [(seconds(served, None), seconds(served, rule)) for _ in range(sizes.rounds)]
    rate = lambda i: half * new / statistics.median(pair[i] for pair in rounds)
    add(
        f"{half} free rows of {sizes.rows}",
        loss=1 - statistics.median(a / b for a, b in rounds),
        tokens_per_second_beside_free_rows=rate(0),
        tokens_per_second_beside_constrained_rows=rate(1),
    )


def sample_tokenizer(vocab_size: int):
    """A tokenizer of text, for random weights: trained on the sample, with at most 1,024 tokens."""
    import json

    from hclx.text import load_tokenizer, train_tokenizer
    from tests.benchmarks.gpu_process import ROOT

    sample = ROOT / "hclx" / "data" / "sample" / "korean_sample.jsonl"
    texts = [json.loads(line)["text"] for line in sample.read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        place, size = f"{folder}/tokenizer", min(1024, vocab_size)
        train_tokenizer(texts, place, vocab_size=size, morphemes="none", workers=1)
        return load_tokenizer(place)


SECTIONS = {
    "bandwidth": bandwidth,
    "batching": batching,
    "prefix": prefix,
    "grammar": grammar,
}
