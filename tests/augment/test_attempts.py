"""Attempts against sums of log-probabilities, by an engine whose log-probabilities are a table, and
under grammars by a small model that writes as wildly as can be.
"""

import contextlib
import dataclasses
import math

import numpy as np
import pytest

from hclx.augment.attempts import Attempts, normalised
from hclx.augment.line_filters import Bounds
from hclx.augment.words import built_in_prompt
from hclx.config import ModelConfig
from hclx.errors import ConfigError, DataError
from hclx.evaluate.item_prompts import Reader
from hclx.infer import RequestError, SamplingConfig
from tests.helpers.byte_tokenizer import ByteTokenizer
from tests.helpers.engines import engine_of
from tests.helpers.few_shot import byte_reader
from tests.helpers.labelled_texts import COMMANDS, LABELS, SEEDS, augmentation
from tests.helpers.numpy_decoder import noisy_params
from tests.helpers.scripted_engine import ScriptedEngine

READER = byte_reader()
CONFIG = ModelConfig(vocab_size=256, n_layers=1, d_model=32, n_heads=4, max_length=2048)
WILD = SamplingConfig(temperature=2.0, top_p=1.0)


def attempts(engine, reader=READER, overlap=None, **settings):
    return Attempts(engine, reader, augmentation(**settings), overlap)


def always(text, **options):
    return ScriptedEngine(lambda prompt, seed: text, **options)


def table_logprob(engine, prompt, answer):
    """The log-probability of an answer behind a prompt, byte by byte."""
    text = list((prompt + answer).encode())
    first = len(text) - len(answer.encode())
    return sum(engine.log_p[text[i - 1], text[i]] for i in range(first, len(text)))


def shares(engine, prompt, words):
    """Key -> probability by the table, in the plainest way."""
    weights = {key: math.exp(table_logprob(engine, prompt, text)) for key, text in words.items()}
    return {key: weight / sum(weights.values()) for key, weight in weights.items()}


def test_a_soft_label_is_the_whole_label_behind_the_text():
    engine = always(" 볼만하다 (감정: 긍정)")
    made = attempts(engine)
    (record,) = made.make([5])
    words = {key: f" (감정: {text})" for key, text in LABELS.items()}
    expected = shares(engine, made.text_of(made.draft(5)) + "볼만하다", words)
    assert record["soft_label"] == pytest.approx(expected, abs=1e-6)
    assert record["text"] == "볼만하다" and record["label"] == "1" and not record["reason"]
    assert 0.001 < record["soft_label"]["1"] < 0.999  # the comparison could fail


def test_a_label_that_begins_as_another_has_its_own_probability():
    labels = {"a": "긍정", "b": "긍정적", "c": "부정"}
    engine = always(" 볼만하다 (감정: 긍정적)", seed=3)
    seeds = [dataclasses.replace(seed, label="abc"[n % 3]) for n, seed in enumerate(SEEDS)]
    made = attempts(engine, labels=labels, seeds=seeds)
    (record,) = made.make([0])
    words = {key: f" (감정: {text})" for key, text in labels.items()}
    expected = shares(engine, made.text_of(made.draft(0)) + "볼만하다", words)
    assert record["label"] == "b" and record["soft_label"] == pytest.approx(expected, abs=1e-6)


def test_an_engine_that_does_not_score_gives_the_written_labels():
    engine = always(" 볼만하다 (감정: 긍정)")
    engine.score = None
    (record,) = attempts(engine, soft_labels=False).make([0])
    assert record["label"] == "1" and "soft_label" not in record and not record["reason"]


def test_log_probabilities_far_below_zero_are_normalised():
    assert normalised({"a": -5000.0, "b": -5000.0 - math.log(3)}) == pytest.approx(
        {"a": 0.75, "b": 0.25}
    )


def test_the_prompt_has_the_drawn_examples_and_the_record_their_ids():
    engine = always(" 볼만하다 (감정: 긍정)")
    records = attempts(engine, shots=3).make(range(20))
    texts = {seed.id: seed.text for seed in SEEDS}
    for prompt, record in zip(engine.prompts, records, strict=True):
        lines = prompt.split("\n")[2:-1]
        assert [line.split(": ", 1)[1].rsplit(" (", 1)[0] for line in lines] == [
            texts[name] for name in record["examples"]
        ]
        assert prompt.endswith("\n영화 평:")  # the space belongs to the line
    assert len({tuple(record["examples"]) for record in records}) > 10


def test_an_attempt_is_a_function_of_its_number():
    engine = ScriptedEngine(lambda prompt, seed: f" 볼만하다 {seed} (감정: 긍정)")
    whole = attempts(engine).make(range(40))
    assert attempts(engine).make([31, 7]) == [whole[31], whole[7]]
    assert attempts(engine, seed=1).make([7]) != [whole[7]]
    assert len({record["text"] for record in whole}) == 40


