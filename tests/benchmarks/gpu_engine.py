"""Decoding and prefill on a GPU through hclx's engine, and by `generate` of transformers: tasks of
tests/benchmarks/gpu_worker.py. Weights are random.
"""

import statistics
import time

PROMPT, NEW, PREFILL = 64, 128, 512  # tokens
ROUNDS = 3
PEER_ROUNDS = 2


def lengths(task: dict) -> tuple[int, int, int]:
    """Tokens of the prompts, of the texts, and of the prompts that are only read."""
    return (48, 16, 63) if task["tiny"] else (PROMPT, NEW, PREFILL)


def engine(task: dict, channel) -> dict:
    """Times hclx's engine, and tells each case at once: decoding with each number of `rows`, and
    prefill with the first of them.

    Prompts and texts have one length, so that few programs are compiled.
    """
    import jax

    from hclx.infer import EmbeddedEngine, EngineConfig
    from hclx.infer.benchmark import prefill_rate, prefill_share, read_bandwidth
    from hclx.infer.random_model import NumberTokenizer, random_model
    from tests.benchmarks.gpu_worker import model_config

    config = model_config(task["size"])
    model, tokenizer = random_model(config, "bfloat16"), NumberTokenizer(config.vocab_size)
    bandwidth = read_bandwidth(2**22 if task["tiny"] else None)
    device = jax.devices()[0]
    facts = {"device": f"{device.device_kind}, jax {jax.__version__}", "bandwidth": bandwidth}
    prompt, new, prefill = lengths(task)
    longest = max(prompt + new, prefill + 1)
    for rows in task["rows"]:
        settings = EngineConfig(rows=rows, max_length=longest, prefix_tokens=0)
        with EmbeddedEngine(model, tokenizer, settings) as served:
            case = decoding(served, model, rows, (prompt, new), bandwidth)
            channel.tell("case", case=case | facts)
            if rows == task["rows"][0]:
                rate = prefill_rate(served, rows, prefill, config.vocab_size)
                share = prefill_share(config, prefill, rate, "bfloat16")
                case = {"what": f"prefill of {prefill}", "rows": rows, "tokens_per_second": rate}
                channel.tell("case", case=case | facts | {"share": share})
    return {}


def decoding(served, model, rows: int, tokens: tuple[int, int], bandwidth: float) -> dict:
    """Times texts after prompts, as their user sees it, and a step of decoding alone."""
    from hclx.infer.benchmark import generate_all, random_prompts, step_bytes, step_seconds

    (prompt, new), vocab = tokens, model.config.vocab_size
    step = step_seconds(served, rows, prompt, new, vocab)  # first, as it compiles
    prompts = random_prompts([prompt] * rows, vocab)
    seconds = statistics.median(generate_all(served, prompts, new)[0] for _ in range(ROUNDS))
    n_bytes = step_bytes(model, rows, prompt + new * 5 / 8)  # from a quarter of the text to its end
    return {
        "what": "decode",
        "rows": rows,
        "tokens_per_second": rows * new / seconds,
        "step_ms": 1e3 * step,
        "step_bytes": n_bytes,
        "share": n_bytes / step / bandwidth,
    }


def engine_peer(task: dict, channel) -> dict:
    """Times `generate` of transformers' GPT-2 in eager bfloat16, and tells each case at once."""
    import torch

    try:
        import transformers
    except ImportError:
        return {"error": "left out, because transformers is not installed"}
    from tests.benchmarks.gpu_worker import model_config

    if not torch.cuda.is_available() and not task["tiny"]:
        raise RuntimeError("PyTorch sees no GPU")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config, (prompt, new, _) = model_config(task["size"]), lengths(task)
    with torch.device(device):
        shape = transformers.GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.max_length,
            n_embd=config.d_model,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            bos_token_id=None,
            eos_token_id=None,
        )
        model = transformers.GPT2LMHeadModel(shape).to(torch.bfloat16).eval()
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"

    def seconds(rows: int, n: int) -> float:
        ids = torch.ones((rows, prompt), dtype=torch.long, device=device)
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=n,
                min_new_tokens=n,
                do_sample=False,
                pad_token_id=0,
            ).cpu()
        return time.perf_counter() - start

    for rows in task["rows"]:
        seconds(rows, 4)
        median = statistics.median(seconds(rows, new) for _ in range(PEER_ROUNDS))
        rate = {"tokens_per_second": rows * new / median, "device": f"{name}, {versions}"}
        channel.tell("case", case={"what": "decode", "rows": rows, **rate})
    return {}
