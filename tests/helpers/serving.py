"""Servers over small models with random weights, and over real sockets."""

import contextlib
import threading
import time

from starlette.testclient import TestClient

from hclx.config import ModelConfig
from hclx.serve.backend import Backend
from hclx.serve.http_server import Server
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.server import build_app
from hclx.text.chat_template import ChatTemplate
from hclx.text.tokenizer import to_text
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.word_filter import WordFilter

TINY = ModelConfig(vocab_size=256, n_layers=1, d_model=16, n_heads=2, max_length=64)


class TextTokenizer(ByteTokenizer):
    """A tokenizer of bytes that also decodes to text."""

    def decode(self, ids):
        """Returns the text of ids."""
        return to_text(self.decode_bytes(ids))


class TalkingTokenizer(TextTokenizer):
    """A tokenizer of bytes with a template of chats."""

    chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}>"

    def special_names(self):
        """Returns no names."""
        return {}

    def encode_special(self, text):
        """Returns the ids of a text, in which there are no special tokens."""
        return self.encode(text)

    def transformers_config(self):
        """Returns the names of the ends."""
        return {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}


def described_backend(engine):
    """A backend that answers at all routes, chats among them."""
    tokenizer = TalkingTokenizer(256)
    rules, template = OutputRules(WordFilter()), ChatTemplate(tokenizer)
    return Backend(engine, tokenizer, {"tiny": None}, 64, "", template, rules=rules)


def tiny_engine(**settings):
    """An engine over a model of bytes; `settings` are fields of `EngineConfig`."""
    return engine_of(noisy_params(TINY), TINY, TextTokenizer(256), **{"rows": 4, **settings})


def tiny_backend(engine, **fields):
    """A backend that serves an engine as "tiny"."""
    return Backend(engine, TextTokenizer(256), {"tiny": None}, 64, **fields)


def client_of(app, **settings):
    """A client without sockets, at an address that the server allows."""
    return TestClient(app, base_url="http://localhost", **settings)


@contextlib.contextmanager
def served(app):
    """Serves an application on a free port of this machine; the context has its address."""
    server = Server(app)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        (listener,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.drain()
        thread.join(60)
        assert not thread.is_alive()
        app.state.service.admission.is_draining = False  # other tests share the application


__all__ = ["TINY", "TextTokenizer", "build_app", "client_of", "served", "tiny_backend"]