def test_examples_that_have_no_room_are_left_out():
    engine, bounds = always(" 볼만하다 (감정: 긍정)"), Bounds(max_chars=20)
    reserved = 4 * 21 + len(" 감정 () : 긍정")  # at most
    (long,) = attempts(engine, shots=4, bounds=bounds).make([0])
    length = len(engine.prompts[0].encode()) + reserved
    reader = Reader(ByteTokenizer(256), length, (1,))
    (short,) = attempts(engine, reader, shots=4, bounds=bounds).make([0])
    assert 0 < len(short["examples"]) <= 4 == len(long["examples"])
    reader = Reader(ByteTokenizer(256), length - 60, (1,))
    (shorter,) = attempts(engine, reader, shots=4, bounds=bounds).make([0])
    assert shorter["examples"] == long["examples"][4 - len(shorter["examples"]) :]
    assert len(shorter["examples"]) < 4
    with pytest.raises(ConfigError, match="tokens without examples, and with a line of"):
        attempts(engine, Reader(ByteTokenizer(256), 120, (1,)), bounds=bounds).make([0])


def test_a_second_pass_asks_behind_other_examples():
    engine = always(" 볼만하다 (감정: 긍정)")
    made = attempts(engine, bounds=Bounds(min_agreement=0.5))
    records = made.make(range(12))
    words = {key: f" (감정: {text})" for key, text in LABELS.items()}
    contexts = {
        bytes(token for token in request.context if token > 1).decode()
        for request in engine.calls
        if hasattr(request, "continuation")
    }
    second = contexts - {made.text_of(made.draft(n)) + "볼만하다" for n in range(12)}
    assert len(second) > 6
    # The table knows the last byte alone, so that all contexts give one distribution.
    expected = shares(engine, "볼만하다", words)["1"]
    assert {record["filters"]["agreement"] for record in records} == {round(expected, 6)}
    reason = "" if expected >= 0.5 else "a second pass gives another label"
    assert {record["reason"] for record in records} == {reason}
    (stricter,) = attempts(engine, bounds=Bounds(min_agreement=expected + 1e-4)).make([0])
    assert stricter["reason"] == "a second pass gives another label"


def test_classes_take_turns_and_have_examples_of_the_others():
    engine = always(" 노래 틀어 줘")
    labels = {"음악": "음악 재생", "날씨": "날씨 질문"}
    records = attempts(engine, template="transfer", labels=labels, seeds=COMMANDS).make(range(6))
    assert [record["label"] for record in records] == ["음악", "날씨"] * 3
    for prompt, record in zip(engine.prompts, records, strict=True):
        assert prompt.endswith(f"의도: {labels[record['label']]}\n문장:")
        others = {seed.id for seed in COMMANDS if seed.label != record["label"]}
        assert set(record["examples"]) <= others and len(record["examples"]) == 2
        assert "soft_label" not in record
    bare = attempts(engine, template="transfer", labels=labels, seeds=()).make([0])
    assert bare[0]["examples"] == [] and bare[0]["text"] == "노래 틀어 줘"


def test_the_second_pass_of_a_text_of_a_class_compares_the_names():
    engine = always(" 노래 틀어 줘")
    labels = {"음악": "음악 재생", "날씨": "질문"}
    made = attempts(
        engine, template="transfer", labels=labels, seeds=(), bounds=Bounds(min_agreement=0.01)
    )
    (record,) = made.make([0])
    # Behind both names stands the same, so that the table cannot tell them apart.
    assert record["filters"]["agreement"] == pytest.approx(0.5)


def test_slots_have_examples_of_their_class():
    engine = always(" [오늘](날짜) 비 와?")
    labels = {"날씨": "날씨", "알람": "알람"}
    records = attempts(engine, template="slots", labels=labels, seeds=COMMANDS).make(range(4))
    classes = {seed.id: seed.label for seed in COMMANDS}
    for record in records:
        assert {classes[name] for name in record["examples"]} == {record["label"]}
        assert record["slots"] == [{"type": "날짜", "start": 0, "end": 2}]
        assert record["text"] == "오늘 비 와?" and record["marked"] == "[오늘](날짜) 비 와?"


def test_an_engine_without_grammars_is_told_how_to_go_on():
    class Server(ScriptedEngine):
        def generate(self, requests):
            if requests[0].grammar is not None:
                raise RequestError("grammar: llama.cpp is not known to follow a regex")
            return super().generate(requests)

    pytest.importorskip("llguidance")
    engine = Server(
        lambda prompt, seed: " 좋다" if seed % 2 else " 볼만하다 (감정: 긍정)\n영화 평: 싫"
    )
    with pytest.raises(ConfigError, match="With --nogrammar lines are written without"):
        attempts(engine, follows_grammar=True).make([0])
    records = attempts(engine).make(range(30))
    unread = [record for record in records if record["reason"] == "could not be read"]
    assert 0 < len(unread) < 30 and {record["raw"] for record in unread} == {" 좋다"}
    assert {record["text"] for record in records if "text" in record} == {"볼만하다"}


