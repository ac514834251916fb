"""One engine for all tests of serving."""

import pytest

from hclx.config import ModelConfig
from hclx.serve.backend import Backend
from hclx.serve.server import build_app
from hclx.text import load_tokenizer
from hclx.text.chat_template import ChatTemplate
from tests.helpers.engines import engine_of
from tests.helpers.foreign_tokenizers import save_tokenizer
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.scripted_chat import HERMES, HYPERCLOVA
from tests.helpers.serving import client_of, tiny_backend, tiny_engine


@pytest.fixture(scope="session")
def engine():
    with tiny_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def backend(engine):
    return tiny_backend(engine)


@pytest.fixture(scope="session")
def app(backend):
    return build_app(backend)


@pytest.fixture(scope="session")
def client(app):
    with client_of(app) as client:
        yield client


@pytest.fixture(scope="session", params=[HERMES, HYPERCLOVA], ids=["Hermes", "HyperCLOVA X"])
def random_chat(request, tmp_path_factory):
    """A model with random weights whose template knows calls of functions."""
    folder = tmp_path_factory.mktemp("tools")
    save_tokenizer("Qwen", folder, eos_token="<|im_end|>", chat_template=request.param)
    tokenizer = load_tokenizer(folder)
    size = -(-tokenizer.vocab_size // 8) * 8
    config = ModelConfig(vocab_size=size, n_layers=1, d_model=16, n_heads=2, max_length=768)
    with engine_of(noisy_params(config), config, tokenizer, rows=4) as engine:
        yield Backend(engine, tokenizer, {"chat": None}, 768, "", ChatTemplate(tokenizer))
