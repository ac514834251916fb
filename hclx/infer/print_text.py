"""Prints a text on a terminal while it is generated."""

import sys
import time

from hclx.infer.engine import Engine, GenerateRequest
from hclx.infer.sampling import SamplingConfig


def print_text(engine: Engine, prompt: str, sampling: SamplingConfig, is_streamed: bool) -> None:
    """Prints a prompt and its continuation on stdout, and then on stderr what it took.

    Args:
      engine: of the model.
      prompt: the text to continue.
      sampling: the settings.
      is_streamed: whether parts are printed as they come, or the whole at the end.
    """
    show = lambda text: print(text, end="", flush=True)
    show(prompt)
    start = time.perf_counter()
    ticket = engine.submit(GenerateRequest(prompt, sampling))
    for text in ticket:
        if is_streamed:
            show(text)
    result = ticket.result()
    print("" if is_streamed else result.text)
    print(
        f"{len(result.tokens)} tokens in {time.perf_counter() - start:.1f} s, stopped by"
        f" {result.stop_reason}",
        file=sys.stderr,
    )
