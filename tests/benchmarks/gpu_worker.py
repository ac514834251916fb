"""What tests/benchmarks/gpu.py starts: imports JAX or PyTorch, reads one task from stdin, prints
what it found as JSON.
"""

import contextlib
import json
import os
import statistics
import sys
import time

import numpy as np

WARM_UP, ROUNDS, ROUND_SECONDS = 2, 3, 1.5
MEAN_DOCUMENT = 400  # tokens
EOD = 1


def windows(vocab: int, rows: int, length: int, count: int = 4) -> np.ndarray:
    """int32 [count, rows, length + 1]: random tokens of packed documents, each beginning with
    `EOD`.
    """
    draw = np.random.default_rng(0)
    tokens = draw.integers(EOD + 1, vocab, (count, rows, length + 1))
    return np.where(
        draw.random(tokens.shape) < 1 / min(MEAN_DOCUMENT, length / 4), EOD, tokens
    ).astype(np.int32)


def measure(step, task: dict) -> dict:
    """Times `step`, which starts the i-th training step and returns its loss; float() waits for it.

    Args:
      step: (i) -> loss.
      task: with `batch`, `length`, and whether it is `tiny`, when two steps a round will do.
    """
    start = time.perf_counter()
    first_loss = float(step(0))
    compile_seconds = time.perf_counter() - start
    for i in range(WARM_UP):
        loss = float(step(i))
    start = time.perf_counter()
    float(step(0))
    steps = 2 if task["tiny"] else max(2, round(ROUND_SECONDS / (time.perf_counter() - start)))
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for i in range(steps):
            loss = step(i)
        loss = float(loss)
        seconds.append((time.perf_counter() - start) / steps)
    median = statistics.median(seconds)
    return {
        "step_ms": 1e3 * median,
        "step_ms_least": 1e3 * min(seconds),
        "step_ms_most": 1e3 * max(seconds),
        "tokens_per_second": task["batch"] * task["length"] / median,
        "compile_seconds": compile_seconds,
        "steps": steps * ROUNDS,
        "losses": [first_loss, loss],
    }


def train(task: dict) -> dict:
    """The training step as `hclx.train.step` makes it, on a mesh of one device."""
    import jax

    from hclx.config import (
        ComputeConfig,
        DataConfig,
        Experiment,
        MeshConfig,
        ModelConfig,
        OptimizerConfig,
        TokenizerConfig,
        TrainConfig,
    )  # fmt: skip
    from hclx.data.batch import make_batch
    from hclx.parallel import make_mesh
    from hclx.train.flops import flops_per_token, peak_flops
    from hclx.train.state import init_state
    from hclx.train.step import make_program

    model, batch, length = ModelConfig(**task["model"]), task["batch"], task["length"]
    names = ("attention", "remat", "scan_unroll", "loss_chunk_tokens", "matmul")
    compute = ComputeConfig(**{name: task[name] for name in names if name in task})
    experiment = Experiment(
        model, compute, MeshConfig(fsdp=1), OptimizerConfig(), DataConfig(input="none"), TokenizerConfig(),
        TrainConfig(global_batch_size=batch, sequence_length=length),
    )  # fmt: skip
    device = jax.devices()[0]
    mesh = make_mesh(experiment.mesh, [device])
    with jax.set_mesh(mesh):
        program = make_program(experiment, mesh)
        state = init_state(model, experiment.train, program.optimizer, program.abstract_state)
        batches = [
            jax.device_put(make_batch(window, EOD), program.batch_sharding)
            for window in windows(model.vocab_size, batch, length)
        ]

        def step(i):
            nonlocal state
            state, metrics = program.train_step(state, batches[i % len(batches)])
            return metrics["loss"]

        found = measure(step, task)
    per_token, (peak, source) = flops_per_token(model, length), peak_flops("bfloat16")
    return found | {
        "flops_per_token": per_token,
        "peak_flops": peak,
        "peak_is": source,
        "mfu": found["tokens_per_second"] * per_token / peak,
        "peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
        "device": f"{device.device_kind}, jax {jax.__version__}",
    }


