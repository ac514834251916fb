"""Continues prompts by an engine, in a process whose programs are compiled as those of commands:
python -m tests.helpers.engine_tokens MODEL_DIR N_TOKENS <PROMPTS.json, a list of texts. It prints
the ids of the greedy continuations.
"""

import json
import sys

from hclx.infer import (
    EmbeddedEngine,
    EngineConfig,
    GenerateRequest,
    SamplingConfig,
    ScoreRequest,
    load_for_inference,
)
from hclx.text import load_tokenizer


def main(model_dir, n_tokens):
    prompts = json.load(sys.stdin)
    model = load_for_inference(model_dir, dtype="float32")
    greedy = SamplingConfig(temperature=0.0, max_tokens=int(n_tokens))
    wild = SamplingConfig(temperature=1.0, max_tokens=100, repetition_penalty=1.2)
    with EmbeddedEngine(model, load_tokenizer(model.tokenizer_dir), EngineConfig(rows=8)) as engine:
        others = [engine.submit(GenerateRequest(text, wild)) for text in prompts[::5]]
        others += [engine.submit(ScoreRequest(text)) for text in prompts[1::5]]
        results = engine.generate([GenerateRequest(text, greedy) for text in prompts])
        assert all(ticket.result() for ticket in others)
    json.dump([result.tokens for (result,) in results], sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
