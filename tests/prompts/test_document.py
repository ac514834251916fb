"""Prompt documents: JSON both ways, what is refused, and the hash."""

import dataclasses
import hashlib
import json
import unicodedata

import pytest

from hclx.errors import ConfigError, DataError
from hclx.prompts import (
    PromptDocument,
    load_prompt,
    parse_template,
    prompt_from_json,
    prompt_hash,
    prompt_to_json,
    render,
)
from tests.prompts.documents import (
    EVERY_FIELD_GENERATED,
    EVERY_FIELD_SCORED,
    generated,
    generation,
    prompt,
    raw,
)
from tests.prompts.malformed import MALFORMED


@pytest.mark.parametrize("content", [raw(), generated(), EVERY_FIELD_SCORED, EVERY_FIELD_GENERATED])
def test_a_document_and_its_json_are_the_same(content):
    document = prompt_from_json(content)
    expected = dict(content)
    if "budget" in content:
        expected["budget"] = {"drop": "first", **content["budget"]}
    assert prompt_to_json(document) == expected
    assert prompt_from_json(json.loads(json.dumps(prompt_to_json(document)))) == document


def test_all_fields_are_read():
    document = prompt_from_json(EVERY_FIELD_SCORED)
    assert document == PromptDocument(
        name="후기/괄호",
        input=parse_template("{문장} ("),
        answer=parse_template("{감정})"),
        description="영화 후기의 감정",
        source="직접 씀",
        directive=parse_template("후기 {번호}\n"),
        separator="\n",
        examples=({"문장": "좋다", "감정": "1"}, {"문장": "나쁘다", "감정": "0"}),
        choices={"0": parse_template("부정"), "1": parse_template("긍정")},
        answer_field="감정",
        parser={"kind": "first_line"},
        max_tokens=512,
        drop="last",
    )
    assert document.input_fields == ("번호", "문장")
    document = prompt_from_json(EVERY_FIELD_GENERATED)
    assert document.stop == ("##", "\n\n") and document.sampling["top_k"] == 5
    assert list(document.grammar["json_schema"]["properties"]) == ["나", "가"]
    assert (document.max_tokens, document.drop) == (100, "first")


def test_a_list_of_choices_is_an_object_of_itself():
    document = prompt(choices=["{예}", "아니오"])
    assert list(document.choices) == ["{예}", "아니오"]
    assert document == prompt(choices={"{예}": "{{예}}", "아니오": "아니오"})


def test_what_is_the_default_is_not_written():
    assert prompt_to_json(generation(separator="\n\n", parser={"kind": "text"}, choices=[])) == (
        generated()
    )
    assert "budget" not in prompt_to_json(generation(budget={"tokens": None, "drop": "first"}))


