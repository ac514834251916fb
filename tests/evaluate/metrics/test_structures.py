"""Metrics of entities, trees and states: cases by hand, and scikit-learn."""

import pytest

from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics import METRICS
from tests.evaluate.metrics.cases import assert_bootstraps

sklearn = pytest.importorskip("sklearn.metrics")
TEXT = "민수가 부산에서 영희와 부산역에 갔다"  # 민수 0-2, 부산 4-6, 영희 9-11, 부산역 13-16


def sentence(entities, text=TEXT):
    return Item("1", {}, "", gold={"entities": entities, "characters": text})


def value(name, items, *answers):
    return METRICS[name].function(items, [Prediction(answer) for answer in answers])


GOLD = [[0, 2, "PS"], [4, 6, "LC"], [9, 11, "PS"], [13, 16, "LC"]]


@pytest.mark.parametrize(
    ("answer", "f1"),
    [
        ("민수:PS, 부산:LC, 영희:PS, 부산역:LC", 1),
        ("민수:PS, 부산:LC", (2 / 3 + 2 / 3) / 2),
        ("민수:PS, 부산:PS, 영희:PS", (4 / 5 + 0) / 2),  # PS: 2 right, 1 too many; LC: 2 missed
        ("민수:PS, 영희:PS, 부산:LC, 부산:LC", (1 + 2 / 4) / 2),
        ("민수:PS, 영희:PS, 부산:LC, 부산역:LC, 대구:LC", (1 + 4 / 5) / 2),
        ("민수:PS, 영희:PS, 부산:LC, 부산역:LC, 어제:DT", (1 + 1 + 0) / 3),
        ("", 0),
        ("모르겠습니다", 0),
    ],
)
def test_entities_by_hand(answer, f1):
    assert value("entity_f1", [sentence(GOLD)], answer) == pytest.approx(f1)


def test_entities_of_all_sentences_are_counted_together():
    items = [sentence(GOLD), sentence([[0, 2, "PS"]]), sentence([])]
    # PS: 1 right, 2 missed; LC: 2 missed, 1 too many.
    assert value("entity_f1", items, "민수:PS", "", "부산:LC") == pytest.approx((2 / 4 + 0) / 2)
    scores = METRICS["entity_f1"].per_item(items, [Prediction(a) for a in ("", "민수:PS", "")])
    assert list(scores) == [0, 1, 1]


def test_characters_are_those_of_sklearn():
    items = [sentence(GOLD), sentence([[4, 6, "LC"]], "어제는 대구에 갔다")]
    gold = "B-PS I-PS O B-LC I-LC O O B-PS I-PS O B-LC I-LC I-LC O O O".split()
    gold += "O O O B-LC I-LC O O O".split()
    predicted = "B-PS I-PS O B-OG I-OG O O O O O O O O O O O".split()
    predicted += "B-DT I-DT O B-LC I-LC O O O".split()
    expected = sklearn.f1_score(gold, predicted, average="macro", zero_division=0)
    actual = value("character_f1", items, "민수:PS, 부산:OG", "어제:DT, 대구:LC, 없는말:PS")
    assert actual == pytest.approx(expected)


def tree(heads, relations):
    return Item("1", {}, "", gold={"heads": heads, "deprels": relations})


TREES = [
    tree([2, 3, 0], ["NP_SBJ", "NP_OBJ", "VP"]),
    tree([2, 0], ["X_AJT", "VP"]),
]
ARCS = ["1→2:NP_SBJ 2→1:NP_OBJ 3→0:VNP", "2→0:VP 1→2:X_MOD"]


def test_trees_by_hand():
    assert value("uas", TREES, *ARCS) == pytest.approx(4 / 5)
    assert value("las", TREES, *ARCS) == pytest.approx(2 / 5)
    assert value("uas", TREES, "", "1→2:X_AJT") == pytest.approx(1 / 5)
    assert value("las", TREES, "나무", "1→2:X_AJT 7→1:VP") == pytest.approx(1 / 5)


def test_means_over_heads_and_relations_are_those_of_sklearn():
    heads = [2, 3, 0, 2, 0], [2, 1, 0, 2, 0]
    assert value("uas_macro", TREES, *ARCS) == pytest.approx(
        sklearn.f1_score(*heads, average="macro", zero_division=0)
    )
    # Rare relations are one label, and a wrong head is a label of its own.
    gold = ["NP_SBJ", "NP_OBJ", "VP", "others", "VP"]
    predicted = ["NP_SBJ", "wrong head", "VNP", "others", "VP"]
    assert value("las_macro", TREES, *ARCS) == pytest.approx(
        sklearn.f1_score(gold, predicted, average="macro", zero_division=0)
    )


def dialogue(**state):
    return Item("1", {}, "", gold={"state": {slot: value for slot, value in state.items()}})


@pytest.mark.parametrize(
    ("state", "answer", "joint", "f1"),
    [
        (
            {"관광-지역": "서울 중앙", "식당-종류": "한식당"},
            "식당-종류=한식당; 관광-지역=서울 중앙",
            1,
            1,
        ),
        ({"관광-지역": "서울 중앙", "식당-종류": "한식당"}, "식당-종류=한식당", 0, 2 / 3),
        ({"관광-지역": "서울 중앙"}, "관광-지역=서울 남쪽", 0, 0),
        ({"관광-지역": "서울 중앙"}, "", 0, 0),
        ({"관광-지역": "서울"}, "관광-지역=서울; 식당-종류=한식당; 택시-색=검정", 0, 2 / 4),
        ({}, "없음", 1, 1),
        ({}, "", 1, 1),
        ({}, "관광-지역=서울", 0, 0),
    ],
)
def test_states_by_hand(state, answer, joint, f1):
    items = [dialogue(**state)]
    assert value("joint_goal_accuracy", items, answer) == joint
    assert value("slot_f1", items, answer) == pytest.approx(f1)


def test_weighted_sets_are_resampled_sets():
    sentences = [sentence(GOLD), sentence([[0, 2, "PS"]]), sentence([]), sentence(GOLD[:2])]
    answers = [Prediction(a) for a in ("민수:PS, 부산:LC", "민수:LC", "영희:OG", "")]
    for name in ("entity_f1", "character_f1"):
        assert_bootstraps(METRICS[name], sentences, answers)
    arcs = [Prediction(a) for a in [*ARCS, "1→2:NP_SBJ 3→0:VP"]]
    for name in ("uas", "las", "uas_macro", "las_macro"):
        assert_bootstraps(METRICS[name], [*TREES, TREES[0]], arcs)
