"""hclx prompt as a command: render, lint, schema, and what it refuses."""

import json
import unicodedata

import pytest

from hclx.prompts import prompt_schema
from tests.helpers.commands import launch, refused
from tests.prompts.documents import generated, raw

SHOTS = [{"문장": "또 보고 싶다", "감정": "1"}, {"문장": "졸다 나왔다", "감정": "0"}]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """A folder: a scored prompt, one with a trap, and in a folder of its own one that generates."""
    folder = tmp_path_factory.mktemp("prompts")
    contents = {
        "good.json": raw(examples=SHOTS),
        "trap.json": raw(input="{문장} 감정: "),
        "deeper/written.json": generated(),
    }
    (folder / "deeper").mkdir()
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (folder / "notes.txt").write_text("no prompt")
    return folder


def prompt(*arguments):
    result = launch("prompt.py", *map(str, arguments))
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return result.stdout


TEXT = "또 보고 싶다 (긍정)\n졸다 나왔다 (부정)\n음악이 좋았다 ("


def test_a_prompt_is_printed_with_its_parts_and_answers(prompts):
    field = "--field=" + unicodedata.normalize("NFD", "문장=음악이 좋았다")
    printed = prompt("render", prompts / "good.json", field)
    text, _, table = printed.partition("\n\n")
    assert text == TEXT
    lines = table.splitlines()
    assert lines[0] == "     0 example 0 {문장} '또 보고 싶다'"
    assert lines[-3:] == [
        "    32 input            ' ('",
        "answer 0: '부정)'",
        "answer 1: '긍정)'",
    ]


def test_a_prompt_is_printed_token_by_token(prompts, tokenizer_dirs, tokenizers):
    own = (f"--tokenizer_dir={tokenizer_dirs['plain']}", "--field=문장=음악이 좋았다")
    tokenizer = tokenizers["plain"]
    record = json.loads(prompt("render", prompts / "good.json", *own, "--json"))
    ids = tokenizer.encode(TEXT)
    assert record["text"] == TEXT and record["answers"] == {"0": "부정)", "1": "긍정)"}
    assert [token["id"] for token in record["tokens"]] == [*tokenizer.begin_ids, *ids]
    assert [token["part"] for token in record["tokens"]][:2] == ["begin", "example 0 {문장}"]
    assert record["tokens"][-1]["part"] == "input"
    assert record["spans"][-1] == {
        **{"start": len(TEXT) - 2, "end": len(TEXT), "part": "input"},
        **{"example": None, "field": ""},
    }
    for key, text in record["answers"].items():
        assert [t["id"] for t in record["answer_tokens"][key]] == (
            tokenizer.encode(TEXT + text)[len(ids) :]
        )
    printed = prompt("render", prompts / "good.json", *own)
    for number, token in enumerate([*tokenizer.begin_ids, *ids]):
        assert f"\n{number:>6} {token:>7} '" in printed
    answer = " ".join(str(token["id"]) for token in record["answer_tokens"]["1"][:1])
    assert f"\nanswer 1: '긍정)' = {answer} '" in printed


def test_without_fields_each_holds_its_own_name(prompts):
    printed = prompt("render", prompts / "deeper" / "written.json")
    assert printed.startswith("나라: 나라\n수도:\n\n") and "answer" not in printed


def test_files_and_folders_are_looked_at(prompts, tokenizer_dirs):
    printed = prompt("lint", prompts / "good.json")
    assert printed.splitlines() == [
        f"{prompts}/good.json: no warnings",
        "(tokens were not looked at: give --model_dir or --tokenizer_dir)",
    ]
    own = f"--tokenizer_dir={tokenizer_dirs['plain']}"
    lines = prompt("lint", prompts / "trap.json", prompts / "deeper", own).splitlines()
    assert lines[0].startswith(f"{prompts}/trap.json: space-before-answer: input ends with a space")
    assert lines[-1] == f"{prompts}/deeper/written.json: no warnings"
    records = json.loads(prompt("lint", prompts, "--json"))
    assert [(record["file"], record["code"]) for record in records] == [
        (f"{prompts}/trap.json", "space-before-answer")
    ]
    assert records[0]["message"].startswith("input ends with a space")


def test_the_schema_is_printed():
    assert prompt("schema") == prompt_schema()


def test_a_wrong_command_line_is_refused(prompts, tokenizer_dirs):
    good = str(prompts / "good.json")
    for command, message in {
        ("render",): "the prompt document is missing: hclx prompt render FILE",
        ("lint",): "the prompt document is missing: hclx prompt lint FILE",
        ("render", good, "another.json"): "unexpected argument 'another.json'",
        ("schema", good): "unexpected argument",
        ("show", good): "show is no command; there are render, lint, schema",
        ("render", good, "--field=글=가"): "--field='글=가': give NAME=VALUE; the names of",
        ("lint", good, "--field=문장"): "--field='문장': give NAME=VALUE",
        ("lint", good, "--model_dir=a", "--tokenizer_dir=b"): "leave --tokenizer_dir out",
    }.items():
        assert message in refused(launch("prompt.py", *command), 64)


def test_a_wrong_file_is_refused_with_its_place(prompts, tmp_path):
    (tmp_path / "broken.json").write_text('{"schema": "hclx.prompt/1",\n "name": }')
    (tmp_path / "empty").mkdir()
    broken = launch("prompt.py", "render", str(tmp_path / "broken.json"))
    assert f"{tmp_path}/broken.json:2:10: this is no JSON" in refused(broken, 65)
    missing = launch("prompt.py", "lint", str(tmp_path / "missing.json"))
    assert "missing.json does not exist" in refused(missing, 65)
    empty = launch("prompt.py", "lint", str(tmp_path / "empty"))
    assert "has no prompt documents" in refused(empty, 65)
    assert "broken.json:2:10" in refused(launch("prompt.py", "lint", str(tmp_path)), 65)
    no_run = launch("prompt.py", "lint", str(prompts / "good.json"), f"--model_dir={tmp_path}")
    assert "does not exist" in refused(no_run, 65)
