"""The remote engine over servers that others wrote gives what the embedded engine gives."""

import dataclasses
import json
import re
import time
import urllib.request

import pytest

from hclx.errors import ConfigError
from hclx.infer import (
    EmbeddedEngine,
    GenerateRequest,
    RemoteConfig,
    RemoteEngine,
    RequestError,
    SamplingConfig,
    ScoreRequest,
    grammar,
    load_for_inference,
)
from hclx.text import load_tokenizer
from tests.helpers.foreign_servers import export_small_run, llama_cpp, vllm

pytestmark = pytest.mark.long

GREEDY = SamplingConfig(max_tokens=48, temperature=0.0)
PROMPTS = (
    "대한민국의 수도는",
    "오늘 아침에는",
    "1998년 그는 처음으로",
    "이 영화는 정말",
    "한국어",
    "",
)
LABELS = [" 긍정", " 부정", " 중립적인"]
GAP = 1e-3  # of log-probabilities
BROKEN = "\ufffd "  # of a character that was not finished, in which may be a space


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small run, exported as hf."""
    place = tmp_path_factory.mktemp("served")
    export_small_run(place)
    return place


@pytest.fixture(scope="module")
def tokenizer(place):
    return load_tokenizer(place / "run/tokenizer")


@pytest.fixture(scope="module")
def embedded(place, tokenizer):
    with EmbeddedEngine(load_for_inference(place / "run"), tokenizer) as engine:
        yield engine


@pytest.fixture(scope="module")
def of_vllm(place):
    with vllm(place / "hf", place / "vllm.log") as address, RemoteEngine(address) as engine:
        yield engine


@pytest.fixture(scope="module")
def of_llama_cpp(place):
    with llama_cpp(place / "hf", place / "llama.log") as address, RemoteEngine(address) as engine:
        yield engine


def requests(**changes):
    return [GenerateRequest(prompt, dataclasses.replace(GREEDY, **changes)) for prompt in PROMPTS]


def assert_same_scores(scores, expected):
    for score, other in zip(scores, expected, strict=True):
        assert score.n_prompt == other.n_prompt and score.is_greedy == other.is_greedy
        assert [t.token for t in score.tokens] == [t.token for t in other.tokens]
        for token, right in zip(score.tokens, other.tokens):
            assert token.logprob == pytest.approx(right.logprob, abs=GAP)
            assert [i for i, _ in token.top] == [i for i, _ in right.top]
            assert [v for _, v in token.top] == pytest.approx([v for _, v in right.top], abs=GAP)


SETTINGS = [
    {},
    {"repetition_penalty": 1.3},
    {"frequency_penalty": 0.7, "presence_penalty": 0.5},
    {"logit_bias": {300: 8.0, 301: -50.0}},
    {"min_tokens": 40, "logit_bias": {1: 9.0}},
    {"stop": ("다.", " 있")},
    {"stop_ids": tuple(range(400, 500))},
    {"top_k": 3, "temperature": 0.5, "top_p": 1.0, "logit_bias": {350: 100.0}},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=lambda changes: " ".join(changes) or "greedy")
def test_vllm_gives_the_text_of_each_setting(of_vllm, embedded, changes):
    results = [row[0] for row in of_vllm.generate(requests(**changes))]
    expected = [row[0] for row in embedded.generate(requests(**changes))]
    for result, right in zip(results, expected):
        assert result.tokens == right.tokens and result.n_prompt == right.n_prompt
        assert result.stop_reason == right.stop_reason
        assert result.text.rstrip(BROKEN) == right.text.rstrip(BROKEN)


def test_vllm_with_a_tokenizer_here_may_write_allowed_tokens_alone(of_vllm, embedded, tokenizer):
    allowed = tuple(range(300, 330))
    with RemoteEngine(of_vllm.address, tokenizer=tokenizer) as engine:
        results = engine.generate(requests(allowed_tokens=allowed))
    assert [row[0].tokens for row in results] == [
        row[0].tokens for row in embedded.generate(requests(allowed_tokens=allowed))
    ]
    assert set(results[0][0].tokens) <= set(allowed)


def test_scores_of_vllm(of_vllm, embedded):
    asked = [ScoreRequest(prompt, " 그리고 바다", top=3) for prompt in PROMPTS]
    asked += [ScoreRequest(prompt) for prompt in PROMPTS if prompt]
    asked += [ScoreRequest((1, 300, 301), (302, 303), top=1, tenant="가게")]
    assert_same_scores(of_vllm.score(asked), embedded.score(asked))
    choice, right = (e.choose(PROMPTS[3], LABELS) for e in (of_vllm, embedded))
    assert choice.label == right.label
    assert choice.probabilities == pytest.approx(right.probabilities, abs=GAP)


def test_log_probabilities_of_a_text_of_vllm(of_vllm, embedded):
    request = requests(logprobs=2)[0]
    ((result,),), ((right,),) = (e.generate([request]) for e in (of_vllm, embedded))
    assert [t.token for t in result.logprobs] == list(result.tokens)
    for token, other in zip(result.logprobs, right.logprobs, strict=True):
        assert token.logprob == pytest.approx(other.logprob, abs=GAP)
        assert [i for i, _ in token.top] == [i for i, _ in other.top]


def test_texts_of_vllm_that_end_have_no_end_among_their_tokens(of_vllm, tokenizer):
    sampling = SamplingConfig(max_tokens=100, temperature=1.0, top_p=1.0, logprobs=0)
    request = GenerateRequest(PROMPTS[0], sampling, n=60)
    (results,) = of_vllm.generate([request])
    assert of_vllm.generate([request]) == [results] and len({r.text for r in results}) > 50
    ended = [result for result in results if result.stop_reason == "end"]
    assert ended
    for result in ended:
        assert tokenizer.eod_id not in result.tokens
        assert len(result.logprobs) == len(result.tokens)
        assert tokenizer.decode(result.tokens) == result.text


def test_grammars_of_vllm(of_vllm):
    sampling = SamplingConfig(max_tokens=60, temperature=1.5)
    ask = lambda rule: of_vllm.generate([GenerateRequest("감정:", sampling, grammar=rule)])[0][0]
    assert ask(grammar.choices(["긍정", "부정"])).text in ("긍정", "부정")
    assert re.fullmatch("[0-9]{2,3}-[0-9]{4}", ask(grammar.regex("[0-9]{2,3}-[0-9]{4}")).text)
    schema = {"type": "object", "properties": {"감정": {"enum": ["긍정"]}}, "required": ["감정"]}
    assert re.match(r'\{\s*("감정")?', ask(grammar.json_schema(schema)).text)


def test_a_text_of_vllm_comes_in_parts_and_cancelling_stops_it(of_vllm):
    n_before = counted(of_vllm, "vllm:generation_tokens_total")
    request = GenerateRequest(PROMPTS[0], dataclasses.replace(GREEDY, max_tokens=110))
    ticket = of_vllm.submit(dataclasses.replace(request))
    parts = list(ticket)
    assert len(parts) > 20 and "".join(parts) == ticket.result().text
    ticket = of_vllm.submit(request)
    next(iter(ticket))
    ticket.cancel()
    assert ticket.result(5).stop_reason == "cancelled"
    end = time.monotonic() + 10
    while counted(of_vllm, "vllm:num_requests_running") and time.monotonic() < end:
        time.sleep(0.1)
    assert counted(of_vllm, "vllm:num_requests_running") == 0
    assert counted(of_vllm, "vllm:generation_tokens_total") - n_before < 110 + 100


def counted(engine, name):
    with urllib.request.urlopen(f"{engine.address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


def test_what_vllm_refuses_is_told_in_its_words(of_vllm):
    with pytest.raises(RequestError, match="99999 is out of vocabulary"):
        of_vllm.generate([GenerateRequest((1, 99999), GREEDY)])
    with pytest.raises(RequestError, match=r"frequency_penalty must be in \[-2, 2\]"):
        of_vllm.generate(requests(frequency_penalty=50.0))
    with pytest.raises(RequestError, match="and the model reads 128"):
        of_vllm.generate([GenerateRequest("바다 " * 300, GREEDY)])
    with pytest.raises(RequestError, match="gives no vectors of this model"):
        of_vllm.embed(["바다"])
    with pytest.raises(ConfigError, match=r"has no model 'x'; it has \['exported'\]"):
        RemoteEngine(of_vllm.address, "x")


def prompt_ids(engine, text):
    """The ids that llama.cpp makes of a text: of a tokenizer that it does not know it can only
    guess how text is split.
    """
    body = json.dumps({"model": engine.model, "input": text}).encode()
    request = urllib.request.Request(
        f"{engine.address}/extras/tokenize", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return tuple(json.load(response)["tokens"])


@pytest.mark.parametrize(
    "changes",
    [{}, {"logit_bias": {300: 8.0}}, {"min_tokens": 40}, {"stop": ("다.", " 있")}],
    ids=lambda changes: " ".join(changes) or "greedy",
)
def test_llama_cpp_gives_the_text_of_each_setting(of_llama_cpp, embedded, changes):
    asked = [r for r in requests(**changes) if r.prompt]
    for request in asked:
        ids = prompt_ids(of_llama_cpp, request.prompt)
        ((result,),) = of_llama_cpp.generate([request])
        ((right,),) = embedded.generate([dataclasses.replace(request, prompt=ids)])
        assert result.n_prompt == len(ids)
        # It leaves out halves of characters, for which ours has U+FFFD, but completes the last.
        text = right.text.replace("\ufffd", "")
        assert result.text.startswith(text) and len(result.text) <= len(text) + 1
        if not changes:
            assert len(right.tokens) <= len(result.tokens) <= len(right.tokens) + 2


def test_scores_of_llama_cpp(of_llama_cpp, embedded):
    for prompt in filter(None, PROMPTS):
        (score,) = of_llama_cpp.score([ScoreRequest(prompt, " 바다")])
        ids = prompt_ids(of_llama_cpp, prompt + " 바다")
        n = len(score.tokens)
        (right,) = embedded.score([ScoreRequest(ids[:-n], ids[-n:])])
        assert score.total == pytest.approx(right.total, abs=GAP)
        assert score.is_greedy == right.is_greedy and score.n_prompt == len(ids)
    assert of_llama_cpp.choose(PROMPTS[3], LABELS).label in LABELS
    request = dataclasses.replace(requests(logprobs=0)[0])
    ((result,),) = of_llama_cpp.generate([request])
    ids = prompt_ids(of_llama_cpp, request.prompt)
    ((right,),) = embedded.generate([dataclasses.replace(request, prompt=ids)])
    for token, other in zip(result.logprobs, right.logprobs, strict=True):
        assert token.logprob == pytest.approx(other.logprob, abs=GAP)


def test_a_text_of_llama_cpp_comes_in_parts_and_cancelling_stops_it(of_llama_cpp, place):
    request = GenerateRequest(PROMPTS[2], dataclasses.replace(GREEDY, max_tokens=100))
    settings = RemoteConfig(stream=True)
    with RemoteEngine(of_llama_cpp.address, settings=settings) as engine:
        tickets = [engine.submit(request) for _ in range(3)]
        for ticket in tickets:
            parts = list(ticket)
            assert len(parts) > 20 and "".join(parts) == ticket.result().text
        ticket = engine.submit(request)
        next(iter(ticket))
        ticket.cancel()
        assert ticket.result(5).stop_reason == "cancelled"
        assert engine.generate([request])[0][0].text == tickets[0].result().text
        assert "Disconnected from client" in (place / "llama.log").read_text()
        with pytest.raises(RequestError, match="maximum context length"):
            engine.generate([GenerateRequest("바다 " * 300, GREEDY)])


def test_what_llama_cpp_cannot_do(of_llama_cpp):
    sampling = SamplingConfig(max_tokens=20, temperature=1.5)
    rule = grammar.choices(["긍정", "부정"])
    ((result,),) = of_llama_cpp.generate([GenerateRequest("감정:", sampling, grammar=rule)])
    assert result.text in ("긍정", "부정")
    with pytest.raises(RequestError, match="takes no token ids"):
        of_llama_cpp.generate([GenerateRequest((1, 300), GREEDY)])
    with pytest.raises(RequestError, match="maximum context length is [0-9]+ tokens"):
        of_llama_cpp.generate([GenerateRequest("바다 " * 300, GREEDY)])
    with pytest.raises(RequestError, match="gives no vectors of this model.*embedding=True"):
        of_llama_cpp.embed(["바다"])
