"""Requests with values that nobody should send: each gets a clear error or what it asks for, all
others are served, and nothing hangs.
"""

import dataclasses
import threading
import time

import numpy as np
import pytest

from hclx.config import ModelConfig
from hclx.errors import ConfigError
from hclx.infer import EngineConfig, GenerateRequest, RequestError, SamplingConfig, ScoreRequest
from hclx.infer.ticket import Ticket
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.numpy_decoder import noisy_params

# The first 128 tokens are bytes; the others are rows of the embedding that no tokenizer uses.
CONFIG = ModelConfig(vocab_size=300, n_layers=1, d_model=16, n_heads=2, max_length=128)
SAMPLING = SamplingConfig(max_tokens=5, temperature=1.0)
HUGE = 10**5000  # more digits than Python writes


def new_engine(**settings):
    params = noisy_params(CONFIG)
    return engine_of(params, CONFIG, ByteTokenizer(256), rows=3, prefix_tokens=64, **settings)


@pytest.fixture(scope="module")
def engine():
    with new_engine() as engine:
        yield engine
        assert len(engine.generate([asking()])[0][0].tokens) == 5  # all others left it alive


def asking(prompt="A", sampling=(), **fields):
    """A request; `sampling` is a dictionary of settings."""
    settings = dataclasses.replace(SAMPLING, **dict(sampling))
    return GenerateRequest(prompt, settings, **fields)


def check_refused(engine, request, message):
    with pytest.raises(ConfigError, match=message) as caught:
        engine.submit(request() if callable(request) else request).result(60)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "request_, message",
    [
        (asking(n=True), "n=True is out of range: give 1 to 1,024"),
        (asking(n=10**6), "n=1000000 is out of range: give 1 to 1,024"),
        (asking(n=HUGE), "n=<a value of int with thousands of digits>"),
        (asking(n=2.0), "n=2.0"),
        (asking(n=3), "n=3: `submit` takes one"),
        (asking(deadline="soon"), "deadline='soon': give 0 seconds or more"),
        (asking(deadline=True), "deadline=True"),
        (asking(deadline=-HUGE), "deadline=<a value"),
        (asking((65, True)), "prompt has True, which is no token id"),
        (asking((HUGE,)), "prompt has the token id <a value"),
        (asking(np.array([[65, 66]])), r"prompt has array\(\[65, 66\]\), which is no token id"),
        (asking(b"AB"), "the prompt is b'AB': give a text or token ids"),
        (asking(tenant=None), "tenant=None: give a text"),
        (ScoreRequest("AB", tenant=5), "tenant=5"),
        (asking(artefact="mine"), "artefact='mine': this engine has none"),
        (ScoreRequest("AB", artefact="mine"), "artefact='mine': this engine has none"),
        (ScoreRequest("AB", top=1.5), "top=1.5 is out of range: give 0 to 20"),
        (ScoreRequest("AB", top=True), "top=True"),
        (ScoreRequest("AB", top="5"), "top='5'"),
        (GenerateRequest("A", None), "sampling=None: give a SamplingConfig"),
        (GenerateRequest("A", {"max_tokens": 5}), "sampling={'max_tokens': 5}: give a"),
        (None, "a request is None: give a GenerateRequest"),
        ("A", "a request is 'A': give a GenerateRequest"),
        (asking(sampling={"allowed_tokens": (0, 299)}), "has control symbols alone"),
        (asking(sampling={"allowed_tokens": (1,), "min_tokens": 2}), "min_tokens=2 before"),
        (
            asking(sampling={"allowed_tokens": (65,), "stop_ids": (65,), "min_tokens": 2}),
            "min_tokens=2 before",
        ),
        (lambda: asking(sampling={"temperature": float("nan")}), "temperature=nan is out of range"),
        (lambda: asking(sampling={"temperature": np.complex64(1)}), "temperature=np.complex64"),
        (lambda: asking(sampling={"min_tokens": True}), "min_tokens=True: give a whole number"),
        (lambda: asking(sampling={"max_tokens": -HUGE}), "max_tokens=<a value of int with"),
        (lambda: asking(sampling={"logit_bias": {65: HUGE}}), "logit_bias=<a value of dict with"),
        (lambda: asking(sampling={"stop": ("끝",) * 257}), "stop=.*: give at most 256 texts"),
    ],
)
def test_a_value_of_another_kind_is_refused(engine, request_, message):
    check_refused(engine, request_, message)


