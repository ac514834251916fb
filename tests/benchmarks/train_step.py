"""Compares the training step on CPU with Hugging Face's GPT-2 in PyTorch, eager and compiled.

    python tests/benchmarks/train_step.py --shape=25m --steps=10
    python tests/benchmarks/train_step.py --layers=6 --d_model=256 --heads=4 --vocab=8192

Each contender is a process of its own, as its users would start it, and all take turns step by
step, so that other load on the machine affects them alike. Shape and batch are the same; arithmetic
is float32, the optimizer AdamW with clipping at 1.
"""

import json
import statistics
import subprocess
import sys
import time

from absl import app, flags

# layers, d_model, heads, vocabulary
SHAPES = {"5m": (4, 256, 4, 8_192), "25m": (10, 384, 6, 16_384), "100m": (12, 768, 12, 16_384)}
PRODUCT = 2048  # rows and columns of the matrix product that measures the peak

SHAPE = flags.DEFINE_enum(
    "shape", None, list(SHAPES), "A shape that replaces --layers, --d_model, --heads and --vocab."
)
LAYERS = flags.DEFINE_integer("layers", 6, "Number of blocks.")
D_MODEL = flags.DEFINE_integer("d_model", 256, "Width of the model.")
HEADS = flags.DEFINE_integer("heads", 4, "Number of attention heads.")
VOCAB = flags.DEFINE_integer("vocab", 8192, "Size of the vocabulary.")
LENGTH = flags.DEFINE_integer("length", 256, "Tokens of a sequence.")
BATCH = flags.DEFINE_integer("batch", 8, "Sequences of a step.")
STEPS = flags.DEFINE_integer("steps", 30, "Number of steps that are timed.")
THREADS = flags.DEFINE_integer("threads", 2, "Number of PyTorch's threads.")
CONTENDERS = flags.DEFINE_list(
    "contenders", ["hclx", "eager", "compile", "jax_product", "torch_product"], "Contenders."
)
CONTENDER = flags.DEFINE_string("contender", "", "Internal: the contender that this process runs.")


def main(_):
    if CONTENDER.value:
        return serve(STEPS_OF[CONTENDER.value]())
    processes = {name: start(name) for name in CONTENDERS.value}
    for process in processes.values():
        ask(process, 3)  # compiles, and warms up
    rounds = [
        {name: ask(process, 1) for name, process in processes.items()} for _ in range(STEPS.value)
    ]
    for process in processes.values():
        process.stdin.close()
        process.wait()
    report(rounds)


def start(name: str) -> subprocess.Popen:
    """Starts a contender in a process of its own."""
    command = [sys.executable, *sys.argv, f"--contender={name}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(process: subprocess.Popen, steps: int) -> float:
    """Lets a contender take some steps, and returns the seconds of one."""
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def serve(step) -> None:
    """Takes as many steps as each line of stdin says, and prints the seconds of one."""
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(json.dumps((time.perf_counter() - start) / int(line)), flush=True)


def report(rounds: list[dict[str, float]]) -> None:
    """Prints the figures of each contender, given the seconds of a step in each round."""
    from hclx.train.flops import flops_per_token

    tokens = BATCH.value * LENGTH.value
    medians = {name: statistics.median(times[name] for times in rounds) for name in rounds[0]}
    products = {
        name: 2 * PRODUCT**3 / seconds
        for name, seconds in medians.items()
        if name.endswith("_product")
    }
    for name, flops in products.items():
        print(f"{name:13} {flops / 1e9:7.0f} GFLOP/s, {PRODUCT} x {PRODUCT}")
    for name, median in medians.items():
        if name in products:
            continue
        line = (
            f"{name:8} {1e3 * median:7.0f} ms a step (median of {len(rounds)})"
            f" {tokens / median:8,.0f} tokens/s"
        )
        if products:
            flops = flops_per_token(model_config(), LENGTH.value) * tokens / median
            line += (
                f"   {flops / 1e9:.0f} GFLOP/s, {100 * flops / max(products.values()):.0f}% of the"
                " product's"
            )
        if name != "hclx" and "hclx" in medians:
            ratio = statistics.median(times[name] / times["hclx"] for times in rounds)
            line += f"   hclx is {ratio:.2f} times as fast (median of the rounds' ratios)"
        print(line)


def tokens():
    """int32 [8, b, t + 1]: eight batches, with a few documents in each sequence."""
    import numpy as np

    batches = (
        np.random.default_rng(0)
        .integers(2, model_config().vocab_size, (8, BATCH.value, LENGTH.value + 1))
        .astype(np.int32)
    )
    batches[:, :, ::97] = 1
    return batches


def model_config():
    """Shape of the model, by the flags."""
    from hclx.config import ModelConfig

    layers, d_model, heads, vocab = SHAPES.get(
        SHAPE.value, (LAYERS.value, D_MODEL.value, HEADS.value, VOCAB.value)
    )
    return ModelConfig(
        vocab_size=vocab, n_layers=layers, d_model=d_model, n_heads=heads, max_length=LENGTH.value
    )


def hclx_step():
    """Builds the step that launch/pretrain.py takes on one CPU device."""
    import functools

    import jax

    from hclx.config import ComputeConfig, OptimizerConfig, TrainConfig
    from hclx.data.batch import make_batch
    from hclx.model import init_params
    from hclx.train import make_loss, train_step
    from hclx.train.malloc import keep_freed_memory
    from hclx.train.optimizer import decay_mask, learning_rate_schedule, make_optimizer
    from hclx.train.state import fresh_state

    keep_freed_memory()
    config, optimizer, schedule = (
        model_config(),
        make_optimizer(OptimizerConfig(), decay_mask(model_config())),
        learning_rate_schedule(OptimizerConfig(), 1000),
    )
    loss_fn = make_loss(config, ComputeConfig(dtype="float32"))
    run = jax.jit(
        functools.partial(
            train_step, loss_fn=loss_fn, optimizer=optimizer, schedule=schedule, microbatches=1
        ),
        donate_argnums=0,
    )
    state = fresh_state(init_params(config, jax.random.key(0)), TrainConfig(), optimizer)
    batches, count = [make_batch(rows, 1) for rows in tokens()], 0

    def step():
        nonlocal state, count
        state, metrics = run(state, batches[count % 8])
        count += 1
        return float(metrics["loss"])

    return step


def torch_step(compiled: bool):
    """Builds a step of Hugging Face's model with PyTorch's fused AdamW."""
    import torch
    from gpt2 import gpt2

    torch.set_num_threads(THREADS.value)
    model = gpt2(model_config())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    forward = torch.compile(model) if compiled else model
    batches, count = torch.tensor(tokens()).long(), 0

    def step():
        nonlocal count
        window = batches[count % 8]
        optimizer.zero_grad()
        logits = forward(window[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), window[:, 1:].reshape(-1)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        count += 1
        return loss.item()

    return step


def jax_product():
    """Builds a function that computes a matrix product with JAX."""
    import jax
    import jax.numpy as jnp

    x, product = jnp.ones((PRODUCT, PRODUCT), jnp.float32), jax.jit(lambda a: a @ a)
    return lambda: product(x).block_until_ready()


def torch_product():
    """Builds a function that computes a matrix product with PyTorch."""
    import torch

    torch.set_num_threads(THREADS.value)
    x = torch.ones(PRODUCT, PRODUCT)
    return lambda: x @ x


STEPS_OF = {
    "hclx": hclx_step,
    "eager": lambda: torch_step(False),
    "compile": lambda: torch_step(True),
    "jax_product": jax_product,
    "torch_product": torch_product,
}

if __name__ == "__main__":
    app.run(main)
