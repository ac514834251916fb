"""The figures of a generator: its texts beside those that people wrote behind the same prompts."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import hclx
from hclx.evaluate.generator.continuations import Continuation, matched_pairs
from hclx.evaluate.generator.discriminator import discriminate
from hclx.evaluate.generator.diversity import distinct, repeated_ngrams, repeated_words, self_bleu
from hclx.evaluate.generator.memorisation import LONG, SharedRun, shared_runs
from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from hclx.text.records import Document

SCHEMA = "hclx.text_metrics/1"
BLEUS = ("bleu_mecab", "bleu_13a", "chrf")
_DISTINCT = (1, 2, 3)
_REPEATED = 4  # words of an n-gram
_WINDOW = 16  # words
_SHOWN = 5  # longest runs


def figures(texts: Sequence[str]) -> dict[str, float]:
    """Returns length, diversity and repetition of texts; words are divided by white space."""
    words = [text.split() for text in texts]
    return {
        "texts": len(texts),
        "empty": sum(not text.strip() for text in texts),
        "characters": float(np.mean([len(text) for text in texts])),
        "words": float(np.mean([len(text) for text in words])),
        **{f"distinct_{n}": distinct(words, n) for n in _DISTINCT},
        "self_bleu": self_bleu(words),
        f"repeated_{_REPEATED}grams": repeated_ngrams(words, _REPEATED),
        f"repeated_words_{_WINDOW}": repeated_words(words, _WINDOW),
    }


def memorised(runs: Sequence[SharedRun]) -> dict[str, float]:
    """Returns how long the runs are that texts share with a corpus."""
    characters = [run.characters for run in runs]
    return {
        "run_characters_mean": float(np.mean(characters)),
        "run_characters_longest": max(characters),
        "run_words_longest": max(run.words for run in runs),
        f"share_of_{LONG}_characters": float(np.mean([n >= LONG for n in characters])),
    }


def text_metrics(
    model: Sequence[Continuation],
    human: Sequence[Continuation] | None = None,
    corpus: Iterable[Document] | None = None,
    seeds: int = 5,
) -> dict[str, Any]:
    """Measures the texts of a model.

    Args:
      model: how the model continues prompts.
      human: how people do. Both are then truncated to one length, pair by pair, and all figures are
        of these: diversity, repetition and shared runs depend on the length.
      corpus: the text that the model was trained on; read once.
      seeds: of the discriminator.
    Returns:
      A JSON object.
    Raises:
      DataError: the prompts are others, or there are too few pairs.
    """
    result: dict[str, Any] = {"schema": SCHEMA, "hclx": hclx.__version__}
    texts = {"model": [line.text for line in model]}
    if human is not None:
        pairs = matched_pairs(list(human), list(model))
        result["discriminator"] = dataclasses.asdict(discriminate(pairs, seeds))
        result["too_short"] = len(model) - len(pairs)
        texts = {"human": [p.human for p in pairs], "model": [p.model for p in pairs]}
        result["overlap"] = _overlap(texts["human"], texts["model"])
    result["figures"] = {name: figures(of_name) for name, of_name in texts.items()}
    if corpus is not None:
        runs = shared_runs([text for of_name in texts.values() for text in of_name], corpus)
        for number, (name, of_name) in enumerate(texts.items()):
            own = runs[number * len(of_name) : (number + 1) * len(of_name)]
            result["figures"][name] |= memorised(own)
        longest = sorted(own, key=lambda run: -run.characters)[:_SHOWN]  # of the model
        result["longest_runs"] = [dataclasses.asdict(run) for run in longest if run.characters]
    return result


def _overlap(human: Sequence[str], model: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Name of a metric -> its value, with the texts of people as references, and its signature."""
    items = [Item(str(i), {}, text, (text,)) for i, text in enumerate(human)]
    predictions = [Prediction(text) for text in model]
    return {
        name: {
            "value": METRICS[name].function(items, predictions),
            "signature": METRICS[name].signature(),
        }
        for name in BLEUS
    }


def report(result: dict[str, Any]) -> str:
    """Returns the lines for a terminal."""
    lines = []
    if shown := result.get("discriminator"):
        for name, field in (("DA", "accuracy"), ("DF1", "f1")):
            low, high = shown[f"{field}_interval"]
            lines.append(f"{name:<24} {shown[field]:.4f} [{low:.4f}, {high:.4f}]   0.5 is best")
        too_short = result["too_short"]
        dropped = f", {too_short} more are too short" if too_short else ""
        lines.append(f"{'pairs':<24} {shown['pairs']} of equal length{dropped}")
        for name, metric in result["overlap"].items():
            lines.append(f"{name:<24} {metric['value']:.2f}   {metric['signature']}")
        lines.append("")
    columns = result["figures"]
    lines.append(f"{'':<24}" + "".join(f"{name:>12}" for name in columns))
    for figure in columns["model"]:
        values = (column[figure] for column in columns.values())
        lines.append(f"{figure:<24}" + "".join(f"{_written(value):>12}" for value in values))
    for run in result.get("longest_runs", ()):
        lines.append(f"{run['characters']} characters of {run['source']}: {run['text'][:60]!r}")
    return "\n".join(lines)


def _written(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
