"""Continues texts: hclx generate --model_dir=runs/demo --prompt='오늘 아침에는'

A model over the devices of several processes: as `hclx pretrain`; process 0 reads and writes.
"""

import sys

from absl import flags

from hclx.errors import ConfigError
from hclx.launching import run
from hclx.shared_flags import EngineFlags

MODEL = EngineFlags(takes_artefacts=True)
PROMPT = flags.DEFINE_string(
    "prompt", "", "The text to continue; - reads it from the standard input."
)
PROMPTS = flags.DEFINE_string(
    "prompts", None, "A JSONL file of prompts in place of one: see docs/engine.md."
)
OUTPUT = flags.DEFINE_string("output", None, "The JSONL file of their texts.")
ROWS = flags.DEFINE_integer("rows", 8, "Prompts that are continued at once.", lower_bound=1)
MAX_TOKENS = flags.DEFINE_integer("max_tokens", 128, "The most new tokens.")
TEMPERATURE = flags.DEFINE_float(
    "temperature",
    0.8,
    "Divides the logits: less is more predictable. 0 takes the most likely token each time.",
)
TOP_K = flags.DEFINE_integer("top_k", 0, "Sample from the k most likely tokens; 0: from all.")
TOP_P = flags.DEFINE_float(
    "top_p", 0.95, "Sample from the fewest most likely tokens that together have this probability."
)
REPETITION_PENALTY = flags.DEFINE_float(
    "repetition_penalty", 1.0, "Above 1, tokens that occurred before become less likely."
)
SEED = flags.DEFINE_integer(
    "seed", 0, "Of the random choice: the same seed gives the same text.", 0, 2**32 - 1
)
STOP = flags.DEFINE_multi_string("stop", [], "A text that ends generation; repeatable.")
STREAM = flags.DEFINE_bool("stream", True, "Print the text while it is generated.")


def main(_):
    if not MODEL.has_value:
        raise ConfigError("--model_dir or --engine is missing; --help lists the options")
    if PROMPTS.value and PROMPT.value or OUTPUT.value and not PROMPTS.value:
        raise ConfigError("--prompt prints one text; --prompts=FILE and --output=FILE go together")
    from hclx.infer import SamplingConfig
    from hclx.infer.print_text import print_text
    from hclx.infer.prompt_files import continue_file, read_prompts
    from hclx.parallel import only_in_process_0
    from hclx.text.documents import composed

    sampling = SamplingConfig(
        max_tokens=MAX_TOKENS.value,
        temperature=TEMPERATURE.value,
        top_k=TOP_K.value,
        top_p=TOP_P.value,
        repetition_penalty=REPETITION_PENALTY.value,
        seed=SEED.value,
        stop=tuple(map(composed, STOP.value)),
    )
    source = MODEL.source(ROWS.value if PROMPTS.value else 1, bool(PROMPTS.value))
    read = lambda: read_prompts(PROMPTS.value, OUTPUT.value, sampling, source.record)
    file = only_in_process_0("prompts", read) if PROMPTS.value else None
    with source.open() as engine:
        if engine is None:  # this process has followed process 0 to its end
            return
        if file:
            continue_file(engine, file)
            return
        # `echo` ends what it writes with a newline, and a terminal or file may have NFD.
        prompt = sys.stdin.read().removesuffix("\n") if PROMPT.value == "-" else PROMPT.value
        print_text(engine, composed(prompt), sampling, STREAM.value)


if __name__ == "__main__":
    run(main)
