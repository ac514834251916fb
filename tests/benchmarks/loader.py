"""Compares the tokens a second of the loader with those of the training step.

    python tests/benchmarks/loader.py --cache_dir=runs/kowiki_cpu/cache --tokens_per_second=1800

One thread reads whole batches in the order of a run, as the training loop does. The page cache is
dropped if that is allowed, and the output says whether it was.
"""

import time

import jax
from absl import app, flags

from hclx.config import MeshConfig
from hclx.data import Loader, TokenCache
from hclx.parallel import make_mesh, named_sharding

CACHE_DIR = flags.DEFINE_string("cache_dir", None, "Token cache to read.", required=True)
LENGTHS = flags.DEFINE_list(
    "lengths", ["256", "2048"], "Tokens of a sequence; one measurement for each length."
)
BATCH = flags.DEFINE_integer("batch", 8, "Sequences of a batch.")
BATCHES = flags.DEFINE_integer("batches", 400, "Number of batches that are timed.")
TRAINING = flags.DEFINE_float(
    "tokens_per_second",
    None,
    "Speed of the training step on the same machine: see the metrics.jsonl of a run.",
    required=True,
)


def drop_page_cache() -> str:
    """Drops the page cache if the system allows it, and returns a phrase that says so."""
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
        return "page cache dropped"
    except OSError:
        return "page cache as it was"


def main(_):
    cache = TokenCache(CACHE_DIR.value)
    sharding = named_sharding(make_mesh(MeshConfig(fsdp=1), jax.devices()[:1]), ("batch", None))
    for length in map(int, LENGTHS.value):
        state = drop_page_cache()
        with Loader(
            cache,
            "train",
            seed=0,
            global_batch_size=BATCH.value,
            sequence_length=length,
            sharding=sharding,
        ) as loader:
            start = time.perf_counter()
            for index in range(0, BATCHES.value * BATCH.value, BATCH.value):
                jax.block_until_ready(loader.batch(index))
            speed = BATCHES.value * BATCH.value * length / (time.perf_counter() - start)
        print(
            f"sequences of {length}: {speed:,.0f} tokens/s ({state}), {speed / TRAINING.value:,.0f}"
            " times the training step"
        )


if __name__ == "__main__":
    app.run(main)
