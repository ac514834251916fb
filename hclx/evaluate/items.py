"""An item of an evaluation set, and what a model answered."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Item:
    """An item: a question with its answer.

    Attributes:
      id: unique within its file, in the publisher's own numbering where there is one.
      fields: name -> text that the templates of prompts fill in.
      answer: the key of the right choice; or the first text that is accepted.
      answers: all texts that are accepted; empty for choices.
      gold: what metrics need beyond that: a real-valued similarity, entities, a tree.
      shots: examples of the item's own, such as the other questions of its paragraph.
      group: a category by which results can be told apart.
    """

    id: str
    fields: Mapping[str, str]
    answer: str
    answers: tuple[str, ...] = ()
    gold: Mapping[str, Any] = dataclasses.field(default_factory=lambda: _EMPTY)
    shots: tuple["Item", ...] = ()
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer of a model to an item.

    Attributes:
      answer: the key of a choice, or the text that the parser read; "" if it could read none.
      probabilities: key -> probability of each choice; empty for generated answers.
      text: the generated text as it is.
    """

    answer: str
    probabilities: Mapping[str, float] = dataclasses.field(default_factory=lambda: _EMPTY)
    text: str = ""
