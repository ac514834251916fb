"""The loss of weights of eight bits: bits a byte of texts under both, and the time of a step.

python tests/benchmarks/int8_weights.py --run=runs/mine --texts='corpus/*/*.jsonl.gz'
"""

import itertools
import math
import sys
from pathlib import Path

import jax
from absl import app, flags

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hclx.infer import EmbeddedEngine, EngineConfig, ScoreRequest, load_for_inference  # noqa: E402
from hclx.infer.benchmark import step_seconds  # noqa: E402
from hclx.text import load_tokenizer  # noqa: E402
from hclx.text.documents import expand_globs, read_documents  # noqa: E402

RUN = flags.DEFINE_string("run", None, "The folder of a run.", required=True)
TEXTS = flags.DEFINE_multi_string("texts", None, "Files of documents.", required=True)
N_TEXTS = flags.DEFINE_integer("n_texts", 100, "Documents of each file pattern.")
LENGTH = flags.DEFINE_integer("length", 512, "Tokens of a document that are scored.")
STEP = 5  # every fifth document, so that neighbours are not alike


def main(_):
    figures = {}
    for dtype in ("float32", "int8"):
        model = load_for_inference(RUN.value, dtype=dtype)
        tokenizer = load_tokenizer(model.tokenizer_dir)
        n_bytes = sum(x.nbytes for x in jax.tree.leaves(model.params))
        with EmbeddedEngine(model, tokenizer, EngineConfig(8, prefix_tokens=0)) as engine:
            figures[dtype] = [bits_per_byte(engine, tokenizer, pattern) for pattern in TEXTS.value]
            seconds = [
                step_seconds(engine, rows, 64, 64, model.config.vocab_size) for rows in (1, 8)
            ]
        steps = ", ".join(f"{1e3 * value:.1f} ms" for value in seconds)
        print(f"{dtype}: {n_bytes / 1e6:,.0f} MB; a step of 1 and of 8 rows: {steps}", flush=True)
    for pattern, before, after in zip(TEXTS.value, figures["float32"], figures["int8"]):
        print(f"{pattern}: {before:.4f} -> {after:.4f} bits a byte ({after / before - 1:+.2%})")


def bits_per_byte(engine, tokenizer, pattern: str) -> float:
    """Bits for each byte of the beginnings of documents."""
    documents = read_documents(expand_globs(pattern))
    texts = [d.text for d in itertools.islice(documents, 0, STEP * N_TEXTS.value, STEP)]
    ids = [(*tokenizer.begin_ids, *tokenizer.encode(text))[: LENGTH.value] for text in texts]
    scores = engine.score([ScoreRequest(each) for each in ids if len(each) > 1])
    n_bytes = sum(len(tokenizer.decode_bytes(each)) for each in ids if len(each) > 1)
    return -sum(score.total for score in scores) / math.log(2) / n_bytes


if __name__ == "__main__":
    app.run(main)
