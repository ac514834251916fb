"""What comes with the tokenizer of another model stays with it: chat template, ends of a text."""

import json

import pytest

from hclx.convert.exporting import export_model
from hclx.convert.importing import import_model
from hclx.errors import DataError
from hclx.text import load_tokenizer
from tests.helpers.families import save_model
from tests.helpers.trained_tokenizer import save_tokenizer

pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

TEMPLATE = "{% for message in messages %}{{ message.content }}</s>{% endfor %}"
GENERATION = {"eos_token_id": [1, 3], "temperature": 0.6, "bos_token_id": 0}


@pytest.fixture
def folder(tmp_path, sample_texts):
    """A Llama with the tokenizer that a user of `tokenizers` trains."""
    folder = tmp_path / "hf"
    save_model("llama tied", folder, vocab_size=1024)
    save_tokenizer(folder, sample_texts)
    write(folder / "generation_config.json", GENERATION)
    return folder


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")


def test_an_export_has_what_came_with_the_tokenizer(folder, tmp_path):
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    import_model(folder, tmp_path / "run")
    assert load_tokenizer(tmp_path / "run" / "tokenizer").chat_template == TEMPLATE
    export_model(tmp_path / "run", tmp_path / "out")
    for name in ("chat_template.jinja", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes(), name
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation == {"pad_token_id": 1} | GENERATION


def test_a_template_of_chats_is_found_where_each_version_of_transformers_writes_it(folder):
    config = {"eos_token": "</s>"}
    assert load_tokenizer(folder).chat_template == ""
    write(folder / "tokenizer_config.json", config | {"chat_template": TEMPLATE})
    assert load_tokenizer(folder).chat_template == TEMPLATE
    several = [{"name": "tools", "template": "t"}, {"name": "default", "template": TEMPLATE}]
    write(folder / "tokenizer_config.json", config | {"chat_template": several})
    assert load_tokenizer(folder).chat_template == TEMPLATE
    (folder / "chat_template.jinja").write_text("newer", encoding="utf-8")
    assert load_tokenizer(folder).chat_template == "newer"
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="chat_template.jinja cannot be read"):
        load_tokenizer(folder)
