"""A model that reads 600 bytes, and contents that it answers."""

import contextlib
import json

from hclx.config import ModelConfig
from hclx.prompts import prompt_from_json
from hclx.serve.backend import Backend
from hclx.serve.safety.output_rules import OutputRules
from hclx.text.chat_template import ChatTemplate
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.serving import TalkingTokenizer
from tests.helpers.studio import API
from tests.helpers.word_filter import WordFilter

MAX_LENGTH = 600
CONFIG = ModelConfig(vocab_size=256, n_layers=1, d_model=16, n_heads=2, max_length=MAX_LENGTH)
EXAMPLES = (
    ("면이 쫄깃해요", "좋음"),
    ("국물이 짜요", "나쁨"),
    ("또 올게요", "좋음"),
    ("줄이 길어요", "나쁨"),
)
ITEMS = [{"말": "친절해요"}, {"말": "불친절해요"}, {"말": "그냥 그래요"}]
WRITES = {
    "schema": "hclx.prompt/1",
    "name": "식당/느낌",
    "directive": "손님 말\n",
    "input": "말: {말}\n느낌:",
    "answer": " {느낌}",
    "answer_field": "느낌",
    "separator": "\n\n",
    "examples": [{"말": text, "느낌": feeling} for text, feeling in EXAMPLES],
    "stop": ["\n\n"],
    "sampling": {"max_tokens": 12},
}
CHOOSES = {
    **{name: value for name, value in WRITES.items() if name not in ("stop", "sampling")},
    "choices": {"좋음": "칭찬", "나쁨": "불만임"},
}
FREE = {
    "schema": "hclx.prompt/1",
    "name": "뒤를 잇기",
    "input": "{글}",
    "answer": "{answer}",
    "sampling": {"max_tokens": 12, "temperature": 1, "top_p": 1},
}


def content(document=WRITES, **fields):
    """A content of a document."""
    return {"schema": "hclx.studio/1", "document": document, **fields}


def document_of(raw):
    """The prompt document of a content."""
    return prompt_from_json(raw["document"])


@contextlib.contextmanager
def small_engine():
    """An engine over a model of bytes that reads `MAX_LENGTH` of them."""
    params = noisy_params(CONFIG)
    with engine_of(params, CONFIG, TalkingTokenizer(256), rows=4) as engine:
        yield engine


def small_backend(engine, **rules):
    """A backend that serves it, with chats and a filter that knows words."""
    tokenizer = TalkingTokenizer(256)
    own = OutputRules(WordFilter(), **rules)
    template = ChatTemplate(tokenizer)
    return Backend(engine, tokenizer, {"tiny": None}, MAX_LENGTH, "", template, rules=own)


def events_in(text):
    """The events of a stream: name and data of each."""
    lines = [block.split("\n") for block in text.strip().split("\n\n")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in lines
    ]


def streamed(client, raw, **fields):
    """The events of a run."""
    answer = client.post(f"{API}/run", json={"content": raw, "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    return events_in(answer.text)


def results(client, raw, **fields):
    """The results of a run that is no stream."""
    answer = client.post(f"{API}/run", json={"content": raw, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def named(events, *names):
    """The data of the events of these names."""
    return [data for name, data in events if name in names]
