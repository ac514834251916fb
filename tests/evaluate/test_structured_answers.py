"""Structures as text: what is written is read again, and what a model may write does not raise."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.evaluate.structured_answers import (
    ENTITY_TYPES,
    entities,
    entities_text,
    entity_spans,
    state,
    state_text,
    tree,
    tree_text,
)

WORDS = st.text(st.sampled_from("가나다 마바사, :;=→1A"), min_size=1).map(str.strip).filter(bool)
# Words that end like an entity cannot be told from one.
SURFACES = WORDS.filter(lambda word: word.strip(" ,:") == word)


@given(st.lists(st.tuples(SURFACES, st.sampled_from(ENTITY_TYPES))))
def test_entities_are_read_as_they_were_written(pairs):
    assert entities(entities_text(pairs)) == pairs


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(["NP_SBJ", "VP", "X"])), min_size=1))
def test_a_tree_is_read_as_it_was_written(arcs):
    text = tree_text([head for head, _ in arcs], [relation for _, relation in arcs])
    assert tree(text) == dict(enumerate(arcs, start=1))


SLOTS = st.text(st.sampled_from("가나다-라 마"), min_size=1).map(str.strip).filter(bool)
VALUES = st.text(st.sampled_from("가나다 =-:1"), min_size=1).map(str.strip).filter(bool)


@given(st.dictionaries(SLOTS, VALUES))
def test_a_state_is_read_as_it_was_written(slots):
    assert state(state_text(slots)) == slots


@settings(max_examples=300)
@given(st.text())
def test_any_text_can_be_read(text):
    assert isinstance(entities(text), list) and isinstance(tree(text), dict)
    assert isinstance(state(text), dict) and isinstance(entity_spans(text, text), list)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("이순신:PS, 한산도:LC", [("이순신", "PS"), ("한산도", "LC")]),
        ("이순신 : PS,한산도: LC", [("이순신", "PS"), ("한산도", "LC")]),
        ("1,200원:QT, 오후 3:30:TI", [("1,200원", "QT"), ("오후 3:30", "TI")]),
        ("없음", []),
        ("", []),
        ("이순신:인물", []),  # no type of the set
    ],
)
def test_entities_as_models_write_them(text, expected):
    assert entities(text) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("김:PS, 김:PS", [(0, 1, "PS"), (4, 5, "PS")]),  # the second is another one
        ("박:PS, 김:PS", [(0, 1, "PS"), (8, 9, "PS")]),  # in another order
        ("김:PS, 김:PS, 김:PS", [(0, 1, "PS"), (4, 5, "PS")]),  # there is no third
        ("최:PS", []),
    ],
)
def test_entities_are_looked_for_in_the_sentence(text, expected):
    assert entity_spans(text, "김씨와 김씨는 박씨를") == expected


def test_a_tree_may_have_ascii_arrows_and_text_around_it():
    assert tree("답: 1->2:NP, 2 -> 0 : VP") == {1: (2, "NP"), 2: (0, "VP")}
    assert tree("1→2:NP 1→3:VP") == {1: (2, "NP")}


def test_a_value_may_have_an_equals_sign():
    assert state("식당-이름=꿔=바로우;식당-지역 = 서울") == {
        "식당-이름": "꿔=바로우",
        "식당-지역": "서울",
    }