@pytest.mark.parametrize(
    "request_",
    [
        asking(np.array([65, 66])),
        asking((np.int64(65), np.uint8(66))),
        asking(n=np.int32(1), deadline=np.float32(60)),
        asking(deadline=HUGE),
        asking(deadline=float("inf")),
        asking(tenant="\ud800"),
        asking("A\0B\0"),
        asking("A\ud800"),
        asking(sampling={"temperature": np.float32(0.5), "max_tokens": np.int64(5)}),
        asking(sampling={"seed": HUGE, "top_k": HUGE}),
        asking(sampling={"logit_bias": {np.int64(0): 100, 299: 100}}),  # they are never written
        asking(sampling={"logit_bias": {token: -100 for token in range(300)}}),
        asking(sampling={"stop": ("\ud800", "\0", "x" * 10_000)}),
        asking(sampling={"stop": tuple(f"{i:09}" for i in range(256))}),
        asking(sampling={"min_tokens": 5, "stop_ids": tuple(range(2, 300))}),
    ],
)
def test_an_unusual_value_is_served(engine, request_):
    tokens = engine.submit(request_).result(60).tokens
    assert len(tokens) == 5 or request_.sampling.stop_ids
    assert min(tokens, default=65) > 1 and max(tokens, default=65) < 256


def test_labels_of_any_kind_of_sequence(engine):
    expected = engine.choose("A", ["B", "C"])
    for labels in (np.array(["B", "C"]), ("B", "C"), (label for label in "BC")):
        assert engine.choose("A", labels) == expected
    assert engine.choose((65,), [(66,), (67,)]).index in (0, 1)


def test_nothing_is_begun_if_one_request_of_a_call_is_wrong(engine, monkeypatch):
    begun = []
    monkeypatch.setattr(engine, "_put", lambda task: begun.append(task))
    for call, good, bad in (
        (engine.score, ScoreRequest("AB"), ScoreRequest("")),
        (engine.generate, asking(), asking(n=0)),
        (engine.embed, "A", None),
    ):
        with pytest.raises(RequestError):
            call([good, bad])
    assert not begun


@pytest.mark.parametrize("value", [asking(), ScoreRequest("AB"), "AB", b"AB", 5, None, {"a": 1}])
def test_what_is_no_list_is_refused(engine, value):
    for method in (engine.generate, engine.score, lambda value: engine.choose("A", value)):
        with pytest.raises(
            RequestError, match=r"(requests|labels)=.*: give a list of (requests|texts)$"
        ):
            method(value)
    if not isinstance(value, str):
        with pytest.raises(RequestError, match="texts=.*: give a list of texts$"):
            engine.embed(value)


def test_any_iterable_is_a_list(engine):
    assert engine.generate(iter([asking()])) == engine.generate([asking()])
    assert (
        engine.score(iter([ScoreRequest("AB")]))[0].total
        == engine.score([ScoreRequest("AB")])[0].total
    )
    assert engine.embed("AB")[0].shape == engine.embed(iter(["AB"]))[0].shape


