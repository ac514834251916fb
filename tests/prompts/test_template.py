"""Templates: slots, particles and braces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hclx.errors import ConfigError
from hclx.prompts import Slot, Template, parse_template, with_particle
from hclx.prompts.particles import PARTICLES

TEXT = st.text(st.sampled_from(list("가나 {}:/은는\n a1")), max_size=8)
NAMES = st.text(st.sampled_from(list("가나ab_1 -")), min_size=1, max_size=4).filter(
    lambda name: name == name.strip()
)
SLOTS = st.builds(Slot, NAMES, st.sampled_from(["", *PARTICLES]))


def written(part):
    """A part of a template as a person writes it."""
    if isinstance(part, str):
        return part.replace("{", "{{").replace("}", "}}")
    return f"{{{part.field}:{part.particle}}}" if part.particle else f"{{{part.field}}}"


@settings(deadline=None)
@given(st.lists(TEXT | SLOTS, max_size=6), st.dictionaries(NAMES, TEXT))
def test_parsing_and_filling_is_replacing_by_hand(parts, values):
    fields = {part.field: "값" for part in parts if isinstance(part, Slot)} | values
    filled = [
        part
        if isinstance(part, str)
        else with_particle(fields[part.field], part.particle)
        if part.particle
        else fields[part.field]
        for part in parts
    ]
    template = parse_template("".join(map(written, parts)))
    assert template.text(fields) == "".join(filled)
    assert template.fields == tuple(dict.fromkeys(p.field for p in parts if isinstance(p, Slot)))
    assert parse_template(template.source) == template


@settings(deadline=None)
@given(st.text(st.sampled_from(list("ab {}")), max_size=12))
def test_what_pythons_own_templates_accept_is_filled_alike(source):
    """Python's `format` has the same braces; fields of other names are not compared."""
    try:
        expected = source.format(a="<A>", b="<B>")
    except (ValueError, KeyError, IndexError):
        return
    assert parse_template(source).text({"a": "<A>", "b": "<B>"}) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{a}", "가"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{가}"),
        ("{{{{a}}}}", "{{a}}"),
        ("{{}}", "{}"),
        ("{a}{a}", "가가"),
        ("{a:은/는} {b:은/는}", "가는 {나}는"),
        ("{a:로/으로}", "가로"),
        ("{이름 둘}", "둘"),
        ('{{"답": "{a}"}}', '{"답": "가"}'),
        ("", ""),
        ("\n\t", "\n\t"),
        ("a:은/는", "a:은/는"),
    ],
)
def test_braces_and_slots(source, expected):
    assert parse_template(source).text({"a": "가", "b": "{나}", "이름 둘": "둘"}) == expected


def test_parts_are_joined_and_none_is_empty():
    assert parse_template("{{가}}{a}나{{") == Template("{{가}}{a}나{{", ("{가}", Slot("a"), "나{"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{", "the '{' at character 0"),
        ("}", "the '}' at character 0"),
        ("가나 {a", "the '{' at character 3"),
        ("가나 a}", "the '}' at character 4"),
        ("{{a}", "the '}' at character 3"),
        ("{a}}", "the '}' at character 3"),
        ("{{{a}}", "the '}' at character 5"),
        ("{a{b}}", "the '{' at character 0"),
        ("{}", "'{}' at character 0 has no name"),
        ("{ a}", "'{ a}' at character 0 has no name, or spaces"),
        ("가{a }", "'{a }' at character 1 has no name, or spaces"),
        ("{:은/는}", "'{:은/는}' at character 0 has no name"),
        ("{a:}", "'{a:}' at character 0 has no particle"),
        ("{a:은}", "has no particle that is known: 은/는, 이/가"),
        ("{a:은/는/이}", "has no particle"),
        ("{a: 은/는}", "has no particle"),
        ('{"답": "{a}"}', "the '{' at character 0"),
        ('{"답": 1}', "has no particle"),
    ],
)
def test_what_is_no_template_is_refused_with_its_place(source, message):
    with pytest.raises(ConfigError) as error:
        parse_template(source)
    assert message in str(error.value)
    assert "{{" in str(error.value) or "}}" in str(error.value)  # what to write for a brace


def test_a_missing_field_is_named_and_those_that_are_there():
    with pytest.raises(ConfigError, match="no field 'b'; the item has a, c"):
        parse_template("{a}{b:은/는}").text({"a": "", "c": ""})
    with pytest.raises(ConfigError, match="the item has none"):
        parse_template("{a}").text({})


def test_values_are_not_templates():
    template = parse_template("[{a}] {b}")
    assert template.fill({"a": "{b}", "b": "}{"}) == [
        ("[", ""),
        ("{b}", "a"),
        ("] ", ""),
        ("}{", "b"),
    ]


def test_a_long_template_is_parsed_and_a_long_error_is_shortened():
    assert parse_template("{a}나" * 100_000).text({"a": "가"}) == "가나" * 100_000
    for source in ("{" + "a" * 10_000, "{" + " a" * 10_000 + "}", "가" * 10_000 + "{a:x}"):
        with pytest.raises(ConfigError) as error:
            parse_template(source)
        assert len(str(error.value)) < 500
