"""The process in which tests/benchmarks/gpu.py runs JAX or PyTorch: it imports its library, then
serves one task after the other, without touching the GPU before the first.

Tasks come as JSON lines on stdin, events go as JSON lines to stdout: `ready` after the imports,
then one `result` for each task, and before it what is known sooner (`compiled`, `case`).
"""

import contextlib
import dataclasses
import gc
import json
import os
import statistics
import sys
import tempfile
import time
import traceback

import numpy as np

from tests.benchmarks import gpu_engine, gpu_tuning

WARM_UP, ROUNDS, ROUND_SECONDS, TRACED = 2, 3, 1.5, 3
MEAN_DOCUMENT = 400  # tokens
EOD = 1


class Channel:
    """The way to the driver, which libraries that print to stdout cannot disturb."""

    def __init__(self):
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(self, event: str, **fields) -> None:
        """Sends one event."""
        print(json.dumps({"event": event, **fields}), file=self._answers, flush=True)

    def tasks(self):
        """Yields tasks until the driver closes the pipe."""
        while line := sys.stdin.readline():
            yield json.loads(line)


def model_config(size: str):
    """Returns the `ModelConfig` of a name of `tests.helpers.sizes.SIZES`, or of "tiny"."""
    from hclx.config import ModelConfig
    from tests.helpers.sizes import SIZES

    if size == "tiny":
        return ModelConfig(vocab_size=64, n_layers=2, d_model=32, n_heads=4, max_length=128)
    if size not in SIZES:
        raise ValueError(f"size {size} is not one of {', '.join(SIZES)}")
    return SIZES[size]


def random_sequences(vocab: int, rows: int, length: int, count: int = 4) -> np.ndarray:
    """int32 [count, rows, length + 1]: random tokens of packed documents, each beginning with
    `EOD`.
    """
    draw = np.random.default_rng(0)
    tokens = draw.integers(EOD + 1, vocab, (count, rows, length + 1))
    begins = draw.random(tokens.shape) < 1 / min(MEAN_DOCUMENT, length / 4)
    return np.where(begins, EOD, tokens).astype(np.int32)


def measure(step, task: dict) -> dict:
    """Times `step`, which starts the i-th training step and returns its loss; float() waits for it.

    Args:
      step: (i) -> loss.
      task: holds `batch`, `length`, and whether it is `tiny`, when two steps a round are enough.
    """
    start = time.perf_counter()
    first_loss = float(step(0))
    first_seconds = time.perf_counter() - start
    for i in range(WARM_UP):
        float(step(i))
    start = time.perf_counter()
    float(step(0))
    steps = 2 if task["tiny"] else max(1, round(ROUND_SECONDS / (time.perf_counter() - start)))
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for i in range(steps):
            loss = step(i)
        float(loss)
        seconds.append((time.perf_counter() - start) / steps)
    median = statistics.median(seconds)
    return {
        "step_ms": 1e3 * median,
        "step_ms_least": 1e3 * min(seconds),
        "step_ms_most": 1e3 * max(seconds),
        "tokens_per_second": task["batch"] * task["length"] / median,
        "first_step_seconds": first_seconds,
        "steps": steps * ROUNDS,
        "losses": [first_loss, float(step(0))],  # of the same batch
    }


