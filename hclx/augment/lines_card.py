"""The card of an augmentation: counts and a few lines, as JSON and as a page without scripts."""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hclx
from hclx.augment.augmentation import Augmentation
from hclx.errors import require
from hclx.evaluate.samples import replace_text
from hclx.progress import counted
from hclx.prompts import prompt_to_json

CARD, PAGE, SCHEMA = "card.json", "card.html", "hclx.augmentation/1"
_SHOWN = 12  # lines of the page
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def write_card(
    folder: Path,
    kept: Sequence[Mapping[str, Any]],
    rejected: Sequence[Mapping[str, Any]],
    augmentation: Augmentation,
    model: Mapping[str, Any],
    example: str,
    n: int,
) -> dict[str, Any]:
    """Writes card.json and card.html, and returns the content of the first.

    Args:
      folder: of the lines.
      kept, rejected: the lines of augmented.jsonl and rejected.jsonl.
      augmentation, model: as in `write_lines`.
      example: the prompt of the first attempt.
      n: how many lines were asked for.
    """
    card = {
        "schema": SCHEMA,
        "hclx": hclx.__version__,
        "model": dict(model),
        "settings": augmentation.plan(),
        "document": prompt_to_json(augmentation.document),
        "example": example,
        "seeds": len(augmentation.seeds),
        "asked": n,
        "kept": len(kept),
        "attempts": len(kept) + len(rejected),
        "reasons": dict(Counter(line["reason"] for line in rejected).most_common()),
        "labels": _labels(kept, rejected, augmentation),
        "characters": _quartiles([line["filters"]["characters"] for line in kept]),
        "near": _quartiles([line["filters"]["near"] for line in kept]),
        "soft_labels": _soft_labels([line for line in kept if "soft_label" in line]),
        "samples": _samples(kept),
    }
    replace_text(folder / CARD, json.dumps(card, ensure_ascii=False, indent=1) + "\n")
    replace_text(folder / PAGE, _page(card))
    return card


def _labels(kept, rejected, augmentation: Augmentation) -> dict[str, dict[str, Any]]:
    seeds = Counter(seed.label for seed in augmentation.seeds)
    lines = [Counter(line.get("label") for line in part) for part in (kept, rejected)]
    return {
        key: {"words": words, "seeds": seeds[key], "kept": lines[0][key], "rejected": lines[1][key]}
        for key, words in augmentation.labels.items()
    }


def _quartiles(values: Sequence[float]) -> dict[str, float]:
    """Returns least, quartiles and most; nothing of nothing."""
    if not values:
        return {}
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    named = {"least": min(values), "quarter": low, "median": middle}
    named |= {"three_quarters": high, "most": max(values)}
    return {name: round(value, 4) for name, value in named.items()}


def _soft_labels(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the share of lines whose written label is the likeliest, and the mean entropy of the
    distributions in bits; nothing of lines without them.
    """
    if not lines:
        return {}
    agree = [max(line["soft_label"], key=line["soft_label"].get) == line["label"] for line in lines]
    bits = [-sum(p * math.log2(p) for p in line["soft_label"].values() if p) for line in lines]
    return {
        "written_is_likeliest": round(sum(agree) / len(lines), 4),
        "mean_bits": round(sum(bits) / len(lines), 4),
    }


def _samples(kept: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns lines at even distances."""
    places = [place * len(kept) // _SHOWN for place in range(_SHOWN)]
    names = ("id", "text", "label", "soft_label", "marked")
    return [
        {name: kept[place][name] for name in names if name in kept[place]}
        for place in dict.fromkeys(places)
        if kept
    ]


def _page(card: Mapping[str, Any]) -> str:
    require("jinja2")
    import jinja2

    loaders = [jinja2.PackageLoader(f"hclx.{name}") for name in ("augment", "evaluate.report")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=counted, thousands=lambda number: f"{number:,}")
    return environment.get_template("card.html.j2").render(card=card)


def _visible(value: object) -> object:
    """Replaces characters that HTML does not allow; what is markup already stays as it is."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _CONTROL.sub("\ufffd", value)
