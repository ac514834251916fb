"""Writes Korean: python launch/generate.py --model_dir=runs/demo --prompt='오늘 아침에는'"""

import sys
import time

from absl import flags

from hclx.launching import run

MODEL_DIR = flags.DEFINE_string("model_dir", None, "Folder of a training run.", required=True)
PROMPT = flags.DEFINE_string("prompt", "", "What to continue; - reads standard input.")
MAX_TOKENS = flags.DEFINE_integer("max_tokens", 128, "At most so many new tokens.")
TEMPERATURE = flags.DEFINE_float("temperature", 0.8, "0 takes the most likely token each time.")
TOP_K = flags.DEFINE_integer("top_k", 0, "Only the k most likely tokens; 0: all.")
TOP_P = flags.DEFINE_float(
    "top_p", 0.95, "Only the most likely tokens that together reach this probability."
)
REPETITION_PENALTY = flags.DEFINE_float(
    "repetition_penalty", 1.0, "Above 1: what occurred becomes less likely."
)
SEED = flags.DEFINE_integer("seed", 0, "Same seed, same text.")
STOP = flags.DEFINE_multi_string("stop", [], "Text that ends generation; repeatable.")
STEP = flags.DEFINE_integer("step", None, "Checkpoint to use; default: the newest.")
STREAM = flags.DEFINE_bool("stream", True, "Show text as it is written.")


def main(_):
    from hclx.infer import SamplingConfig, generate
    from hclx.text import load_tokenizer
    from hclx.train import load_for_inference

    sampling = SamplingConfig(
        max_tokens=MAX_TOKENS.value,
        temperature=TEMPERATURE.value,
        top_k=TOP_K.value,
        top_p=TOP_P.value,
        repetition_penalty=REPETITION_PENALTY.value,
        seed=SEED.value,
        stop=tuple(STOP.value),
    )
    prompt = sys.stdin.read() if PROMPT.value == "-" else PROMPT.value
    params, config, tokenizer_dir, meta = load_for_inference(MODEL_DIR.value, STEP.value)
    tokenizer = load_tokenizer(tokenizer_dir, fingerprint=meta["hashes"]["vocabulary"])
    show = lambda text: print(text, end="", flush=True)
    show(prompt)
    start = time.perf_counter()
    result = generate(
        params,
        config,
        tokenizer,
        prompt,
        sampling,
        stream_every=8 if STREAM.value else 0,
        on_text=show,
    )
    seconds = time.perf_counter() - start
    print()
    print(
        f"{len(result.tokens)} tokens in {seconds:.1f} s, stopped by {result.stop_reason}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
