"""A prompt that is run in the Studio, beside what evaluation and the engine make of it."""

import asyncio
import contextlib

import pytest

from hclx.evaluate.item_prompts import Reader, item_prompts
from hclx.evaluate.items import Item
from hclx.evaluate.run_spec import RunSpec
from hclx.evaluate.trial import run_trial
from hclx.infer import GenerateRequest, SamplingConfig
from hclx.prompts import render
from hclx.serve.api_error import ApiError
from hclx.serve.caller import Caller
from hclx.serve.server import build_app
from hclx.studio.running.run_plan import plan_run, read_content
from hclx.studio.running.run_prompt import answer_items, events_of
from hclx.studio.studio import Studio
from tests.helpers.serving import TalkingTokenizer
from tests.helpers.studio import API
from tests.studio.run_contents import (
    CHOOSES,
    EXAMPLES,
    FREE,
    ITEMS,
    MAX_LENGTH,
    WRITES,
    content,
    document_of,
    named,
    results,
    small_backend,
    streamed,
)

TOKENIZER = TalkingTokenizer(256)
READER = Reader(TOKENIZER, MAX_LENGTH, tuple(TOKENIZER.begin_ids))


@pytest.fixture
def service(backend):
    """The parts of a server that everyone may use."""
    return build_app(backend).state.service


@pytest.fixture
def client(studio_client):
    return studio_client


def spec_of(raw):
    """The run of `hclx evaluate` with the document of a content and its own examples."""
    document = document_of(raw)
    items = tuple(Item(str(n), item, "좋음") for n, item in enumerate(ITEMS))
    shots = len(document.examples)
    return RunSpec("식당", "느낌", document, items, draw="fixed", shots=shots)


def evaluated(engine, raw, folder):
    """The samples of `hclx evaluate`."""
    return run_trial(engine, spec_of(raw), 0, READER, folder / "samples.jsonl", lambda n: None)


def generated(engine, text, count=1, **settings):
    """The texts of `hclx generate` behind a text."""
    request = GenerateRequest(text, SamplingConfig(**settings), n=count)
    return engine.generate([request])[0]


def test_a_text_is_that_of_evaluation_and_of_the_engine(client, engine, tmp_path):
    samples = evaluated(engine, content(), tmp_path)
    answers = results(client, content(), items=ITEMS)
    assert [one["prompt"]["text"] for one in answers] == [s["prompt"] for s in samples]
    assert [one["prompt"]["tokens"] for one in answers] == [s["n_tokens"] for s in samples]
    ends = [one["ends"][0] for one in answers]
    assert [end["text"] for end in ends] == [sample["text"] for sample in samples]
    assert [end["answer"] for end in ends] == [sample["prediction"] or None for sample in samples]
    text = render(document_of(content()), ITEMS[1]).text
    written = generated(engine, text, max_tokens=12, temperature=0, stop=("\n\n",))[0]
    assert ends[1]["text"] == written.text and ends[1]["stop_reason"] == written.stop_reason
    usage = ends[1]["usage"]
    n_tokens = 1 + len(text.encode())
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (n_tokens, len(written.tokens))


def test_choices_are_those_of_evaluation(client, engine, tmp_path):
    samples = evaluated(engine, content(CHOOSES), tmp_path)
    for stream in (False, True):
        if stream:
            events = streamed(client, content(CHOOSES), items=ITEMS)
            assert not named(events, "token")
            scores, ends = named(events, "scores"), named(events, "end")
        else:
            answers = results(client, content(CHOOSES), items=ITEMS)
            scores = [one["scores"] for one in answers]
            ends = [end for one in answers for end in one["ends"]]
        scores.sort(key=lambda data: data["item"])
        ends.sort(key=lambda data: data["item"])
        assert [data["answer"] for data in scores] == [s["prediction"] for s in samples]
        assert [end["answer"] for end in ends] == [s["prediction"] for s in samples]
        for data, sample in zip(scores, samples, strict=True):
            totals = {key: facts["logprob"] for key, facts in data["choices"].items()}
            shares = {key: facts["probability"] for key, facts in data["choices"].items()}
            assert totals == pytest.approx({k: s["total"] for k, s in sample["scores"].items()})
            assert shares == pytest.approx(sample["probabilities"])


def test_examples_without_room_are_dropped_as_in_evaluation(client):
    limited = content({**WRITES, "budget": {"tokens": 150, "drop": "last"}})
    prompts, count = item_prompts(spec_of(limited), 0, READER)
    assert 0 < count < len(EXAMPLES)
    (answer,) = results(client, limited, items=ITEMS[2:])
    assert answer["prompt"]["dropped_examples"] == len(EXAMPLES) - count
    assert answer["prompt"]["text"] == prompts[2].text


