"""The peak of memory that a command takes, and random models of any size to convert."""

import json
import subprocess
import sys
from typing import NamedTuple

import numpy as np

# A small process of its own starts the command: what a large parent has in memory when it starts a
# child would count as the child's.
_MEASURE = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
_, status, usage = os.wait4(child.pid, 0)
print("took", usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Taken(NamedTuple):
    """What a command took: the most bytes of memory that it had at a time, with the pages of files
    that it mapped, and the seconds of all processors.
    """

    peak: int
    seconds: float


def take(command, **options) -> Taken:
    """Runs a command, a list of words, to its end; `options` are those of `subprocess.run`."""
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], capture_output=True, text=True, **options
    )
    assert result.returncode == 0, result.stderr
    _, peak, seconds = result.stderr.splitlines()[-1].split()
    return Taken(int(peak), float(seconds))


def write_random_llama(
    folder,
    *,
    layers: int,
    width: int = 1024,
    vocabulary: int = 32_000,
    dtype: str = "float32",
    shard_bytes: int | None = 300_000_000,
) -> int:
    """Writes config.json and random weights of a Llama, tensor by tensor; returns their number."""
    from hclx.convert.config_json import read_model_config
    from hclx.convert.safetensors_files import Writer
    from hclx.convert.tensors import in_order, rules

    content = {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_key_value_heads": max(1, width // 128),
        "intermediate_size": width * 7 // 2,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))
    family, config = read_model_config(content)
    shapes = {
        name.format(n=layer): shape
        for rule, layer in in_order(rules(config, family), config)
        for name, shape in zip(rule.theirs, rule.shapes)
    }
    writer, rng = Writer(folder, shapes, dtype, shard_bytes), np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.write(name, rng.standard_normal(shape, dtype=np.float32) / 32)
    writer.close()
    return sum(int(np.prod(shape)) for shape in shapes.values())
