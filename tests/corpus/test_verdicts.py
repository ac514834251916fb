"""Which stage removed a document: the first with a rule for it, among the stages that count."""

import numpy as np
import pyarrow
import pytest

from hclx.corpus.layout import DOCUMENTS, VERDICTS, Shard
from hclx.corpus.pipeline import PIPELINE
from hclx.corpus.store import Store
from hclx.corpus.verdicts import STAGES, read_verdict, removals

SHARD = Shard("news/00000-00000", 0)
RULES = {
    "filter": ["too_short", None, None, None, None],
    "near": ["near_duplicate", "near_duplicate", None, None, None],
    "contamination": [None, "contaminated", "contaminated", "contaminated", None],
}


@pytest.fixture()
def store(tmp_path):
    """Verdicts of three stages on five documents; some have a rule of several stages."""
    store = Store(str(tmp_path))
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
    assert removed.value.tolist() == [1.5, 2.5, 3.5, 3.5, 0]
    assert removed.kept.tolist() == [4] and removed.removed.tolist() == [0, 1, 2, 3]


def test_later_stages_do_not_count_for_an_earlier_one(store):
    assert removals(SHARD, store, before="filter").kept.tolist() == [0, 1, 2, 3, 4]
    for stage in ("exact", "paragraph", "near"):
        assert removals(SHARD, store, before=stage).kept.tolist() == [1, 2, 3, 4]
    assert removals(SHARD, store, before="contamination").kept.tolist() == [2, 3, 4]
    assert read_verdict(store, SHARD, "paragraph") is None


def test_verdicts_are_in_the_order_of_the_pipeline():
    assert tuple(stage.name for stage in PIPELINE if stage.settings) == STAGES