@pytest.mark.parametrize(
    "changes, error, message",
    [
        ({"seeds": ()}, ConfigError, "goes on behind examples"),
        ({"shots": 0}, ConfigError, "shots=1 or more"),
        ({"selection": "best"}, ConfigError, "selection='best': give uniform"),
        ({"seeds": COMMANDS}, DataError, "a seed has the label '날씨', which is none of 0, 1"),
        (
            {"template": "slots", "labels": {"날씨": "a", "음악": "b"}, "seeds": COMMANDS[:2]},
            DataError,
            "no seed has the label '음악'",
        ),
    ],
)
def test_settings_that_do_not_go_together(changes, error, message):
    with pytest.raises(error, match=message):
        augmentation(**changes)
    with pytest.raises(ConfigError, match="give hypermix, gpt3mix"):
        built_in_prompt("mix", "가", "나", LABELS)
    with pytest.raises(ConfigError, match="give --text_type and --label_type"):
        built_in_prompt("hypermix", "", "나", LABELS)


@pytest.fixture(scope="module")
def model():
    """A small model with random weights, whose tokens are bytes."""
    with engine_of(noisy_params(CONFIG), CONFIG, ByteTokenizer(256), rows=8) as engine:
        yield engine


class TestModel:
    """A model that writes as wildly as can be, so that what is read is the grammar's doing."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"template": "hypermix"},
            {"template": "transfer", "labels": {"날씨": "날씨", "알람": "알람"}, "seeds": COMMANDS},
            {"template": "slots", "labels": {"날씨": "날씨", "알람": "알람"}, "seeds": COMMANDS},
        ],
        ids=lambda changes: changes["template"],
    )
    def test_every_line_can_be_read(self, model, changes):
        pytest.importorskip("llguidance")
        reader = Reader(ByteTokenizer(256), 2048, (1,))
        settings = {"follows_grammar": True, "sampling": WILD, "shots": 1, **changes}
        bounds = Bounds(max_chars=8, language="")
        records = attempts(model, reader, bounds=bounds, **settings).make(range(8))
        assert all("text" in record for record in records), [r for r in records if "text" not in r]
        assert all(record["text"] and "\n" not in record["text"] for record in records)
        if changes["template"] == "hypermix":
            assert {record["label"] for record in records} <= {"0", "1"}
            assert max(len(record["text"]) for record in records) <= 9
        if changes["template"] == "slots":
            kinds = {"날씨": {"날짜", "장소"}, "알람": {"시간", "날짜"}}
            for record in records:
                assert {slot["type"] for slot in record["slots"]} <= kinds[record["label"]]
            assert any(record["slots"] for record in records)

    def test_the_embeddings_of_an_engine_choose_examples(self, model):
        vectors = np.array(model.embed([seed.text for seed in SEEDS]))
        made = Attempts(model, READER, augmentation(selection="near"), None, vectors)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T - 2 * np.eye(len(SEEDS))
        for number in range(8):
            nearest, drawn = made.draft(number).examples
            assert nearest == cosines[drawn].argmax()


@contextlib.contextmanager
def served(kind):
    """A server of a kind, and an engine over it."""
    from hclx.infer import RemoteEngine
    from tests.helpers.model_server import model_server

    with model_server(kind) as server:
        server.models[0]["max_model_len"] = 4096
        with RemoteEngine(server.url) as engine:
            yield server, engine


def test_a_server_writes_lines_with_and_without_grammars():
    pytest.importorskip("httpx2")
    pytest.importorskip("llguidance")
    settings = {"template": "transfer", "labels": {"음악": "음악 재생"}, "seeds": ()}
    with served("vllm") as (server, engine):
        (record,) = attempts(engine, follows_grammar=True, **settings).make([0])
        assert record["text"] == "가나다" and record["label"] == "음악"
        (body,) = server.bodies
        assert body["structured_outputs"]["regex"].startswith(" [^") and "stop" not in body
        assert bytes(body["prompt"][1:]).decode().endswith("의도: 음악 재생\n문장:")
    with served("llama.cpp") as (server, engine):
        with pytest.raises(ConfigError, match=r"llama\.cpp is not known to follow a regex.*--nogr"):
            attempts(engine, follows_grammar=True, **settings).make([0])
        (record,) = attempts(engine, **settings).make([0])
        assert record["text"] == "가나다" and server.bodies[0]["stop"] == ["\n"]
