"""Texts in NFD, whose syllables are taken apart as in files of macOS, against the same in NFC."""

import unicodedata

import pytest

from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.text import load_tokenizer
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.serving import client_of, described_backend

TEXT = "각하, 한글"
CLOVA = {"maxTokens": 2, "topK": 1, "seed": 1}
CHOICES = {"model": "tiny", "context": TEXT, "score": "per_character"}
VOLATILE = ("id", "created", "inputText", "text")


@pytest.fixture(scope="module")
def described(engine):
    with client_of(build_app(described_backend(engine))) as client:
        yield client


def decomposed(value):
    """The same JSON with all texts in NFD."""
    if isinstance(value, dict):
        return {name: decomposed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [decomposed(inner) for inner in value]
    return unicodedata.normalize("NFD", value) if isinstance(value, str) else value


def comparable(value):
    """An answer without what each has for itself, and without the client's own text."""
    if isinstance(value, dict):
        return {name: comparable(v) for name, v in value.items() if name not in VOLATILE}
    return [comparable(inner) for inner in value] if isinstance(value, list) else value


def vectors_of(answer):
    """The vectors of an answer."""
    return [item["embedding"] for item in answer["data"]]


def ask(client, path, body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "tiny", "prompt": TEXT, "max_tokens": 2, "temperature": 0}),
        ("/tokenize", {"prompt": TEXT}),
        ("/hclx/v1/score", {"model": "tiny", "items": [{"context": TEXT, "continuation": TEXT}]}),
        ("/hclx/v1/choose", {**CHOICES, "choices": ["각", "하늘"]}),
        ("/v1/completions/tiny", {"text": TEXT, **CLOVA}),
        ("/v1/chat-completions/tiny", {"messages": [{"role": "user", "content": TEXT}], **CLOVA}),
        ("/v1/api-tools/chat-tokenize/tiny", {"text": TEXT}),
        (
            "/v1/api-tools/chat-tokenize/tiny",
            {"messages": [{"role": "user", "content": TEXT}]},
        ),
        ("/v1/api-tools/segmentation", {"text": "각하. 한글."}),
    ],
)
def test_a_text_in_nfd_is_read_in_nfc(described, path, body):
    answers = [ask(described, path, each) for each in (body, decomposed(body))]
    first, second = map(decomposed, map(comparable, answers))
    assert first == second


def test_vectors_of_a_text_in_nfd_are_those_in_nfc(described):
    answers = [
        ask(described, "/v1/embeddings", {"model": "tiny", "input": text})
        for text in (TEXT, decomposed(TEXT))
    ]
    (first,), (second,) = map(vectors_of, answers)
    assert first == pytest.approx(second, abs=1e-6)
    assert answers[0]["usage"] == answers[1]["usage"]


def test_an_echo_has_the_text_of_its_offsets(described):
    body = {"model": "tiny", "prompt": decomposed("각"), "max_tokens": 0, "echo": True}
    (choice,) = ask(described, "/v1/completions", {**body, "logprobs": 0})["choices"]
    assert choice["text"] == "각" and len(choice["logprobs"]["tokens"]) == 3


def test_foreign_tokenizers_read_a_text_as_it_is(tmp_path):
    save_tokenizer("Qwen", tmp_path, eos_token="<|endoftext|>")
    tokenizer = load_tokenizer(tmp_path)
    assert Backend(None, tokenizer, {}, 8).as_read(decomposed(TEXT)) == decomposed(TEXT)
