"""Texts that follow a grammar, sampled as wildly as can be from random weights."""

import dataclasses
import json
import re
import time

import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, RequestError, SamplingConfig
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

llguidance = pytest.importorskip("llguidance")
from hclx.infer import grammar  # noqa: E402

CONFIG = ModelConfig(vocab_size=1024, n_layers=1, d_model=32, n_heads=4, max_length=512)
WILD = SamplingConfig(temperature=2.0, top_p=1.0, max_tokens=400)
SCHEMA = {
    "type": "object",
    "properties": {
        "감정": {"enum": ["긍정", "부정", "중립"]},
        "이유": {"type": "string", "maxLength": 15},
        "점수": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 10},
            "minItems": 1,
            "maxItems": 3,
        },
        "근거": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"문장": {"type": "string", "maxLength": 8}},
                "required": ["문장"],
                "additionalProperties": False,
            },
            "maxItems": 2,
        },
    },
    "required": ["감정", "이유", "점수", "근거"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(tokenizers):
    params = noisy_params(CONFIG)
    with engine_of(params, CONFIG, tokenizers["train"], rows=8, prefix_tokens=0) as engine:
        yield engine


def is_valid(text):
    value = json.loads(text)
    return (
        set(value) == set(SCHEMA["properties"])
        and value["감정"] in ("긍정", "부정", "중립")
        and len(value["이유"]) <= 15
        and 1 <= len(value["점수"]) <= 3
        and all(isinstance(n, int) and 0 <= n <= 10 for n in value["점수"])
        and len(value["근거"]) <= 2
        and all(set(item) == {"문장"} and len(item["문장"]) <= 8 for item in value["근거"])
    )


@pytest.mark.parametrize("n", [50, pytest.param(200, marks=pytest.mark.long)])
def test_wild_samples_follow_the_schema_and_none_ends_in_blanks(engine, n):
    follows = grammar.json_schema(SCHEMA)
    assert not follows.warnings
    request = GenerateRequest("감정을 분석하라.", WILD, n=n, grammar=follows)
    (results,) = engine.generate([request])
    assert all(is_valid(result.text) for result in results)
    assert all(result.text == result.text.rstrip() for result in results)
    assert {result.stop_reason for result in results} == {"end"}
    assert len({result.text for result in results}) > 3 * n / 4


def test_each_row_of_a_mixed_batch_is_what_it_is_alone(engine):
    settings = [dataclasses.replace(WILD, seed=i, max_tokens=40) for i in range(8)]
    kinds = [
        None,
        grammar.choices(["긍정", "부정적", '아주 "좋음"']),
        grammar.json_schema(SCHEMA),
        grammar.regex("[가-힣]{3,5}다\\."),
    ] * 2
    requests = [
        GenerateRequest("문장:", sampling, grammar=kind) for sampling, kind in zip(settings, kinds)
    ]
    together = engine.generate(requests)
    assert together == [engine.generate([request])[0] for request in requests]
    assert {together[i][0].text for i in (1, 5)} <= {"긍정", "부정적", '아주 "좋음"'}
    for i in (3, 7):
        assert re.fullmatch("[가-힣]{3,5}다\\.", together[i][0].text)


def test_a_lark_grammar(engine):
    follows = grammar.lark('start: ("관광" | "식당") "-" ("지역" | "종류") "-" /[0-9]{1,3}/')
    (results,) = engine.generate([GenerateRequest("", WILD, n=10, grammar=follows)])
    assert all(
        re.fullmatch("(관광|식당)-(지역|종류)-[0-9]{1,3}", result.text) for result in results
    )


FIXED = "대한민국의 수도는 서울특별시이고, "


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [(FIXED + "[가-힣]{3}다\\.", "end"), (FIXED, "end"), (FIXED + "[가-힣]*", "length")],
)
def test_tokens_that_are_certain_are_read_and_not_sampled(engine, monkeypatch, pattern, reason):
    steps = []
    decode_masked = engine._device.decode_masked
    monkeypatch.setattr(
        engine._device, "decode_masked", lambda rows: steps.append(rows) or decode_masked(rows)
    )
    sampling = dataclasses.replace(WILD, temperature=0, max_tokens=40, repetition_penalty=1.3)
    request = GenerateRequest("문장:", sampling, grammar=grammar.regex(pattern))
    with_logprobs = dataclasses.replace(sampling, logprobs=0)  # samples each token
    (sampled,) = engine.generate([dataclasses.replace(request, sampling=with_logprobs)])[0]
    n_sampled = len(steps)
    (read,) = engine.generate([request])[0]
    assert read.text.startswith(FIXED) and read.stop_reason == reason
    assert (read.text, read.tokens) == (sampled.text, sampled.tokens)
    n_fixed = len(engine._intake._tokenizer.encode(FIXED))
    assert n_sampled >= len(sampled.tokens) - 1
    assert len(steps) - n_sampled <= n_sampled - n_fixed + 3


