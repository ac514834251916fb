"""The server under load, on this machine: what HTTP costs, and what happens beyond its capacity.

    python tests/benchmarks/serving.py --run=runs/mine
    python tests/benchmarks/serving.py --run=runs/mine --sections=overload --seconds=60

cost: tokens a second of eight texts at once, and the time to the first token of one, of the engine
alone and behind HTTP, in turns; the ratio is the median of the rounds' ratios. load: 1 to 64
clients that send one request behind the other. overload: requests at twice the rate of eight
clients, at random moments. leave: half of 32 clients leave after a few events. greedy: the time to
the first token of a key with a request now and then, beside another with 8 clients, and with 64.

Clients are a process of their own (serving_load.py). Each figure is a JSON line.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from absl import app, flags, logging

os.environ.setdefault("JAX_PLATFORMS", "cpu")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hclx.infer import GenerateRequest, SamplingConfig  # noqa: E402
from hclx.infer.model_source import RunFolder  # noqa: E402
from hclx.serve.caller import Caller, OpenKeys  # noqa: E402
from hclx.serve.http_server import Server  # noqa: E402
from hclx.serve.serve_config import ServeConfig  # noqa: E402
from hclx.serve.serve_model import open_backend  # noqa: E402
from hclx.serve.server import build_app  # noqa: E402

SECTIONS = ("cost", "load", "overload", "leave", "greedy")
LENGTHS = (16, 100, 40, 128, 64, 30, 120, 80)  # tokens of prompts
TEXTS = (64, 32, 48, 24, 56, 64, 40, 16)  # new tokens of the mixed load
NAMES = flags.DEFINE_list("sections", list(SECTIONS), f"Some of {', '.join(SECTIONS)}.")
RUN = flags.DEFINE_string("run", None, "The folder of a run.", required=True)
ROWS = flags.DEFINE_integer("rows", 8, "Requests that are served at once.", 1)
ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns of `cost`.", 1)
SECONDS = flags.DEFINE_integer("seconds", 60, "Of `overload`, and a third of them of others.", 1)
OUTPUT = flags.DEFINE_string("output", None, "A file for the JSON lines.")


class NamedKeys(OpenKeys):
    """Takes every key, and each is a caller of its own."""

    def authenticate(self, secret: str) -> Caller:
        """Returns the caller that the key names."""
        return Caller(secret or "open")


class Clients:
    """The process of the clients."""

    def __init__(self, address: str):
        """Starts it, for a server's address."""
        self._address = address
        command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, text=True, **streams)

    def start(self, bodies: list[dict], **load) -> None:
        """Begins a load, see `serving_load.run`."""
        task = {"address": f"{self._address}/v1/completions", "bodies": bodies, **load}
        print(json.dumps(task), file=self._process.stdin, flush=True)

    def finish(self) -> list[dict]:
        """Returns what became of its requests."""
        return json.loads(self._process.stdout.readline())

    def ask(self, bodies: list[dict], **load) -> list[dict]:
        """Runs a load."""
        self.start(bodies, **load)
        return self.finish()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait(60)