def training_step(task: dict):
    """Builds and compiles the training step of `hclx.train.step` on a mesh of one device, or that
    of a method of tuning (`tune`).

    This function is all that the benchmark uses of the library's training.

    Returns:
      (i) -> the loss of a training step on the i-th batch; the compiled program; a dict of what is
      known about the program: `compile_seconds`, `program_bytes`, `flops_per_token`, `peak_flops`.
    """
    import jax

    from hclx.config import (
        ComputeConfig,
        DataConfig,
        Experiment,
        MeshConfig,
        OptimizerConfig,
        TokenizerConfig,
        TrainConfig,
    )
    from hclx.data.batch import make_batch
    from hclx.parallel import make_mesh
    from hclx.train.flops import flops_per_token, peak_flops
    from hclx.train.state import init_state
    from hclx.train.step import make_program

    model, batch, length = model_config(task["size"]), task["batch"], task["length"]
    compute_fields = {field.name for field in dataclasses.fields(ComputeConfig)}
    experiment = Experiment(
        model,
        ComputeConfig(**{name: task[name] for name in compute_fields & task.keys()}),
        MeshConfig(fsdp=1),
        OptimizerConfig(),
        DataConfig(input="none"),
        TokenizerConfig(),
        TrainConfig(global_batch_size=batch, sequence_length=length),
    )
    mesh = make_mesh(experiment.mesh, jax.devices()[:1])
    with jax.set_mesh(mesh):
        sequences = random_sequences(model.vocab_size, batch, length)
        batches = [make_batch(rows, EOD) for rows in sequences]
        if "tune" in task:
            tuning = gpu_tuning.tuning_step(task["tune"], experiment, mesh, batches)
            program, make_state, batches = tuning
        else:
            program = make_program(experiment, mesh)
            make_state = lambda: init_state(
                model, experiment.train, program.optimizer, program.abstract_state
            )
        batches = [jax.device_put(batch, program.batch_sharding) for batch in batches]
        start = time.perf_counter()
        lowered = program.train_step.lower(program.abstract_state, batches[0])
        compiled = lowered.compile(xla_options(task))
        compile_seconds = time.perf_counter() - start
        state = make_state()

    def step(i):
        nonlocal state
        state, metrics = compiled(state, batches[i % len(batches)])
        return metrics["loss"]

    peak, source = peak_flops("bfloat16")
    return (
        step,
        compiled,
        {
            "compile_seconds": compile_seconds,
            "program_bytes": program_bytes(compiled),
            "flops_per_token": flops_per_token(model, length),
            "peak_flops": peak,
            "peak_is": source,
        },
    )


def xla_options(task: dict) -> dict:
    """Returns the settings of a task that are XLA's own options: their names begin with `xla_`."""
    return {name: value for name, value in task.items() if name.startswith("xla_")}


def program_bytes(compiled) -> int | None:
    """Bytes of the arguments, results and temporaries of a compiled program; None if XLA does not
    say.
    """
    try:
        memory = compiled.memory_analysis()
        held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        return held + memory.output_size_in_bytes - memory.alias_size_in_bytes
    except Exception:  # it differs from backend to backend, and a figure does not depend on it
        return None


def train(task: dict, channel: Channel) -> dict:
    """Times the training step of hclx with some settings.

    `peak_bytes` is what the program holds by XLA's arithmetic: the allocator's own peak, kept as
    `process_peak_bytes`, is that of all candidates of this process so far. `held_bytes` is what
    those before left.
    """
    import jax

    held_bytes = sum(array.nbytes for array in jax.live_arrays())
    step, _, facts = training_step(task)
    channel.tell("compiled", seconds=facts["compile_seconds"])
    figures = measure(step, task)
    device = jax.devices()[0]
    process_peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    # a step that trains few parameters has fewer FLOPs than the formula counts
    used = figures["tokens_per_second"] * facts["flops_per_token"] / facts["peak_flops"]
    return (
        facts
        | figures
        | ({} if "tune" in task else {"mfu": used})
        | {
            "peak_bytes": facts["program_bytes"] or process_peak,
            "process_peak_bytes": process_peak,
            "held_bytes": held_bytes,
            "device": f"{device.device_kind}, jax {jax.__version__}",
        }
    )


def profile(task: dict, channel: Channel) -> dict:
    """Traces a few training steps and sums them up: see `gpu_profile.summarize`."""
    import jax

    from tests.benchmarks import gpu_profile

    step, compiled, facts = training_step(task)
    channel.tell("compiled", seconds=facts["compile_seconds"])
    for i in range(WARM_UP):
        float(step(i))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            for i in range(TRACED):
                loss = step(i)
            float(loss)
            step_ms = 1e3 * (time.perf_counter() - start) / TRACED
        events = gpu_profile.read_trace(folder)
    sources = gpu_profile.instruction_sources(compiled.as_text())
    summary = gpu_profile.summarize(events, TRACED, sources)
    if not task["tiny"] and not any("GPU" in lane for lane in summary["lanes"]):
        names = gpu_profile.lane_names(events)
        raise RuntimeError(f"the trace has no stream of a GPU, but {sorted(names.values())}")
    return {"step_ms": step_ms, **summary}


