"""Reads the sets of KLUE v1.1 (Park et al. 2021) that are JSON: YNAT, NLI, STS, RE and WoS.

`klue_tables` reads NER and DP, and `questions` reads MRC.
"""

from hclx.evaluate.items import Item
from hclx.evaluate.structured_answers import state_text
from hclx.tasks.readers.kor_nlu import NLI_LABELS, nli_fields
from hclx.tasks.readers.records import Record, json_records

TOPICS = ("IT과학", "경제", "사회", "생활문화", "세계", "스포츠", "정치")
NO_RELATION = "no_relation"
_ORGANISATION = (
    "dissolved founded place_of_headquarters alternate_names member_of members"
    " political/religious_affiliation product founded_by top_members/employees"
    " number_of_employees/members"
)
_PERSON = (
    "date_of_birth date_of_death place_of_birth place_of_death place_of_residence origin"
    " employee_of schools_attended alternate_names parents children siblings spouse other_family"
    " colleagues product religion title"
)
RELATIONS = (
    NO_RELATION,
    *(f"org:{relation}" for relation in _ORGANISATION.split()),
    *(f"per:{relation}" for relation in _PERSON.split()),
)
ENTITY_TYPES = ("PER", "ORG", "POH", "DAT", "LOC", "NOH")
SPEAKERS = {"user": "사용자", "sys": "시스템"}


def read_ynat(path: str) -> list[Item]:
    """Reads headlines of seven topics."""
    return [
        Item(record.text("guid"), {"title": record.text("title")}, record.label("label", TOPICS))
        for record in json_records(path)
    ]


def read_klue_nli(path: str) -> list[Item]:
    """Reads premises and hypotheses; the group is the source of the premise."""
    return [
        Item(
            record.text("guid"),
            nli_fields(record.text("premise"), record.text("hypothesis")),
            record.label("gold_label", NLI_LABELS),
            group=record.text("source"),
        )
        for record in json_records(path)
    ]


def read_klue_sts(path: str) -> list[Item]:
    """Reads pairs of sentences, similar (1, from 3 on) or not (0); `gold` has their similarity from
    0 to 5.
    """
    items = []
    for record in json_records(path):
        labels = record.record("labels")
        items.append(
            Item(
                record.text("guid"),
                {"sentence1": record.text("sentence1"), "sentence2": record.text("sentence2")},
                str(labels.whole("binary-label", 0, 1)),
                gold={"similarity": labels.number("real-label", 0, 5)},
                group=record.text("source"),
            )
        )
    return items


def read_klue_re(path: str) -> list[Item]:
    """Reads sentences with a subject and an object, and the relation between them."""
    items = []
    for record in json_records(path):
        relation = record.label("label", RELATIONS)
        fields = {"sentence": record.text("sentence")}
        for role in ("subject", "object"):
            fields |= _entity(record.record(f"{role}_entity"), role, fields["sentence"])
        items.append(
            Item(
                record.text("guid"),
                fields,
                relation,
                gold={"no_relation": relation == NO_RELATION},
                group=record.text("source"),
            )
        )
    return items


def _entity(entity: Record, role: str, sentence: str) -> dict[str, str]:
    """Returns the fields of an entity. The publisher's `end_idx` is that of its last character."""
    word = entity.text("word")
    start = entity.whole("start_idx", 0, len(sentence) - 1)
    end = entity.whole("end_idx", start, len(sentence) - 1) + 1
    if sentence[start:end] != word:
        raise entity.error("word", f"{word!r}, and the sentence has {sentence[start:end]!r} there")
    return {role: word, f"{role}_type": entity.label("type", ENTITY_TYPES)}


def read_klue_wos(path: str) -> list[Item]:
    """Reads the turns of a user in dialogues (Wizard of Seoul). The answer is the state of the
    dialogue after the turn, as `hclx.evaluate.structured_answers` writes it.
    """
    items = []
    for record in json_records(path):
        spoken: list[str] = []
        for number, turn in enumerate(record.records("dialogue")):
            role = turn.label("role", tuple(SPEAKERS))
            spoken.append(f"{SPEAKERS[role]}: {turn.text('text').strip()}")
            if role == "user":
                state = _state(turn)
                items.append(
                    Item(
                        f"{record.text('guid')}-{number}",
                        {"dialogue": "\n".join(spoken)},
                        state_text(state),
                        gold={"state": state},
                        group="+".join(record.texts("domains")),
                    )
                )
    return items


def _state(turn: Record) -> dict[str, str]:
    """Returns slot -> value; the publisher writes domain, slot and value with hyphens between."""
    state = {}
    for setting in turn.texts("state"):
        domain, *rest = setting.split("-", 2)
        if len(rest) != 2:
            raise turn.error("state", f"{setting!r} is not DOMAIN-SLOT-VALUE")
        state[f"{domain}-{rest[0]}"] = rest[1]
    return state