class Bench:
    """A server over the engine of a run, its clients, and the figures."""

    def __init__(self, engine, service, address: str, output):
        self.engine, self.service, self.address, self._output = engine, service, address, output
        self.draw = random.Random(0)
        self.vocab_size = service.backend.tokenizer.vocab_size

    def add(self, section: str, case: str, **figures) -> None:
        """Prints figures."""
        line = json.dumps({"section": section, "case": case, **figures})
        print(line, flush=True)
        if self._output:
            print(line, file=self._output, flush=True)

    def bodies(self, n: int, n_tokens=None) -> list[dict]:
        """Requests with random prompts, which the prefix cache has not seen."""
        shapes = itertools.islice(itertools.cycle(zip(LENGTHS, TEXTS)), n)
        return [self.body(length, n_tokens or text) for length, text in shapes]

    def body(self, length: int, n_tokens: int) -> dict:
        """A request for a stream of so many tokens."""
        prompt = [self.draw.randrange(300, self.vocab_size) for _ in range(length)]
        body = {"model": next(iter(self.service.backend.models)), "prompt": prompt, "stream": True}
        body |= {"max_tokens": n_tokens, "ignore_eos": True, "temperature": 0}
        return body | {"stream_options": {"include_usage": True}}

    def direct(self, bodies: list[dict]) -> tuple[float, float]:
        """Runs requests by the engine alone; returns the seconds to the first part of the first
        one, and to the end of all.
        """
        first, begin = [], time.monotonic()
        tickets = []
        for body in bodies:
            n = body["max_tokens"]
            sampling = SamplingConfig(max_tokens=n, min_tokens=n, temperature=0.0)
            tickets.append(self.engine.submit(GenerateRequest(tuple(body["prompt"]), sampling)))
        tickets[0].listen(lambda part: first.append(time.monotonic()))
        for ticket in tickets:
            ticket.result()
        return first[0] - begin, time.monotonic() - begin


def main(_):
    if wrong := [name for name in NAMES.value if name not in SECTIONS]:
        raise app.UsageError(f"--sections: {wrong[0]} is not one of {', '.join(SECTIONS)}")
    logging.set_verbosity(logging.ERROR)
    config = ServeConfig(running_texts=ROWS.value + 2, texts_of_key=ROWS.value)
    with contextlib.ExitStack() as stack:
        output = OUTPUT.value and stack.enter_context(open(OUTPUT.value, "w"))
        source = RunFolder(RUN.value, None, "float32", ROWS.value)
        engine = stack.enter_context(source.open())
        engine.warm_up()
        backend = open_backend(source, engine, "bench", (None, None))
        for name in NAMES.value:
            with served(backend, config) as (service, address):
                bench = Bench(engine, service, address, output)
                globals()[name](bench)


@contextlib.contextmanager
def served(backend, config):
    """Serves a backend in a thread; yields the parts of the server, and its address."""
    application = build_app(backend, NamedKeys(), config)
    server = Server(application)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield application.state.service, f"http://127.0.0.1:{port}"
    finally:
        server.drain()
        thread.join()


@contextlib.contextmanager
def clients_of(bench: Bench):
    """Yields clients, whose process ends with the context."""
    clients = Clients(bench.address)
    try:
        yield clients
    finally:
        clients.close()