def test_an_item_without_room_is_refused_and_the_others_are_answered(client):
    items = [ITEMS[0], {"말": "길다 " * 200}, {"글": "말이 없다"}, ITEMS[1]]
    events = streamed(client, content(), items=items)
    errors = {data["item"]: data for data in named(events, "error")}
    assert errors[1]["code"] == "context_length_exceeded" and errors[1]["status"] == 400
    assert "no field '말'" in errors[2]["message"]
    assert sorted(data["item"] for data in named(events, "end")) == [0, 3]
    assert events[-1] == ("done", {})
    alone = client.post(f"{API}/run", json={"content": content(), "items": items[2:3]})
    assert alone.status_code == 400 and "no field '말'" in alone.json()["error"]["message"]


def test_tokens_are_told_with_the_log_probabilities_of_the_engine(client, engine):
    raw = content(FREE, n=2, logprobs=3)
    events = streamed(client, raw, items=[{"글": "가나"}], seed=5)
    settings = {"max_tokens": 12, "temperature": 1, "top_p": 1, "seed": 5, "logprobs": 3}
    expected = generated(engine, "가나", 2, **settings)
    for n, generation in enumerate(expected):
        tokens = [data for data in named(events, "token") if data["n"] == n]
        (end,) = [data for data in named(events, "end") if data["n"] == n]
        assert "".join(data["text"] for data in tokens) == end["text"] == generation.text
        entries = generation.logprobs[: len(tokens)]
        assert [d["logprob"] for d in tokens] == pytest.approx([e.logprob for e in entries])
        tops = [[alternative["logprob"] for alternative in data["top"]] for data in tokens]
        assert tops == [pytest.approx([value for _, value in e.top]) for e in entries]
        for alternative in [each for data in tokens for each in data["top"]]:
            is_text = not alternative["text"].startswith(("bytes:\\x", "token_id:"))
            assert alternative["is_text"] == is_text
        bytes_of = [TOKENIZER.decode_bytes([entry.token]) for entry in entries]
        for data, written in zip(tokens, bytes_of, strict=True):
            is_whole = written.isascii() and written
            assert data["token"] == (written.decode() if is_whole else data["token"])
            assert is_whole or data["token"].startswith(("bytes:\\x", "token_id:"))
    without = streamed(client, content(FREE, logprobs=0), items=[{"글": "가나"}], seed=5)
    assert {data["logprob"] for data in named(without, "token")} == {None}


def test_the_bytes_of_a_character_are_tokens_and_its_text_is_whole(client):
    spoken = {**FREE, "grammar": {"choices": ["뷁"]}}
    events = streamed(client, content(spoken), items=[{"글": "가"}])
    tokens = named(events, "token")
    assert [data["text"] for data in tokens] == ["", "", "뷁"]
    assert [data["token"] for data in tokens] == ["bytes:\\xeb", "bytes:\\xb7", "bytes:\\x81"]


def test_a_seed_is_told_that_repeats_an_item(client):
    items = [{"글": "가"}, {"글": "나"}, {"글": "나"}]
    first = results(client, content(FREE, n=3), items=items)
    seeds = [one["prompt"]["seed"] for one in first]
    assert seeds[1:] == [(seeds[0] + 3) % 2**32, (seeds[0] + 6) % 2**32]
    texts = lambda answer: [end["text"] for end in answer["ends"]]
    assert len({text for one in first for text in texts(one)}) > 3
    (again,) = results(client, content(FREE, n=3), items=items[1:2], seed=seeds[1])
    assert texts(again) == texts(first[1]) != texts(first[2])
    own = content({**FREE, "sampling": {**FREE["sampling"], "seed": 7}})
    assert results(client, own, items=items)[0]["prompt"]["seed"] == 7


def test_what_is_written_already_is_read_with_the_prompt(client, engine):
    text = render(document_of(content()), ITEMS[0]).text
    raw = content({**WRITES, "parser": {"kind": "regex", "pattern": "(정말)"}})
    (answer,) = results(client, raw, items=ITEMS[:1], written=" 정말")
    expected = generated(engine, f"{text} 정말", max_tokens=12, temperature=0, stop=("\n\n",))[0]
    assert answer["prompt"]["text"] == f"{text} 정말"
    assert answer["ends"][0]["text"] == expected.text and answer["ends"][0]["answer"] == "정말"
    refused = client.post(f"{API}/run", json={"content": content(CHOOSES), "written": " 칭"})
    assert refused.json()["error"]["param"] == "written"


def test_a_chat_is_that_of_the_route_for_chats(client):
    chat = {"system": "짧게", "turns": [{"user": "안녕", "assistant": "네"}]}
    raw = content({**FREE, "sampling": {"max_tokens": 9}}, view="chat", chat=chat)
    (answer,) = results(client, raw, items=[{"message": "뭐해"}])
    (gone_on,) = results(client, raw, items=[{"message": "뭐해"}], written="음")
    assert gone_on["prompt"]["text"] == answer["prompt"]["text"] + "음"
    assert gone_on["prompt"]["tokens"] == answer["prompt"]["tokens"] + len("음".encode())
    messages = [("system", "짧게"), ("user", "안녕"), ("assistant", "네"), ("user", "뭐해")]
    body = {"model": "tiny", "max_tokens": 9, "temperature": 0, "top_p": 0.95}
    body["messages"] = [{"role": role, "content": text} for role, text in messages]
    expected = client.post("/v1/chat/completions", json=body).json()
    assert answer["ends"][0]["text"] == expected["choices"][0]["message"]["content"]
    assert answer["prompt"]["tokens"] == expected["usage"]["prompt_tokens"]
    refused = client.post(f"{API}/run", json={"content": raw, "items": [{"글": "뭐해"}]})
    assert "'message'" in refused.json()["error"]["message"]


