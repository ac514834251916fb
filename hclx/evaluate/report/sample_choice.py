"""Which items a page shows: chosen by a hash, so that nobody picks them."""

import heapq
from collections.abc import Iterable

from hclx.evaluate.report.comparison import Change, Difference
from hclx.evaluate.report.results_file import Results, Run, Sample, read_samples
from hclx.hashing import json_hash

SHOWN = 8  # of each group
GROUPS = ("wrong", "partly right", "right", "not scored")


def chosen_samples(results: Results, run: Run) -> dict[str, tuple[int, list[Sample]]]:
    """Returns group -> (its size, a few of its samples) of the first draw of a run, for groups that
    are not empty.
    """
    counts = dict.fromkeys(GROUPS, 0)
    heaps: dict[str, list] = {name: [] for name in GROUPS}
    for number, sample in enumerate(read_samples(results, run, draws=1)):
        name = group(sample)
        counts[name] += 1
        entry = (json_hash([sample.id, sample.doc_hash]), number, sample)
        keep = heapq.heappush if len(heaps[name]) < SHOWN else heapq.heappushpop
        keep(heaps[name], entry)
    return {
        name: (counts[name], [entry[2] for entry in sorted(heaps[name])])
        for name in GROUPS
        if counts[name]
    }


def chosen_changes(difference: Difference) -> dict[str, tuple[int, list[Change]]]:
    """Returns direction -> (number of its changes, a few of them), for directions that occur."""
    gained = [c for c in difference.changes if c.is_gain]
    lost = [c for c in difference.changes if not c.is_gain]
    directions = {"better with b": gained, "better with a": lost}
    return {name: (len(all_), _few(all_)) for name, all_ in directions.items() if all_}


def _few(changes: Iterable[Change]) -> list[Change]:
    return heapq.nsmallest(SHOWN, changes, key=lambda c: json_hash([c.trial, c.id, c.doc_hash]))


def group(sample: Sample) -> str:
    """Returns the group of a sample, one of GROUPS."""
    if not sample.is_scored:
        return "not scored"
    return "right" if sample.correct >= 1 else "wrong" if sample.correct <= 0 else "partly right"
