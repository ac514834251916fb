"""A contender of tests/benchmarks/engine.py in its process: hclx, transformers, vLLM or llama.cpp.

    python tests/benchmarks/engine_contender.py NAME SPEC

SPEC is JSON: `folder` of transformers with the weights, and what the contender needs beside it. It
imports its own library alone, so that the Python of another environment can run it, and it has no
more threads than SPEC says. Tasks come as JSON lines on stdin: `requests`, pairs of token ids and
the number of new tokens, and `setting`. Events go as JSON lines to stdout: `ready`, then one
`result` for each task with its `seconds` and the greedy `tokens` of each request.
"""

import contextlib
import json
import os
import runpy
import sys
import time


def hclx(spec: dict):
    """The embedded engine; with as many rows as there are requests, and at most `rows`."""
    import jax

    from hclx.config import ModelConfig
    from hclx.infer import EmbeddedEngine, EngineConfig, load_for_inference
    from hclx.infer.benchmark import generate_all
    from hclx.infer.random_model import NumberTokenizer, random_model

    jax.config.update("jax_compilation_cache_dir", spec["programs"])
    if "run" in spec:
        model = load_for_inference(spec["run"], dtype="float32")
    else:
        model = random_model(ModelConfig(**spec["shape"]), "float32")
    tokenizer, engines = NumberTokenizer(model.config.vocab_size), {}

    def call(requests, setting):
        rows = min(len(requests), spec["rows"])
        if rows not in engines:
            settings = EngineConfig(rows, spec["length"], prefix_tokens=0)
            engines[rows] = EmbeddedEngine(model, tokenizer, settings)
        prompts, counts = zip(*requests)
        _, results = generate_all(engines[rows], list(map(tuple, prompts)), list(counts))
        return [list(result.tokens) for result in results]

    return call