@pytest.mark.parametrize(("stop", "text"), [("서울", "대한민국의 수도는 "), ("다.", None)])
def test_certain_tokens_may_hold_a_stop_text(engine, stop, text):
    sampling = dataclasses.replace(WILD, stop=(stop,))
    request = GenerateRequest("", sampling, grammar=grammar.regex(FIXED + "한강이 있다\\."))
    (result,) = engine.generate([request])[0]
    assert result.stop_reason == "stop"
    assert result.text == (text or FIXED + "한강이 있")


def deep(levels):
    return '{"type":"array","items":' * levels + "true" + "}" * levels


HOSTILE = {
    "10,000 levels": lambda: grammar.json_schema(deep(10_000)),
    "an enumeration of 4 MB": lambda: grammar.json_schema({"enum": ["가" * 10] * 120_000}),
    "a loop of references": lambda: grammar.json_schema({"$ref": "#"}),
    "a longer loop": lambda: grammar.json_schema(
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}
    ),
    "a bracket that never closes": lambda: grammar.regex("(가"),
    "10,000 brackets": lambda: grammar.lark("start: " + "(" * 10_000 + '"가"' + ")" * 10_000),
    "an unknown rule": lambda: grammar.lark("start: nothing"),
    "a rule that is itself": lambda: grammar.lark("start: start"),
    "no choices": lambda: grammar.choices([]),
    "an unknown keyword": lambda: grammar.json_schema({"type": "array", "uniqueItems": True}),
    "no JSON": lambda: grammar.json_schema("{"),
    "no schema": lambda: grammar.json_schema("3"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_grammars_are_refused_at_once(engine, name):
    engine.generate([GenerateRequest("", WILD, grammar=grammar.choices(["가"]))])  # is loaded
    start = time.process_time()
    with pytest.raises(RequestError):
        ticket = engine.submit(GenerateRequest("", WILD, grammar=HOSTILE[name]()))
        ticket.result(60)
    assert time.process_time() - start < 1  # of processor time, of which other tests take some


def optional(n_properties):
    names = [f"항목{i}" for i in range(n_properties)]
    return {"type": "object", "properties": {name: {"type": "null"} for name in names}}


LARGE = {
    "repeated repetitions": lambda: grammar.regex("(a{1000}){1000}"),
    "a pattern of a schema": lambda: grammar.json_schema(
        {"type": "string", "pattern": "^(a{1000}){1000}$"}
    ),
    "doubled terminals": lambda: grammar.lark(
        'start: A20\nA0: "가"\n' + "".join(f"A{i + 1}: A{i} A{i}\n" for i in range(20))
    ),
    "2,000 optional properties": lambda: grammar.json_schema(optional(2000)),
    "120 optional properties in each of 9 choices": lambda: grammar.json_schema(
        {"anyOf": [optional(120)] * 9}
    ),
}
TOO_LARGE = "written out; repeat less|# has 2,000 properties that may be left out, more than 120;"


@pytest.mark.parametrize("name", LARGE)
def test_what_is_large_when_it_is_compiled_is_refused_at_once(engine, name):
    engine.generate([GenerateRequest("", WILD, grammar=grammar.choices(["가"]))])  # is loaded
    start = time.process_time()
    with pytest.raises(RequestError, match=TOO_LARGE + "|it may go on in too many ways"):
        engine.submit(GenerateRequest("", WILD, grammar=LARGE[name]())).result(60)
    assert time.process_time() - start < 0.4  # of processor time, of which other tests take some


def test_properties_that_may_be_left_out_are_counted_apart_from_those_that_may_not(engine):
    names = list(optional(2000)["properties"])
    for schema in (optional(120), {**optional(2000), "required": names[120:]}):
        grammar.json_schema(schema).matcher(engine._intake._tokenizer, CONFIG.vocab_size)
    with pytest.raises(RequestError, match="121 properties that may be left out"):
        grammar.json_schema({"items": {**optional(2000), "required": names[121:]}})


@pytest.mark.parametrize("pattern", ["(가+)+나", "(가|가)*나", "(.*가(.|나){1000}){1000}"])
def test_expressions_that_other_engines_backtrack_over_are_followed_in_step(engine, pattern):
    """The library follows all ways at once, as automata do; it has nothing to refuse."""
    follows, start = grammar.regex(pattern), time.process_time()
    sampling = dataclasses.replace(WILD, max_tokens=20)
    (result,) = engine.generate([GenerateRequest("", sampling, grammar=follows)])[0]
    assert result.text and time.process_time() - start < 5


@pytest.mark.parametrize(
    "pattern, signs",
    [
        ("[가-힣]+ [0-9]*", ["+", "*"]),
        ("a{2,}", ["{2,}"]),
        (r"a{2,5}\+\*[*+\]+]{3}b?", []),
    ],
)
def test_an_expression_without_bounds_is_warned_of(pattern, signs):
    warnings = grammar.regex(pattern).warnings
    assert warnings == tuple(f"{sign}: a repetition without a bound" for sign in signs)


@pytest.mark.parametrize(
    "definition, message",
    [
        ({"regex": "(가"}, "the regex cannot be followed: .*unclosed group"),
        ({"lark": "start: nothing"}, 'unknown name: "nothing"'),
        ({"lark": "start: start"}, "it allows no text"),
        ({"json_schema": {"type": "nosuch"}}, "Invalid type: nosuch"),
        ({"json_schema": False}, "json_schema cannot be followed"),
        ({"choices": "가나"}, "choices='가나': give a list of texts"),
        ({"regexp": "가"}, "grammar={'regexp': '가'}: give an object with choices or regex or"),
        ({"regex": "가", "lark": "가"}, "give an object with"),
        ({}, "grammar={}: give an object with"),
        ("가", "grammar='가': give an object with"),
        ({"regex": 3}, "the regex is 3: give a text"),
    ],
)
def test_a_definition_of_a_file_is_checked_without_a_model(definition, message):
    with pytest.raises(RequestError, match=message):
        grammar.from_definition(definition)


def test_a_definition_makes_what_the_function_of_its_name_makes():
    assert grammar.from_definition({"regex": "가{3}"}) == grammar.regex("가{3}")
    assert grammar.from_definition({"choices": ["가", "나"]}) == grammar.choices(["가", "나"])
    assert grammar.from_definition({"json_schema": SCHEMA}) == grammar.json_schema(SCHEMA)
    rule = 'start: "가" /[0-9]{1,3}/'
    assert grammar.from_definition({"lark": rule}) == grammar.lark(rule)


def test_a_schema_without_bounds_is_warned_of():
    schema = {
        "type": "object",
        "properties": {
            "글": {"type": "string"},
            "수": {"type": "array", "items": {"type": "string"}},
            "것": {"properties": {}, "maxProperties": 3},
            "곳": {"type": ["object", "null"], "additionalProperties": {"type": "null"}},
        },
    }
    more = "an object without additionalProperties=false or maxProperties"
    assert grammar.json_schema(schema).warnings == (
        f"#: {more}",
        "#/properties/글: a string without maxLength",
        "#/properties/수: an array without maxItems",
        "#/properties/수/items: a string without maxLength",
        f"#/properties/곳: {more}",
    )
    bounded = {"type": "object", "properties": {"수": {"const": 1}}, "additionalProperties": False}
    assert not grammar.json_schema(bounded).warnings
    # The library lets a text go on just where there is a warning.
    text = "{" + ",".join(f'"{n}":1' for n in range(50))
    for rest, may in ({"additionalProperties": True}, True), ({"maxProperties": 1}, False):
        made = grammar.json_schema({**bounded, **rest})
        vocabulary = llguidance.LLTokenizer("byte")
        follows = llguidance.LLMatcher(vocabulary, made.source)
        tokens = vocabulary.tokenize_str(text)
        assert (follows.try_consume_tokens(tokens) == len(tokens)) == may == bool(made.warnings)


ENDLESS, ITSELF = "a repetition without a bound", "a rule that contains itself"


@pytest.mark.parametrize(
    "definition, text, warnings",
    [
        ({"json_schema": {"type": "integer"}}, "1", "#: an integer without minimum and maximum"),
        ({"json_schema": {"type": "integer", "minimum": 0, "exclusiveMaximum": 100}}, "1", None),
        (
            {"json_schema": {"type": "number", "minimum": 0, "maximum": 1}},
            "0.1",
            "#: a number, whose decimals have no end",
        ),
        ({"json_schema": {"enum": [1, 22]}}, "2", None),
        ({"json_schema": {}}, "1", "#: any value"),
        ({"lark": 'start: "a"+'}, "a", f"+: {ENDLESS}"),
        ({"lark": "start: /a{3,}/ // whole"}, "a", f"{{3,}}: {ENDLESS}"),
        ({"lark": 'start: WORD "."\nWORD: "a"*'}, "a", f"*: {ENDLESS}"),
        (
            {"lark": 'start: other\nother: "a" start | "b"'},
            "a",
            f"start: {ITSELF}",
        ),
        ({"lark": 'start: "a" /a[+*]{1,3}/ "+" // any a+'}, "a", None),
        ({"lark": 'start: "a" "start"'}, "a", None),
    ],
)
def test_what_may_grow_without_end_is_warned_of(definition, text, warnings):
    """The library lets a text go on just where there is a warning."""
    made = grammar.from_definition(definition)
    assert made.warnings[:1] == ((warnings,) if warnings else ())
    vocabulary = llguidance.LLTokenizer("byte")
    tokens = vocabulary.tokenize_str(text + 300 * text[-1])
    follows = llguidance.LLMatcher(vocabulary, made.source)
    assert (follows.try_consume_tokens(tokens) == len(tokens)) == bool(warnings)


def chained(links, link):
    """A schema whose definitions refer to the next one, each inside of `link`."""
    names = {str(i): link({"$ref": f"#/$defs/{i + 1}"}) for i in range(links)}
    return {"$ref": "#/$defs/0", "$defs": {**names, str(links): {"type": "string"}}}


@pytest.mark.parametrize(
    "link",
    [
        lambda ref: ref,
        lambda ref: {"items": ref},
        lambda ref: {"allOf": [ref]},
        lambda ref: {"anyOf": [ref, {"type": "null"}]},
    ],
)
def test_chains_of_references_are_refused_before_they_end_the_process(link):
    # llguidance overflows its stack at 1,500 links or more.
    with pytest.raises(RequestError, match="references that may make it more than 1,000 levels"):
        grammar.json_schema(chained(1_800, link))
    grammar.json_schema(chained(40, link)).check()


def test_a_reference_to_itself_counts_once():
    part = {"type": "object", "properties": {"다음": {"$ref": "#/$defs/a"}}}
    grammar.json_schema({"$ref": "#/$defs/a", "$defs": {"a": part}}).check()


@pytest.mark.parametrize("names", ["r{}", "A{}"])
def test_chains_of_rules_are_refused_before_they_end_the_process(names):
    name = names.format
    rules = [f"{name(i)}: {name(i + 1)}" for i in range(3_000)]
    text = "\n".join([f"start: {name(0)}", *rules, f'{name(3_000)}: "a"'])
    with pytest.raises(RequestError, match="lark grammar has references that may make it more"):
        grammar.lark(text)
    text = "\n".join([f"start: {name(0)}", *rules[:400], f'{name(400)}: "a"'])
    grammar.lark(text).check()


def test_an_ambiguous_grammar_ends_its_own_text_before_masks_take_long():
    matcher = grammar.lark('start: e\ne: e e e | e e | "a"').matcher(ByteTokenizer(256), 256)
    with pytest.raises(RequestError, match="may go on in too many ways"):
        for _ in range(200):
            matcher.mask()
            matcher.take(ord("a"))


def test_thousands_of_choices_are_followed():
    labels = [f"{number}번 도서관" for number in range(3_000)]
    matcher = grammar.choices(labels).matcher(ByteTokenizer(256), 256)
    for byte in "2718번 도서관".encode():
        assert matcher.mask()[byte // 32] >> (byte % 32) & 1
        matcher.take(byte)
    assert matcher.is_complete


@pytest.mark.parametrize("labels", [None, 5, "가나", {"가": 1}, [], [""]])
def test_what_is_no_list_of_choices_is_refused(labels):
    with pytest.raises(RequestError, match="give a list of texts that are not empty"):
        grammar.choices(labels)


@pytest.mark.parametrize("pattern", ["(a{1000}){1000}", "a{1000000}", "((a{100}){100}){100}"])
def test_what_is_large_is_refused_before_the_request_waits(pattern):
    made = grammar.regex(pattern)
    for refuse in (made.check, lambda: made.matcher(ByteTokenizer(256), 256)):
        with pytest.raises(RequestError, match="too large when its repetitions are written out"):
            refuse()
