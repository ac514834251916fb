"""LiteLLM from PyPI, unmodified, against a server over sockets."""

import asyncio

import pytest

from hclx.serve.server import build_app
from tests.helpers.scripted_chat import scripted_backend
from tests.helpers.serving import served
from tests.serve.openai.test_chat_tools import CALL, TOOLS

MESSAGES = [{"role": "user", "content": "안녕?"}]


@pytest.fixture(scope="module")
def litellm():
    """LiteLLM, which takes seconds to import, and asks for prices then if it may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        return pytest.importorskip("litellm")


def settings(address):
    return {"model": "openai/chat", "api_base": f"{address}/v1", "api_key": "any", "num_retries": 0}


def test_chats_whole_and_in_parts(litellm):
    with served(build_app(scripted_backend("반가워요.", "반가워요.", CALL))) as address:
        asked = {**settings(address), "messages": MESSAGES, "max_tokens": 200}
        answer = litellm.completion(**asked)
        assert answer.choices[0].message.content == "반가워요."
        assert answer.usage.completion_tokens == len("반가워요.".encode())
        chunks = list(litellm.completion(**asked, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "반가워요."
        (call,) = litellm.completion(**asked, tools=TOOLS).choices[0].message.tool_calls
        assert call.function.name == "날씨"


def test_chats_of_an_event_loop(litellm):
    async def ask(address):
        asked = {**settings(address), "messages": MESSAGES, "max_tokens": 200}
        answers = await asyncio.gather(*(litellm.acompletion(**asked) for _ in range(4)))
        stream = await litellm.acompletion(**asked, stream=True)
        return answers, [chunk.choices[0].delta.content or "" async for chunk in stream]

    with served(build_app(scripted_backend(*["네."] * 5))) as address:
        answers, parts = asyncio.run(ask(address))
    assert [answer.choices[0].message.content for answer in answers] == ["네."] * 4
    assert "".join(parts) == "네."


def test_texts_and_vectors(litellm, backend):
    with served(build_app(backend)) as address:
        named = {**settings(address), "model": "text-completion-openai/tiny"}
        asked = {**named, "prompt": "Hello", "max_tokens": 8, "temperature": 0}
        text = litellm.text_completion(**asked).choices[0].text
        parts = [
            chunk.choices[0].text or "" for chunk in litellm.text_completion(**asked, stream=True)
        ]
        assert "".join(parts) == text
        named = {**settings(address), "model": "openai/tiny"}
        vector = litellm.embedding(**named, input=["Hello"]).data[0]["embedding"]
        again = asyncio.run(litellm.aembedding(**named, input=["Hello"])).data[0]["embedding"]
        (expected,) = backend.engine.embed(["Hello"])
        assert vector == pytest.approx(expected.tolist(), abs=1e-6) and again == vector


def test_errors_are_its_own(litellm):
    with served(build_app(scripted_backend())) as address:
        asked = {**settings(address), "messages": MESSAGES}
        with pytest.raises(litellm.NotFoundError):
            litellm.completion(**{**asked, "model": "openai/none"})
        with pytest.raises(litellm.BadRequestError):
            litellm.completion(**asked, temperature=-1)