def transformers(spec: dict):
    """`generate` with padded batches of `rows` requests; the setting is the cache, "dynamic" or
    "static". With `compile` in the spec the forward pass is compiled.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(spec["threads"])
    model = AutoModelForCausalLM.from_pretrained(spec["folder"], dtype=torch.float32).eval()
    if spec.get("compile"):
        model.forward = torch.compile(model.forward)

    def batch(requests, setting):
        longest, n = max(len(ids) for ids, _ in requests), max(n for _, n in requests)
        tokens = torch.zeros(len(requests), longest, dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, (ids, _) in enumerate(requests):
            tokens[row, longest - len(ids) :] = torch.tensor(ids)
            mask[row, longest - len(ids) :] = 1
        with torch.inference_mode():
            out = model.generate(
                tokens,
                attention_mask=mask,
                max_new_tokens=n,
                min_new_tokens=n,
                do_sample=False,
                pad_token_id=0,
                **({"cache_implementation": "static"} if setting == "static" else {}),
            )
        return [row[:n] for row, (_, n) in zip(out[:, longest:].tolist(), requests)]

    def call(requests, setting):
        batches = [requests[i : i + spec["rows"]] for i in range(0, len(requests), spec["rows"])]
        return [text for part in batches for text in batch(part, setting)]

    return call


def vllm(spec: dict):
    """vLLM's `LLM.generate`, without prefix cache."""
    os.environ.update(
        VLLM_CPU_KVCACHE_SPACE="1",
        VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
        VLLM_NO_USAGE_STATS="1",
        HF_HUB_OFFLINE="1",
        OMP_NUM_THREADS=str(spec["threads"]),
    )
    from vllm import LLM, SamplingParams

    model = LLM(
        spec["folder"],
        dtype="float32",
        max_model_len=spec["length"],
        max_num_seqs=spec["rows"],
        skip_tokenizer_init=True,
        enable_prefix_caching=False,
        enforce_eager=True,
        gpu_memory_utilization=0.1,
    )

    def call(requests, setting):
        prompts = [{"prompt_token_ids": ids} for ids, _ in requests]
        settings = [
            SamplingParams(temperature=0, max_tokens=n, ignore_eos=True, detokenize=False)
            for _, n in requests
        ]
        outputs = model.generate(prompts, settings, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    return call


def llama_cpp(spec: dict):
    """llama.cpp through its C interface: each step decodes one token of every sequence that is not
    done. The keys and values have the dtype of its default.
    """
    gguf = f"{spec['place']}/model.gguf"
    _to_gguf(spec["source"], spec["folder"], gguf)
    import llama_cpp as lib
    import numpy as np

    lib.llama_log_set(_SILENT := lib.llama_log_callback(lambda *_: None), None)
    model = lib.llama_model_load_from_file(gguf.encode(), lib.llama_model_default_params())
    settings = lib.llama_context_default_params()
    settings.n_seq_max, settings.n_ctx = spec["rows"], spec["rows"] * spec["length"]
    settings.n_threads = settings.n_threads_batch = spec["threads"]
    context = lib.llama_init_from_model(model, settings)
    with open(f"{spec['folder']}/config.json", encoding="utf-8") as file:
        vocab = json.load(file)["vocab_size"]
    batch = lib.llama_batch_init(settings.n_batch, 0, 1)

    def decode(items) -> list[int]:
        """The greedy tokens after (token, position, sequence, whether it has logits), in order."""
        for i, (token, position, sequence, has_logits) in enumerate(items):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, has_logits
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.n_tokens = len(items)
        if lib.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")
        logits = [lib.llama_get_logits_ith(context, i) for i, item in enumerate(items) if item[3]]
        return [int(np.ctypeslib.as_array(pointer, (vocab,)).argmax()) for pointer in logits]

    def call(requests, setting, keep=(_SILENT, model)):
        lib.llama_memory_clear(lib.llama_get_memory(context), True)
        items = [
            (token, i, s, i == len(ids) - 1)
            for s, (ids, _) in enumerate(requests)
            for i, token in enumerate(ids)
        ]
        texts = [[token] for token in decode(items)]
        while left := [s for s, (_, n) in enumerate(requests) if len(texts[s]) < n]:
            items = [(texts[s][-1], len(requests[s][0]) + len(texts[s]) - 1, s, True) for s in left]
            for s, token in zip(left, decode(items)):
                texts[s].append(token)
        return texts

    return call


def _to_gguf(source: str, folder: str, gguf: str) -> None:
    """Converts a folder with llama.cpp's own converter, which knows published tokenizers alone."""
    if os.path.exists(gguf):
        return
    sys.path[:0] = [source, f"{source}/gguf-py"]
    from conversion import base

    base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
    folder = _completed(folder, os.path.dirname(gguf))
    arguments, sys.argv = sys.argv, [f"{source}/convert_hf_to_gguf.py", folder]
    sys.argv += ["--outtype", "f32", "--outfile", gguf]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        sys.argv = arguments


def _completed(folder: str, place: str) -> str:
    """A folder with the files of another one, and with what the converter asks for: the old name of
    a length, and a tokenizer that is read as it is.
    """
    copy = f"{place}/folder"
    os.makedirs(copy)
    for name in os.listdir(folder):
        os.symlink(os.path.join(os.path.abspath(folder), name), f"{copy}/{name}")
    with open(f"{folder}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    os.remove(f"{copy}/config.json")
    with open(f"{copy}/config.json", "w", encoding="utf-8") as file:
        json.dump({"n_ctx": config.get("n_positions"), **config}, file)
    if not os.path.exists(f"{copy}/tokenizer_config.json"):
        with open(f"{copy}/tokenizer_config.json", "w", encoding="utf-8") as file:
            json.dump({"tokenizer_class": "PreTrainedTokenizerFast"}, file)
    return copy


CONTENDERS = {"hclx": hclx, "transformers": transformers, "vllm": vllm, "llama_cpp": llama_cpp}


def main():
    name, spec = sys.argv[1], json.loads(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print cannot disturb the answers

    def tell(event, **fields):
        print(json.dumps({"event": event, **fields}), file=answers, flush=True)

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec["threads"]])
    call, refusal = None, None
    try:
        call = CONTENDERS[name](spec)
    except Exception as error:
        refusal = f"{type(error).__name__}: {' '.join(str(error).split())[:240]}"
    tell("ready")
    for line in sys.stdin:
        task = json.loads(line)
        start = time.perf_counter()
        try:
            tokens = call(task["requests"], task.get("setting"))
        except Exception as error:
            text = refusal or f"{type(error).__name__}: {' '.join(str(error).split())[:240]}"
            tell("result", result={"error": text})
            continue
        seconds = time.perf_counter() - start
        tell("result", result={"seconds": seconds, "tokens": tokens})


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
