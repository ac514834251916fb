"""Segmentation and summarisation of CLOVA Studio, over an engine whose texts are known."""

import json
import random

import msgspec
import pytest

from hclx.serve.backend import Backend
from hclx.serve.clova.clova_results import SegmentationEnvelope, SummaryEnvelope
from hclx.serve.safety.output_rules import OutputRules
from hclx.serve.server import build_app
from tests.helpers.serving import TextTokenizer, client_of
from tests.helpers.word_filter import WordFilter
from tests.helpers.writing_engine import WritingEngine
from tests.serve.test_malformed_requests import VALUES

SEA = ["바다가 넓다.", "바다에 배가 떴다.", "바다는 푸르다.", "바다로 가자."]
HILL = ["산이 높다.", "산에 눈이 왔다.", "산은 멀다.", "산으로 가자."]
TEXT = " ".join(SEA + HILL)
SEGMENT, SUMMARISE = "/v1/api-tools/segmentation", "/v1/api-tools/summarization/v2"


def vector(text):
    return [float("바다" in text), float("산" in text), len(text) / 1000]


def client(text=" 바다와 산이다.", max_length=4000, rules=OutputRules()):
    engine = WritingEngine(text, embed=vector)
    models = {"m": None, "other": "artefact"}
    backend = Backend(engine, TextTokenizer(256), models, max_length, rules=rules)
    made = client_of(build_app(backend))
    made.engine = engine
    return made


def result(client, path, **body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.json()["status"] == {"code": "20000", "message": "OK"}
    kind = SegmentationEnvelope if "segmentation" in path else SummaryEnvelope
    msgspec.convert(response.json(), kind)
    return response.json()["result"]


def refused(client, path, code, **body):
    response = client.post(path, json=body)
    assert response.json()["status"]["code"] == code, response.text
    assert response.status_code == int(code[:3])
    return response.json()["status"]["message"]


@pytest.mark.parametrize("path", [SEGMENT, f"/testapp{SEGMENT}", f"{SEGMENT}/m"])
def test_a_text_is_divided_where_its_topic_changes(path):
    with client() as tool:
        answer = result(tool, path, text=TEXT, segCnt=2)
        assert answer["topicSeg"] == [SEA, HILL]
        assert answer["span"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert answer["inputTokens"] == sum(len(each.encode()) for each in SEA + HILL)
        assert result(tool, path, text=TEXT, alpha=-1.5)["topicSeg"] == [SEA, HILL]
        assert result(tool, path, text=TEXT, alpha=-100)["topicSeg"][0][0] == SEA[0]


def test_sizes_bound_paragraphs():
    with client() as tool:
        sizes = {"postProcess": True, "postProcessMinSize": -1, "postProcessMaxSize": 20}
        answer = result(tool, SEGMENT, text=TEXT, segCnt=1, **sizes)
        totals = [sum(map(len, each)) for each in answer["topicSeg"]]
        assert len(totals) > 2 and max(totals) <= 20
        joined = result(tool, SEGMENT, text=TEXT, segCnt=2, postProcess=True)
        assert joined["topicSeg"] == [SEA + HILL]  # 300 characters are the least
        assert result(tool, SEGMENT, text="하나다.")["topicSeg"] == [["하나다."]]


def test_paragraphs_are_summarised_on_a_line_each():
    with client() as tool:
        asked = {"texts": [" ".join(SEA), " ".join(HILL)], "segCount": 2, "segMinSize": -1}
        answer = result(tool, SUMMARISE, **asked)
        assert answer["text"] == "바다와 산이다.\n바다와 산이다."
        assert answer["inputTokens"] == sum(len(each.encode()) for each in SEA + HILL)
        assert "aiFilter" not in answer
        prompts = [bytes(prompt[1:]).decode() for prompt in tool.engine.prompts]
        assert all(prompt.endswith("\n요약:") for prompt in prompts)
        assert f"글: {' '.join(SEA)}\n" in prompts[0] and f"글: {' '.join(HILL)}\n" in prompts[1]
        whole = result(tool, SUMMARISE, texts=[TEXT], autoSentenceSplitter=False)
        assert whole["text"] == "바다와 산이다."


def test_summaries_are_judged_and_masked():
    rules = OutputRules(WordFilter(), masks_pii=True)
    with client(" 바보의 전화는 010-1234-5678 이다", rules=rules) as tool:
        answer = result(tool, SUMMARISE, texts=[TEXT], includeAiFilters=True)
        assert answer["text"] == "바보의 전화는 <전화번호> 이다"
        assert [finding["score"] for finding in answer["aiFilter"]] == ["0", "2"]


def test_what_cannot_be_served_is_refused():
    with client() as tool:
        assert "text" in refused(tool, SEGMENT, "40001")
        assert "text" in refused(tool, SEGMENT, "40004", text=" \n")
        assert "texts" in refused(tool, SUMMARISE, "40004", texts=[""])
        for path, name, value in (
            (SEGMENT, "alpha", 2),
            (SEGMENT, "alpha", -2),
            (SEGMENT, "segCnt", 0),
            (SEGMENT, "postProcessMaxSize", 0),
            (SEGMENT, "unknown", 1),
            (SUMMARISE, "segCount", 0),
            (SUMMARISE, "segMaxSize", 3001),
            (SUMMARISE, "texts", "one"),
        ):
            body = {"text": TEXT} if path == SEGMENT else {"texts": [TEXT]}
            assert name in refused(tool, path, "40001", **{**body, name: value})
        assert "120,000" in refused(tool, SEGMENT, "40003", text="가 " * 60_001)
        assert "35,000" in refused(tool, SUMMARISE, "40003", texts=["가" * 17_501] * 2)
        refused(tool, f"{SEGMENT}/none", "40080", text=TEXT)
    with client(max_length=600) as tool:
        assert "sentence" in refused(tool, SEGMENT, "40003", text="가" * 201)
        assert "segMaxSize" in refused(tool, SUMMARISE, "40003", texts=[TEXT])


def test_malformed_requests_are_answered():
    rng, statuses = random.Random(0), set()
    bodies = {
        SEGMENT: {"text": TEXT, "alpha": 0.0, "segCnt": 2, "postProcess": True},
        SUMMARISE: {"texts": [TEXT], "segCount": 1, "segMaxSize": 200, "segMinSize": 10},
        "/v1/moderations": {"input": [TEXT, "좋다"], "model": "words"},
    }
    bodies[SEGMENT] |= {"postProcessMaxSize": 20, "postProcessMinSize": 5}
    with client(rules=OutputRules(WordFilter())) as tool:
        for _ in range(200):
            path = rng.choice(list(bodies))
            body = dict(bodies[path])
            body[rng.choice([*body, "x"])] = rng.choice(VALUES)
            response = tool.post(path, content=json.dumps(body).encode())
            assert response.status_code < 500, (path, body, response.text)
            statuses.add(response.status_code)
        admission = tool.app.state.service.admission
        assert admission.n_running == admission.n_waiting == 0
    assert {200, 400} <= statuses
