"""Decoding on CPU against `generate` of Hugging Face's GPT-2 in PyTorch, in one run.

    python tests/benchmarks/decode.py
    python tests/benchmarks/decode.py --shape=100m --rounds=3 --dtype=bfloat16

Each contender is a process of its own, and all take turns call by call, so that other load on the
machine affects them alike. A call reads prompts and writes a number of new tokens for each of them.
"""

import json
import statistics
import subprocess
import sys
import time

from absl import app, flags

# layers, d_model, heads, vocabulary
SHAPES = {"5m": (4, 256, 4, 8_192), "25m": (10, 384, 6, 16_384), "100m": (12, 768, 12, 16_384)}
SETTINGS = {
    "greedy": {"temperature": 0.0},
    "sampled": {"temperature": 0.8, "top_p": 0.95, "top_k": 0},
}

SHAPE = flags.DEFINE_enum("shape", "25m", list(SHAPES), "The size of the decoder.")
PROMPT = flags.DEFINE_integer("prompt", 64, "Tokens of each prompt.")
TOKENS = flags.DEFINE_integer("tokens", 128, "New tokens of each row.")
BATCHES = flags.DEFINE_list("batches", ["1", "8"], "Numbers of rows.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Calls that are timed, of each contender.")
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of hclx and its peer.")
CONTENDER = flags.DEFINE_string("contender", "", "Internal: the contender that a process is.")


def main(_):
    if CONTENDER.value:
        return serve(CALLS[CONTENDER.value]())
    workers = {name: start(name) for name in CALLS}
    for batch in map(int, BATCHES.value):
        for setting in SETTINGS:
            for worker in workers.values():
                ask(worker, batch, setting)  # compiles, and warms up
            rounds = [
                {name: ask(worker, batch, setting) for name, worker in workers.items()}
                for _ in range(ROUNDS.value)
            ]
            report(batch, setting, rounds)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()


def start(name: str) -> subprocess.Popen:
    command = [sys.executable, *sys.argv, f"--contender={name}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: subprocess.Popen, batch: int, setting: str) -> float:
    """Seconds of one call."""
    worker.stdin.write(json.dumps([batch, setting]) + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def serve(call) -> None:
    for line in sys.stdin:
        batch, setting = json.loads(line)
        begin = time.perf_counter()
        shape = call(batch, SETTINGS[setting])
        seconds = time.perf_counter() - begin
        assert shape == (batch, TOKENS.value), shape
        print(json.dumps(seconds), flush=True)


def report(batch: int, setting: str, rounds: list[dict[str, float]]) -> None:
    tokens = batch * TOKENS.value
    medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    rates = ", ".join(f"{name} {tokens / seconds:,.0f}" for name, seconds in medians.items())
    ratio = statistics.median(times["transformers"] / times["hclx"] for times in rounds)
    print(
        f"{batch} row(s), {setting}: {rates} tokens/s; hclx is {ratio:.2f} times as fast (median"
        " of the rounds' ratios)",
        flush=True,
    )


def model_config():
    from hclx.config import ModelConfig

    layers, d_model, heads, vocab = SHAPES[SHAPE.value]
    return ModelConfig(
        vocab_size=vocab, n_layers=layers, d_model=d_model, n_heads=heads, max_length=512
    )


def prompts(batch: int):
    import numpy as np

    vocab = model_config().vocab_size
    return np.random.default_rng(0).integers(2, vocab, (batch, PROMPT.value)).astype(np.int32)


def hclx_call():
    import jax

    from hclx.infer import GenerateRequest, SamplingConfig
    from hclx.infer.random_model import NumberTokenizer
    from hclx.model import init_params
    from tests.helpers.engines import engine_of

    config, n = model_config(), TOKENS.value
    params, tokenizer = init_params(config, jax.random.key(0)), NumberTokenizer(config.vocab_size)
    engines = {
        int(batch): engine_of(
            params, config, tokenizer, dtype=DTYPE.value, rows=int(batch), prefix_tokens=0
        )
        for batch in BATCHES.value
    }

    def call(batch, setting):
        # The end of a document is forbidden, so that every row has all of its tokens.
        sampling = SamplingConfig(max_tokens=n, min_tokens=n, **setting)
        requests = [GenerateRequest(tuple(ids), sampling) for ids in prompts(batch).tolist()]
        results = engines[batch].generate(requests)
        return len(results), len(results[0][0].tokens)

    return call


def transformers_call():
    import torch
    from gpt2 import gpt2

    model = gpt2(model_config()).to(getattr(torch, DTYPE.value)).eval()
    model.config.use_cache = model.generation_config.use_cache = True

    def call(batch, setting):
        greedy = setting["temperature"] == 0
        ids = torch.tensor(prompts(batch)).long()
        with torch.inference_mode():
            tokens = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=TOKENS.value,
                do_sample=not greedy,
                pad_token_id=0,
                **({} if greedy else setting),
            )
        return tuple(tokens[:, PROMPT.value :].shape)

    return call


CALLS = {"hclx": hclx_call, "transformers": transformers_call}

if __name__ == "__main__":
    app.run(main)
