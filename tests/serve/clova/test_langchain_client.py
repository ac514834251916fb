"""langchain-naver from PyPI, unmodified, which speaks the dialect of OpenAI to CLOVA Studio."""

import asyncio

import pytest

from hclx.serve.server import build_app
from tests.helpers.scripted_chat import scripted_backend
from tests.helpers.serving import served
from tests.serve.openai.test_chat_tools import CALL, WEATHER

langchain_naver = pytest.importorskip("langchain_naver")


def chat(address, **fields):
    """The class of chats, for our server."""
    return langchain_naver.ChatClovaX(
        model="chat", api_key="any", base_url=f"{address}/v1", max_retries=0, **fields
    )


def test_chats_whole_and_in_parts():
    with served(build_app(scripted_backend(*["반가워요."] * 4))) as address:
        model = chat(address, temperature=0.5, max_tokens=200, seed=1, repetition_penalty=1.1)
        answer = model.invoke([("system", "짧게"), ("human", "안녕?")])
        assert answer.content == "반가워요."
        assert answer.usage_metadata["output_tokens"] == len("반가워요.".encode())
        assert "".join(part.content for part in model.stream("안녕?")) == "반가워요."

        async def ask():
            answer = await model.ainvoke("안녕?")
            return answer.content, [part.content async for part in model.astream("안녕?")]

        answer, parts = asyncio.run(ask())
        assert answer == "".join(parts) == "반가워요."


def test_tools_and_their_results():
    from langchain_core.messages import HumanMessage, ToolMessage

    tool = {"name": "날씨", "description": "오늘 날씨", "parameters": WEATHER}
    backend = scripted_backend(CALL, "맑아요.", CALL)
    with served(build_app(backend)) as address:
        model = chat(address, max_tokens=200).bind_tools([tool])
        asked = [HumanMessage("서울 날씨?")]
        answer = model.invoke(asked)
        (call,) = answer.tool_calls
        assert (call["name"], call["args"]) == ("날씨", {"도시": "서울", "일": 1})
        result = ToolMessage("맑음", tool_call_id=call["id"])
        assert model.invoke([*asked, answer, result]).content == "맑아요."
        chunks = list(model.stream(asked))
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        assert whole.tool_calls[0]["args"] == call["args"]
    assert CALL in backend.engine.prompts[1]


def test_a_structured_answer():
    schema = {"title": "weather", "description": "날씨", **WEATHER}
    with served(build_app(scripted_backend('{"도시": "부산", "일": 22}'))) as address:
        model = chat(address, max_tokens=200).with_structured_output(schema, method="json_schema")
        assert model.invoke("부산 날씨?") == {"도시": "부산", "일": 22}


def test_vectors(backend):
    with served(build_app(backend)) as address:
        settings = {"model": "tiny", "api_key": "any", "base_url": f"{address}/v1"}
        with pytest.raises(Exception, match="dimensions=1024: the vectors of this model have 16"):
            langchain_naver.ClovaXEmbeddings(**settings).embed_query("Hello")
        embeddings = langchain_naver.ClovaXEmbeddings(**settings, dimensions=None)
        vector = embeddings.embed_query("Hello")
        (expected,) = backend.engine.embed(["Hello"])
        assert vector == pytest.approx(expected.tolist(), abs=1e-6)
        assert embeddings.embed_documents(["Hello", "a"])[0] == pytest.approx(vector, abs=1e-6)
