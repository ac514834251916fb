"""The prompts of the gallery: each can be run, and none has a known trap."""

import re
import unicodedata

import pytest

from hclx.infer import SamplingConfig
from hclx.infer.grammar import from_definition
from hclx.prompts import lint, render
from hclx.studio.content import content_from_json
from hclx.studio.gallery.gallery_files import FOLDER, ORDER, gallery_prompt, load_gallery
from hclx.text import load_tokenizer
from tests.helpers.studio import API

CHOOSING = {"sentiment-choices", "topic-classification"}


def texts_in(value):
    """All texts in a JSON value, names of fields among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        yield from value if isinstance(value, dict) else ()
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts_in(part)


def test_every_file_is_shown_once():
    assert sorted(ORDER) == sorted(path.stem for path in FOLDER.glob("*.json"))
    assert len(set(ORDER)) == len(ORDER) >= 15
    assert tuple(prompt.slug for prompt in load_gallery()) == ORDER
    for name in ("title", "title_en", "purpose", "purpose_en", "notes", "notes_en"):
        assert len({getattr(prompt, name) for prompt in load_gallery()}) == len(ORDER)


@pytest.mark.parametrize("slug", ORDER)
def test_a_prompt_is_valid_renders_and_has_no_trap(slug, tokenizer_dirs):
    prompt = gallery_prompt(slug)
    content = content_from_json(prompt.content, needs_document=True)
    document = content.document
    assert lint(document) == []
    # With tokens, a tokenizer of a few thousand words splits the labels of some.
    findings = lint(document, load_tokenizer(tokenizer_dirs["train"]))
    allowed = {"unequal-lengths", "shared-first-token"} if slug in CHOOSING else set()
    assert {finding.code for finding in findings} <= allowed, findings
    assert 3 <= len(document.examples) <= 10 and 2 <= len(prompt.items) <= 3
    assert len({tuple(example.items()) for example in document.examples}) == len(document.examples)
    for item in prompt.items:
        assert set(item) == set(document.input_fields)
        assert render(document, item).text.endswith(document.input.text(item))
        assert slug == "data-generation" or item not in [
            {name: example[name] for name in document.input.fields} for example in document.examples
        ]
    assert bool(document.choices) == (slug in CHOOSING)
    if not document.choices:
        sampling = SamplingConfig(**document.sampling, stop=document.stop)
        assert sampling.max_tokens <= 300 and document.stop
    if document.grammar:
        from_definition(document.grammar)


@pytest.mark.parametrize("slug", ORDER)
def test_texts_are_composed_and_in_the_two_languages(slug):
    prompt = gallery_prompt(slug)
    for text in texts_in(vars(prompt)):
        assert unicodedata.is_normalized("NFC", text) and not text.endswith(" "), text
    hangul = lambda text: any("가" <= character <= "힣" for character in text)
    assert all(map(hangul, (prompt.title, prompt.purpose, prompt.notes)))
    assert not any(map(hangul, (prompt.title_en, prompt.purpose_en, prompt.notes_en)))
    assert "작은 모델" in prompt.notes and "큰 모델" in prompt.notes
    assert "small model" in prompt.notes_en and "large model" in prompt.notes_en


@pytest.mark.parametrize("slug", ["sentiment-reasons", "describe"])
def test_grammars_allow_the_answers_of_the_examples(slug):
    document = content_from_json(gallery_prompt(slug).content, needs_document=True).document
    pattern = document.grammar["regex"]
    for example in document.examples:
        written = document.answer.text(example)
        assert re.fullmatch(pattern, written + "\n"), written


def test_the_gallery_is_told(studio_client):
    data = studio_client.get(f"{API}/gallery").json()["data"]
    assert [prompt["slug"] for prompt in data] == list(ORDER)
    names = {"slug", "title", "title_en", "purpose", "purpose_en", "notes", "notes_en"}
    assert all(set(prompt) == names | {"items", "content"} for prompt in data)
