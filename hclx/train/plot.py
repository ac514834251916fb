"""Draws loss curves of runs from their metrics."""

from pathlib import Path

from hclx.train.metrics_writer import read_metrics


def plot_losses(runs: dict[str, str | Path], output: str | Path) -> None:
    """Writes a PNG with the training and validation loss of each run, in nats a token, over tokens
    seen.

    Args:
      runs: label -> folder with metrics.jsonl.
      output: path of the PNG, which ends in .png, in a folder that exists.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=150)
    for label, model_dir in runs.items():
        records = read_metrics(model_dir)
        (line,) = axes.plot(
            [r["tokens_seen"] for r in records],
            [r["loss"] for r in records],
            alpha=0.5,
            label=f"{label}, training",
        )
        evaluated = [r for r in records if "validation_loss" in r]
        axes.plot(
            [r["tokens_seen"] for r in evaluated],
            [r["validation_loss"] for r in evaluated],
            marker="o",
            color=line.get_color(),
            label=f"{label}, validation",
        )
    axes.set_xlabel("tokens seen")
    axes.set_ylabel("loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(output)
    pyplot.close(figure)
