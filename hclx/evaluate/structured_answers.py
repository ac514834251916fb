"""Structures written as text, as prompts ask for them and models write them: entities, dependency
trees and the states of dialogues. Each has a function that writes it and another that reads it.

What cannot be read is left out, because a model writes what it likes; nothing here raises.
"""

import re
from collections.abc import Iterable, Mapping

NOTHING = "없음"  # written where there is no entity, or no slot has a value
# The entity types of KLUE-NER (Park et al. 2021, section 4.4).
ENTITY_TYPES = ("PS", "LC", "OG", "DT", "TI", "QT")
_ENTITY = re.compile(rf"\s*(.+?)\s*:\s*({'|'.join(ENTITY_TYPES)})\s*(?:,|$)", re.DOTALL)
_ARC = re.compile(r"(\d{1,4})\s*(?:→|->)\s*(\d{1,4})\s*:\s*(\w+)")


def entities_text(entities: Iterable[tuple[str, str]]) -> str:
    """Returns entities as text, such as `이순신:PS, 한산도:LC`.

    Args:
      entities: (the words of the sentence, type) in the order of the sentence.
    """
    return ", ".join(f"{surface}:{kind}" for surface, kind in entities) or NOTHING


def entities(text: str) -> list[tuple[str, str]]:
    """Reads entities; returns (the words of the sentence, type) in the order of the text."""
    return [(surface, kind) for surface, kind in _ENTITY.findall(text.strip())]


def entity_spans(text: str, characters: str) -> list[tuple[int, int, str]]:
    """Reads entities, and looks for their words in the sentence.

    Each is looked for behind the end of the one before it, and else from the beginning, where no
    entity is yet. Words that the sentence has not are left out.

    Args:
      text: entities, as `entities_text` writes them.
      characters: the sentence.
    Returns:
      (first character, the one after the last, type), in the order of the sentence.
    """
    spans: list[tuple[int, int, str]] = []
    end = 0
    for surface, kind in entities(text):
        start = _free(surface, characters, end, spans)
        start = _free(surface, characters, 0, spans) if start < 0 else start
        if start >= 0:
            end = start + len(surface)
            spans.append((start, end, kind))
    return sorted(spans)


def _free(surface: str, characters: str, begin: int, spans: list[tuple[int, int, str]]) -> int:
    """Returns where words stand that no span overlaps, -1 if they do not."""
    start = characters.find(surface, begin)
    while any(first < start + len(surface) and start < last for first, last, _ in spans):
        start = characters.find(surface, start + 1)
        if start < 0:
            break
    return start


def tree_text(heads: Iterable[int], relations: Iterable[str]) -> str:
    """Returns a dependency tree as text, such as `1→2:NP_SBJ 2→0:VP`.

    Args:
      heads: for each word, the number of its head, from 1; 0 for the root.
      relations: for each word, the label of its relation to the head.
    """
    arcs = enumerate(zip(heads, relations, strict=True), start=1)
    return " ".join(f"{word}→{head}:{relation}" for word, (head, relation) in arcs)


def tree(text: str) -> dict[int, tuple[int, str]]:
    """Reads a dependency tree; returns the number of a word, from 1 -> (the number of its head, 0
    for the root, label). Of two arcs of a word the first counts.
    """
    arcs: dict[int, tuple[int, str]] = {}
    for word, head, relation in _ARC.findall(text):
        arcs.setdefault(int(word), (int(head), relation))
    return arcs


def state_text(state: Mapping[str, str]) -> str:
    """Returns the state of a dialogue as text, such as `관광-이름=경복궁; 관광-지역=서울`, with
    the slots in the order of their names.
    """
    return "; ".join(f"{slot}={state[slot]}" for slot in sorted(state)) or NOTHING


def state(text: str) -> dict[str, str]:
    """Reads the state of a dialogue; returns slot -> value, the last value of a slot."""
    pairs = (setting.partition("=") for setting in text.split(";"))
    return {slot.strip(): value.strip() for slot, equals, value in pairs if equals and slot.strip()}
