"""An engine over the devices of several processes, each of which runs this module: process 0 has
requests and prints what becomes of them as JSON, the others follow. With one process it is an
ordinary engine over the same mesh.
"""

import argparse
import dataclasses
import json
import os
import signal
import sys

import jax
import numpy as np

from hclx.config import MeshConfig, ModelConfig
from hclx.infer import (
    EngineConfig,
    GenerateRequest,
    SamplingConfig,
    ScoreRequest,
    follow,
    followers,
    grammar,
)
from hclx.infer.adapters import Adapter
from hclx.infer.calls import DeviceCalls
from hclx.launching import run
from hclx.model import Prefix
from hclx.parallel import start_processes
from hclx.text import load_tokenizer
from tests.helpers.engines import EmbeddedEngine, loaded
from tests.helpers.numpy_decoder import noisy_params

CONFIG = ModelConfig(vocab_size=1024, n_layers=2, d_model=32, n_heads=4, max_length=512)
TOKENS = np.random.default_rng(0).integers(64, 1000, 400).tolist()
SHARED = tuple(TOKENS[:100])


def mixed(engine):
    """Every kind of request, of which some share the batch, and a cancelled one."""
    texts = SamplingConfig(temperature=1.0, max_tokens=20, seed=3, logprobs=2, top_p=0.9)
    greedy = SamplingConfig(temperature=0.0, max_tokens=20)
    endless = engine.submit(GenerateRequest(SHARED, SamplingConfig(max_tokens=400, min_tokens=400)))
    next(iter(endless))
    endless.cancel()
    json_schema = grammar.json_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    requests = [
        GenerateRequest((*SHARED, 70), greedy, n=2),
        GenerateRequest((*SHARED, 71), texts),
        GenerateRequest(tuple(TOKENS[:300]), dataclasses.replace(texts, min_p=0.05)),
        GenerateRequest((70, 71), dataclasses.replace(greedy, frequency_penalty=0.5)),
        GenerateRequest("도시: ", texts, grammar=grammar.choices(["서울", "부산"])),
        GenerateRequest("값: ", dataclasses.replace(texts, temperature=2.0), grammar=json_schema),
    ]
    generations = [result for row in engine.generate(requests) for result in row]
    # Of one token, so that guesses are right where the engine guesses.
    same = dataclasses.replace(greedy, logit_bias={70: 100.0})
    generations += engine.generate([GenerateRequest((70, 71), same)])[0]
    scores = engine.score([ScoreRequest(SHARED, (70, 71, 72), top=2), ScoreRequest((*SHARED,))])
    assert endless.result().stop_reason == "cancelled"
    return {
        "texts": [(r.text, r.tokens, r.stop_reason, r.n_cached) for r in generations],
        "logprobs": [[t.logprob for t in r.logprobs] for r in generations if r.logprobs],
        "scores": [[t.logprob for t in score.tokens] for score in scores],
        "embeddings": [vector.tolist() for vector in engine.embed(["가나다", "바다"])],
    }


def greedy(engine, prompt=SHARED[:10]):
    """One greedy text with its log-probabilities."""
    sampling = SamplingConfig(temperature=0.0, max_tokens=5, logprobs=0)
    (text,) = engine.generate([GenerateRequest(prompt, sampling)])[0]
    return {"texts": [text.tokens], "logprobs": [[t.logprob for t in text.logprobs]]}


def short(engine):
    """A greedy text after a prompt of several chunks, and a score."""
    (score,) = engine.score([ScoreRequest((70, 71), (72,))])
    return {**greedy(engine, SHARED[:40]), "scores": [[t.logprob for t in score.tokens]]}


def adapted(engine):
    """Greedy texts with adapters of all kinds, and after one was removed."""
    draw = lambda *shape: np.random.default_rng(1).normal(size=shape).astype(np.float32)
    change = {("attention", "q"): (draw(2, 32, 3), draw(2, 3, 4, 8))}
    change |= {("mlp", "wo"): (draw(2, CONFIG.d_mlp, 2), draw(2, 2, 32))}
    engine.add_adapter("lora", Adapter(low_rank=change))
    engine.add_adapter("soft", Adapter(slots_pd=draw(5, 32)))
    engine.add_adapter("prefix", Adapter(prefix=Prefix(draw(2, 6, 4, 8), 2 * draw(2, 6, 4, 8))))
    sampling = SamplingConfig(temperature=0.0, max_tokens=5, logprobs=0)
    ask = lambda *names: [
        text
        for (text,) in engine.generate(
            [GenerateRequest(SHARED[:20], sampling, artefact=name) for name in names]
        )
    ]
    texts = [*ask(None, "lora", "soft", "prefix")]
    engine.remove_adapter("lora")
    texts += ask(None, "soft")
    return {
        "texts": [text.tokens for text in texts],
        "logprobs": [[t.logprob for t in text.logprobs] for text in texts],
    }


def failing(engine):
    """An error of process 0 while its engine serves."""
    short(engine)
    raise ValueError("a fault of the program")


def ended(engine):
    """The end of process 0 without a word."""
    short(engine)
    os.kill(os.getpid(), signal.SIGKILL)


def endless(engine):
    """A text that does not come to its end."""
    while True:
        engine.generate([GenerateRequest((70,), SamplingConfig(max_tokens=400, min_tokens=400))])


def change(kind, name, at):
    """Changes the call `name` of this process when it is made for the `at`-th time: it raises an
    error of the device, or kills the process, or is left out.
    """
    original, n_calls = getattr(DeviceCalls, name), []

    def changed(self, *arguments):
        n_calls.append(1)
        if len(n_calls) != at:
            return original(self, *arguments)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "error":
            raise jax.errors.JaxRuntimeError("INTERNAL: a device is lost")

    setattr(DeviceCalls, name, changed)


def main(_):
    parser = argparse.ArgumentParser()
    for name in ("coordinator", "tokenizer", "work"):
        parser.add_argument(f"--{name}")
    for name in ("process", "processes", "devices"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--guesses", type=int, default=0)
    parser.add_argument("--model", type=json.loads, default={})  # what differs from CONFIG
    parser.add_argument("--change", action="append", default=[])
    parser.add_argument("--drain_seconds", type=float, default=60)
    options = parser.parse_args(ARGUMENTS)
    followers._DRAIN_SECONDS = options.drain_seconds
    for kind, name, at in (text.split(":") for text in options.change):
        change(kind, name, int(at))
    if options.processes > 1:
        start_processes(options.coordinator, options.process, options.processes)
    config = dataclasses.replace(CONFIG, **options.model)
    mesh = MeshConfig(data=2, fsdp=1, model=options.devices // 2)
    model = loaded(noisy_params(config), config, mesh)
    if options.process:
        return follow(model)
    tokenizer = load_tokenizer(options.tokenizer)
    settings = EngineConfig(rows=options.rows, prefix_tokens=256, guesses=options.guesses)
    with EmbeddedEngine(model, tokenizer, settings) as engine:
        print(json.dumps(globals()[options.work](engine)), flush=True)


if __name__ == "__main__":
    ARGUMENTS = sys.argv[1:]
    del sys.argv[1:]
    run(main)