def kernels(task: dict, channel: Channel) -> dict:
    """Compares attention kernels with attention by its definition, and tells each case at once."""
    from tests.benchmarks import gpu_kernels

    for name, dtype, head in task["cases"]:
        case = {"attention": name, "dtype": dtype, "head": head}
        try:
            case |= gpu_kernels.compare(name, dtype, head, task["length"])
        except Exception as error:  # the next case may do
            case["error"] = reason(error)
        channel.tell("case", case=case)
    return {}


def prepare(task: dict, channel: Channel) -> dict:
    """Compiles PyTorch's blocks and loss for a batch, with a model of one layer, and frees it.

    Returns the times of its `begin` and `end` by the monotonic clock.
    """
    import torch

    from tests.benchmarks.gpu_peer import make_step

    torch._dynamo.reset()  # else it compiles for any width once it has seen two
    begin = time.monotonic()
    shape = dataclasses.asdict(model_config(task["size"])) | {"n_layers": 1}
    float(make_step(shape, _peer_batches(task), _peer_backend())(0))
    return {"begin": begin, "end": time.monotonic()}


def peer(task: dict, channel: Channel) -> dict:
    """Times PyTorch on the same tokens: bf16 autocast, compiled blocks, fused AdamW, clipping.

    Its documents do see each other. A batch that does not fit in memory is halved, once.
    """
    import torch

    from tests.benchmarks.gpu_peer import make_step

    cuda = torch.cuda.is_available()
    if not cuda and not task["tiny"]:
        raise RuntimeError("PyTorch sees no GPU")
    shape = dataclasses.asdict(model_config(task["size"]))
    figures = None
    for batch in (task["batch"], task["batch"] // 2):
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        try:
            half = {**task, "batch": batch}
            figures = measure(make_step(shape, _peer_batches(half), _peer_backend()), half)
            break
        except torch.cuda.OutOfMemoryError:
            torch._dynamo.reset()  # else it compiles for any batch
        free_memory("torch")  # when the error no longer holds what was made
    if not figures:
        raise RuntimeError("out of memory")
    name = torch.cuda.get_device_name() if cuda else "cpu"
    return figures | {
        "batch": batch,
        "compile_seconds": figures["first_step_seconds"],
        "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "device": f"{name}, torch {torch.__version__}",
    }


def _peer_batches(task: dict):
    import torch

    vocab = model_config(task["size"]).vocab_size
    sequences = torch.tensor(random_sequences(vocab, task["batch"], task["length"])).long()
    return sequences.to("cuda" if torch.cuda.is_available() else "cpu")


def _peer_backend() -> str:
    import torch

    return "inductor" if torch.cuda.is_available() else "aot_eager"


def free_memory(library: str) -> None:
    """Frees the arrays and the compiled programs of a task, which nothing holds any more."""
    gc.collect()
    if library == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    else:
        import jax

        jax.clear_caches()


def reason(error: BaseException) -> str:
    """Returns an error as one line."""
    text = " ".join(str(error).split())
    if "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower():
        return "out of memory"
    return f"{type(error).__name__}: {text[:240]}"


def require_gpu() -> None:
    """Raises a RuntimeError if JAX does not run on a GPU."""
    import jax

    if jax.devices()[0].platform != "gpu":
        raise RuntimeError("JAX sees no GPU")


TASKS = {
    "train": train,
    "profile": profile,
    "kernels": kernels,
    "prepare": prepare,
    "peer": peer,
    "engine": gpu_engine.engine,
    "engine_peer": gpu_engine.engine_peer,
}


def import_library(library: str) -> None:
    """Imports what tasks need, and leaves the GPU alone, which another process uses."""
    if library == "torch":
        import torch._dynamo  # noqa: F401 (a part of PyTorch's compiler)
    else:
        import hclx.train.step  # noqa: F401


def main():
    library, channel = sys.argv[1], Channel()
    start, refusal = time.perf_counter(), None
    try:
        import_library(library)
    except ImportError as error:
        refusal = reason(error)
    channel.tell("ready", seconds=time.perf_counter() - start)
    for task in channel.tasks():
        try:
            if refusal:
                raise ImportError(refusal)
            if library == "jax" and not task["tiny"]:
                require_gpu()
            result = TASKS[task["do"]](task, channel)
        except Exception as error:
            result = {
                "error": refusal or reason(error),
                "traceback": traceback.format_exc()[-3000:],
            }
        channel.tell("result", result=result)
        with contextlib.suppress(Exception):  # the next task will say so if it cannot be served
            free_memory(library)


if __name__ == "__main__":
    main()
