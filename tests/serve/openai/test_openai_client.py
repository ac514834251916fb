"""The client of OpenAI from PyPI, unmodified, against a server over sockets."""

import asyncio
import threading
import time

import pytest

from hclx.infer import Part
from hclx.serve.server import build_app
from tests.helpers.serving import served, tiny_backend, tiny_engine

openai = pytest.importorskip("openai")
SETTINGS = {"model": "tiny", "prompt": [72, 101, 108], "max_tokens": 8}


@pytest.fixture(scope="module")
def address(backend):
    with served(build_app(backend)) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def client(address):
    with openai.OpenAI(base_url=address, api_key="any", max_retries=0) as client:
        yield client


def test_completions(client):
    answer = client.completions.create(**SETTINGS, n=2, seed=1, logprobs=3)
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) <= 8
        assert choice.finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens == 3


def test_streams_of_one_and_of_many(client):
    settings = {**SETTINGS, "seed": 1, "stream_options": {"include_usage": True}}
    plain = {name: value for name, value in settings.items() if name != "stream_options"}
    whole = client.completions.create(**plain)
    chunks = list(client.completions.create(**settings, stream=True))
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].text
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_asynchronous_streams_at_once(address):
    async def texts():
        async with openai.AsyncOpenAI(base_url=address, api_key="any") as client:

            async def text(seed):
                chunks = await client.completions.create(**SETTINGS, seed=seed, stream=True)
                return "".join([c.choices[0].text async for c in chunks if c.choices])

            return await asyncio.gather(*map(text, range(8)))

    with openai.OpenAI(base_url=address, api_key="any") as client:
        expected = [
            client.completions.create(**SETTINGS, seed=seed).choices[0].text for seed in range(8)
        ]
    assert asyncio.run(texts()) == expected


def test_stop_and_structured_output(client):
    full = client.completions.create(**SETTINGS, temperature=0).choices[0].text
    stopped = client.completions.create(**SETTINGS, temperature=0, stop=full[2:4]).choices[0]
    assert stopped.text == full[: full.index(full[2:4])] and stopped.finish_reason == "stop"
    rule = {"structured_outputs": {"choice": ["ab", "cd"]}}
    text = client.completions.create(**SETTINGS, extra_body=rule).choices[0].text
    assert text in ("ab", "cd")


def test_embeddings_come_as_the_client_asks_for_them(client):
    ours = client.embeddings.create(model="tiny", input="abc").data[0].embedding  # as base64
    plain = client.embeddings.create(model="tiny", input="abc", encoding_format="float")
    assert ours == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_models(client):
    (model,) = client.models.list().data
    assert model.id == "tiny" and client.models.retrieve("tiny").id == "tiny"


@pytest.mark.parametrize(
    "change, error",
    [
        ({"model": "none"}, openai.NotFoundError),
        ({"max_tokens": 1000}, openai.BadRequestError),
        ({"prompt": []}, openai.BadRequestError),
        ({"temperature": 1e9}, openai.BadRequestError),
        ({"stop": ""}, openai.BadRequestError),
    ],
)
def test_wrong_calls_raise_the_errors_of_the_client(client, change, error):
    with pytest.raises(error) as raised:
        client.completions.create(**{**SETTINGS, **change})
    assert raised.value.code and raised.value.param in change


def wait_until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class SlowEngine:
    """An engine that notes what is cancelled, and whose texts never end by themselves."""

    def __init__(self, engine):
        self._engine, self.tickets, self.cancelled = engine, [], 0

    def submit(self, request):
        from hclx.infer.ticket import Ticket

        def cancel(ticket):
            from hclx.infer import Generation

            self.cancelled += 1
            ticket.finish(Generation("", (), "cancelled", len(request.prompt)))

        ticket = Ticket(cancel)
        ticket.add_parts([Part("a")])
        self.tickets.append(ticket)
        return ticket


@pytest.mark.parametrize("stream", [False, True])
def test_who_disconnects_is_cancelled(engine, stream):
    slow = SlowEngine(engine)
    app = build_app(tiny_backend(slow))
    with served(app) as address:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
            if stream:
                with client.completions.create(**SETTINGS, n=3, stream=True) as chunks:
                    next(chunks)
            else:
                with pytest.raises(openai.APITimeoutError):
                    client.completions.create(**SETTINGS, n=3, timeout=0.3)
        wait_until(lambda: slow.cancelled == 3)
        admission = app.state.service.admission
        wait_until(lambda: admission.n_running == 0 and admission._running_tokens == 0)


def test_an_error_in_a_stream_reaches_the_client(engine):
    from hclx.infer import RequestError

    slow = SlowEngine(engine)
    with served(build_app(tiny_backend(slow))) as address:
        with openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
            chunks = client.completions.create(**SETTINGS, stream=True)
            assert next(chunks).choices[0].text == "a"
            slow.tickets[0].finish(RequestError("the device failed"))
            with pytest.raises(openai.APIError, match="the device failed"):
                list(chunks)


def test_a_server_that_ends_lets_its_streams_end():
    with tiny_engine() as engine:
        slow = SlowEngine(engine)
        app = build_app(tiny_backend(slow))
        texts = []
        with served(app) as address:
            client = openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0)
            chunks = client.completions.create(**SETTINGS, stream=True)
            assert next(chunks).choices[0].text == "a"

            def read():
                texts.extend(chunk.choices[0].text for chunk in chunks)

            thread = threading.Thread(target=read)
            thread.start()

            def end():
                from hclx.infer import Generation

                time.sleep(0.5)
                slow.tickets[0].add_parts([Part("b")])
                slow.tickets[0].finish(Generation("ab", (97, 98), "length", 3))

            threading.Thread(target=end).start()
        thread.join(10)
        assert "".join(texts) == "b" and slow.cancelled == 0
        client.close()