def test_a_call_that_is_interrupted_leaves_nothing_running(engine, monkeypatch):
    tickets = []

    def interrupted(self, timeout=None):
        tickets.append(self)
        raise KeyboardInterrupt

    long = asking(sampling={"max_tokens": 120, "min_tokens": 120}, n=50)
    with monkeypatch.context() as patch:
        patch.setattr(Ticket, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.generate([long])
    assert tickets[0].result(60).stop_reason == "cancelled"
    engine.generate([asking()])
    assert not engine._waiting


def test_a_text_may_be_iterated_over_again(engine):
    ticket = engine.submit(asking())
    parts = list(ticket)
    assert "".join(parts) == ticket.result().text and list(ticket) == []


class Panic(BaseException):
    """What libraries in Rust raise is no Exception."""


def test_callers_of_an_engine_that_fails_or_is_closed_do_not_wait_for_it():
    engine = new_engine()

    def fail(chunk):
        raise Panic("a fault of a library")

    engine._device.read = fail
    with pytest.raises(RequestError, match="the engine ended: Panic"):
        engine.submit(asking()).result(60)
    for call in (engine.warm_up, lambda: engine.submit(asking())):
        with pytest.raises(RequestError, match="is closed"):
            call()
    engine.close()


def test_requests_that_arrive_while_the_engine_is_closed_end():
    engine, ended = new_engine(), []
    engine.generate([asking()])

    def send():
        try:
            while True:
                assert engine.submit(asking()).result(60).stop_reason in ("length", "cancelled")
        except RequestError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    engine.close()
    for thread in threads:
        thread.join(60)
    assert ended == ["the engine is closed"] * 8


@pytest.mark.parametrize(
    "name, value", [("rows", "8"), ("rows", True), ("steps", 2.0), ("prefix_tokens", None)]
)
def test_sizes_of_another_kind_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"EngineConfig.{name}={value!r}: give a whole number"):
        EngineConfig(**{name: value})


@pytest.mark.parametrize("length", [1, -1])
def test_a_length_without_room_for_a_new_token_is_refused(length):
    with pytest.raises(ConfigError, match=f"EngineConfig.max_length={length} is out of range"):
        EngineConfig(max_length=length)
    assert EngineConfig(max_length=2).max_length == 2


def following(source, **settings):
    grammar = pytest.importorskip("hclx.infer.grammar")
    pytest.importorskip("llguidance")
    return asking(sampling=settings, grammar=grammar.regex(source))


def test_a_grammar_with_other_settings_that_end_a_text(engine):
    """A text that is whole ends, whatever its least length is; else the least length holds."""
    result = lambda *args, **settings: engine.submit(following(*args, **settings)).result(60)
    whole = result("[A-C]{3}", min_tokens=5)
    assert len(whole.text) == 3 and whole.stop_reason == "end"
    assert len(result("[A-C]{2,4}D?", min_tokens=4, logit_bias={1: 100}).text) in (4, 5)
    assert len(result("[A-C]{1,9}", min_tokens=2, max_tokens=9, logit_bias={1: 100}).text) == 2
    stopped = result("A[B-C]{3}", stop=("AB", "AC"))
    assert (stopped.text, stopped.stop_reason) == ("", "stop")
    assert result("[A-C]{3}", stop_ids=(65, 66, 67)).tokens == ()


def test_a_grammar_and_allowed_tokens_that_exclude_each_other(engine):
    first = following("[A-C]{3}", allowed_tokens=(68,))
    check_refused(engine, first, "allowed_tokens have no token in common after ''; change one")
    later = following("A[B-C]", allowed_tokens=(65,))
    check_refused(engine, later, "allowed_tokens have no token in common after 'A'")
    forced = following("[AB]CDEFGH", allowed_tokens=(65, 66, 67, 68))
    check_refused(engine, forced, "allowed_tokens have no token in common after '[AB]CD'")
    both = engine.submit(following("A[B-C]{2}", allowed_tokens=(65, 67))).result(60)
    assert both.text == "ACC"


def test_grammars_of_another_kind_are_refused():
    pytest.importorskip("llguidance")
    from hclx.infer import grammar

    calls = {
        "choices": [5, None, "\ud800"],
        "regex": [None, "\ud800"],
        "lark": [None],
        "json_schema": [None, {"const": float("nan")}],
    }
    for name, values in calls.items():
        for value in values:
            with pytest.raises(RequestError, match=name):
                getattr(grammar, name)([value] if name == "choices" else value)
    with pytest.raises(RequestError, match="give a list of texts"):
        grammar.choices("ABC")


def test_choices_of_any_characters(engine):
    pytest.importorskip("llguidance")
    from hclx.infer import grammar

    label = "".join(map(chr, range(2, 128))) + "가\u2028\ufeff👍"
    request = asking(grammar=grammar.choices([label]), sampling={"max_tokens": 500})
    text = engine.submit(request).result(60).text
    assert label.startswith(text) and len(text) >= 120
