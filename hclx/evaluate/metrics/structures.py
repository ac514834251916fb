"""Metrics of answers that are structures: entities (KLUE-NER), dependency trees (KLUE-DP) and
states of dialogues (Wizard of Seoul).
"""

from collections import Counter

import numpy as np

from hclx.evaluate.items import Item, Prediction
from hclx.evaluate.metrics.label_counts import Pairs, count_labels, f1_of_items, macro_f1
from hclx.evaluate.metrics.metric import Items, Metric, OfSums, Predictions, mean_of, ratio
from hclx.evaluate.structured_answers import entities, entity_spans, state, tree

OUTSIDE = "O"
WRONG_HEAD = "wrong head"
OTHERS = "others"
_ENTITIES, _ARCS = ("entities", "characters"), ("heads", "deprels")
# The relations that KLUE's baseline tells apart when it averages over them; all further ones are
# one label (Park et al., 2021, section 3.6).
RELATIONS = frozenset(
    "NP NP_AJT VP NP_SBJ VP_MOD NP_OBJ AP NP_CNJ NP_MOD VNP DP VP_AJT VNP_MOD NP_CMP VP_SBJ".split()
)


def _entity_pairs(item: Item, prediction: Prediction) -> Pairs:
    """Returns (gold type, predicted type) of each mention, "" where it is on one side alone.
    Mentions are told by their words: those who write them do not say where they stand.
    """
    text = item.gold["characters"]
    spans = item.gold["entities"]
    gold = Counter((text[start:end].strip(), kind) for start, end, kind in spans)
    predicted = Counter(entities(prediction.answer))
    both = [(kind, kind) for _, kind in (gold & predicted).elements()]
    missed = [(kind, "") for _, kind in (gold - predicted).elements()]
    return [*both, *missed, *(("", kind) for _, kind in (predicted - gold).elements())]


def _character_pairs(item: Item, prediction: Prediction) -> Pairs:
    """Returns (gold tag, predicted tag) of each character that is no blank."""
    text = item.gold["characters"]
    gold = _tags(item.gold["entities"], len(text))
    predicted = _tags(entity_spans(prediction.answer, text), len(text))
    tags = zip(text, gold, predicted, strict=True)
    return [(tag, guess) for character, tag, guess in tags if not character.isspace()]


def _tags(spans, length: int) -> list[str]:
    tags = [OUTSIDE] * length
    for start, end, kind in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def _head_pairs(item: Item, prediction: Prediction) -> Pairs:
    """Returns (gold head, predicted head) of each word; "" for a word that has none."""
    arcs = tree(prediction.answer)
    heads = enumerate(item.gold["heads"], start=1)
    return [(str(head), str(arcs[word][0]) if word in arcs else "") for word, head in heads]


def _relation_pairs(item: Item, prediction: Prediction) -> Pairs:
    """Returns (gold relation, predicted relation, or WRONG_HEAD) of each word."""
    arcs = tree(prediction.answer)
    gold = zip(item.gold["heads"], item.gold["deprels"], strict=True)
    pairs = []
    for word, (head, relation) in enumerate(gold, start=1):
        predicted_head, predicted = arcs.get(word, (None, ""))
        pairs.append((relation, predicted if predicted_head == head else WRONG_HEAD))
    return pairs


def _grouped_relation_pairs(item: Item, prediction: Prediction) -> Pairs:
    grouped = lambda label: label if label in (*RELATIONS, WRONG_HEAD) else OTHERS
    return [(grouped(gold), grouped(p)) for gold, p in _relation_pairs(item, prediction)]


def _all(pairs, items: Items, predictions: Predictions) -> list[Pairs]:
    return [pairs(*both) for both in zip(items, predictions, strict=True)]


def _macro(name: str, pairs, needs: tuple[str, ...]) -> Metric:
    """A metric that is the mean F1 of the labels of pairs; an item's own is over all labels."""
    rows = lambda items, predictions: count_labels(_all(pairs, items, predictions))
    scores = lambda items, predictions: f1_of_items(_all(pairs, items, predictions))
    return Metric(name, rows, OfSums(macro_f1), scores=scores, needs=needs)


def _share(name: str, pairs, needs: tuple[str, ...]) -> Metric:
    """A metric that is the share of pairs that agree, over all items."""

    def rows(items: Items, predictions: Predictions) -> np.ndarray:
        of_items = _all(pairs, items, predictions)
        agreeing = [sum(gold == predicted for gold, predicted in item) for item in of_items]
        return np.column_stack([agreeing, [len(item) for item in of_items]]).astype(float)

    scores = lambda items, predictions: ratio(rows(items, predictions))
    return Metric(name, rows, OfSums(ratio), scores=scores, needs=needs)


def _states(items: Items, predictions: Predictions) -> list[tuple[dict, dict]]:
    pairs = zip(items, predictions, strict=True)
    return [(dict(item.gold["state"]), state(p.answer)) for item, p in pairs]


def _joint_goal(items: Items, predictions: Predictions) -> np.ndarray:
    return np.array([gold == p for gold, p in _states(items, predictions)], float)


def _slot_f1(items: Items, predictions: Predictions) -> np.ndarray:
    """Returns the F1 of slots with their values, for each item; 1 where neither side has any."""
    states = _states(items, predictions)
    return np.array([_f1_of_slots(gold.items(), p.items()) for gold, p in states], float)


def _f1_of_slots(gold, predicted) -> float:
    size = len(gold) + len(predicted)
    return 2 * len(gold & predicted) / size if size else 1.0


# Means over the labels that occur. KLUE's baseline counts a tag that occurs nowhere as 1; in the
# whole of its sets there is none (Park et al., 2021, section 3.4).
ENTITY_F1 = _macro("entity_f1", _entity_pairs, _ENTITIES)
CHARACTER_F1 = _macro("character_f1", _character_pairs, _ENTITIES)
# Shares of words. What KLUE publishes is the mean F1 over heads and over relations.
UAS = _share("uas", _head_pairs, ("heads",))
LAS = _share("las", _relation_pairs, _ARCS)
UAS_MACRO = _macro("uas_macro", _head_pairs, ("heads",))
LAS_MACRO = _macro("las_macro", _grouped_relation_pairs, _ARCS)
JOINT_GOAL_ACCURACY = mean_of("joint_goal_accuracy", _joint_goal, needs=("state",))
SLOT_F1 = mean_of("slot_f1", _slot_f1, needs=("state",))