@pytest.mark.parametrize(("content", "message"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_document_is_refused_by_its_field(content, message):
    with pytest.raises(ConfigError) as error:
        prompt_from_json(content)
    assert message in str(error.value) and len(str(error.value)) < 700


def test_a_document_of_any_depth_or_length_is_read_or_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested too deeply"):
        prompt_from_json(generated(grammar={"json_schema": {"enum": deep}}))
    long = "가나다 " * 200_000
    document = prompt(examples=[{"문장": long, "감정": "1"}] * 3, directive=long)
    assert len(render(document, {"문장": "가"}).text) == 4 * len(long) + len("가 (") + 3 * 6
    with pytest.raises(ConfigError) as error:
        prompt(examples=[{"문장": "가", "감정": long}])
    assert len(str(error.value)) < 700


def test_whole_numbers_are_numbers_as_json_has_them():
    document = generation(sampling={"seed": 1.0, "temperature": 1}, budget={"tokens": 64.0})
    assert repr(document.sampling) == "{'seed': 1, 'temperature': 1.0}"
    assert document.max_tokens == 64 and type(document.max_tokens) is int
    other = generation(sampling={"temperature": 1.0, "seed": 1}, budget={"tokens": 64})
    assert prompt_hash(document) == prompt_hash(other)


def test_texts_are_put_into_nfc_with_newlines():
    """As the texts that models learn from: an editor of macOS or a form of the web may not."""
    content = raw(
        input="{문장}\r\n감정\r:",
        examples=[{"문장": "좋은 영화\r\n", "감정": "1"}],
        directive="한글\u2028",
    )
    apart = json.loads(unicodedata.normalize("NFD", json.dumps(content, ensure_ascii=False)))
    assert apart != content
    document = prompt_from_json(apart)
    assert document.input.source == "{문장}\n감정\n:" and document.directive.source == "한글\u2028"
    assert render(document, {"문장": "가"}).text == (
        "한글\u2028좋은 영화\n\n감정\n:긍정)\n가\n감정\n:"
    )
    assert document == prompt_from_json(content)


def test_a_document_does_not_change_with_the_json_that_it_was_made_of():
    content = generated(examples=[{"나라": "칠레", "answer": "산티아고"}], sampling={"seed": 1})
    document, expected = prompt_from_json(content), prompt_to_json(prompt_from_json(content))
    content["examples"][0]["나라"] = "페루"
    content["sampling"]["seed"] = 2
    assert prompt_to_json(document) == expected


CHANGES = {
    "input": {"input": "{문장}: ("},
    "answer": {"answer": "{감정}]"},
    "directive": {"directive": "후기\n"},
    "separator": {"separator": "\n\n"},
    "examples": {"examples": [{"문장": "나쁘다", "감정": "0"}, {"문장": "좋다", "감정": "1"}]},
    "choices": {"choices": {"0": "최악", "1": "최고"}},
    "keys": {"choices": {"부정": "부정", "긍정": "긍정"}, "examples": None},
    "order of choices": {"choices": {"1": "긍정", "0": "부정"}},
    "answer_field": {"answer": "{label})", "answer_field": "label", "examples": None},
    "parser": {"parser": {"kind": "number"}},
    "budget": {"budget": {"tokens": 256, "drop": "last"}},
    "drop": {"budget": {"tokens": 512}},
}
GENERATED_CHANGES = {
    "stop": {"stop": ["\n\n", "##"]},
    "grammar": {"grammar": {"regex": "가"}},
    "order of properties": {
        "grammar": {"json_schema": {"type": "object", "properties": {"가": {}, "나": {}}}}
    },
    "sampling": {"sampling": {"temperature": 0.5, "top_k": 5, "max_tokens": 17}},
}


def changed(content, change):
    merged = {**content, **change}
    return prompt_from_json({name: value for name, value in merged.items() if value is not None})


def test_the_hash_changes_with_every_field_that_matters_and_with_no_other():
    scored, written = prompt_from_json(EVERY_FIELD_SCORED), prompt_from_json(EVERY_FIELD_GENERATED)
    documents = [scored, written]
    documents += [changed(EVERY_FIELD_SCORED, change) for change in CHANGES.values()]
    documents += [changed(EVERY_FIELD_GENERATED, change) for change in GENERATED_CHANGES.values()]
    hashes = [prompt_hash(document) for document in documents]
    assert len(set(hashes)) == len(hashes) and all(len(digest) == 64 for digest in hashes)
    tried = {*CHANGES, *GENERATED_CHANGES} | {"name", "description", "source", "max_tokens"}
    assert {field.name for field in dataclasses.fields(PromptDocument)} <= tried
    for people in ({"name": "다른 이름"}, {"description": ""}, {"source": "책"}):
        assert prompt_hash(changed(EVERY_FIELD_SCORED, people)) == hashes[0]


def test_the_hash_is_the_same_however_the_json_is_written():
    content = EVERY_FIELD_GENERATED | {
        "examples": [{"나라": "가", "답": "나"}],
        "separator": "\n\n",
    }
    document = prompt_from_json(content)
    other = dict(reversed(content.items()))
    other["examples"] = [{"답": "나", "나라": "가"}]
    other["sampling"] = dict(reversed(content["sampling"].items()))
    other["parser"] = dict(reversed(content["parser"].items()))
    assert prompt_hash(prompt_from_json(other)) == prompt_hash(document)


def test_the_hash_of_a_document_does_not_change_from_version_to_version():
    """Results of other days are joined by it."""
    text = (
        '{"schema": "hclx.prompt/1", "input": "{s} (", "answer": "{answer})", "separator": "\\n",'
        ' "choices": {"0": "bad", "1": "\\uac00"}}'
    )
    document = prompt(
        input="{s} (", answer="{answer})", answer_field=None, choices={"0": "bad", "1": "가"}
    )
    assert prompt_hash(document) == hashlib.sha256(text.encode()).hexdigest()


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_a_file_is_read(tmp_path):
    text = json.dumps(raw(), ensure_ascii=False, indent=1)
    assert load_prompt(write(tmp_path / "a.json", text)) == prompt()
    assert load_prompt(write(tmp_path / "a.json", text, "utf-8-sig")) == prompt()
    assert load_prompt(str(write(tmp_path / "a.json", text.replace("\n", "\r\n")))) == prompt()
    schema = text.replace("{", '{"$schema": "prompt.schema.json",', 1)  # for an editor
    assert load_prompt(write(tmp_path / "a.json", schema)) == prompt()


TEXT = json.dumps(raw(), ensure_ascii=False)
BROKEN_FILES = {
    "empty": ("", ":1:1: this is no JSON: Expecting value"),
    "half": (TEXT[:-1], f":1:{len(TEXT)}: this is no JSON: Expecting ',' delimiter"),
    "comma": ('{\n  "name": "가",\n}', ":3:1: this is no JSON"),
    "newline in a text": ('{\n "name": "가\n나"}', ":2:12: this is no JSON: Invalid control"),
    "two documents": (f"{TEXT}\n{TEXT}", ":2:1: this is no JSON: Extra data"),
    "key twice": (TEXT.replace("{", '{"input": "가",', 1), ": the key 'input' stands twice"),
    "key twice within": (TEXT.replace('"0":', '"1":'), ": the key '1' stands twice"),
    "NaN": (TEXT.replace('"\\n"', "NaN"), ": the number 'NaN' is not finite"),
    "infinity": (TEXT.replace('"\\n"', "-Infinity"), ": the number '-Infinity' is not finite"),
    "too large": (TEXT.replace('"\\n"', "1e999"), ": the number '1e999' is not finite"),
    "thousands of digits": (TEXT.replace('"\\n"', "1" * 5000), ": Exceeds the limit"),
    "too deep": ("[" * 100_000, "is nested too deeply"),
    "list": ("[]", ": a prompt document is an object"),
    "surrogate": (TEXT.replace("\\n", "\\ud800"), ": separator='\\ud800': character 0 is half"),
    "field": (TEXT.replace("{문장}", "{문장"), ": input: the '{' at character 0"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_file_is_refused_with_its_place(text, message, tmp_path):
    path = write(tmp_path / "prompt.json", text)
    with pytest.raises(DataError) as error:
        load_prompt(path)
    assert f"{path}{message}" in str(error.value).replace(f"{path} ", f"{path}")


def test_a_file_that_is_missing_or_of_another_encoding_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"missing\.json does not exist"):
        load_prompt(tmp_path / "missing.json")
    path = write(tmp_path / "a.json", TEXT, "cp949")
    with pytest.raises(DataError, match=r"a\.json is not in UTF-8 \(byte \d+\)"):
        load_prompt(path)