def forced(text, **fields):
    """A content whose answer is a text."""
    free = {**FREE, "sampling": {"max_tokens": 60}}
    return content({**free, "grammar": {"choices": [text]}}, **fields)


@pytest.mark.parametrize(
    "server, own, text, is_blocked",
    [
        (None, None, "너는 바보.", False),
        (None, 0, "너는 바보.", True),
        (None, 0, "이 녀석.", False),
        (None, 1, "이 녀석.", True),
        (1, 0, "이 녀석.", True),  # as strict as the server
        (0, 1, "이 녀석.", True),
    ],
)
def test_the_filter_of_a_content_is_never_less_strict_than_the_server(
    engine, server, own, text, is_blocked
):
    service = build_app(small_backend(engine, block=server)).state.service
    raw = forced(text, **({} if own is None else {"block": own}))

    async def run():
        plan = await plan_run(service, Caller("k"), read_content(raw))
        return [event async for event in events_of(plan, [{"글": "가"}])]

    events = asyncio.run(run())
    (end,) = named(events, "end")
    assert (end["stop_reason"] == "content_filter") == is_blocked
    assert end["text"] == ("" if is_blocked else text)
    sent = "".join(data["text"] for data in named(events, "token"))
    assert sent == end["text"] and events[-1][0] == "done"
    levels = {finding["category"]: finding["level"] for finding in end["findings"]}
    assert levels["insult"] == (0 if "바보" in text else 1)


def test_a_filter_that_is_not_there_is_not_asked_for(engine):
    backend = small_backend(engine)
    service = build_app(type(backend)(engine, TOKENIZER, {"tiny": None}, 64)).state.service
    with pytest.raises(ApiError, match="no filter"):
        asyncio.run(plan_run(service, Caller("k"), read_content(forced("가", block=1))))


def test_a_pattern_that_takes_years_is_stopped(client):
    slow = {**FREE, "parser": {"kind": "regex", "pattern": "((?:가|가)+)나"}}
    slow |= {"grammar": {"choices": ["가" * 60 + "다나"]}, "sampling": {"max_tokens": 200}}
    (event,) = named(streamed(client, content(slow), items=[{"글": "가"}]), "error")
    assert "takes more than 1 second" in event["message"]


def test_answers_for_apps_and_batches(service, engine):
    studio = Studio(service, None)
    answer = lambda raw, items: asyncio.run(
        answer_items(studio, Caller("k"), read_content(raw), items)
    )
    good, bad = answer(content(n=3), [ITEMS[0], {}])
    assert set(good) == set(bad) == {"answer", "text", "choices", "usage", "ms", "error"}
    text = render(document_of(content()), ITEMS[0]).text
    expected = generated(engine, text, max_tokens=12, temperature=0, stop=("\n\n",))[0]
    assert good["text"] == expected.text and good["choices"] is good["error"] is None
    assert bad["error"]["status"] == 400 and bad["text"] is bad["usage"] is None
    (chosen,) = answer(content(CHOOSES), ITEMS[:1])
    assert chosen["answer"] == max(chosen["choices"], key=chosen["choices"].get)
    assert sum(chosen["choices"].values()) == pytest.approx(1)
    with pytest.raises(ApiError, match="'old' is not served"):
        answer(content(model="old"), ITEMS)


def long_run():
    """A content whose texts take as long as the model can write."""
    sampling = {"max_tokens": 500, "min_tokens": 500, "temperature": 1}
    return content({**FREE, "sampling": sampling}, n=2)


def test_who_stops_listening_cancels_all_items(service):
    async def leave():
        plan = await plan_run(service, Caller("k"), read_content(long_run()))
        async with contextlib.aclosing(events_of(plan, [{"글": "가"}] * 20)) as events:
            async for name, _ in events:
                if name == "token":
                    break
        assert service.admission.n_running == service.admission.n_waiting == 0

    asyncio.run(leave())


def test_a_server_that_ends_says_so_and_is_not_done(service):
    async def run():
        plan = await plan_run(service, Caller("k"), read_content(long_run()))
        told = []
        async for event in events_of(plan, [{"글": "가"}] * 6):
            if event[0] == "token" and not named(told, "token"):
                service.admission.is_draining = True
                service.end()
            told.append(event)
        return told

    try:
        events = asyncio.run(run())
    finally:
        service.admission.is_draining = False
    assert {data["code"] for data in named(events, "error")} == {"shutting_down"}
    assert {data["item"] for data in named(events, "error")} == set(range(6))
    assert not named(events, "done")
