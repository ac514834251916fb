"""A contender of tests/benchmarks/evaluation.py in its process: hclx or hf.

    python tests/benchmarks/evaluation_contender.py NAME SPEC

SPEC is JSON: `folder` of the model, `batch` and `threads`. Tasks come as JSON lines on stdin:
`pairs` of a context and a continuation. Events go as JSON lines to stdout: `ready`, then a `result`
for each task: the log-probabilities of the pairs (`totals`), the tokens of the continuations, and
the seconds, in how many of which JAX compiled.
"""

import contextlib
import json
import os
import sys
import time


def hclx(spec):
    """The adapter over the embedded engine."""
    from hclx.evaluate.lm_eval import HarnessModel

    return HarnessModel(
        model_dir=spec["folder"],
        dtype="float32",
        batch_size=spec["batch"],
        add_bos_token=False,
    )


def hf(spec):
    """The backend of the harness."""
    import torch
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(spec["threads"])
    return HFLM(
        pretrained=spec["folder"],
        dtype="float32",
        device="cpu",
        batch_size=spec["batch"],
        add_bos_token=False,
    )


def timing_of_compilation(name):
    """A context that counts the seconds of compilation; 0 where there is no JAX."""
    if name != "hclx":
        return contextlib.nullcontext()
    from hclx.evaluate.compile_time import compile_seconds

    return compile_seconds()


def main(name, spec):
    """Serves tasks until stdin ends."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print
    from lm_eval.api.instance import Instance

    model = {"hclx": hclx, "hf": hf}[name](spec)
    print(json.dumps({"event": "ready"}), file=events, flush=True)
    for line in sys.stdin:
        pairs = json.loads(line)["pairs"]
        requests = [
            Instance(request_type="loglikelihood", doc={}, arguments=tuple(pair), idx=0)
            for pair in pairs
        ]
        begin = time.monotonic()
        with timing_of_compilation(name) as compiling:
            scores = model.loglikelihood(requests, disable_tqdm=True)
        seconds = time.monotonic() - begin
        result = {
            "seconds": seconds,
            "compile_seconds": compiling.seconds if compiling else 0.0,
            "totals": [total for total, _ in scores],
            "label_tokens": sorted({len(model._encode_pair(*pair)[1]) for pair in pairs}),
        }
        print(json.dumps({"event": "result", "result": result}), file=events, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
