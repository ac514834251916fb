"""POST /v1/chat/completions against transformers' rendering of the same template."""

import json

import pytest

from hclx.config import ModelConfig
from hclx.infer import GenerateRequest, SamplingConfig
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.text import load_tokenizer
from hclx.text.chat_template import ChatTemplate
from tests.helpers.engines import engine_of
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.serving import client_of

END = "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
MESSAGES = [
    {"role": "system", "content": "짧게 답한다."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "오늘 "}, {"type": "text", "text": "뭐 해?"}],
    },
]


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    save_tokenizer("Qwen", folder, eos_token=END, chat_template=TEMPLATE)
    tokenizer = load_tokenizer(folder)
    size = -(-tokenizer.vocab_size // 8) * 8
    config = ModelConfig(vocab_size=size, n_layers=1, d_model=16, n_heads=2, max_length=256)
    with engine_of(noisy_params(config), config, tokenizer, rows=4) as engine:
        template = ChatTemplate(tokenizer)
        backend = Backend(engine, tokenizer, {"chat": None}, 256, chat_template=template)
        with client_of(build_app(backend)) as client:
            client.engine, client.folder, client.tokenizer = engine, folder, tokenizer
            yield client


def ask(chat, **fields):
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 8, "temperature": 0, **fields}
    return chat.post("/v1/chat/completions", json=body)


def test_the_prompt_is_that_of_transformers(chat):
    transformers = pytest.importorskip("transformers")
    oracle = transformers.AutoTokenizer.from_pretrained(chat.folder)
    plain = [MESSAGES[0], {"role": "user", "content": "오늘 뭐 해?"}]
    text = oracle.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    ids = tuple(oracle(text, add_special_tokens=False).input_ids)
    sampling = SamplingConfig(max_tokens=8, temperature=0)
    ((expected,),) = chat.engine.generate([GenerateRequest(ids, sampling)])
    answer = ask(chat).json()
    assert answer["usage"]["prompt_tokens"] == len(ids)
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": expected.text, "refusal": None}


def test_a_stream_is_the_same_answer(chat):
    settings = {"temperature": 1.0, "seed": 3, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = ask(chat, **settings).json()
    response = ask(chat, **settings, stream=True, stream_options={"include_usage": True})
    events = response.text.split("\n\n")
    assert events.pop() == "" and events.pop() == "data: [DONE]"
    events = [json.loads(event.removeprefix("data: ")) for event in events]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    for choice in whole["choices"]:
        own = [c for e in events for c in e["choices"] if c["index"] == choice["index"]]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        text = "".join(c["delta"].get("content", "") for c in own)
        assert text == choice["message"]["content"]
        assert [c["finish_reason"] for c in own[:-1]] == [None] * (len(own) - 1)
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        parts = [c["logprobs"]["content"] for c in own if c["logprobs"]]
        assert sum(parts, []) == choice["logprobs"]["content"] and len(parts) > 1


def test_log_probabilities_have_bytes(chat):
    (choice,) = ask(chat, logprobs=True, top_logprobs=3).json()["choices"]
    entries = choice["logprobs"]["content"]
    text = b"".join(bytes(entry["bytes"]) for entry in entries).decode(errors="replace")
    assert text == choice["message"]["content"]
    for entry in entries:
        assert entry["logprob"] == entry["top_logprobs"][0]["logprob"]  # greedy
        assert len(entry["top_logprobs"]) == 3


def test_response_format_is_followed(chat):
    form = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"enum": ["맑음", "흐림"]}, "strict": True},
    }
    answer = ask(chat, response_format=form, max_tokens=40).json()
    assert json.loads(answer["choices"][0]["message"]["content"]) in ("맑음", "흐림")


@pytest.mark.parametrize(
    "fields, param",
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "a"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"stop": "a" * 1001}, "stop"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 6, "max_completion_tokens": 5}, "max_completion_tokens"),
        ({"stop_token_ids": [-1]}, "stop_token_ids"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"allowed_token_ids": []}, "allowed_token_ids"),
        ({"structured_outputs": {"grammar": "start: a"}}, "structured_outputs"),
        ({"max_completion_tokens": 5000}, "max_completion_tokens"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_wrong_chats_are_refused_with_their_field(chat, fields, param):
    response = ask(chat, **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_a_base_model_has_no_chats(client):
    body = {"model": "tiny", "messages": MESSAGES}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert "base model" in response.json()["error"]["message"]


def test_special_tokens_survive_the_way_there_and_back(chat):
    text = f"가나{END}다"
    body = {"prompt": text, "add_special_tokens": False, "return_token_strs": True}
    answer = chat.post("/tokenize", json=body).json()
    assert answer["tokens"] == chat.tokenizer.encode_special(text)
    assert answer["count"] == len(answer["tokens"]) == len(answer["token_strs"])
    assert chat.post("/detokenize", json={"tokens": answer["tokens"]}).json() == {"prompt": text}
    info = chat.get("/tokenizer_info").json()
    assert info["eos_token"] == END and info["chat_template"] == TEMPLATE
