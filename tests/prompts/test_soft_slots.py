"""Soft slots of a prompt: where they stand, token by token, and how the prompt is printed."""

import json

import pytest

from hclx.errors import ConfigError
from hclx.prompts import prompt_from_json, soft_prompt
from hclx.prompts.print_prompt import rendering
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.commands import launch, refused
from tests.helpers.few_shot import PROMPT

TOKENIZER = ByteTokenizer(300)
SLOTS = (300, 301, 302)
WITHIN = {**PROMPT, "directive": "{soft}머리\n", "input": "{document} {soft}("}
EXAMPLES = [{"document": "가", "label": "0"}]


def ids(text):
    return TOKENIZER.encode(text)


def test_places_share_the_slots_in_order():
    document = prompt_from_json(WITHIN)
    prompt = soft_prompt(document, {"document": "나"}, SLOTS, TOKENIZER, (1,), EXAMPLES)
    head = [1, *SLOTS[:2], *ids("머리\n가 (부정)\n나 "), SLOTS[2]]
    assert (prompt.head, prompt.rest) == (head, "(")
    assert prompt.text == "머리\n가 (부정)\n나 ("
    empty = soft_prompt(document, {"document": "나"}, (), TOKENIZER, (1,), EXAMPLES)
    assert (empty.head, empty.rest) == ([1], prompt.text)


def test_without_places_slots_stand_before_everything():
    prompt = soft_prompt(prompt_from_json(PROMPT), {"document": "나"}, SLOTS, TOKENIZER)
    assert (prompt.head, prompt.rest) == ([*SLOTS, TOKENIZER.eod_id], "나 (")


def test_more_places_than_slots_and_places_in_answers_are_refused():
    document = prompt_from_json(WITHIN)
    with pytest.raises(ConfigError, match="in 2 places, and the soft prompt has 1 slots"):
        soft_prompt(document, {"document": "나"}, SLOTS[:1], TOKENIZER)
    document = prompt_from_json({**PROMPT, "answer": "{label}{soft}"})
    with pytest.raises(ConfigError, match="stands in an answer"):
        soft_prompt(document, {"document": "나"}, SLOTS, TOKENIZER)


@pytest.mark.parametrize("raw", [PROMPT, WITHIN])
def test_tokens_are_printed_as_they_are_read(raw):
    document = prompt_from_json({**raw, "examples": [{**EXAMPLES[0], "soft": ""}]})
    fields = {"document": "나"}
    record = json.loads(rendering(document, fields, TOKENIZER, True, SLOTS))
    prompt = soft_prompt(document, fields, SLOTS, TOKENIZER)
    tokens = [token["id"] for token in record["tokens"]]
    assert tokens == [*prompt.head, *ids(prompt.rest)] and record["text"] == prompt.text
    parts = {token["id"]: token["part"] for token in record["tokens"] if token["id"] >= 300}
    assert parts == dict.fromkeys(SLOTS, "{soft}")
    assert [t["text"] for t in record["tokens"] if t["part"] == "answer 0 {label}"] != []
    assert record["answer_tokens"]["1"][0]["id"] == ids("긍정")[0]
    assert "{soft}" in rendering(document, fields, TOKENIZER, False, SLOTS)


def test_an_artefact_without_slots_is_refused(tmp_path):
    from hclx.model_config import ModelConfig
    from hclx.tune import TuneConfig
    from hclx.tune.artefact import Artefact, slots_of

    model = ModelConfig(vocab_size=300)
    artefact = lambda **config: Artefact(TuneConfig(**config), {}, model, "", "")
    assert slots_of(artefact(kind="p_tune", length=3)) == range(300, 303)
    with pytest.raises(ConfigError, match="x is of lora, which has no soft slots"):
        slots_of(artefact(kind="lora"), "x")
    (tmp_path / "prompt.json").write_text(json.dumps(PROMPT))
    (tmp_path / "x").write_bytes(b"nothing")
    result = launch("prompt.py", "render", tmp_path / "prompt.json", f"--artefact={tmp_path / 'x'}")
    assert "x" in refused(result, 65)
