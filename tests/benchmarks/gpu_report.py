"""The tables of tests/benchmarks/gpu.py, in markdown."""

_COLUMNS = ("attention", "batch", "remat", "scan_unroll", "loss_chunk_tokens")
FIGURES = (
    "| size | by | attention | batch | remat | unroll | loss chunk | also | step ms | tokens/s |"
    " MFU | peak GB | compile s | on |\n"
    "|---|---|---|---:|---|---:|---:|---|---:|---:|---:|---:|---:|---|"
)
CHECKS = (
    "| kernel | head | dtype | context off by | gradient off by | context, XLA | gradient, XLA |"
    " verdict |\n|---|---:|---|---:|---:|---:|---:|---|"
)
ENGINE = (
    "| size | by | what | rows | tokens/s | step ms | MB of a step | share | GB/s measured | on |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---|"
)


def figure(row: dict) -> str:
    """Renders a figure, or the error in its place, as a line of the table `FIGURES`."""
    settings = row["settings"]
    words = [row["size"], row["by"], *(str(settings.get(name, "")) for name in _COLUMNS)]
    others = (f"{name}={value}" for name, value in settings.items() if name not in _COLUMNS)
    words.append(" ".join(others))
    if "error" in row:
        return _line(*words, row["error"], "", "", "", "", "")
    return _line(
        *words,
        f"{row['step_ms']:.1f} ({row['step_ms_least']:.1f} to {row['step_ms_most']:.1f})",
        f"{row['tokens_per_second']:,.0f}",
        f"{row['mfu']:.1%}" if "mfu" in row else "",
        f"{row['peak_bytes'] / 1e9:.1f}" if row.get("peak_bytes") else "",
        f"{row['compile_seconds']:.0f}",
        row["device"],
    )


def engine_figure(row: dict) -> str:
    """Renders a figure of an engine, or the error in its place, as a line of the table `ENGINE`.
    The share is that of the memory bandwidth in decoding, and of the peak FLOP/s in prefill.
    """
    if "error" in row:
        return _line(row["size"], row["by"], row["error"], *[""] * 7)
    shown = lambda name, form, scale=1.0: (
        format(row[name] / scale, form) if row.get(name) is not None else ""
    )
    return _line(
        *(row["size"], row["by"], row["what"], str(row["rows"])),
        shown("tokens_per_second", ",.0f"),
        shown("step_ms", ".2f"),
        shown("step_bytes", ",.0f", 1e6),
        shown("share", ".1%"),
        shown("bandwidth", ",.0f", 1e9),
        row["device"],
    )


def engine_ratios(rows: list[dict], size: str) -> list[str]:
    """Compares hclx's decoding with that of transformers, for each number of rows."""
    of_size = [row for row in rows if row["size"] == size and row.get("what") == "decode"]
    rates = {(row["by"], row["rows"]): row["tokens_per_second"] for row in of_size}
    return [
        f"{size}: hclx's engine has {rate / rates['transformers', n]:.2f} times the tokens/s of"
        f" transformers with {n} at once."
        for (by, n), rate in rates.items()
        if by == "hclx" and ("transformers", n) in rates
    ]


def check(case: dict) -> str:
    """Renders the check of a kernel as a line of the table `CHECKS`."""
    names = ("context", "gradient", "xla_context", "xla_gradient")
    errors = (f"{case[name]:.1e}" if name in case else "" for name in names)
    result = ": ".join(filter(None, (case["verdict"], case.get("error"))))
    return _line(case["attention"], str(case["head"]), case["dtype"], *errors, result)


def _line(*words: str) -> str:
    return "| " + " | ".join(word.replace("|", "/") for word in words) + " |"


def fastest(rows: list[dict], size: str, batch: int | None = None) -> dict | None:
    """Returns hclx's fastest row of a size, of any batch or of one batch.

    Rows whose matrix products are in fewer bits than bfloat16, and those of tuning, do not count.
    """
    candidates = [
        row
        for row in rows
        if (row["size"], row["by"]) == (size, "hclx")
        and "error" not in row
        and not {"matmul", "tune"} & row["settings"].keys()
        and batch in (None, row["settings"]["batch"])
    ]
    return max(candidates, key=lambda row: row["tokens_per_second"], default=None)


def ratio(rows: list[dict], size: str) -> str:
    """Compares hclx with its peer: at its fastest, and with the peer's batch."""
    peers = (row for row in rows if (row["size"], row["by"]) == (size, "PyTorch"))
    peer = next((row for row in peers if "error" not in row), None)
    best = fastest(rows, size)
    if not peer or not best:
        return f"{size}: there is no ratio of hclx to PyTorch, because one of them has no figure."
    batch = peer["settings"]["batch"]
    same = fastest(rows, size, batch)
    times = lambda row: f"{row['tokens_per_second'] / peer['tokens_per_second']:.2f} times"
    if not same:
        same_batch = f"no figure with PyTorch's batch of {batch}"
    else:
        same_batch = (
            f"{times(same)} the tokens/s of compiled PyTorch with the same batch of {batch}"
        )
    return (
        f"{size}: hclx has {same_batch}, and {times(best)} at its fastest"
        f" (batch {best['settings']['batch']})."
    )
