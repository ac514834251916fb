"""Which stage removed a document: the first with a rule for it, among the stages that count."""

from pathlib import Path

import numpy as np
import pyarrow
import pytest

from hclx.corpus.layout import DOCUMENTS, VERDICTS, Shard
from hclx.corpus.pipeline import PIPELINE
from hclx.corpus.store import Store
from hclx.corpus.verdicts import (
    STAGES,
    read_remaining_texts,
    read_verdict,
    removals,
    remove_windows,
)
from hclx.errors import DataError

ROWS = np.arange(5)
SHARD = Shard("news/00000-00000", 0)
RULES = {
    "filter": ["too_short", None, None, None, None],
    "exact": [None] * 5,
    "near": ["near_duplicate", "near_duplicate", None, None, None],
    "contamination": [None, "contaminated", "contaminated", "contaminated", None],
}


@pytest.fixture()
def store(tmp_path):
    """Verdicts of three stages on five documents; some have a rule of several stages."""
    store = Store(str(tmp_path))
    store.write_json("settings.json", {"paragraph": None})
    store.write_table(SHARD.file(DOCUMENTS), pyarrow.table({"text": list("가나다라마")}), "key")
    for index, (stage, rules) in enumerate(RULES.items(), 1):
        values = np.array([index + 0.5 if rule else 0 for rule in rules], np.float32)
        table = pyarrow.table({"rule": pyarrow.array(rules, pyarrow.string()), "value": values})
        store.write_table(SHARD.file(VERDICTS, stage=stage), table, "key")
    return store


def test_the_first_stage_that_has_a_rule_removed_a_document(store):
    removed = removals(SHARD, store)
    stages = [STAGES[stage] if stage >= 0 else None for stage in removed.stage]
    assert stages == ["filter", "near", "contamination", "contamination", None]
    assert removed.rule.tolist() == [
        "too_short", "near_duplicate", "contaminated", "contaminated", None
    ]  # fmt: skip
    assert removed.value.tolist() == [1.5, 3.5, 4.5, 4.5, 0]
    assert removed.kept.tolist() == [4] and removed.removed.tolist() == [0, 1, 2, 3]


def test_later_stages_do_not_count_for_an_earlier_one(store):
    assert removals(SHARD, store, before="filter").kept.tolist() == [0, 1, 2, 3, 4]
    for stage in ("exact", "paragraph", "near"):
        assert removals(SHARD, store, before=stage).kept.tolist() == [1, 2, 3, 4]
    assert removals(SHARD, store, before="contamination").kept.tolist() == [2, 3, 4]
    assert read_verdict(store, SHARD, "paragraph") is None


@pytest.mark.parametrize("stage", RULES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1")])
def test_verdicts_that_cannot_be_read_are_an_error_that_names_the_file(store, stage, damage):
    path = Path(store.path(SHARD.file(VERDICTS, stage=stage)))
    damage(path)
    for read in (
        lambda: removals(SHARD, store),
        lambda: read_verdict(store, SHARD, stage),
        *([] if stage != "contamination" else [lambda: read_remaining_texts(SHARD, store, ROWS)]),
    ):
        with pytest.raises(DataError, match=f"verdicts/{stage}/news/00000-00000.parquet cannot"):
            read()
    if stage != "filter":
        removals(SHARD, store, before=stage)


def test_settings_that_are_lost_are_an_error_that_names_them(store):
    Path(store.path("settings.json")).unlink()
    with pytest.raises(DataError, match="settings.json is missing or damaged"):
        removals(SHARD, store)


def test_parts_that_are_removed_leave_a_blank_line():
    text = "가나다. 라마바. 사아자.\n차카타.\n파하."
    assert remove_windows(text, [5], [10]) == "가나다.\n\n사아자.\n차카타.\n파하."
    assert remove_windows(text, [0, 15], [5, 20]) == "라마바. 사아자.\n\n파하."
    assert remove_windows(text, [0], [len(text)]) == "" and remove_windows(text, [], []) == text


def test_verdicts_are_in_the_order_of_the_pipeline():
    assert tuple(stage.name for stage in PIPELINE if stage.settings) == STAGES
