"""The results of tokenizer_ablation.py as JSON lines, a table and a plot."""

import json
from pathlib import Path

NAMES = {
    "morphemes": "morpheme-aware byte-level BPE",
    "plain": "byte-level BPE",
    "characters": "character-level BPE",
}
KINDS = ("wikipedia", "reviews", "law", "news")
STEP_TOKENS = 2 * 256  # of gin_configs/runs/tokenizer_ablation.gin


def write_report(folder: Path) -> None:
    """Writes results.jsonl, table.md and plot.png of what is in a folder."""
    texts, tasks = text_rows(folder), nsmc_rows(folder)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in texts + tasks]
    (folder / "results.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "table.md").write_text(text_table(texts) + nsmc_table(tasks), encoding="utf-8")
    plot(texts, folder / "plot.png")


def text_rows(folder: Path) -> list[dict]:
    """Returns a row for each tokenizer, number of steps, seed and kind of text."""
    rows = []
    for path in folder.glob("runs/*/perplexity_*.json"):
        tokenizer, seed = path.parent.name.split("_")
        step = int(path.stem.removeprefix("perplexity_"))
        for file in json.loads(path.read_text(encoding="utf-8"))["files"]:
            rows.append(
                {
                    "tokenizer": tokenizer,
                    "step": step,
                    "tokens_seen": step * STEP_TOKENS,
                    "seed": int(seed),
                    "text": Path(file["path"]).stem,
                    "bits_per_byte": file["bits_per_byte"]["value"],
                    "interval": file["bits_per_byte"]["interval"],
                    "documents": file["documents"],
                    "not_kept": file["not_kept"],
                    "characters_per_token": file["characters"] / file["tokens"],
                }
            )
    order = list(NAMES)
    return sorted(rows, key=lambda r: (r["step"], order.index(r["tokenizer"]), r["seed"]))


def nsmc_rows(folder: Path) -> list[dict]:
    """Returns a row for each evaluation on NSMC."""
    rows = []
    for path in folder.glob("runs/*/*/results.json"):
        name, *tuning = path.parents[1].name.split("_tuned_")
        tokenizer, seed = name.split("_")
        results = json.loads(path.read_text(encoding="utf-8"))
        (run,) = results["runs"]
        accuracy = run["metrics"]["accuracy"]
        median = run["calibrated"]["median"]["accuracy"]
        steps = tuning[0].split("_")[0] if tuning else path.parent.name.rpartition("_")[2]
        rows.append(
            {
                "tokenizer": tokenizer,
                "step": int(steps),
                "seed": int(seed),
                "tuning": tuning[0] if tuning else "",
                "shots": run["shots"],
                "items": run["items"],
                "trials": run["trials"],
                "accuracy": accuracy["mean"],
                "interval": accuracy["interval"],
                "calibrated_by_median": median["mean"],
                "calibrated_interval": median["interval"],
                "chance": run["chance"],
            }
        )
    order = list(NAMES)
    return sorted(rows, key=lambda r: (r["tuning"], order.index(r["tokenizer"]), r["seed"]))


def text_table(rows: list[dict]) -> str:
    """Returns bits per byte after each number of steps that all tokenizers have, of every seed, and
    characters per token.
    """
    places = {}
    for row in rows:
        places.setdefault((row["step"], row["tokenizer"], row["seed"]), {})[row["text"]] = row
    whole = {place: of for place, of in places.items() if set(of) == set(KINDS)}
    head = f"{' | '.join(KINDS)} |"
    lines = [f"| tokens | tokenizer | seed | {head}", "|---|---|---" + "|---" * len(KINDS) + "|"]
    ratios = [f"| tokenizer | {head}", "|---" + "|---" * len(KINDS) + "|"]
    for step in sorted({step for step, _, _ in whole}):
        if {name for at, name, _ in whole if at == step} != set(NAMES):
            continue
        for name in NAMES:
            for seed in sorted(seed for at, of, seed in whole if (at, of) == (step, name)):
                values = " | ".join(_value(whole[step, name, seed][kind]) for kind in KINDS)
                lines.append(f"| {step * STEP_TOKENS:,} | {NAMES[name]} | {seed} | {values} |")
    for name in NAMES:
        of = next((of for (_, other, _), of in whole.items() if other == name), None)
        if of:
            values = " | ".join(f"{of[kind]['characters_per_token']:.2f}" for kind in KINDS)
            ratios.append(f"| {NAMES[name]} | {values} |")
    title = "Bits per byte, with intervals of 95% over documents:\n\n"
    return title + "\n".join([*lines, "\nCharacters per token:\n", *ratios]) + "\n"


def nsmc_table(rows: list[dict]) -> str:
    """Returns the accuracies on NSMC."""
    if not rows:
        return ""
    lines = [
        "\nAccuracy on NSMC (chance is 0.5), interval of 95% over items:\n",
        "| tokens | trained on | tokenizer | seed | shots | items | accuracy | by the median |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        calibrated = _interval(r["calibrated_by_median"], r["calibrated_interval"])
        reviews = f"{int(r['tuning'].split('_')[1]):,} reviews" if r["tuning"] else "text alone"
        lines.append(
            f"| {r['step'] * STEP_TOKENS:,} | {reviews} | {NAMES[r['tokenizer']]} | {r['seed']} |"
            f" {r['shots']} | {r['items']} × {r['trials']} |"
            f" {_interval(r['accuracy'], r['interval'])} | {calibrated} |"
        )
    return "\n".join(lines) + "\n"


def plot(rows: list[dict], path: Path) -> None:
    """Draws bits per byte of each kind of text over tokens, a line for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(KINDS), figsize=(13, 3.6), layout="constrained")
    for axis, kind in zip(axes, KINDS):
        for color, name in zip(("C0", "C1", "C2"), NAMES):
            chosen = [r for r in rows if (r["tokenizer"], r["text"]) == (name, kind)]
            for seed in sorted({r["seed"] for r in chosen}):
                curve = [r for r in chosen if r["seed"] == seed]
                tokens = [r["tokens_seen"] / 1000 for r in curve]
                bits = [r["bits_per_byte"] for r in curve]
                label = NAMES[name] if seed == chosen[0]["seed"] else None
                axis.plot(tokens, bits, color=color, marker="o", markersize=4, label=label)
                low, high = zip(*(r["interval"] for r in curve))
                axis.fill_between(tokens, low, high, color=color, alpha=0.08, linewidth=0)
        axis.set_title(kind)
        axis.set_xlabel("thousand tokens")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("bits per byte")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _value(row: dict) -> str:
    return _interval(row["bits_per_byte"], row["interval"])


def _interval(value: float, interval: list[float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
