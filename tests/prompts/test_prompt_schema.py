"""The published JSON Schema, by the library jsonschema: it and the reader accept the same."""

import json

import pytest

from hclx.errors import ConfigError
from hclx.prompts import lint, load_prompt, prompt_from_json, prompt_schema, prompt_to_json
from tests.conftest import ROOT
from tests.prompts.documents import EVERY_FIELD_GENERATED, EVERY_FIELD_SCORED, generated, raw
from tests.prompts.malformed import MALFORMED

jsonschema = pytest.importorskip("jsonschema")

VALID = {
    "scored": raw(),
    "generated": generated(),
    "every field, scored": EVERY_FIELD_SCORED,
    "every field, generated": EVERY_FIELD_GENERATED,
    "schema for editors": raw(**{"$schema": "prompt.schema.json"}),
    "choices of a list": raw(choices=["부정", "{긍정"]),
    "no choices": generated(choices={}),
    "no choices in a list": generated(choices=[]),
    "choices and nothing to generate": raw(stop=[], grammar={}, sampling={}),
    "braces": raw(input="{{ {문장} }} ("),
    "braces around": raw(input="{{{문장}}} ("),
    "particles": raw(input="{문장:은/는} {문장:로/으로} ("),
    "names with spaces": raw(input="{문장 하나} ("),
    "newlines": raw(input="\n{문장}\n\n", directive="가\n"),
    "empty texts": raw(input="", directive="", separator="", description="", source=""),
    "choice without text": raw(choices={"0": "", "1": "긍정"}),
    "no examples": raw(examples=[]),
    "examples with more fields": raw(examples=[{"문장": "가", "감정": "1", "출처": ""}]),
    "parser of JSON": generated(parser={"kind": "json", "field": "답"}),
    "parser of choices": generated(parser={"kind": "choice"}, grammar={"choices": ["가", "나"]}),
    "grammar of choices": generated(grammar={"choices": ["가"]}, stop=[]),
    "grammar of lark": generated(grammar={"lark": 'start: "가"'}),
    "sampling": generated(sampling={"temperature": 0, "min_p": 0.5, "seed": 3}),
    "whole numbers with a point": generated(sampling={"seed": 3.0, "top_k": 1.0}),
    "budget without tokens": raw(budget={}),
    "budget of null": raw(budget={"tokens": None, "drop": "last"}),
    "budget with a point": raw(budget={"tokens": 8.0}),
}
# What a schema cannot say: how fields go together, expressions, and half of surrogate pairs.
FOR_THE_READER = (
    "answer without slot",
    "directive with the answer",
    "input with the answer",
    "example lacks a field",
    "example lacks its answer",
    "example of no choice",
    "example lacks a field of its choice",
    "choice with the answer",
    "parser's pattern",
    "parser's pattern without group",
    "parser of choices without them",
    "sampling not finite",
    "sampling too large",
    "half of a surrogate pair",
    "half of a surrogate pair within",
    "keys that are the same in NFC",
)
# No JSON at all, which jsonschema does not look at.
NO_JSON = ("no JSON", "a key that is no text")
TEMPLATES = [
    *("{", "}", "{{", "}}", "{}", "{{}}", "{{{}}}", "{a", "a}", "{a}}", "{{a}", "{{a}}", "{{{a}}}"),
    *(
        "{ a}",
        "{a }",
        "{a b}",
        "{a:}",
        "{a:은}",
        "{a:은/는}",
        "{a:는/은}",
        "{:은/는}",
        "{a:은/는/}",
    ),
    *(
        "{a\nb}",
        "{a}\n",
        "{a{b}}",
        "{a}{b}",
        "{\n}",
        "{a}{",
        "{\ta}",
        '{"a": 1}',
        "}{",
        "{a:은/는 }",
    ),
]


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(prompt_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def reads(content):
    try:
        prompt_from_json(content)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("content", VALID.values(), ids=VALID)
def test_what_is_valid_is_valid_for_both(content, validator):
    assert reads(content)
    validator.validate(content)
    validator.validate(prompt_to_json(prompt_from_json(content)))


REFUSED = {name: content for name, (content, _) in MALFORMED.items()}


@pytest.mark.parametrize("name", [n for n in REFUSED if n not in (*FOR_THE_READER, *NO_JSON)])
def test_what_is_malformed_is_malformed_for_both(name, validator):
    assert not reads(REFUSED[name]) and not validator.is_valid(REFUSED[name])


def test_what_the_schema_cannot_say_is_a_short_list(validator):
    accepted = [name for name in REFUSED.keys() - set(NO_JSON) if validator.is_valid(REFUSED[name])]
    assert sorted(accepted) == sorted(FOR_THE_READER)
    assert len(VALID) + len(REFUSED) >= 60


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_are_templates_for_both(template, validator):
    content = raw(directive=template)
    assert validator.is_valid(content) == reads(content)


def test_every_field_has_a_description(validator):
    properties = validator.schema["properties"]
    assert {name for name in properties if "description" not in properties[name]} == {"schema"}


SHIPPED = sorted((ROOT / "tasks" / "prompts").glob("*/*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_prompts_that_ship_follow_the_schema(path, validator):
    validator.validate(json.loads(path.read_text(encoding="utf-8")))
    if path.stem == "hclx":  # of this project's own choice
        assert lint(load_prompt(path)) == []