def percentile(values: list[float], share: float) -> float:
    """Returns the value below which a share of them lies."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def first_token(record: dict) -> float:
    """Returns the seconds until the first event of a request."""
    return record["first"] - record["begin"]


def cost(bench: Bench) -> None:
    """What HTTP costs: tokens a second of eight streams, and the first token of one."""
    with clients_of(bench) as clients:
        tokens, alone = [], []
        for turn in range(ROUNDS.value + 1):
            bodies, same = bench.bodies(8, 64), bench.bodies(8, 64)
            seconds = bench.direct(bodies)[1]
            records = clients.ask(same, clients=8)
            http = max(r["end"] for r in records) - min(r["begin"] for r in records)
            direct = [bench.direct([bench.body(64, 16)])[0] for _ in range(8)]
            behind = [
                first_token(clients.ask([bench.body(64, 16)], clients=1)[0]) for _ in range(8)
            ]
            if turn:  # the first one compiles what is left
                tokens.append((8 * 64 / seconds, 8 * 64 / http))
                alone.append((statistics.median(direct), statistics.median(behind)))
        engine, server = (statistics.median(values) for values in zip(*tokens))
        ratio = statistics.median(http / own for own, http in tokens)
        bench.add("cost", "8 streams", engine=engine, server=server, ratio=ratio)
        engine, server = (1000 * statistics.median(values) for values in zip(*alone))
        more = 1000 * statistics.median(http - own for own, http in alone)
        bench.add("cost", "first token, ms", engine=engine, server=server, difference=more)


def load(bench: Bench) -> None:
    """1 to 64 clients."""
    with clients_of(bench) as clients:
        for n in (1, 2, 4, 8, 16, 32, 64):
            records = clients.ask(bench.bodies(max(8, 3 * n)), clients=n)
            bench.add("load", f"{n} clients", **summary(records))


def summary(records: list[dict]) -> dict:
    """Returns the usual figures of requests that were answered."""
    done = [r for r in records if r["status"] == 200 and r["tokens"]]
    seconds = max(r["end"] for r in records) - min(r["begin"] for r in records)
    firsts = [first_token(r) for r in done]
    each = [(r["end"] - r["first"]) / (r["tokens"] - 1) for r in done if r["tokens"] > 1]
    return {
        "requests": len(records),
        "answered": len(done),
        "tokens_per_second": round(sum(r["tokens"] for r in done) / seconds, 1),
        "ttft_ms": [round(1000 * percentile(firsts, share)) for share in (0.5, 0.95)],
        "tpot_ms": [round(1000 * percentile(each, share), 1) for share in (0.5, 0.95)],
        "latency_ms": [
            round(1000 * percentile([r["end"] - r["begin"] for r in done], share))
            for share in (0.5, 0.95)
        ],
    }


def overload(bench: Bench) -> None:
    """Twice the capacity: every request has an answer, and refusals say when to try again."""
    with clients_of(bench) as clients:
        records = clients.ask(bench.bodies(400), clients=ROWS.value, seconds=SECONDS.value / 3)
        at_capacity = summary(records)
        rate = at_capacity["answered"] / (SECONDS.value / 3)
        bench.add("overload", "capacity", per_second=round(rate, 2), **at_capacity)
    # What waiting may add: half of what the slowest requests take at capacity.
    seconds = at_capacity["latency_ms"][1] / 2000
    config = dataclasses.replace(bench.service.config, queue_seconds=seconds)
    with served(bench.service.backend, config) as (service, address):
        twice = Bench(bench.engine, service, address, None)
        with clients_of(twice) as clients:
            records = clients.ask(twice.bodies(400), rate=2 * rate, seconds=SECONDS.value)
        refused = [r for r in records if r["status"] in (429, 503)]
        figures = summary(records)
        bench.add(
            *("overload", "twice"),
            queue_seconds=round(seconds, 2),
            refused=len(refused),
            refused_with_retry_after=sum(r["retry_after"] is not None for r in refused),
            unanswered=len(records) - len(refused) - figures["answered"],
            p95_ratio=round(figures["latency_ms"][1] / at_capacity["latency_ms"][1], 2),
            **figures,
        )


def leave(bench: Bench) -> None:
    """Half of the clients leave; the rows of the engine are free again."""
    with clients_of(bench) as clients:
        records = clients.ask(bench.bodies(32, 64), clients=32, leaves_after=3)
        left = [r for r in records if r["left"]]
        begin = time.monotonic()
        while bench.service.admission.n_running:
            time.sleep(0.001)
        bench.add(
            *("leave", "half of 32"),
            left=len(left),
            answered=sum(r["tokens"] > 0 for r in records),
            seconds_until_nothing_runs=round(time.monotonic() - begin, 4),
        )


def greedy(bench: Bench) -> None:
    """A key with a request now and then, alone and beside a greedy one."""
    with clients_of(bench) as own, clients_of(bench) as others:
        firsts = {}
        for n in (0, ROWS.value, 8 * ROWS.value):
            seconds = SECONDS.value / 3
            if n:
                others.start(bench.bodies(400), clients=n, seconds=seconds + 1, key="greedy")
                time.sleep(1)
            records = own.ask(bench.bodies(50, 16), clients=1, seconds=seconds, key="modest")
            firsts[n] = percentile([first_token(r) for r in records if r["first"]], 0.95)
            if n:
                others.finish()
            bench.add("greedy", f"beside {n} clients", **summary(records))
        ratio = firsts[8 * ROWS.value] / firsts[ROWS.value]
        bench.add("greedy", "p95 of the first token", ratio=round(ratio, 2))


if __name__ == "__main__":
    app.run(main)