def check(task: dict) -> dict:
    """Loss and gradients of a backend, and of XLA in the same dtype, against XLA in float32: packed
    documents, small models.
    """
    return {
        "cases": [
            _check(task["attention"], dtype, head, task["tiny"]) for dtype, head in task["cases"]
        ]
    }


def _check(attention: str, dtype: str, head: int, tiny: bool) -> dict:
    import jax

    from hclx.config import ComputeConfig, ModelConfig
    from hclx.data.batch import make_batch
    from hclx.model import init_params
    from hclx.model.attention import choose_backend
    from hclx.train.step import make_loss

    rows, length = (1, 128) if tiny else (2, 512)
    model = ModelConfig(vocab_size=512, n_layers=1, d_model=2 * head, n_heads=2, max_length=length)
    batch = make_batch(windows(model.vocab_size, rows, length, count=1)[0], EOD)
    params = init_params(model, jax.random.key(0))
    # Ten times as large as they are made: an attention that is nearly uniform would hide what is
    # wrong with it.
    params["blocks"]["attention"]["q"] *= 10.0
    params["blocks"]["attention"]["kv"] *= 10.0

    def run(name, dtype, precision):
        loss_fn = make_loss(model, ComputeConfig(dtype=dtype, attention=name))
        with jax.default_matmul_precision(precision):
            (loss, count), grads = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params, batch)
        return float(loss / count), np.concatenate(
            [np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(grads)]
        )

    try:
        choose_backend(attention, jax.devices()[0], length=length, head_size=head, dtype=dtype)
        wanted_loss, wanted = run("xla", "float32", "highest")
        found = {"dtype": dtype, "head": head}
        for prefix, name in (("xla_", "xla"), ("", attention)):
            loss, grads = run(name, dtype, "default")
            found[f"{prefix}loss"] = abs(loss - wanted_loss) / abs(wanted_loss)
            found[f"{prefix}gradient"] = float(
                np.linalg.norm(grads - wanted) / np.linalg.norm(wanted)
            )
        return found
    except Exception as error:  # the next case may do
        return {"dtype": dtype, "head": head, "error": reason(error)}


def peer(task: dict) -> dict:
    """PyTorch on the same tokens: bf16 autocast, compiled blocks, fused AdamW, clipping. Its
    documents do see each other.
    """
    import torch
    from gpu_peer import make_step

    cuda = torch.cuda.is_available()
    if not cuda and not task["tiny"]:
        return {"error": "PyTorch sees no GPU"}
    device = "cuda" if cuda else "cpu"
    batches = (
        torch.tensor(windows(task["model"]["vocab_size"], task["batch"], task["length"]))
        .long()
        .to(device)
    )
    found = measure(make_step(task["model"], batches, compiled=cuda), task)
    name = torch.cuda.get_device_name() if cuda else "cpu"
    return found | {
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "device": f"{name}, torch {torch.__version__}",
    }


def reason(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower():
        return "out of memory"
    return f"{type(error).__name__}: {text[:240]}"


def main():
    library, answer = sys.argv[1], os.fdopen(os.dup(1), "w")
    with contextlib.redirect_stdout(sys.stderr):  # the answer alone is on stdout
        try:
            if library == "torch":
                import torch  # noqa: F401
            else:
                import jax

                import hclx.train.step  # noqa: F401
            task = json.loads(sys.stdin.readline() or "null")
            if task is None:
                return
            os.environ["XLA_FLAGS"] = (
                f"{os.environ.get('XLA_FLAGS', '')} {task.get('xla_flags', '')}".strip()
            )
            if library == "jax" and not task["tiny"] and jax.devices()[0].platform != "gpu":
                raise RuntimeError("JAX sees no GPU")
            found = {"train": train, "check": check, "peer": peer}[task["do"]](task)
        except Exception as error:
            found = {"error": reason(error)}
    print(json.dumps(found), file=answer, flush=True)


if __name__ == "__main__":
    main()
