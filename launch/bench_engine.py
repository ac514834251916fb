"""Measures the engine on this machine: waiting times, tokens a second, share of memory bandwidth.

    hclx bench_engine --model_dir=runs/mine
    hclx bench_engine --gin_file=sizes/137m.gin --output=figures.json

Without a run the model has random weights: speed does not depend on them. Other work on the machine
disturbs all figures; those of one call can be compared with each other.
"""

import json
import sys
import time
from pathlib import Path

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import check_output, run, take_gin_bindings
from hclx.shared_flags import dtype_flag

MODEL_DIR = flags.DEFINE_string("model_dir", None, "The folder of a training run.")
STEP = flags.DEFINE_integer("step", None, "The checkpoint to use; default: the newest.", 0)
GIN_FILES = flags.DEFINE_multi_string(
    "gin_file", [], "In place of a run, the shape of a model; repeatable, later ones win."
)
DTYPE = dtype_flag()
ROWS = flags.DEFINE_integer("rows", 8, "Requests that are served at once.", lower_bound=1)
PREFIX_TOKENS = flags.DEFINE_integer(
    "prefix_tokens", 4096, "The most tokens that the prefix cache holds; 0: no cache.", 0
)
STREAMS = flags.DEFINE_integer(
    "streams", 8, "Clients; each sends its next request when it has the text of the last one.", 1
)
REQUESTS = flags.DEFINE_integer("requests", 32, "Requests of all clients together.", 1)
PROMPT_LENGTHS = flags.DEFINE_list(
    "prompt_lengths", ["32", "128", "256"], "Tokens of the prompts; requests take them in turn."
)
NEW_TOKENS = flags.DEFINE_integer("new_tokens", 128, "Tokens of each text.", 8)
SHARED_TOKENS = flags.DEFINE_integer(
    "shared_tokens", 0, "Tokens at the beginning of the prompts that are the same in all.", 0
)
OUTPUT = flags.DEFINE_string("output", None, "File to write the figures to, as JSON.")
BINDINGS = take_gin_bindings(sys.argv)


def main(_):
    from hclx.infer import EmbeddedEngine, EngineConfig
    from hclx.infer.benchmark import Workload, measure, table
    from hclx.train.compilation_cache import keep_compiled_programs

    try:
        lengths = tuple(map(int, PROMPT_LENGTHS.value))
    except ValueError:
        raise ConfigError("--prompt_lengths: give whole numbers, such as 32,128,256") from None
    names = STREAMS.value, REQUESTS.value, lengths, NEW_TOKENS.value, SHARED_TOKENS.value
    workload = Workload(*names)
    if OUTPUT.value:
        check_output("--output", OUTPUT.value)
    keep_compiled_programs()
    model, tokenizer = load()
    # No longer than needed: a cache of each length has programs of its own, which take a while.
    settings = EngineConfig(ROWS.value, workload.longest, PREFIX_TOKENS.value)
    with EmbeddedEngine(model, tokenizer, settings) as engine:
        print("compiling ..", file=sys.stderr)
        start = time.perf_counter()
        engine.warm_up()
        print(f"compiled in {time.perf_counter() - start:.0f} s; measuring ..", file=sys.stderr)
        figures = measure(engine, model, ROWS.value, workload)
    print(table(figures))
    if OUTPUT.value:
        Path(OUTPUT.value).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def load():
    """Returns the model of a run, or one of random weights, and its tokenizer."""
    from hclx.infer import load_for_inference
    from hclx.infer.random_model import NumberTokenizer, random_model

    if bool(MODEL_DIR.value) == bool(GIN_FILES.value or BINDINGS):
        raise ConfigError("give --model_dir=RUN, or --gin_file=sizes/137m.gin for random weights")
    if MODEL_DIR.value:
        from hclx.text import load_tokenizer

        model = load_for_inference(MODEL_DIR.value, dtype=DTYPE.value, step=STEP.value)
        vocabulary = model.meta["hashes"]["vocabulary"]
        return model, load_tokenizer(model.tokenizer_dir, fingerprint=vocabulary)
    from hclx.gin_bindings import load_experiment

    untrained = ["DataConfig.input=none", "TrainConfig.sequence_length=8"]  # which any model reads
    config = load_experiment(GIN_FILES.value, [*BINDINGS, *untrained]).model
    return random_model(config, DTYPE.value), NumberTokenizer(config.vocab_size)


if __name__ == "__main__":
    run(main)
