"""The remote engine over a real connection to a server that fails as it is told."""

import dataclasses
import email.utils
import json
import socket
import time

import numpy as np
import pytest

from hclx.errors import ConfigError, DataError
from hclx.infer import GenerateRequest, RequestError, SamplingConfig, ScoreRequest
from hclx.infer.engine import UNKNOWN_TOKEN
from hclx.infer.grammar import Grammar
from hclx.infer.model_source import KEY_VARIABLE, model_source
from hclx.infer.print_text import print_text
from hclx.infer.prompt_files import continue_file, read_prompts
from hclx.infer.random_model import NumberTokenizer
from hclx.infer.remote import RemoteConfig, RemoteEngine, ServerError
from tests.helpers.commands import launch
from tests.helpers.model_server import chunk, logprobs, model_server, raw, status, stream
from tests.helpers.serving import TextTokenizer

GREEDY = SamplingConfig(max_tokens=9, temperature=0.0)
REQUEST = GenerateRequest("봄", GREEDY)
ENDLESS = [chunk("가", [5])] * 1000


@pytest.fixture(autouse=True)
def no_waits(monkeypatch):
    monkeypatch.setattr("hclx.infer.remote_http.random.uniform", lambda low, high: 0.001)


@pytest.fixture
def server(request):
    with model_server(getattr(request, "param", "vllm")) as server:
        yield server


@pytest.fixture
def engine(server):
    with RemoteEngine(server.url, settings=RemoteConfig(retries=2, timeout=30)) as engine:
        yield engine


def of_kind(kind):
    return pytest.mark.parametrize("server", [kind], indirect=True)


def test_a_text_comes_in_parts_with_its_ids(server, engine):
    ticket = engine.submit(REQUEST)
    assert list(ticket) == ["가", "나", "다"]
    result = ticket.result()
    assert (result.text, result.tokens, result.stop_reason) == ("가나다", (10, 11, 12), "end")
    assert result.n_prompt == 4 and result.logprobs is None
    assert (engine.kind, engine.model) == ("vLLM", "m")


def test_each_part_has_its_tokens_and_their_log_probabilities(server, engine):
    sampling = dataclasses.replace(GREEDY, logprobs=1)
    calls, ticket = [], engine.submit(GenerateRequest((72, 105), sampling))
    ticket.listen(calls.append)
    result = ticket.result()
    parts = [part for call in calls if call is not None for part in call]
    assert "".join(part.text for part in parts) == result.text
    tokens = sum((part.tokens for part in parts), ())
    assert tokens and tokens == result.tokens[: len(tokens)]
    assert sum((part.logprobs for part in parts), ()) == result.logprobs[: len(tokens)]


def test_every_setting_is_sent_with_each_request_by_the_name_that_the_server_knows(server, engine):
    bias = {3: 1.5}
    sampling = SamplingConfig(
        20, 2, 0.5, 7, 0.8, 0.1, 1.2, 0.3, 0.4, bias, (), 2**32 + 5, ("끝",), (8,), 3
    )
    grammar = Grammar("choices", "", written='["예", "아니오"]')
    request = GenerateRequest("봄", sampling, n=2, grammar=grammar, tenant="가게")
    engine.generate([request])
    first, second = sorted(server.bodies, key=lambda body: body["seed"])
    assert first == {
        "model": "m",
        "prompt": [1, ord("봄")],
        "max_tokens": 20,
        "min_tokens": 2,
        "temperature": 0.5,
        "top_k": 7,
        "top_p": 0.8,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "frequency_penalty": 0.3,
        "presence_penalty": 0.4,
        "logit_bias": {"3": 1.5},
        "seed": 5,
        "stop": ["끝"],
        "stop_token_ids": [8],
        "logprobs": 3,
        "structured_outputs": {"choice": ["예", "아니오"]},
        "cache_salt": "가게",
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert second == {**first, "seed": 6}
    engine.generate([REQUEST])
    neutral = {"top_k": 0, "min_p": 0, "repetition_penalty": 1, "presence_penalty": 0}
    assert neutral.items() <= server.bodies[-1].items()


def test_allowed_tokens_have_the_end_of_the_document_among_them(server):
    tokenizer = NumberTokenizer(100)
    with RemoteEngine(server.url, tokenizer=tokenizer) as engine:
        sampling = dataclasses.replace(GREEDY, allowed_tokens=(5, 6), stop_ids=(7,))
        engine.generate([GenerateRequest((3, 4), sampling)])
    (body,) = server.bodies
    assert body["allowed_token_ids"] == [5, 6, tokenizer.eod_id, 7] and body["prompt"] == [3, 4]


@pytest.mark.parametrize(
    "fields, reason",
    [({"stop_reason": None}, "end"), ({"stop_reason": 8}, "end"), ({"stop_reason": "끝"}, "stop")],
)
def test_why_a_text_ended(server, engine, fields, reason):
    values = logprobs([10, 11], [-0.5, -0.25], [{"token_id:9": -0.1, "token_id:10": -0.5}, {}])
    server.answers = [stream(chunk("가", [10, 11], "stop", logprobs=values, **fields))]
    sampling = dataclasses.replace(GREEDY, logprobs=1)
    ((result,),) = engine.generate([GenerateRequest("봄", sampling)])
    assert result.stop_reason == reason
    assert result.tokens == ((10,) if reason == "end" else (10, 11))
    assert len(result.logprobs) == len(result.tokens)
    first = result.logprobs[0]
    assert (first.token, first.logprob, first.top) == (10, -0.5, ((9, -0.1),))


def test_lines_end_where_the_protocol_ends_them(server, engine):
    """U+2028 and U+0085 are within the JSON, and no ends of lines."""
    text = "가\u2028나\x85다"
    server.answers = [stream(": 핑\r\n\r\n", chunk(text, [5]), chunk("", [1], "stop"))]
    assert engine.generate([REQUEST])[0][0].text == text


def test_numbers_of_numpy_are_numbers(server, engine):
    sampling = SamplingConfig(
        np.int64(9), top_k=np.int32(3), min_p=np.float32(0.5), seed=np.int64(5)
    )
    engine.generate([GenerateRequest(np.array([3, 4]), sampling)])
    body = server.bodies[0]
    assert (body["top_k"], body["min_p"], body["seed"], body["prompt"]) == (3, 0.5, 5, [3, 4])


def test_a_text_that_is_no_utf_8_is_refused_alone(server, engine):
    stop = dataclasses.replace(GREEDY, stop=("\ud800",))
    for request in (GenerateRequest("봄\ud800", GREEDY), GenerateRequest("봄", stop)):
        with pytest.raises(RequestError, match=r"'\\ud800', which is half a character"):
            engine.generate([request])
    assert engine.generate([REQUEST])[0][0].text == "가나다"


HUGE = 10**5000  # more digits than Python writes


@pytest.mark.parametrize(
    "request_, message",
    [
        (dataclasses.replace(REQUEST, n=3), "n=3: `submit` takes one"),
        (dataclasses.replace(REQUEST, prompt=(HUGE,)), "the prompt has <a value of int"),
        (dataclasses.replace(REQUEST, prompt=(3, True)), "the prompt has True"),
        (dataclasses.replace(REQUEST, prompt=b"A"), "the prompt is b'A'"),
        (dataclasses.replace(REQUEST, sampling=None), "sampling=None"),
        (GenerateRequest("A", SamplingConfig(stop_ids=(HUGE,))), "sampling.stop_ids has <a value"),
        (GenerateRequest("A", SamplingConfig(logit_bias={-1: 2.0})), "sampling.logit_bias has -1"),
        (ScoreRequest("A", tenant=5), "tenant=5"),
        (None, "a request is None"),
    ],
)
def test_a_value_of_another_kind_is_refused(server, engine, request_, message):
    with pytest.raises(RequestError, match=message):
        engine.submit(request_)
    assert server.bodies == []


@pytest.mark.parametrize("value", [REQUEST, ScoreRequest("봄"), "봄", 5, None])
def test_what_is_no_list_is_refused(server, engine, value):
    for method in (engine.generate, engine.score, lambda value: engine.choose("봄", value)):
        with pytest.raises(
            RequestError, match=r"(requests|labels)=.*: give a list of (requests|texts)$"
        ):
            method(value)
    if not isinstance(value, str):
        with pytest.raises(RequestError, match="texts=.*: give a list of texts$"):
            engine.embed(value)
    assert server.bodies == []


def test_any_iterable_is_a_list(engine):
    assert [row[0].text for row in engine.generate(iter([REQUEST, REQUEST]))] == ["가나다"] * 2


def test_unusual_values_are_sent_as_what_a_server_reads(server, engine):
    sampling = SamplingConfig(HUGE, top_k=HUGE, seed=HUGE + 3)
    engine.generate([GenerateRequest("봄", sampling, deadline=HUGE)])
    body = server.bodies[0]
    assert (body["max_tokens"], body["top_k"], body["seed"]) == (48, 2**31 - 1, 3)


PASSING = {
    "busy": status(429),
    "overloaded": status(503),
    "broken": status(500),
    "half an answer": raw(200, '{"choices": [', length=1000),
    "closed": lambda handler, body: handler.connection.shutdown(socket.SHUT_RDWR),
    "closed in a stream": stream(chunk("가", [10]), chunk("나", [11]), done=False),
    "no end": stream(chunk("가", [10])),
    "error in a stream": stream(chunk("가", [10]), {"error": {"message": "잠시", "code": 500}}),
    "ended by the server": stream(chunk("가", [10]), chunk("", [], "abort")),
}


@pytest.mark.parametrize("answer", PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again_and_nothing_is_shown_twice(server, engine, answer):
    server.answers = [answer, answer]
    ticket = engine.submit(REQUEST)
    assert "".join(ticket) == "가나다" and ticket.result().tokens == (10, 11, 12)
    assert len(server.bodies) == 3
    server.answers = [answer] * 3
    with pytest.raises(ServerError, match="at 3 attempts") as caught:
        engine.generate([REQUEST])
    assert caught.value.exit_code == 70


def test_a_second_attempt_may_come_in_other_parts(server, engine):
    server.answers = [
        stream(chunk("가", [10]), chunk("나", [11]), done=False),
        stream(chunk("가", [10]), done=False),
        stream(chunk("가나다", [10, 11, 12]), chunk("라", [13], "length")),
    ]
    ticket = engine.submit(REQUEST)
    assert list(ticket) == ["가", "나", "다", "라"] and ticket.result().text == "가나다라"


@pytest.mark.parametrize("name", ["busy", "half an answer", "closed"])
def test_scores_are_tried_again_too(server, engine, name):
    server.answers = [PASSING[name]]
    assert engine.score([ScoreRequest("봄", "날")])[0].total == -2


def test_a_second_attempt_that_begins_otherwise_is_an_error(server, engine):
    server.answers = [stream(chunk("라", [10]), done=False)]
    with pytest.raises(ServerError, match="began otherwise"):
        engine.generate([REQUEST])


def test_the_wait_that_a_server_asks_for_is_kept(server, engine):
    date = email.utils.formatdate(time.time() + 1, usegmt=True)
    for headers, seconds in [({"Retry_After": "0.3"}, 0.3), ({"retry_after_ms": "200"}, 0.2)]:
        server.answers = [status(429, **headers)]
        begin = time.monotonic()
        engine.generate([REQUEST])
        assert time.monotonic() - begin > seconds
    server.answers = [status(503, Retry_After=date), status(503, Retry_After="no date")]
    engine.generate([REQUEST])
    server.answers = [status(429, Retry_After="3600")]
    with pytest.raises(ServerError, match="asks for a wait of 3600 seconds"):
        engine.generate([REQUEST])


@pytest.mark.parametrize(
    "answer, message",
    [
        (status(400, "top_p is too large"), "refuses this: .* answers 400: top_p is too large"),
        (status(422, "no"), "answers 422: no"),
        (status(503, "never", x_should_retry="false"), "answers 503: never"),
        (status(501, "not made"), "answers 501"),
        (stream({"error": {"message": "너무 길다", "code": 400}}), "refuses this: 너무 길다"),
        (status(401, "no key"), "answers 401: no key; give the key of this server"),
        (status(307, "", Location="http://x/"), "names 'http://x/': give that address"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(server, engine, answer, message):
    server.answers = [answer]
    with pytest.raises(ConfigError, match=message):
        engine.generate([REQUEST])
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "answer, message",
    [
        (raw(200, "<html>login", kind="text/html"), "no stream of events but '<html>login'"),
        (stream("data: {half\n\n"), "no JSON object but '{half'"),
        (stream("data: [1]\n\n"), r"no JSON object but '\[1\]'"),
        (stream({"choices": [{"delta": {"content": "가"}}]}), "no part of a completion"),
        (stream({"choices": 5}), "no part of a completion"),
        (stream(chunk("가", ["x"])), "no part of a completion"),
    ],
)
def test_an_answer_that_nobody_can_read(server, engine, answer, message):
    server.answers = [answer]
    with pytest.raises(ServerError, match=message):
        engine.generate([REQUEST])
    assert len(server.bodies) == 1


def test_an_answer_without_end_is_left(server, engine, monkeypatch):
    monkeypatch.setattr("hclx.infer.remote_http._MOST_BYTES", 100_000)
    server.answers = [lambda handler, body: handler.send_for_ever(b'{"choices": "')]
    with pytest.raises(ServerError, match="more than 100,000 bytes, but '{.*choices"):
        engine.score([ScoreRequest("봄", "날")])
    assert server.closed.wait(20)


def test_a_silent_server_is_given_up(server):
    slow = lambda handler, body: time.sleep(0.5)
    server.answers = [slow, slow]
    with RemoteEngine(server.url, settings=RemoteConfig(retries=1, timeout=0.1)) as engine:
        with pytest.raises(ServerError, match="ReadTimeout"):
            engine.generate([REQUEST])


def test_a_text_ends_at_its_deadline(server, engine):
    server.answers = [lambda handler, body: handler.stream(*ENDLESS, seconds=0.01)]
    request = dataclasses.replace(REQUEST, deadline=0.3)
    ((result,),) = engine.generate([request])
    assert result.stop_reason == "deadline" and set(result.text) == {"가"}
    assert len(result.tokens) == len(result.text)
    assert server.closed.wait(20)


def test_cancelling_closes_the_connection(server, engine):
    server.answers = [lambda handler, body: handler.stream(*ENDLESS, seconds=0.01)]
    ticket = engine.submit(REQUEST)
    assert next(iter(ticket)) == "가"
    ticket.cancel()
    assert ticket.result(20).stop_reason == "cancelled"
    assert server.closed.wait(20)
    ticket.cancel()


def test_cancelling_what_waits(server):
    server.answers = [lambda handler, body: handler.stream(*ENDLESS, seconds=0.01)]
    with RemoteEngine(server.url, settings=RemoteConfig(requests=1)) as engine:
        running = engine.submit(REQUEST)
        next(iter(running))
        waiting, score = engine.submit(REQUEST), engine.submit(ScoreRequest("봄", "날"))
        waiting.cancel()
        score.cancel()
        assert waiting.result(20).text == "" and waiting.result().stop_reason == "cancelled"
        with pytest.raises(RequestError, match="ended before it was served: cancelled"):
            score.result(20)
        begin = time.monotonic()
    assert running.result(0).stop_reason == "cancelled" and time.monotonic() - begin < 8
    assert len(server.bodies) == 1
    with pytest.raises(RequestError, match="the engine is closed"):
        engine.submit(REQUEST)
    running.cancel()
    engine.close()


def test_no_more_requests_at_once_than_allowed(server):
    events = [*ENDLESS[:5], chunk("", [1], "stop")]
    server.answers = [lambda handler, body: handler.stream(*events, seconds=0.01)] * 6
    with RemoteEngine(server.url, settings=RemoteConfig(requests=2)) as engine:
        engine.generate([REQUEST] * 6)
    assert server.most_at_once == 2


def test_others_are_ended_when_one_of_a_call_fails(server, engine):
    def endless_or_no(handler, body):
        if body["prompt"] == [1, ord("봄")]:
            handler.stream(*ENDLESS, seconds=0.01)
        else:
            status(400, "no")(handler, body)

    server.answers = [endless_or_no] * 2
    begin = time.monotonic()
    with pytest.raises(RequestError, match="answers 400: no"):
        engine.generate([REQUEST, GenerateRequest("여름", GREEDY)])
    assert server.closed.wait(20) and time.monotonic() - begin < 8


CHOICES = Grammar("choices", "", written='["예"]')
LARK = Grammar("lark", "", written="start: /a/")
SCHEMA = Grammar("json_schema", "", written="{}")


@pytest.mark.parametrize(
    "server, fields, message",
    [
        ("other", {"top_k": 3}, "top_k=3: a server of a kind that is not known here is not known"),
        ("other", {"min_p": 0.1}, "min_p=0.1"),
        ("other", {"repetition_penalty": 1.1}, "repetition_penalty=1.1"),
        ("other", {"min_tokens": 2}, "min_tokens=2"),
        ("other", {"stop_ids": (3,)}, r"stop_ids=\(3,\)"),
        ("other", {"logprobs": 2}, "logprobs=2: .* does not tell the ids of tokens"),
        ("other", {"grammar": CHOICES}, "not known to follow a choices"),
        ("other", {"tenant": "가"}, "cannot keep tenants apart"),
        ("sglang", {"artefact": "a"}, "artefact='a': SGLang is not known to have adapters"),
        ("vllm", {"grammar": LARK}, "choices, regex, json_schema"),
        ("vllm", {"allowed_tokens": (3,)}, "give the engine the model's tokenizer"),
        ("vllm", {"temperature": 0.001}, "vLLM makes 0.01 of it"),
        ("sglang", {"allowed_tokens": (3,)}, "SGLang is not known to honour it"),
        ("llama.cpp", {"frequency_penalty": 0.5}, "counts the tokens of the prompt"),
        ("python", {"repetition_penalty": 1.5}, "counts the last tokens"),
        ("python", {"prompt": (1, 2)}, "takes no token ids; give the prompt as text"),
        ("python", {"grammar": SCHEMA}, "grammars it follows choices"),
        ("python", {"min_tokens": 2, "logit_bias": {3: 1.0}}, "together with logit_bias"),
        ("vllm", {"prompt": 5}, "give a text or token ids"),
        ("vllm", {"prompt": (-1,)}, "no token id"),
        ("vllm", {"n": 0}, "n=0 is out of range"),
    ],
    indirect=["server"],
)
def test_what_a_server_is_not_known_to_honour_is_refused_before_anything_is_sent(
    server, engine, fields, message
):
    own = {"prompt", "grammar", "tenant", "n", "artefact"}
    sampling = dataclasses.replace(GREEDY, **{k: v for k, v in fields.items() if k not in own})
    request = dataclasses.replace(
        REQUEST, sampling=sampling, **{k: v for k, v in fields.items() if k in own}
    )
    with pytest.raises(RequestError, match=message):
        engine.generate([REQUEST, request])
    assert server.bodies == []


def test_an_artefact_is_a_model_of_vllm(server, engine):
    engine.generate([REQUEST, dataclasses.replace(REQUEST, artefact="a")])
    assert sorted(body["model"] for body in server.bodies) == ["a", "m"]


def test_an_old_vllm_is_not_taken_for_one_that_honours_all(server):
    for version in ("0.9.2", None):
        server.version = version
        with RemoteEngine(server.url) as engine:
            assert "not known" in engine.kind


@of_kind("llama.cpp")
def test_llama_cpp_is_sent_what_makes_its_settings_ours(server, engine):
    sampling = dataclasses.replace(GREEDY, repetition_penalty=1.2, seed=2**32 - 1)
    server.answers = [stream(chunk("가", None, "stop"))]
    ((result,),) = engine.generate([GenerateRequest("봄", sampling, grammar=CHOICES)])
    (body,) = server.bodies
    assert body["repeat_penalty"] == 1.2 and body["repeat_last_n"] == -1
    assert body["samplers"] == ["penalties", "temperature", "top_k", "top_p", "min_p"]
    assert body["seed"] == 0  # 2**32 - 1 means any
    assert body["grammar"] == 'root ::= "예"' and body["prompt"] == [1, ord("봄")]
    assert result.tokens == (UNKNOWN_TOKEN,) and result.stop_reason == "end"
    with pytest.raises(RequestError, match="refuses `echo`"):
        engine.score([ScoreRequest("봄", "날")])


@of_kind("python")
def test_llama_cpp_python_is_asked_for_whole_texts_one_at_a_time(server, engine):
    text = {"text": "가나다", "finish_reason": "stop"}
    answer = {"choices": [text], "usage": {"prompt_tokens": 3, "completion_tokens": 7}}
    server.answers = [raw(200, json.dumps(answer))] * 2
    stopped = dataclasses.replace(GREEDY, stop=("라",))
    ticket, other = engine.submit(GenerateRequest("봄날", stopped)), engine.submit(REQUEST)
    assert list(ticket) == ["가나다"] and ticket.result().stop_reason == "stop"
    assert ticket.result().n_prompt == 3 and len(ticket.result().tokens) == 7
    assert other.result().stop_reason == "end" and server.most_at_once == 1
    assert server.bodies[0]["stop"] == ["라"] and server.bodies[0]["prompt"] == "봄날"
    assert not any("stream" in body for body in server.bodies)
    # It gives 500 to wrong requests.
    server.answers = [status(500, "logprobs is not supported")]
    with pytest.raises(RequestError, match="logprobs is not supported"):
        engine.generate([dataclasses.replace(REQUEST, sampling=SamplingConfig(logprobs=0))])


@of_kind("python")
def test_ids_are_sent_to_llama_cpp_python_as_their_text(server):
    """The tokens that begin a document are put there by the server."""
    tokenizer, text = TextTokenizer(256), {"text": "가", "finish_reason": "stop"}
    answer = {"choices": [text], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    server.answers = [raw(200, json.dumps(answer))]
    with RemoteEngine(server.url, tokenizer=tokenizer) as engine:
        engine.generate([GenerateRequest((*tokenizer.begin_ids, *b"abc"), GREEDY)])
        assert server.bodies[-1]["prompt"] == "abc"
        n_sent = len(server.bodies)
        for ids in (tuple("가".encode()[:2]), (300,)):
            with pytest.raises(RequestError, match="not how a text is encoded"):
                engine.generate([GenerateRequest(ids, GREEDY)])
        assert len(server.bodies) == n_sent


@of_kind("python")
def test_streams_of_llama_cpp_python(server):
    with RemoteEngine(server.url, settings=RemoteConfig(stream=True)) as engine:
        request = GenerateRequest("봄", dataclasses.replace(GREEDY, stop=("나다",)))
        ticket = engine.submit(request)
        assert list(ticket) == ["가"] and ticket.result().stop_reason == "stop"
        assert "stop" not in server.bodies[0]  # it is looked for here
        assert server.headers["Connection"] == "close"  # it ends behind an error, but not at once
        # The stream just ends where it refuses a request, and says nothing.
        server.answers = [stream(done=False), status(400, "the context is too long")]
        with pytest.raises(RequestError, match="the context is too long"):
            engine.generate([REQUEST])
        server.answers = [stream(done=False), raw(200, "{}")]
        assert engine.generate([REQUEST])[0][0].text == "가나다"


@of_kind("vllm")
def test_a_text_may_be_asked_for_as_a_whole(server):
    answer = {**chunk("가나", [5, 6], "length"), "usage": {"prompt_tokens": 2}}
    server.answers = [status(503), raw(200, json.dumps(answer))]
    with RemoteEngine(server.url, settings=RemoteConfig(stream=False)) as engine:
        ((result,),) = engine.generate([REQUEST])
    assert (result.text, result.tokens, result.stop_reason) == ("가나", (5, 6), "length")
    assert "stream" not in server.bodies[-1]


@of_kind("sglang")
def test_sglang_reads_all_tokens_by_another_number(server, engine):
    server.answers = [stream(chunk("가", None, "stop", matched_stop="끝"))]
    assert engine.generate([REQUEST])[0][0].stop_reason == "stop"
    assert server.bodies[0]["top_k"] == -1 and server.bodies[0]["prompt"] == "봄"


@of_kind("other")
def test_a_server_that_tells_no_ids_still_tells_their_number(server, engine):
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 5}}
    server.answers = [stream(chunk("가나"), chunk("다", None, "length"), usage)]
    ((result,),) = engine.generate([REQUEST])
    assert result.tokens == (UNKNOWN_TOKEN,) * 5 and result.n_prompt == 7


def test_a_prompt_has_to_leave_room(server, engine, caplog):
    with pytest.raises(RequestError, match="the prompt has 51 tokens and the model reads 50"):
        engine.generate([GenerateRequest("봄" * 50, GREEDY)])
    engine.generate([GenerateRequest("봄" * 44, GREEDY)])
    assert server.bodies[-1]["max_tokens"] == 5 and "limited to 5" in caplog.text
    with pytest.raises(RequestError, match="the text has 52 tokens"):
        engine.score([ScoreRequest("봄" * 50, "날")])


def test_a_continuation_is_encoded_on_its_own_and_scored(server, engine):
    first, whole = engine.score([ScoreRequest("봄", "날씨"), ScoreRequest("봄날")])
    assert server.bodies[0]["prompt"][0] == 1 and first.total == -5 and first.is_greedy
    assert [(token.token, token.logprob) for token in first.tokens] == [
        (ord("날"), -2.0),
        (ord("씨"), -3.0),
    ]
    assert [token.logprob for token in whole.tokens] == [-1, -2] and whole.n_prompt == 3
    body = next(body for body in server.bodies if len(body["prompt"]) == 4)
    assert body["echo"] and body["max_tokens"] == 0 and body["logprobs"] == 1
    choice = engine.choose("봄", ["날씨", "비"])
    assert choice.label == "비" and sum(choice.probabilities) == pytest.approx(1)
    tops = [None, {"token_id:5": -9.0, "token_id:7": -0.5, "token_id:8": -0.75}]
    server.answers = [scores(logprobs([4, 5], [None, -9.0], tops))]
    (score,) = engine.score([ScoreRequest((4,), (5,), top=2)])
    assert not score.is_greedy and score.tokens[0].top == ((7, -0.5), (8, -0.75))


def scores(values, text="", **usage):
    choice = {"text": text, "logprobs": values}
    return raw(200, json.dumps({"choices": [choice], "usage": usage}))


@pytest.mark.parametrize(
    "values",
    [
        None,
        {"content": []},
        logprobs([20], [-1.0]),  # of the new token alone
        logprobs([1, 2], [None, None]),
        logprobs([1, 9], [None, -1.0]),  # of another prompt
        logprobs([1, 2], [None, -1.0], [None, None]),
        logprobs([1, 2], [None, float("nan")]),
    ],
)
def test_a_prompt_whose_log_probabilities_are_missing(server, engine, values):
    server.answers = [scores(values)]
    with pytest.raises(RequestError, match="no log-probabilities of the tokens of a prompt"):
        engine.score([ScoreRequest((1,), (2,))])


@pytest.mark.parametrize(
    "request_, message",
    [
        (ScoreRequest("봄", ""), "the continuation is empty"),
        (ScoreRequest((), "날"), "the context has no tokens"),
        (ScoreRequest((1,)), "the context has one token alone"),
        (ScoreRequest("봄", "날", top=21), "top=21 is out of range"),
    ],
)
def test_scores_that_cannot_be(engine, request_, message):
    with pytest.raises(RequestError, match=message):
        engine.score([request_])


def by_offset(tokens, begins, values):
    tops = [None if v is None else {t: v, "x": -0.5} for t, v in zip(tokens, values)]
    return {
        "tokens": tokens,
        "text_offset": begins,
        "token_logprobs": values,
        "top_logprobs": tops,
    }


@of_kind("other")
def test_text_is_scored_from_where_the_continuation_begins(server, engine):
    values = by_offset(["봄", " 날", "씨", "!"], [0, 1, 3, 4], [None, -1.0, -2.0, -0.5])
    server.answers = [scores(values, "봄 날씨!")]
    (score,) = engine.score([ScoreRequest("봄", " 날씨")])
    assert [token.logprob for token in score.tokens] == [-1, -2] and score.total == -3
    assert not score.is_greedy and score.tokens[0].token == UNKNOWN_TOKEN
    assert server.bodies[0]["prompt"] == "봄 날씨" and server.bodies[0]["max_tokens"] == 1


@pytest.mark.parametrize(
    "tokens, begins, values, text, message",
    [
        (["봄 날"], [0], [None], "봄 날", "'봄 날' belongs to the context and to the text"),
        (["봄", " 날"], [0, 1], [None, -1.0], " 날", "no log-probabilities of the tokens of a pr"),
        (["봄", " 날"], [-1, -1], [None, -1.0], "봄 날", "does not tell where tokens begin"),
        (["날"], [3], [-1.0], "봄 날날", "does not tell where tokens begin"),
        (["봄", " 날"], [0, 1], [None, None], "봄 날", "of the first token of a text"),
    ],
)
@of_kind("other")
def test_text_whose_continuation_cannot_be_scored(
    server, engine, tokens, begins, values, text, message
):
    server.answers = [scores(by_offset(tokens, begins, values), text)]
    with pytest.raises(RequestError, match=message):
        engine.score([ScoreRequest("봄", " 날")])


@of_kind("python")
def test_values_that_llama_cpp_python_gives_to_other_tokens_are_refused(server, engine):
    values = by_offset(["봄", " 날"], [0, 1], [None, -1.0])
    server.answers = [scores(values, "봄 날", prompt_tokens=3)]
    assert engine.score([ScoreRequest("봄", " 날")])[0].total == -1
    server.answers = [scores(values, "봄 날", prompt_tokens=2)]
    with pytest.raises(RequestError, match="the log-probability of another"):
        engine.score([ScoreRequest("봄", " 날")])
    with pytest.raises(RequestError, match="give context and continuation, both as text"):
        engine.score([ScoreRequest("봄 날")])


@of_kind("other")
def test_vectors(server, engine):
    one, two = engine.embed(["봄", "봄날"])
    assert one.dtype == np.float32 and one.tolist() == [1, 2] and two.tolist() == [2, 2]


def test_a_server_without_vectors(engine):
    with pytest.raises(RequestError, match="no vectors of this model.* answers 404: Not Found"):
        engine.embed("봄")


def test_the_model_has_to_be_there(server):
    with pytest.raises(ConfigError, match=r"no model 'other'; it has \['m'\]"):
        RemoteEngine(server.url, "other")
    server.models = [*server.models, {"id": "n", "owned_by": "vllm"}]
    with pytest.raises(ConfigError, match=r"has the models \['m', 'n'\]; name one of them"):
        RemoteEngine(server.url)
    with RemoteEngine(server.url + "/v1/", "n") as engine:
        assert engine.model == "n"
    server.models = None
    with pytest.raises(RequestError, match="answers 404"):
        RemoteEngine(server.url)
    with RemoteEngine(server.url, "x") as engine:
        assert engine.model == "x" and "not known" in engine.kind


OTHERS = {
    "a page": b"<html>login",
    "a list": b"[1]",
    "no list of models": b"{}",
    "a number of models": b'{"data": 5}',
    "no UTF-8": b"{\xc8}",
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_another_server_is_a_wrong_option_and_is_asked_once(server, content):
    asked = []

    def answer(handler):
        asked.append(handler.path)
        handler.send(200, content, len(content), "text/html")

    server.answer_get = answer
    with pytest.raises(ConfigError, match="answers no .*; give the address of a server") as caught:
        RemoteEngine(server.url)
    assert caught.value.exit_code == 64 and asked == ["/v1/models"]


def test_a_server_that_fails_when_it_is_looked_at_is_tried_again(server):
    server.answer_get = lambda handler: status(503, "loading")(handler, None)
    settings = RemoteConfig(retries=1)
    with pytest.raises(ServerError, match="answers 503: loading, at 2 attempts") as caught:
        RemoteEngine(server.url, settings=settings)
    assert caught.value.exit_code == 70


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "", 5, "http://[::1"])
def test_what_is_no_address(url):
    with pytest.raises(ConfigError, match="is no address"):
        RemoteEngine(url)


def test_nobody_at_the_address():
    with model_server() as server:
        url = server.url
    with pytest.raises(ServerError, match="is not reached"):
        RemoteEngine(url, settings=RemoteConfig(retries=0))


def test_the_key_is_sent_and_no_secret_is_told(server):
    with RemoteEngine(server.url, key=" k-1\n") as engine:
        engine.generate([REQUEST])
        assert server.headers["Authorization"] == "Bearer k-1"
    url = server.url.replace("//", "//user:secret@")
    server.answers = [status(400, "no")]
    with RemoteEngine(url) as engine:
        with pytest.raises(RequestError) as caught:
            engine.generate([REQUEST])
        assert server.headers["Authorization"].startswith("Basic ")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        RemoteEngine(server.url, key="열쇠")
    assert "열쇠" not in str(caught.value)
    with pytest.raises(ConfigError, match="give either"):
        RemoteEngine(url, key="k")


@pytest.mark.parametrize("field, value", [("requests", 0), ("retries", -1), ("timeout", 0)])
def test_limits_have_bounds(field, value):
    with pytest.raises(ConfigError, match=f"RemoteConfig.{field}={value}"):
        RemoteConfig(**{field: value})


def test_a_file_of_prompts_names_the_line_that_the_server_refuses(server, engine, tmp_path):
    prompts, output = tmp_path / "in.jsonl", str(tmp_path / "out.jsonl")
    prompts.write_text('{"prompt": "봄"}\n{"prompt": "여름"}\n{"prompt": "가을"}\n')
    file = read_prompts(str(prompts), output, GREEDY, {"engine": "x"})
    server.answers = [status(400, "no")]
    with RemoteEngine(server.url, settings=RemoteConfig(requests=1)) as serial:
        with pytest.raises(DataError, match="in.jsonl:1: .*answers 400: no"):
            continue_file(serial, file)
    continue_file(engine, read_prompts(str(prompts), output, GREEDY, {"engine": "x"}))
    lines = [json.loads(line) for line in open(output, encoding="utf-8")]
    assert [line["text"] for line in lines] == ["가나다"] * 3
    assert lines[0]["completion_tokens"] == 3


def test_the_command_continues_a_file_of_prompts_by_a_server(server, tmp_path):
    prompts, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    prompts.write_text('{"prompt": "봄", "seed": 3}\n{"prompt": "여름"}\n')
    options = (f"--engine={server.url}/v1", f"--prompts={prompts}", f"--output={output}")
    result = launch("generate.py", *options, variables={KEY_VARIABLE: "k-1"})
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["text"] for line in output.open()] == ["가나다"] * 2
    assert server.headers["Authorization"] == "Bearer k-1"
    assert sorted(body["seed"] for body in server.bodies) == [1, 3]
    record = json.loads((tmp_path / "out.jsonl.settings.json").read_text())
    assert record["engine"] == server.url and record["model"] == "m"
    assert "k-1" not in json.dumps(record)


def test_a_text_is_printed_while_it_comes(engine, capsys):
    print_text(engine, "봄", GREEDY, is_streamed=True)
    shown = capsys.readouterr()
    assert shown.out == "봄가나다\n" and shown.err.startswith("3 tokens in ")
    print_text(engine, "봄", GREEDY, is_streamed=False)
    assert capsys.readouterr().out == "봄가나다\n"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"engine": "http://x", "model_dir": "runs/a"}, "--model_dir=runs/a does not go with"),
        ({"engine": "http://x", "step": 3}, "--step=3 does not go with --engine"),
        ({"engine": "http://x", "dtype": "float32"}, "--dtype=float32 does not go with --engine"),
        ({"model_dir": "runs/a", "model": "m"}, "--model=m names a model of a server"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    nothing = dict.fromkeys(("model_dir", "step", "dtype", "engine", "model"))
    with pytest.raises(ConfigError, match=message):
        model_source(**{**nothing, **options}, rows=1)
